// Forking: a child that shares every page of its parent until one of them writes. NT: MiCloneProcessAddressSpace. What
// happens to the entries: region/clone_entries.h.
#include "pagoda/mm/process/process_space.h"
#include "pagoda/mm/region/clone_entries.h"

namespace pagoda::mm {

Result<> ProcessSpace::clone_from(Processor& cpu, ProcessSpace& parent) {
  const ChangeGuard guard(parent);
  const NextLockGuard child_guard(lock);
  is_forked_ = true;
  parent.is_forked_ = true;
  // All its pages become shared ones.
  WorkingSet& pages = parent.working_set();
  if (!pages.has_room_for_shared((pages.size() - pages.shared()).value())) return fail(Status::kInsufficientResources);
  CloneEntries entries(core_, cpu);
  Result<> result;
  for (const Vad* vad = parent.vads().first(); vad != nullptr && result; vad = VadTree::next(vad)) {
    if (!vad->kind->is_forked(*vad)) continue;
    const auto inserted = insert_vad(vad->kind->child_of(*vad));
    result = inserted ? vad->kind->fork(*this, parent, cpu, *vad, **inserted, entries)
                      : Result<>(std::unexpected(inserted.error()));
  }
  // What both share now has lost Write in the parent.
  parent.invalidate(cpu, {parent.range(), kNoPfn});
  return result;
}

}  // namespace pagoda::mm
