// The first write to a page that a write copies: the program gets a private page, and is one fewer who shares the
// other; or, as the last of those that a fork left, takes it back. Commit was charged when the view was made, or the
// fork.
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm::fault {

Outcome copy_on_write(Context& c) {
  const Pfn shared = c.core.codec.frame(c.raw);
  const Protection protection = unshared(c.protection);
  PfnDatabase::TakenFrame taken{};
  bool is_own = false;
  {
    const LockGuard guard(c.core.pfns.lock);
    is_own = take_back(c);
    if (!is_own) {
      const auto result = c.core.pfns.take(c.cpu, Contents::kAny);
      if (!result) return {Status::kNoMemory};
      taken = *result;
    }
  }
  if (is_own) return map_taken_back(c);
  // This mapping keeps the shared page where it is.
  c.cpu.physical().copy(shared, taken.frame);
  c.cpu.charge(c.core.machine.costs().copy_page);
  c.space.tables().replace(c.cpu, c.pte,
                           c.core.codec.valid(taken.frame, protection, c.space.owner(), PteCodec::Dirty::kYes));
  c.space.invalidate(c.cpu, {{c.page, 1_pages}, shared});
  c.space.record_write(c.page);
  WorkingSet& ws = c.space.working_set();
  std::uint32_t slot = WorkingSet::kNoSlot;
  if (c.core.pfns.contains(shared)) {
    slot = ws.find_shared(c.page);
    ws.make_private(slot);
  } else {
    make_room(c.space, c.cpu);
    slot = ws.insert(c.page, c.pte);
  }
  {
    const LockGuard guard(c.core.pfns.lock);
    c.core.pfns.make_active(taken.frame, c.pte, c.core.codec.demand_zero(protection), PteCodec::Dirty::kYes);
    c.core.pfns.set_working_set_slot(taken.frame, slot);
    if (c.core.pfns.contains(shared)) c.space.let_go_prototype(slot, shared);
    c.space.free_mapped(c.cpu, c.pte, c.raw);
  }
  c.core.note(c.cpu, EventKind::kCopied, c.pte, taken.frame, c.raw);
  return {Status::kSuccess, FaultKind::kCopyOnWrite};
}

}  // namespace pagoda::mm::fault
