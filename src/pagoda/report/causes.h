// Why a run went as it did: machines that were lost, limits that decided, time constants that do not fit, and what was
// asked for and had no effect. A sentence each, none where there is nothing to tell.
//
// Pure functions of a RunResult, as story.h; names in the sentences are not escaped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pagoda/sim/run_result.h"

namespace pagoda::report {

// Virtual machines that their host could not feed: which, when and why.
std::vector<std::string> tell_losses(const sim::RunResult& run);

// Programs and virtual machines that waited because their working sets were held at a limit, whose limit it was, and
// where memory lay idle meanwhile. The worst first; of many only those.
std::vector<std::string> tell_limits(const sim::RunResult& run);

// Periods that are too long for the run, or for how fast its programs go through memory.
std::vector<std::string> tell_time_constants(const sim::RunResult& run);

// Compression stores, hints and cures that did nothing, and why.
std::vector<std::string> tell_without_effect(const sim::RunResult& run);

}  // namespace pagoda::report
