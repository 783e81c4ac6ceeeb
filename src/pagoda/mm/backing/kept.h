// What must stay in memory by an entry that leads to it: the tables on the way stay too. Each is charged to
// ResidentLedger once, by the first of its entries that needs it, and given back by the last.
//
//   root <- level 3 <- level 2 <- level 1 <- a locked page, an AWE frame in a window
//                          ^- a large page              `- page of prototype PTEs <- if it is shared
//
// Such a page of file data's prototype PTEs is charged to commit as well: nothing else promises it a frame. Page tables
// and other pages of prototype PTEs are promised theirs already. Locking: the PFN lock. [RA1], [RA2]: backing/resident.h.
#pragma once

#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

// One more entry of the table, or page of prototype PTEs, leads to what must stay; `pages`: what it leads to itself, as
// far as that is charged here. All or nothing.
// Fails with: kInsufficientResources, kCommitmentLimit.
Result<> keep_resident(Core& core, Pfn table, PageCount pages) PAGODA_REQUIRES(core.pfns.lock);
// One fewer.
void drop_resident(Core& core, Pfn table, PageCount pages) PAGODA_REQUIRES(core.pfns.lock);

}  // namespace pagoda::mm
