// A page fault on its way: what the parts of the resolver share. One way in (`resolve`), a file for each way a page
// comes.
//
//   resolve -> check access -> demand_zero | transition | compressed | page_file | prototype | the region's kind
//                              copy_on_write | first write                           |-> page_file | mapped file
//
// Locking: the space's lock is held throughout, and let go before a disk is asked: what the fault has begun to read, or
// waits for, it leaves in its context. Then the access is repeated, and everything is read again. The PFN lock is taken
// inside. Source: reference/nt.md section 4.
#pragma once

#include <optional>

#include "pagoda/machine/processor.h"
#include "pagoda/mm/backing/cluster_read.h"
#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/section/control_area.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

// Resolves a fault that the processor raised in the space that it is attached to. kSuccess: repeat the access; else
// what to raise to the program. Takes all locks itself. Under an event loop the processor may be blocked afterwards.
Status resolve_fault(AddressSpace& space, Processor& cpu, const machine::PageFault& fault);

namespace fault {

struct Context {
  // A constructor, so that `read` is not made of zeros first, which would be a tenth of a soft fault.
  Context(AddressSpace& of, Processor& on, const machine::PageFault& page_fault, Vpn faulted)
      : space(of), core(of.core()), cpu(on), fault(page_fault), page(faulted) {}

  AddressSpace& space;
  Core& core;
  Processor& cpu;
  const machine::PageFault& fault;
  Vpn page;
  PhysicalAddress pte = PageTables::kNone;
  RawPte raw = 0;
  Protection protection = Protection::kNone;  // The page's own, guard included.
  VirtualAddress prototype;                   // A shared page's prototype PTE.
  ControlArea* control_area = nullptr;        // Its segment; null: it is a clone's.
  PageCount section_page;                     // Where in the segment.

  // --- What is left to do without the space's lock ---
  std::optional<Cluster> read;  // Begun; the disk is to be asked.
  Pfn being_read = kNoPfn;      // Somebody else reads the page: wait for it.
  [[nodiscard]] bool must_wait() const { return read || being_read != kNoPfn; }
};

struct Outcome {
  Status status = Status::kSuccess;  // kNoMemory: wait for frames, then fault again.
  FaultKind kind = FaultKind::kSpurious;
  bool counted = true;  // False: a fault that was counted before has come back.
};

Outcome demand_zero(Context& context) PAGODA_REQUIRES(context.space.lock);
Outcome transition(Context& context) PAGODA_REQUIRES(context.space.lock);
// Begins to read the page of the entry, which is this PTE or its prototype.
Outcome page_file(Context& context, PhysicalAddress pte, PteHome home) PAGODA_REQUIRES(context.space.lock);
// The page of the PTE, a private one, is in the compression store.
Outcome compressed(Context& context) PAGODA_REQUIRES(context.space.lock);
// The PTE leads to a prototype PTE, which `context.prototype` names.
Outcome prototype(Context& context) PAGODA_REQUIRES(context.space.lock);
// The PTE is valid. If a fork shared the page and nobody else shares it any more, it becomes this space's own; whether it
// did. Then `map_taken_back`, without the PFN lock. Requires: the PFN lock.
bool take_back(Context& context) PAGODA_REQUIRES(context.space.lock);
Outcome map_taken_back(Context& context) PAGODA_REQUIRES(context.space.lock);
// The PTE is valid, and a write to it makes a private copy, or takes the page back.
Outcome copy_on_write(Context& context) PAGODA_REQUIRES(context.space.lock);
// Whether equal pages may have been made one in the clone entry in a way that nobody may be able to time
// (SharingTunables::Combine::kSameBehaviour): whoever names it gets a copy, also the last, and also to read.
[[nodiscard]] bool is_withheld(const Core& core, VirtualAddress prototype) PAGODA_REQUIRES(core.pfns.lock);
// The access makes a private copy of the frame, which is a withheld page's that counts this mapping already.
Outcome copy_withheld(Context& context, Pfn frame, Outcome outcome) PAGODA_REQUIRES(context.space.lock);
// The page of the space, which a fork shares, gets a copy, whatever its rights are; the caller sets them anew. Does
// nothing to another. Fails with: kNoMemory, kInPageError.
Outcome make_private(Context& context, Vpn page) PAGODA_REQUIRES(context.space.lock);
// The fault was that, or begins to be: `wait` takes it back if its read fails.
inline void count(AddressSpace& space, const Outcome& outcome) PAGODA_REQUIRES(space.lock) {
  if (outcome.counted) ++space.faults()[static_cast<std::size_t>(outcome.kind)];
}
// Does what `context` says is left to do; `outcome` is what the fault was, and has been counted. Returns what to raise;
// kSuccess: repeat the access. Under an event loop the processor may be blocked afterwards.
Status wait(Context& context, const Outcome& outcome) PAGODA_EXCLUDES(context.space.lock);

// A private page whose first contents `fill` writes, for kinds of regions that bring their own: the page is dirty from
// the start, so that it is paged like any other. `fill(bytes of the page)` is called before anybody can see it.
template <class Fill>
Outcome filled_page(Context& context, Fill&& fill) PAGODA_REQUIRES(context.space.lock);

// The end of every way: the frame, active and owned by this PTE, is mapped and enters the working set. Room was made
// before.
void map(Context& context, Pfn frame, PteCodec::Dirty dirty) PAGODA_REQUIRES(context.space.lock);
// The same of a frame that a prototype PTE owns, which counts this mapping already.
void map_shared(Context& context, Pfn frame, PteCodec::Dirty dirty) PAGODA_REQUIRES(context.space.lock);

// A frame for a page that will be private and dirty, active already and not mapped yet. Fails with: kNoMemory.
Result<Pfn> take_for_private_page(Context& context) PAGODA_REQUIRES(context.space.lock);

template <class Fill>
Outcome filled_page(Context& context, Fill&& fill) {
  const auto frame = take_for_private_page(context);
  if (!frame) return {frame.error()};
  fill(context.cpu.physical().bytes(*frame, machine::Access::kWrite).bytes());
  map(context, *frame, PteCodec::Dirty::kYes);
  return {Status::kSuccess, FaultKind::kDemandZero};
}

}  // namespace fault

// Pages that a fork shares get copies, since a clone's page has one protection for all who share it. The space's lock is
// let go while a disk works; no other change of the space's regions begins meanwhile. Requires: a ChangeGuard.
// Fails with: kNoMemory, kPending, kInPageError; some pages may have their copies then.
Result<> make_private(AddressSpace& space, Processor& cpu, VpnRange pages) PAGODA_REQUIRES(space.lock);

}  // namespace pagoda::mm
