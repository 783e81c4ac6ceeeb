// What is kept of another run, for one that is compared with it.
#pragma once

#include "pagoda/sim/run_result.h"

namespace pagoda::sim {

Baseline baseline_of(const RunResult& run);

}  // namespace pagoda::sim
