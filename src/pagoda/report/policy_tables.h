// What a memory policy did, as HTML: each machine's account, who waited because of whom, and the decisions.
#pragma once

#include <string>

#include "pagoda/sim/run_result.h"

namespace pagoda::report {

// More decisions than this are counted only; the JSON report has more.
inline constexpr std::size_t kDecisionsShownMax = 200;

// Empty without a policy.
std::string policy_tables_html(const sim::RunResult& run);

}  // namespace pagoda::report
