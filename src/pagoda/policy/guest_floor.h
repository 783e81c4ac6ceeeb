// The least memory that a guest is left where no minimum is set.
//
// Linux's hv_balloon never claims that less is free: 72 MiB of 128, 168 of 512, 360 of 2048, 744 of 8192, 1512 of 32768,
// straight lines between (slopes 1/2, 1/4, 1/8, 1/16), and 1/32 beyond. Without any floor a balloon starves a guest to the
// edge of out-of-memory. Source: reference/virtualization.md 4.3, 4.2 trap f.
#pragma once

#include <algorithm>

#include "pagoda/base/units.h"
#include "pagoda/policy/measure.h"

namespace pagoda::policy {

// Of a guest with `memory`: never more than that.
PageCount hv_balloon_floor(PageCount memory);

// What the machine keeps whatever is asked: its minimum, or the curve.
inline PageCount floor_of(const VmMeasure& vm) {
  return std::min(vm.minimum.value_or(hv_balloon_floor(vm.maximum)), vm.maximum);
}

}  // namespace pagoda::policy
