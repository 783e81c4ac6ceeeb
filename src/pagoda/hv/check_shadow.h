// The part of the checker that is about shadow paging: rules SH1 to SH9 (shadow_mmu.h, shadow_tree.h, traced_tables.h).
#pragma once

#include <vector>

#include "pagoda/hv/partition.h"
#include "pagoda/mm/check/check.h"

namespace pagoda::hv {

// Adds what is wrong.
// Requires: nothing else runs, no lock is held.
void check_shadow(Partition& partition, std::vector<mm::Finding>& findings);

}  // namespace pagoda::hv
