// A page that a fork shared, and that nobody else shares any more, is its space's own again: nothing is copied.
#include "pagoda/mm/fault/fault.h"

namespace pagoda::mm::fault {

bool take_back(Context& c) {
  Core& core = c.core;
  const Pfn frame = core.codec.frame(c.raw);
  if (!core.pfns.contains(frame)) return false;
  const Protection protection = unshared(c.protection);
  {
    const LockGuard guard(core.pfns.lock);
    const PhysicalAddress entry = core.pfns.entry(frame).pte();
    // A count of one is this space's, and only a fork of it, which needs its lock, could add to that.
    if (!core.prototypes.is_clone(entry) || core.prototypes.clone_references(core.prototypes.address_of(entry)) != 1)
      return false;
    const VirtualAddress prototype = core.prototypes.address_of(entry);
    machine::store_entry(c.cpu.physical(), core.mode, entry, 0);
    core.pfns.move_to_table(frame, c.pte, core.codec.with_protection(core.pfns.entry(frame).original_pte, protection));
    core.commit.give_back(core.prototypes.drop_moved_clone(prototype));
    core.pfns.make_dirty(frame);
  }
  WorkingSet& ws = c.space.working_set();
  const std::uint32_t slot = ws.find_shared(c.page);
  ws.make_private(slot);
  core.pfns.set_working_set_slot(frame, slot);
  // No processor may do less than before with it: nothing to shoot down.
  c.space.tables().replace(c.cpu, c.pte, core.codec.valid(frame, protection, c.space.owner(), PteCodec::Dirty::kYes));
  c.space.record_write(c.page);
  core.note(c.cpu, EventKind::kFirstWrite, c.pte, frame, c.raw);
  return true;
}

}  // namespace pagoda::mm::fault
