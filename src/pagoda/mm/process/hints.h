// What a program, or the hypervisor for its guest, tells about its memory: cold, hot, cold and of no more use; and
// memory that is promised page by page. The functions are AddressSpace's.
//
//   trim_range      working set -> standby or modified; zeros -> zeroed list         cold
//   make_resident   wherever the page is -> working set                              hot
//   discard         contents, slot, compressed bytes -> nothing; PTE -> demand zero  cold-discard
//
// A region that commits on touch is a reserved one whose pages are committed by the fault that first touches them, in
// place of raising an access violation. So its charge is that of the pages with an entry, as of any reserved region
// ([AS2]), and a query says of the others that they are reserved. Without commit charge left the fault fails with
// kCommitmentLimit and has changed nothing: the toucher may wait and repeat it, or give up. What is decommitted or
// discarded gives its charge back, and its next touch takes it again; to protect or to lock pages, they have to be
// there. Charge for page tables is taken when the region is made, as always.
// Source: reference/virtualization.md section 5 ("Host reaction", "EnableDeferredCommit": charged at first touch). What
// a fault without charge does is a choice; Windows stops the virtual machine.
#pragma once

#include <cstdint>

namespace pagoda::mm {

// What the first touch of a page does that is reserved only.
enum class OnTouch : std::uint8_t { kRaise, kCommit };

}  // namespace pagoda::mm
