// What the modified page writer does with the compression store: it puts pages in, and moves the oldest on to a paging
// file.
#pragma once

#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

// Puts a modified page, on its list and no file's, into the store; it is clean then, on standby. False: it stays as it
// is, since it does not compress, or there is no room. Charges what it costs either way.
bool compress(Core& core, Processor& cpu, Pfn frame) PAGODA_REQUIRES(core.pfns.lock);

// Moves one of the oldest pages of the store to the slot of a paging file. Returns the frame to write there, whose
// write has begun: where the page is if it is in memory and clean; else one into which it was decompressed. A page that
// is mapped needs no copy in the store: it becomes modified. kNoPfn: none can be moved now, or no frame can be spared.
Pfn evict_oldest(Core& core, Processor& cpu, unsigned file, PageFileSlot slot) PAGODA_REQUIRES(core.pfns.lock);

}  // namespace pagoda::mm
