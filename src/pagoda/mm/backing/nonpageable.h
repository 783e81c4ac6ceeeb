// Frames for whoever keeps them: what is taken so is charged to both ledgers first, so that enough can still change
// hands (backing/resident.h) and everything that was promised still has a place (backing/commit.h).
#pragma once

#include "pagoda/mm/backing/commit.h"
#include "pagoda/mm/backing/resident.h"

namespace pagoda::mm {

// Charges so many pages to both ledgers, or as many as both have room for; returns how many.
// Requires: the PFN lock, which guards the commit ledger.
PageCount charge_nonpageable(ResidentLedger& resident, CommitLedger& commit, PageCount wanted);
void give_back_nonpageable(ResidentLedger& resident, CommitLedger& commit, PageCount pages);

}  // namespace pagoda::mm
