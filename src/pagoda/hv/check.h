// The checker of what lies between a guest and its host: proves that every cache allows no more than what it caches
// ("A TLB is a TLB"). The rules are in the headers of the parts that keep them. mm::check proves the managers on both
// sides.
#pragma once

#include <vector>

#include "pagoda/hv/partition.h"
#include "pagoda/mm/check/check.h"

namespace pagoda::hv {

using mm::Finding;
using mm::to_string;

// Everything that is wrong; empty for a healthy partition.
// Requires: nothing else runs.
std::vector<Finding> check(Partition& partition);

}  // namespace pagoda::hv
