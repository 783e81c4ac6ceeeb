// One of the manager's own threads on a processor of its own.
#pragma once

#include <algorithm>

#include "pagoda/machine/processor.h"
#include "pagoda/mm/memory_manager.h"
#include "tests/torture/world.h"

namespace pagoda::mm::torture {

class Keeper {
 public:
  Keeper(World& world, SystemThread& thread, machine::Processor& cpu) : world_(world), thread_(thread), cpu_(cpu) {}

  [[nodiscard]] std::string_view name() const { return thread_.name(); }
  // Does what is due now. False: nothing was; the driver lets others run.
  bool step() {
    // Whatever waits for a time that no worker has reached comes a little nearer each time, or a world whose workers all wait for a
    // keeper would stand still.
    cpu_.advance_to(std::max(world_.latest(), cpu_.now() + Duration(1000)));
    world_.manager().complete_io(cpu_);
    if (thread_.due(cpu_.now()) > cpu_.now()) return false;
    thread_.run(cpu_);
    return true;
  }

 private:
  World& world_;
  SystemThread& thread_;
  machine::Processor& cpu_;
};

}  // namespace pagoda::mm::torture
