// Large pages: regions of private memory that the hardware maps by entries of page directories.
//
// All is done when the region is reserved: it is committed, its frames lie in rows, are zeroed and mapped. They are
// nonpageable and in no working set, no page of them ever faults for being absent, and they go when the region is
// released. So the region has one protection, and there is nothing to decommit, to lock or to give back in part.
//
//   level 2 entry (large)  ->  512 frames (x86: 1024), aligned, active, each naming that entry
//
// Invariants (mm::check): [AS1] for the entries and their regions, [PT2] for the entries and their frames.
// What reference/nt.md leaves open, and was chosen: a base or a size that is no multiple of the large page is
// kInvalidParameter2 or kInvalidParameter4; a part of the region cannot be protected (kConflictingAddresses) or
// released (kFreeVmNotAtBase); protections that no valid entry can carry, NOACCESS and GUARD, are
// kInvalidPageProtection. The level-1 page tables that the region does without are charged like any region's.
// Locking: the lock of the address space. Source: reference/nt.md 7.1 to 7.3, 7.5.
#pragma once

#include "pagoda/base/units.h"
#include "pagoda/machine/paging_mode.h"

namespace pagoda::mm {

// 4 MB on x86, 2 MB on PAE and AMD64.
inline ByteCount large_page_size(const machine::PagingMode& mode) { return mode.coverage(2); }

}  // namespace pagoda::mm
