// A page that sharing looked at where nobody may tell what it found (combine/member_pages.h): any access to it is served by
// a copy, whether others share the page or not. Nor does one find the page in memory because another has brought it in: what
// came from a paging file, or out of the compression store, for a copy goes again.
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm::fault {

bool is_withheld(const Core& core, VirtualAddress prototype) {
  return core.tunables.sharing.combine == SharingTunables::Combine::kSameBehaviour &&
         core.prototypes.is_clone(prototype) && core.prototypes.clone_tag(prototype) != 0;
}

Outcome copy_withheld(Context& c, Pfn frame, Outcome outcome) {
  const auto dirty = c.fault.access == machine::Access::kWrite ? PteCodec::Dirty::kYes : PteCodec::Dirty::kNo;
  c.protection = unshared(c.protection);
  Pfn copy = kNoPfn;
  {
    const LockGuard guard(c.core.pfns.lock);
    const auto taken = c.core.pfns.take(c.cpu, Contents::kAny);
    if (!taken) {
      c.core.pfns.unshare(c.cpu, frame, c.pte.pfn(), PteCodec::Dirty::kNo);
      return {Status::kNoMemory};
    }
    copy = taken->frame;
    // Its contents are in no slot, whoever has written them.
    c.core.pfns.make_active(copy, c.pte, c.core.codec.demand_zero(c.protection), PteCodec::Dirty::kYes);
  }
  c.cpu.physical().copy(frame, copy);
  c.cpu.charge(c.core.machine.costs().copy_page);
  make_room(c.space, c.cpu);
  map(c, copy, dirty);
  {
    const LockGuard guard(c.core.pfns.lock);
    c.core.pfns.unshare(c.cpu, frame, c.pte.pfn(), PteCodec::Dirty::kNo);
    c.space.drop_clone(c.cpu, c.prototype);
    const bool was_out = !outcome.counted || outcome.kind == FaultKind::kCompressed;
    if (was_out && c.core.pfns.entry(frame).state == PageState::kStandby) c.core.pfns.forget_clean(c.cpu, frame);
    ++c.core.counters.sharing_copied;
  }
  c.core.note(c.cpu, EventKind::kCopied, c.pte, copy, c.raw);
  return outcome;
}

}  // namespace pagoda::mm::fault
