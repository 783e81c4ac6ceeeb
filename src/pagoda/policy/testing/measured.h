// For tests: machines and hosts as a policy is told of them, and rounds of a policy.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "pagoda/policy/policy.h"

namespace pagoda::policy {

// A machine of 4 GiB that holds all of it, with a balloon and statistics; a quarter is active, half available.
inline VmMeasure machine(std::uint32_t id) {
  return {.machine = static_cast<MachineId>(id),
          .maximum = pages_of(4_GiB),
          .minimum = pages_of(512_MiB),
          .granted = pages_of(4_GiB),
          .active = pages_of(1_GiB),
          .balloon = BalloonMeasure{.target = {}, .actual = {}, .moved_at = {}},
          .guest = GuestStatistics{.age = 1_s,
                                   .free = pages_of(1_GiB),
                                   .available = pages_of(2_GiB),
                                   .total = pages_of(4_GiB),
                                   .caches = pages_of(1_GiB),
                                   .committed = pages_of(2_GiB)},
          .stall = 0.0,
          .busy = 0.5,
          .swapped_in = PageCount(0)};
}

// A policy, its machines and its host: what a round decides is done at once, and a balloon that gives frees the host.
class Rounds {
 public:
  Rounds(std::string_view policy, PageCount total, const PolicyOptions& options = {})
      : policy_(find_policy(policy)->make(options)), host_{.now = {}, .total = total, .free = total} {}

  std::vector<VmMeasure> machines;
  [[nodiscard]] HostMeasure& host() { return host_; }
  [[nodiscard]] Policy& policy() { return *policy_; }

  // One decision, and nothing is done about it.
  const Decisions& decide() {
    policy_->decide({.host = host_, .machines = machines}, decisions_);
    return decisions_;
  }
  // A round: balloons do as they are told within it, unless `obey` says that they do not.
  const Decisions& run(bool obey = true) {
    decide();
    for (std::size_t i = 0; i < machines.size(); ++i) obey_one(machines[i], decisions_.machines[i], obey);
    host_.now += policy_->period();
    return decisions_;
  }
  [[nodiscard]] const Decision& of(std::size_t machine) const { return decisions_.machines[machine]; }

 private:
  void obey_one(VmMeasure& vm, const Decision& decision, bool obey) {
    if (!vm.balloon) return;
    vm.balloon->target = decision.balloon;
    if (!obey || vm.balloon->actual == decision.balloon) return;
    vm.balloon->actual = decision.balloon;
    vm.balloon->moved_at = host_.now;
    const PageCount limit = vm.maximum - decision.balloon;
    if (vm.granted <= limit) return;
    host_.free += vm.granted - limit;
    vm.granted = limit;
  }

  std::unique_ptr<Policy> policy_;
  HostMeasure host_;
  Decisions decisions_;
};

}  // namespace pagoda::policy
