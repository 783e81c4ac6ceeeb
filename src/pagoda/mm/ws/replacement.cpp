#include "pagoda/mm/ws/replacement.h"

#include <algorithm>

namespace pagoda::mm {

namespace {

// Page tables of a very large view are charged to nobody. They go with their last mapped page, as long as the VAD knows
// all that their entries would say; elsewhere the pointer stays, as in NT.
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

void make_room(AddressSpace& space, Processor& cpu) {
  WorkingSet& ws = space.working_set();
  if (ws.size() < ws.limits().maximum && !ws.is_full()) return;
  Core& core = space.core();
  if (!ws.is_full() && ws.limits().kind == WorkingSet::Limits::Maximum::kSoft) {
    const LockGuard guard(core.pfns.lock);
    if (core.pfns.available() >= core.tunables.plenty_free) return;
  }
  const auto evict = [&](std::uint32_t slot) {
    EvictionBatch batch(space);
    batch.add(cpu, slot);
    batch.flush(cpu);
    const LockGuard guard(core.pfns.lock);
    ++core.counters.pages_replaced;
  };
  if (core.tunables.victim == Tunables::Victim::kRandom) {
    if (const std::uint32_t slot = ws.random_victim(); slot != WorkingSet::kNoSlot) evict(slot);
    return;
  }
  // The clock: once round clears every accessed bit, so a second round always finds somebody who is not locked.
  for (std::uint64_t steps = 2 * std::uint64_t{ws.end_slot()} + 1; steps > 0; --steps) {
    const std::uint32_t slot = ws.advance_hand();
    if (slot == WorkingSet::kNoSlot) return;
    Wsle& entry = ws[slot];
    if (!entry.is_valid() || entry.is_locked()) continue;
    if (space.test_and_clear_accessed(cpu, entry)) {
      entry.set_age(0);
      // The TLB must forget the page, or its next use would not set the bit again.
      space.invalidate_tlbs(cpu, {entry.page(), 1_pages});
      continue;
    }
    evict(slot);
    return;
  }
}

void age_working_set(AddressSpace& space, Processor& cpu) {
  WorkingSet& ws = space.working_set();
  bool any_accessed = false;
  for (std::uint32_t slot = 0; slot < ws.end_slot(); ++slot) {
    Wsle& entry = ws[slot];
    if (!entry.is_valid()) continue;
    if (space.test_and_clear_accessed(cpu, entry)) {
      entry.set_age(0);
      any_accessed = true;
    } else {
      entry.set_age(std::min(entry.age() + 1, Wsle::kOldest));
    }
  }
  if (any_accessed) space.invalidate_tlbs(cpu, space.range());
}

PageCount trim_working_set(AddressSpace& space, Processor& cpu, PageCount wanted, PageCount floor, unsigned age) {
  WorkingSet& ws = space.working_set();
  PageCount trimmed;
  EvictionBatch batch(space);
  const bool random = space.core().tunables.victim == Tunables::Victim::kRandom;
  while (random && trimmed < wanted && ws.size() > floor) {
    const std::uint32_t slot = ws.random_victim();
    if (slot == WorkingSet::kNoSlot) break;
    batch.add(cpu, slot);
    ++trimmed;
  }
  for (std::uint32_t steps = random ? 0 : ws.end_slot(); steps > 0 && trimmed < wanted && ws.size() > floor; --steps) {
    const std::uint32_t slot = ws.advance_hand();
    Wsle& entry = ws[slot];
    if (!entry.is_valid() || entry.is_locked() || entry.age() < age) continue;
    // Used since the last aging pass: not as old as it looks. At age 0 there is no more mercy.
    if (age > 0 && space.is_accessed(cpu, entry)) continue;
    batch.add(cpu, slot);
    ++trimmed;
  }
  batch.flush(cpu);
  const LockGuard guard(space.core().pfns.lock);
  space.core().counters.pages_trimmed += trimmed.value();
  return trimmed;
}

}  // namespace pagoda::mm
