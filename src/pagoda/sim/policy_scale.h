// A small machine shown to a policy as a large one: every page stands for `scale` of them, in what the policy is told and,
// back again, in what it decides. Policies with amounts in them (floors, steps, thresholds in MiB) then behave on a small
// simulated host as they do on the large ones that they were written for.
#pragma once

#include <cstdint>

#include "pagoda/policy/decision.h"
#include "pagoda/policy/measure.h"

namespace pagoda::sim {

policy::HostMeasure enlarged(policy::HostMeasure host, std::uint64_t scale);
policy::VmMeasure enlarged(policy::VmMeasure vm, std::uint64_t scale);
// Rounds to whole pages, what is asked for down. Requires: scale above 0.
policy::Decision reduced(policy::Decision decision, std::uint64_t scale);

}  // namespace pagoda::sim
