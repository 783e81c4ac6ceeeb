// The simulated processors of one machine, by number: as what they are, and as the interface that a Machine gives out.
#pragma once

#include <span>
#include <vector>

#include "pagoda/machine/sim/sim_processor.h"

namespace pagoda::machine {

class SimProcessorList {
 public:
  // Requires: its number is the next one; it outlives the list.
  void add(SimProcessor& cpu) {
    PAGODA_CHECK_EQ(std::size_t{cpu.number()}, all_.size());
    all_.push_back(&cpu);
    interfaces_.push_back(&cpu);
  }

  [[nodiscard]] SimProcessor& operator[](unsigned number) const { return *all_[number]; }
  [[nodiscard]] std::span<SimProcessor* const> all() const { return all_; }
  [[nodiscard]] std::span<Processor* const> interfaces() const { return interfaces_; }

  // How a machine whose processors all have our TLB does `Machine::shoot_down`.
  void shoot_down(Processor& initiator, const CachedSpace& space, std::span<const StaleRun> runs) const;

 private:
  std::vector<SimProcessor*> all_;
  std::vector<Processor*> interfaces_;
};

}  // namespace pagoda::machine
