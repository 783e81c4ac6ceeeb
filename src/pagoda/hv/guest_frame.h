// The edge where a guest's frame numbers change their type.
//
//   the guest's side: its manager, processor, page tables, hypercalls     hv
//   Pfn, since a guest sees its machine's frames as any manager does  <-> Gfn
//
// Inside hv a frame of the guest is a Gfn and a frame of the host a Pfn. What hears or tells the guest converts with
// these functions, at once: HypervisorView and VirtualProcessor (accesses), ShadowMmu and ParavirtualMmu with its
// tables (the guest's roots and entries), HotIoPages (transfers), VirtualMachine (hypercalls). From a Gfn to the Pfn of
// the host lead only GpaMap and the caches above it.
#pragma once

#include "pagoda/base/units.h"

namespace pagoda::hv {

// What the guest calls the frame `of_guest`. kNoPfn becomes kNoGfn.
constexpr Gfn to_gfn(Pfn of_guest) { return Gfn(of_guest.value()); }
constexpr GfnRange to_gfns(PfnRange of_guest) { return {to_gfn(of_guest.first), of_guest.count}; }

// What the guest calls the frame.
constexpr Pfn to_guest_pfn(Gfn frame) { return Pfn(frame.value()); }
constexpr PfnRange to_guest_pfns(GfnRange frames) { return {to_guest_pfn(frames.first), frames.count}; }

}  // namespace pagoda::hv
