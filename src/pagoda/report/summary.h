// A run as plain text for a terminal: what `pagoda run` prints at its end.
#pragma once

#include <string>

#include "pagoda/sim/run_result.h"

namespace pagoda::report {

// With more processes than this, those that waited longest.
inline constexpr std::size_t kSummaryProcessesMax = 12;

// Ends with a line break. Where the report lies is for the caller to add.
std::string summary_text(const sim::RunResult& run);

}  // namespace pagoda::report
