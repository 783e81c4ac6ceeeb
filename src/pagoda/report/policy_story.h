// What a memory policy did, in sentences: who paid, for whom, and why.
//
// Pure functions of a RunResult, as story.h; names in the sentences are not escaped.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "pagoda/sim/run_result.h"

namespace pagoda::report {

// None without a policy.
std::vector<std::string> tell_policy(const sim::RunResult& run);

// The first decisions, a sentence each with its time: "t=62 s: took 3 MiB from web by balloon: ...".
std::vector<std::string> decision_sentences(const sim::RunResult& run, std::size_t most);

}  // namespace pagoda::report
