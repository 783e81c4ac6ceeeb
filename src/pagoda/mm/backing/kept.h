// What must stay in memory by an entry that leads to it: the tables on the way stay too. Each is charged to
// ResidentLedger once, by the first of its entries that needs it, and given back by the last.
//
//   root <- level 3 <- level 2 <- level 1 <- a locked page, an AWE frame in a window
//                          ^- a large page              `- page of prototype PTEs <- if it is shared
//
// Most are promised their frames already, with the region or the section. What is not is charged to commit as well while
// it is kept: pages of file data's prototype PTEs, and tables of very large views (Vad::tables_on_demand).
// Locking: the PFN lock. [RA1], [RA2]: backing/resident.h.
#pragma once

#include <cstdint>

#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

// Who promises page tables their frames: the region that they are of, or nobody.
enum class TablePromise : std::uint8_t { kByRegion, kNone };

// One more entry of the table, or page of prototype PTEs, leads to what must stay; `pages`: what it leads to itself, as
// far as that is charged here. All or nothing.
// Fails with: kInsufficientResources, kCommitmentLimit.
Result<> keep_resident(Core& core, Pfn table, PageCount pages, TablePromise promise = TablePromise::kByRegion)
    PAGODA_REQUIRES(core.pfns.lock);
// One fewer.
void drop_resident(Core& core, Pfn table, PageCount pages) PAGODA_REQUIRES(core.pfns.lock);

}  // namespace pagoda::mm
