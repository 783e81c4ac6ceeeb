// Modified pages whose entries lie side by side, as one transfer writes them: what both page writers take.
#pragma once

#include <array>

#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

struct ModifiedRun {
  PhysicalAddress pte;                         // The first page's.
  std::array<Pfn, kMaxTransferPages> frame{};  // In the order of their entries.
  std::size_t count = 0;
};

// The page and its neighbours on the same list, at most `most`. Requires: the page is on a modified list. The lock of
// its space may guard a neighbour's entry, but one in transition form whose frame is on a modified list and names that
// entry as its owner cannot change while the PFN lock is held.
ModifiedRun modified_run(const Core& core, const Processor& cpu, Pfn head, std::size_t most)
    PAGODA_REQUIRES(core.pfns.lock);

}  // namespace pagoda::mm
