// What a memory policy did, as JSON.
#pragma once

#include "pagoda/report/json.h"

namespace pagoda::report {

// Null without a policy.
Json policy_to_json(const sim::RunResult& run);

}  // namespace pagoda::report
