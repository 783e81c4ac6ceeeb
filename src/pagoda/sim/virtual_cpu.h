// A virtual processor of a guest, as a task of the host's scheduler.
//
// A virtual processor computes in the guest while it has a core, any of the host's. What the host does for it on the
// way (violations, shadow tables) is done on that core and takes its time; when the host has to wait for a disk for it,
// it alone waits, and the core serves other tasks. When the guest has nothing for it to do it halts until the guest's
// next event. There may be far more virtual processors than cores: each keeps one for a quantum while others wait.
//
// Time: the guest's clock follows the core's, and passes it by what was waited for; the core is busy for the rest.
#pragma once

#include <cstdint>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/task.h"

namespace pagoda::sim {

class Guest;

class VirtualCpu final : public Task {
 public:
  // `number`: of the guest's processors.
  VirtualCpu(Guest& guest, unsigned number) : guest_(guest), number_(number) {}

  [[nodiscard]] Time ready_at() const override;
  [[nodiscard]] bool is_halted() const { return halted_; }
  bool take(machine::SimProcessor& core) override;
  Input<> run(machine::SimProcessor& core, Time horizon) override;
  void leave(machine::SimProcessor& core) override;
  // What the host touched for it and its core's TLB did not know: there is no count of the others.
  [[nodiscard]] std::uint64_t accesses() const override { return accesses_; }

  [[nodiscard]] Duration busy() const { return busy_; }
  // Until then: what it waits for beyond has not happened yet.
  [[nodiscard]] Duration waited(Time now) const;
  // The host gives the guest up at that time: until then nothing in it can go on.
  void wait_for_loss(Time time);

 private:
  enum class Next : std::uint8_t { kGoesOn, kWaits, kHalts };
  // What the guest does with the time until `horizon`.
  Input<Next> run_guest(Time horizon);
  // Whether the host does not let it run; then it waits for that.
  bool is_blocked(Time now);
  // How long the host kept it waiting, since the beginning.
  [[nodiscard]] Duration host_waits() const;

  Guest& guest_;
  const unsigned number_;
  bool halted_ = false;
  Duration busy_;
  Duration waited_;
  std::uint64_t accesses_ = 0;
};

}  // namespace pagoda::sim
