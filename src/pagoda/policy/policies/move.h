// Decisions as policies make them: of a balloon's target, and what people read of constants.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "pagoda/policy/decision.h"
#include "pagoda/policy/measure.h"
#include "pagoda/policy/pages.h"

namespace pagoda::policy {

// What the machine's balloon leaves it now, by the last target (never by `actual`, which may be in motion).
inline PageCount limit_of(const VmMeasure& vm) {
  return vm.balloon ? excess(vm.maximum, vm.balloon->target) : vm.maximum;
}

// Leaves the machine as it is.
inline Decision keep(const VmMeasure& vm, Reason reason) {
  return {.machine = vm.machine,
          .previous = limit_of(vm),
          .target = limit_of(vm),
          .balloon = vm.balloon ? vm.balloon->target : PageCount(0),
          .reason = reason};
}

// Lets its balloon leave it `limit`, of its maximum at most. A machine without a balloon is left as it is.
inline Decision set_limit(const VmMeasure& vm, PageCount limit, Reason reason) {
  if (!vm.balloon) return keep(vm, {.why = Why::kNoBalloon});
  limit = std::min(limit, vm.maximum);
  return {.machine = vm.machine,
          .previous = limit_of(vm),
          .target = limit,
          .balloon = vm.maximum - limit,
          .reason = reason};
}

inline double free_share(const HostMeasure& host) { return share_of(host.free, host.total); }

// Values of constants.
inline std::string text_of(ByteCount bytes) { return to_string(bytes); }
inline std::string text_of(PageCount pages) { return to_string(bytes_of(pages)); }
inline std::string percent_text(double share) { return fmt::format("{:.4g} %", 100 * share); }
inline std::string seconds_text(Duration time) {
  return fmt::format("{:g} s", static_cast<double>(time.value()) / 1e9);
}

}  // namespace pagoda::policy
