// A page that was promised and never used: a zeroed frame.
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm::fault {

Outcome demand_zero(Context& c) {
  // A first access that writes makes the page dirty at once; one that reads leaves it clean, and if it is taken away
  // before any write, it is simply demand zero again.
  const auto dirty = c.fault.access == machine::Access::kWrite ? PteCodec::Dirty::kYes : PteCodec::Dirty::kNo;
  PfnDatabase::TakenFrame taken{};
  {
    const LockGuard guard(c.core.pfns.lock);
    const auto result = c.core.pfns.take(c.cpu, Contents::kZeroed);
    if (!result) return {Status::kNoMemory};
    taken = *result;
    c.core.pfns.make_active(taken.frame, c.pte, c.core.codec.demand_zero(c.protection), dirty);
    if (!taken.zeroed) ++c.core.counters.pages_zeroed_in_fault;
  }
  if (!taken.zeroed) c.core.zero(c.cpu, taken.frame);
  make_room(c.space, c.cpu);
  map(c, taken.frame, dirty);
  c.core.note(c.cpu, EventKind::kDemandZero, c.pte, taken.frame, c.raw);
  return {Status::kSuccess, FaultKind::kDemandZero};
}

Result<Pfn> take_for_private_page(Context& c) {
  Pfn frame = kNoPfn;
  {
    const LockGuard guard(c.core.pfns.lock);
    frame = PAGODA_TRY(c.core.pfns.take(c.cpu, Contents::kAny)).frame;
    c.core.pfns.make_active(frame, c.pte, c.core.codec.demand_zero(c.protection), PteCodec::Dirty::kYes);
  }
  make_room(c.space, c.cpu);
  return frame;
}

}  // namespace pagoda::mm::fault
