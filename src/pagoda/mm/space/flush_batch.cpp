#include "pagoda/mm/space/flush_batch.h"

#include <algorithm>

namespace pagoda::mm {

void FlushBatch::unlink_tables(Vpn page) {
  space_.lock.assert_held();
  if (tables_.room() < machine::kMaxPagingLevels) flush();
  const std::size_t before = tables_.size();
  space_.tables().unlink_if_empty(cpu_, page, tables_);
  // Any page of the space will do, to have processors forget the upper tables.
  if (tables_.size() > before && runs_.empty()) add_run({page, 1_pages}, tables_.back());
}

std::uint32_t FlushBatch::entries_in(Pfn table) const {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(changes_.all(), [&](const Entry& entry) { return entry.change.pte.pfn() == table; }));
}

void FlushBatch::flush() {
  space_.lock.assert_held();
  if (runs_.empty()) return;
  space_.invalidate_tlbs(cpu_, runs_.all());
  for (const Entry& entry : changes_.all()) space_.tell_observers({entry.change.page, entry.change.pages});
  if (releases_any_ || !tables_.empty()) {
    Core& core = space_.core();
    const LockGuard guard(core.pfns.lock);
    for (const Entry& entry : changes_.all())
      if (entry.release != nullptr) entry.release(space_, cpu_, entry.change);
    for (const Pfn table : tables_.all()) {
      core.pfns.free_page_table(table);
      ++core.counters.page_tables_freed;
    }
  }
  runs_.clear();
  changes_.clear();
  tables_.clear();
  releases_any_ = false;
}

void release_freed(AddressSpace& space, const Processor& cpu, const FlushBatch::Change& change) {
  space.lock.assert_held();
  space.free_mapped(cpu, change.pte, change.was);
}

void release_unmapped(AddressSpace& space, const Processor& cpu, const FlushBatch::Change& change) {
  PfnDatabase& pfns = space.core().pfns;
  pfns.lock.assert_held();
  const Pfn frame = space.core().codec.frame(change.was);
  const auto dirty = PteCodec::dirty_of(change.was);
  if (PteCodec::is_shared(change.was)) {
    pfns.unshare(cpu, frame, change.pte.pfn(), dirty);
  } else {
    pfns.unmap(frame, dirty);
  }
}

void release_cleaned(AddressSpace& space, const Processor& /*cpu*/, const FlushBatch::Change& change) {
  PfnDatabase& pfns = space.core().pfns;
  pfns.lock.assert_held();
  if (PteCodec::is_dirty(change.was)) pfns.make_dirty(space.core().codec.frame(change.was));
}

}  // namespace pagoda::mm
