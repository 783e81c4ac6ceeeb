// What the modified page writer and faults do with the compression store: into it, out of it, on to a paging file.
#pragma once

#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

// A modified page, on its list and no file's, goes into the store and is clean, on standby. False: it stays as it is,
// since it does not compress, or there is no room. Charges what it costs either way.
bool compress(Core& core, Processor& cpu, Pfn frame) PAGODA_REQUIRES(core.pfns.lock);

// The page that the entry names, which is in the store, into a frame taken for it. It keeps its slot.
void decompress(Core& core, Processor& cpu, RawPte entry, Pfn frame) PAGODA_REQUIRES(core.pfns.lock);

// One of the oldest pages of the store goes on to the slot that is given: the frame that is to be written there, whose
// write has begun. In memory and clean it is written from where it is; else it is decompressed into a frame first. A
// page that is mapped needs no copy in the store: it becomes modified. kNoPfn: there is none that can go now, or no
// frame can be spared for it.
Pfn evict_oldest(Core& core, Processor& cpu, unsigned file, PageFileSlot slot) PAGODA_REQUIRES(core.pfns.lock);

}  // namespace pagoda::mm
