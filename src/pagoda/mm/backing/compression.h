// What the modified page writer does with the compression store: it puts pages in, and moves pages on to a paging file.
//
// An eviction begins a write, and the page is in a frame meanwhile, in transition: its owner's entry names the frame under
// the PFN lock, so that whoever faults for the page, frees it or forks it finds it as any page that is being written.
#pragma once

#include <span>

#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

// Puts a modified page, on its list and no file's, into the store; it is clean then, on standby. False: it stays as it
// is, since it does not compress, or there is no room. Charges what it costs either way.
bool compress(Core& core, Processor& cpu, Pfn frame) PAGODA_REQUIRES(core.pfns.lock);

// Which available frames may be taken for pages that are in no frame.
enum class EvictionFrames : std::uint8_t {
  kBeyondReserve,  // Not those that a fault may need.
  kAll,            // Those that are kept for evictions too: nothing else makes frames available.
};
// Moves one of the oldest pages of the store to the slot of a paging file. Returns the frame to write there, whose
// write has begun: where the page is if it is in memory and clean; else one into which it was decompressed. A page that
// is mapped needs no copy in the store: it becomes modified. kNoPfn: none can be moved now, or no frame can be spared.
Pfn evict_oldest(Core& core, Processor& cpu, unsigned file, PageFileSlot slot, EvictionFrames from)
    PAGODA_REQUIRES(core.pfns.lock);

// Moves pages that are in the store alone, and whose owners lie in the page of entries (a page table, or a page of
// prototype PTEs), to the slots of a paging file from `first` on, as many as there are places for their frames, all of
// whose writes have begun. Returns how many; fewer than there are if no more frames are available.
std::size_t evict_entries(Core& core, Processor& cpu, Pfn entries, unsigned file, PageFileSlot first,
                          std::span<Pfn> frames) PAGODA_REQUIRES(core.pfns.lock);

}  // namespace pagoda::mm
