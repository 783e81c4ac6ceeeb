// For tests: a simulated machine of which its memory manager has only the lower frames. Those above are what a guest
// sees beyond its own memory; and the hypervisor that the guest asks is the test's.
#pragma once

#include <span>

#include "pagoda/machine/sim/sim_machine.h"

namespace pagoda::machine::testing {

class WiderMachine : public Machine {
 public:
  // `frames` of the machine are the manager's.
  WiderMachine(SimMachine& machine, PageCount frames, Hypercalls* hypercalls)
      : machine_(machine), frames_(frames), hypercalls_(hypercalls) {}

  [[nodiscard]] const PagingMode& paging() const override { return machine_.paging(); }
  [[nodiscard]] TlbRefill refill() const override { return machine_.refill(); }
  [[nodiscard]] PageCount frame_count() const override { return frames_; }
  [[nodiscard]] const CostModel& costs() const override { return machine_.costs(); }
  [[nodiscard]] std::span<Processor* const> processors() override { return machine_.processors(); }
  [[nodiscard]] std::span<Disk* const> disks() override { return machine_.disks(); }
  [[nodiscard]] Hypercalls* hypercalls() override { return hypercalls_; }
  [[nodiscard]] PageCount give_back_granule() const override { return machine_.give_back_granule(); }
  void give_back(PfnRange frames) override { machine_.give_back(frames); }
  void shoot_down(Processor& initiator, const CachedSpace& space, std::span<const StaleRun> runs) override {
    machine_.shoot_down(initiator, space, runs);
  }

 private:
  SimMachine& machine_;
  PageCount frames_;
  Hypercalls* hypercalls_;
};

}  // namespace pagoda::machine::testing
