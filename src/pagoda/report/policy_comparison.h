// One scenario under several memory policies: who waited under which, for the terminal.
#pragma once

#include <span>
#include <string>

#include "pagoda/sim/run_result.h"

namespace pagoda::report {

// With more machines than this, those that waited longest under any of the policies.
inline constexpr std::size_t kComparedMachinesMax = 12;

// Ends with a line break. Requires: at least one run; each is of the same scenario and has a policy.
std::string policy_comparison_text(std::span<const sim::RunResult> runs);

}  // namespace pagoda::report
