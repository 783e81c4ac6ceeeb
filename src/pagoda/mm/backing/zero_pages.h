// Zero-page detection: a page that was written and holds nothing but zeros needs no slot and no compression.
//
//   modified ── all zero ──> its PTE, or prototype PTE, says demand zero; its frame is on the zeroed list
//
// The modified page writer looks for it where it is about to write a page to a paging file; a trim looks at once, as
// Windows 11 does, and so does AddressSpace::trim_range, since its caller says that the pages are cold. The page is on the modified list: no
// PTE maps it, it has no references, its owner is in transition form, and it has no slot ([PF5], [PF6]); so writing the
// original PTE back, as when a standby page is repurposed, is all there is to do. Pages of files are always written: a
// file's zeros are its own. Zero pages of a guest so reach the host's zeroed list without a transfer, and their next
// access is a demand-zero fault. A program that resets such a page can no longer undo that (AddressSpace::undo_reset).
// Source: reference/virtualization.md section 5, "Host reaction".
#pragma once

#include <cstdint>

#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

// Who found a zero page: each is counted.
enum class ZeroFinder : std::uint8_t { kWriter, kTrim, kHint };

// Forgets the page if it is all zero and the tunables say so. Charges the scan of a page that was: what is not zero
// mostly shows that in its first cache line. Requires: modified, on its list, no page of a file.
bool forget_if_zero(Core& core, Processor& cpu, Pfn frame, ZeroFinder finder) PAGODA_REQUIRES(core.pfns.lock);

}  // namespace pagoda::mm
