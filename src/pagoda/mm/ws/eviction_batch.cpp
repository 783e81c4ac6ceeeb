#include "pagoda/mm/ws/eviction_batch.h"

#include "pagoda/mm/backing/zero_pages.h"

namespace pagoda::mm {

namespace {

// Page tables of a very large view are not charged. They are freed with their last mapped page, as long as the VAD
// knows all that their entries would say; elsewhere the pointer stays, as in NT.
bool needs_no_entry(AddressSpace& space, Vpn page, RawPte raw, Protection protection) PAGODA_REQUIRES(space.lock) {
  if (!PteCodec::is_shared(raw)) return false;
  const Vad* const vad = space.regions().region_at(page);
  return vad != nullptr && vad->tables_on_demand && protection == vad->protection && !space.is_clone(raw);
}

}  // namespace

void EvictionBatch::add(std::uint32_t slot) {
  AddressSpace& space = batch_.space();
  Processor& cpu = batch_.cpu();
  space.lock.assert_held();
  if (candidates_.room() == 0) flush();
  if (PageSharer* const sharer = space.sharer()) sharer->offer(cpu, slot);
  Core& core = space.core();
  const Wsle entry = space.working_set()[slot];
  const RawPte raw = core.load(cpu, entry.pte());
  PAGODA_DCHECK(PteCodec::is_valid(raw));
  const Pfn frame = core.codec.frame(raw);
  const bool leaves_nothing = needs_no_entry(space, entry.page(), raw, entry.protection());
  space.tables().store(cpu, entry.pte(), leaves_nothing ? 0 : space.unmapped_form(frame, raw, entry));
  if (PteCodec::is_dirty(raw)) space.record_write(entry.page());
  space.working_set().erase(slot);
  core.note(cpu, EventKind::kEvicted, entry.pte(), frame, raw);
  batch_.add({.page = entry.page(), .pte = entry.pte(), .was = raw}, release_unmapped);
  if (zeros_ == Zeros::kFind) candidates_.push_back(frame);
  if (!leaves_nothing) return;
  // A fault that makes room for its page has counted it in its table already, which stays.
  const Pfn table = entry.pte().pfn();
  const PfnEntry& counts = core.pfns.entry(table);
  if (counts.used_entries == 0 && counts.share_count == 1 + batch_.entries_in(table))
    batch_.unlink_tables(entry.page());
}

void EvictionBatch::flush() {
  batch_.flush();
  if (candidates_.empty()) return;
  Core& core = batch_.space().core();
  const LockGuard guard(core.pfns.lock);
  // A frame that others have got meanwhile is as good: whoever's a modified page of zeros is, it may go.
  for (const Pfn frame : candidates_.all()) {
    const PfnEntry& entry = core.pfns.entry(frame);
    if (entry.state == PageState::kModified && !entry.maps_file())
      forget_if_zero(core, batch_.cpu(), frame, ZeroFinder::kTrim);
  }
  candidates_.clear();
}

}  // namespace pagoda::mm
