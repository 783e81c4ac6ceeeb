// A page that a fork shared, and that nobody else shares any more, is its space's own again: nothing is copied.
#include "pagoda/mm/fault/fault.h"

namespace pagoda::mm::fault {

bool take_back(Context& c) {
  Core& core = c.core;
  core.pfns.lock.assert_held();
  const Pfn frame = core.codec.frame(c.raw);
  if (!core.pfns.contains(frame)) return false;
  const PhysicalAddress entry = core.pfns.entry(frame).pte();
  if (!core.prototypes.is_clone(entry)) return false;
  // A count of one is this space's, and only a fork of it, which needs its lock, could add to that.
  const VirtualAddress prototype = core.prototypes.address_of(entry);
  if (core.prototypes.clone_references(prototype) != 1 || is_withheld(core, prototype)) return false;
  c.space.let_go_prototype(c.space.working_set().find_shared(c.page), frame);
  machine::store_entry(c.cpu.physical(), core.mode, entry, 0);
  core.pfns.move_to_table(frame, c.pte,
                          core.codec.with_protection(core.pfns.entry(frame).original_pte, unshared(c.protection)));
  core.commit.give_back(core.prototypes.drop_moved_clone(prototype));
  core.pfns.make_dirty(frame);
  return true;
}

Outcome map_taken_back(Context& c) {
  const Pfn frame = c.core.codec.frame(c.raw);
  WorkingSet& ws = c.space.working_set();
  const std::uint32_t slot = ws.find_shared(c.page);
  ws.make_private(slot);
  c.core.pfns.set_working_set_slot(frame, slot);
  // No processor may do less with it than before: nothing to shoot down.
  c.space.tables().replace(c.cpu, c.pte,
                           c.core.codec.valid(frame, unshared(c.protection), c.space.owner(), PteCodec::Dirty::kYes));
  c.space.record_write(c.page);
  c.core.note(c.cpu, EventKind::kFirstWrite, c.pte, frame, c.raw);
  return {Status::kSuccess, FaultKind::kFirstWrite};
}

}  // namespace pagoda::mm::fault
