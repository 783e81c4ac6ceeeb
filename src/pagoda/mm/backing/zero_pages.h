// Zero-page detection: a page that was written and holds nothing but zeros needs no slot and no compression.
//
//   modified ── all zero ──> its PTE, or prototype PTE, says demand zero; its frame is on the zeroed list
//
// Looked for where a page of the paging files is about to be written (ModifiedWriter), and at once where a caller says
// that the pages are cold (AddressSpace::trim_range). The page is on the modified list: nobody maps it and nobody
// references it, its owner is in transition form, and it has no slot ([PF5], [PF6]); so to write the original PTE back,
// as when a standby page is repurposed, is all there is to do. Pages of files are written as ever: a file's zeros are
// its own. That of a guest whose memory is zeros so goes to the host's zeroed list without a transfer, its next access
// is a demand-zero fault. A program that resets such a page can no longer undo that (AddressSpace::undo_reset).
// Source: reference/virtualization.md section 5, "Host reaction".
#pragma once

#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

// Forgets the page if it is all zero and the tunables say so; it is modified, on its list, and no file's. Its cost is
// charged where it was: what is not zero mostly shows it in its first cache line.
bool forget_if_zero(Core& core, Processor& cpu, Pfn frame) PAGODA_REQUIRES(core.pfns.lock);

}  // namespace pagoda::mm
