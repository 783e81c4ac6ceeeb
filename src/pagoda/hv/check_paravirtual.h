// The part of the checker that is about paravirtual paging: rules PV1 to PV4 (validated_tables.h, paravirtual_mmu.h).
#pragma once

#include <vector>

#include "pagoda/hv/partition.h"
#include "pagoda/mm/check/check.h"

namespace pagoda::hv {

// Adds what is wrong.
// Requires: nothing else runs, no lock is held.
void check_paravirtual(Partition& partition, std::vector<mm::Finding>& findings);

}  // namespace pagoda::hv
