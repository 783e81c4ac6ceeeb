#include "pagoda/mm/ws/eviction_batch.h"

#include <span>

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

void EvictionBatch::add(Processor& cpu, std::uint32_t slot) {
  space_.lock.assert_held();
  if (count_ == kMost) flush(cpu);
  Core& core = space_.core();
  const Wsle entry = space_.working_set()[slot];
  const RawPte raw = core.load(cpu, entry.pte());
  PAGODA_DCHECK(PteCodec::is_valid(raw));
  const Pfn frame = core.codec.frame(raw);
  const RawPte left =
      needs_no_entry(space_, entry.page(), raw, entry.protection()) ? 0 : space_.unmapped_form(frame, raw, entry);
  space_.tables().store(cpu, entry.pte(), left);
  if (PteCodec::is_dirty(raw)) space_.record_write(entry.page());
  space_.working_set().erase(slot);
  core.note(cpu, EventKind::kEvicted, entry.pte(), frame, raw);
  pages_[count_] = entry.page();
  frames_[count_++] = {frame, entry.pte(), raw};
}

void EvictionBatch::flush(Processor& cpu) {
  space_.lock.assert_held();
  if (count_ == 0) return;
  space_.invalidate(cpu, std::span(pages_).first(count_));
  Core& core = space_.core();
  {
    const LockGuard guard(core.pfns.lock);
    for (const Page& page : std::span(frames_).first(count_)) {
      const auto dirty = PteCodec::dirty_of(page.raw);
      if (PteCodec::is_shared(page.raw)) {
        core.pfns.unshare(cpu, page.frame, page.pte.pfn(), dirty);
      } else {
        core.pfns.unmap(page.frame, dirty);
      }
      const PfnEntry& entry = core.pfns.entry(page.frame);
      if (zeros_ == Zeros::kFind && entry.state == PageState::kModified && !entry.maps_file())
        forget_if_zero(core, cpu, page.frame, ZeroFinder::kTrim);
    }
  }
  for (std::size_t i = 0; i < count_; ++i) {
    // A fault that makes room for its page has counted it in its table already, which stays.
    const PfnEntry& table = core.pfns.entry(frames_[i].pte.pfn());
    if (table.page_table && table.used_entries == 0 && table.share_count == 1)
      space_.tables().free_if_empty(cpu, pages_[i]);
  }
  count_ = 0;
}

}  // namespace pagoda::mm
