// How WSL tells that a machine is idle: its processors had little to do for two minutes.
// Source: overcommit-facts.md 5.7 (idle for 120 s); what "low" is, is ours.
#pragma once

#include <optional>

#include "pagoda/policy/measure.h"

namespace pagoda::policy {

inline constexpr Duration kIdleFor = 120_s;
inline constexpr double kIdleBusy = 0.05;  // Of its processors' time.

class IdleWatch {
 public:
  // Whether the machine is idle at `now`. What is not known is not idle.
  bool look(const VmMeasure& vm, Time now) {
    if (!vm.busy || *vm.busy > kIdleBusy) {
      since_.reset();
      return false;
    }
    if (!since_) since_ = now;
    return now - *since_ >= kIdleFor;
  }

 private:
  std::optional<Time> since_;
};

}  // namespace pagoda::policy
