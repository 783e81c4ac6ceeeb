// The switch between a guest's processor and the host processor that works for it.
//
// The host processor does the host's work for this virtual processor and nothing else, and is attached to vmmem for
// good. Its clock follows the guest's at every exit, and the guest's follows it back: a guest pays for what the host
// does for it, waits for the host's disk included.
//
// Locking: as machine::Processor: it belongs to the thread that drives it.
#pragma once

#include <utility>

#include "pagoda/hv/partition_counts.h"
#include "pagoda/machine/sim/sim_processor.h"

namespace pagoda::hv {

class WorldSwitch {
 public:
  // All outlive it.
  WorldSwitch(machine::SimProcessor& guest, machine::Processor& host, PartitionCounts& counts)
      : guest_(guest), host_(host), counts_(counts) {}

  [[nodiscard]] machine::SimProcessor& guest() { return guest_; }
  [[nodiscard]] machine::Processor& host() { return host_; }
  [[nodiscard]] bool in_host() const { return in_host_; }

  // An exit: runs `work(host processor)` in the host, at the guest's time and cost. Inside such work it is part of that
  // exit, and no switch of its own.
  template <class Work>
  decltype(auto) exit_to_host(Work&& work) {
    struct Return {
      WorldSwitch& world;
      const bool was_in_host;
      ~Return() {
        world.guest_.catch_up_with(world.host_);
        world.in_host_ = was_in_host;
      }
    };
    host_.catch_up_with(guest_);
    if (!in_host_) {
      host_.charge(host_.machine().costs().world_switch);
      ++counts_.exits;
    }
    const Return back{*this, std::exchange(in_host_, true)};
    return work(host_);
  }

 private:
  machine::SimProcessor& guest_;
  machine::Processor& host_;
  PartitionCounts& counts_;
  bool in_host_ = false;
};

}  // namespace pagoda::hv
