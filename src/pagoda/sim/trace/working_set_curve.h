// The working-set curve of a trace: how many distinct pages a program touches while it makes tau raw references.
//
// Definition: the run is cut into consecutive windows of tau raw references, the first at 0; each counts the distinct
// pages of the records in it; the mean and the largest over all whole windows are given (over the one window there is,
// if the run is shorter than tau). A record counts where it was made, so that pages dropped by the reduction inside a
// window of K pages are not seen again: a window shorter than the program needs to touch K distinct pages shows too
// few. Source: Denning, "The working set model for program behavior", CACM 11(5), 1968; windows without overlap instead
// of sliding.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/sim/trace/trace_reader.h"

namespace pagoda::sim {

struct WorkingSetPoint {
  std::uint64_t window = 0;   // tau: raw references.
  std::uint64_t windows = 0;  // How many were counted.
  double mean_pages = 0;
  PageCount largest;
};

inline constexpr std::array<std::uint64_t, 5> kWorkingSetWindows{1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20};

// One pass over `reader`, from its front. Fails as reading fails.
Input<std::vector<WorkingSetPoint>> working_set_curve(TraceReader& reader,
                                                      std::span<const std::uint64_t> windows = kWorkingSetWindows);

}  // namespace pagoda::sim
