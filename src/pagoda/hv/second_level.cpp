#include "pagoda/hv/second_level.h"

#include <algorithm>

namespace pagoda::hv {

using machine::Access;
using machine::HeatHint;
using machine::kPagesPerLargePage;

SecondLevel::SecondLevel(GuestMemory& memory, TableFrames& frames, machine::PhysicalView host_memory,
                         PartitionCounts& counts)
    : memory_(memory), vmmem_(memory.vmmem()), frames_(frames), counts_(counts), slat_([&] {
        const LockGuard guard(vmmem_.lock);
        return Slat(host_memory, frames);
      }()) {
  memory_.attach(*this);
}

SecondLevel::~SecondLevel() { memory_.detach(*this); }

// --- What the host takes back ---

void SecondLevel::forget(Gfn frame) {
  for (GuestTlb* const tlb : tlbs_) tlb->keep_pinned(frame);
  counts_.invalidations += clear(frame).value();
}

PageCount SecondLevel::clear(Gfn frame) {
  // A large entry is cleared as a whole.
  const GfnRange cleared = slat_.clear(frame);
  for (Gfn each = cleared.first; each < cleared.end(); ++each) {
    if (shadow_ != nullptr) shadow_->forget(each);
    forget_in_tlbs(each);
  }
  return cleared.count;
}

bool SecondLevel::forget_cached(Gfn frame) {
  bool accessed = slat_.test_and_clear_accessed(frame);
  if (shadow_ != nullptr) accessed |= shadow_->test_and_clear_accessed(frame);
  clear(frame);
  return accessed;
}

void SecondLevel::forget_in_tlbs(Gfn frame) {
  for (GuestTlb* const tlb : tlbs_) tlb->forget(frame);
}

void SecondLevel::forget_all() {
  if (shadow_ != nullptr) shadow_->forget_all();
  slat_.reset();
  for (GuestTlb* const tlb : tlbs_) tlb->forget_all();
}

void SecondLevel::contents_lost(GfnRange frames) {
  if (shadow_ != nullptr) shadow_->contents_lost(frames);
}

bool SecondLevel::test_and_clear_accessed(Gfn frame) {
  bool accessed = slat_.test_and_clear_accessed(frame);
  if (shadow_ != nullptr) accessed |= shadow_->test_and_clear_accessed(frame);
  if (watched_ != nullptr) accessed |= watched_->take_accessed(frame);
  // Its next use has to walk, or it would not set the bit again.
  if (accessed) forget_in_tlbs(frame);
  return accessed;
}

// --- Filling ---

bool SecondLevel::handle_violation(WorldSwitch& world, Gfn frame, Access use) {
  const GpaRange* const range = memory_.admit(frame, use);
  if (range == nullptr) return false;
  ++counts_.violations;
  if (slat_.entry(frame) != 0) ++counts_.write_violations;
  if (is_watched(frame)) watched_->note_use(frame);
  world.exit_to_host([&](mm::Processor& host) {
    memory_.handle_violation(host, *range, frame, use,
                             [&](GfnRange cluster) { return fill(host, *range, cluster, frame, use); });
  });
  return true;
}

void SecondLevel::heat_hint(mm::Processor& host, HeatHint hint, GfnRange frames) {
  while (!frames.empty()) {
    const GpaRange& range = *memory_.map().find(frames.first);
    // What lies in one range, and in one table of the second level.
    const PageCount in_table = kPagesPerLargePage - PageCount(frames.first.value() % kPagesPerLargePage.value());
    const GfnRange piece{frames.first,
                         std::min({frames.count, in_table, range.frames.count - (frames.first - range.frames.first)})};
    memory_.hint(host, hint, range, piece);
    if (hint == HeatHint::kHot) fill(host, range, piece, kNoGfn, Access::kRead);
    frames = {piece.end(), frames.count - piece.count};
  }
}

bool SecondLevel::fill(mm::Processor& host, const GpaRange& range, GfnRange cluster, Gfn wanted, Access use) {
  if (!frames_.reserve(host, slat_.missing_tables(cluster.first))) {
    // Shadow tables took what was reserved: all tables are for others from now on. They are caches.
    const LockGuard guard(vmmem_.lock);
    forget_all();
  }
  const LockGuard guard(vmmem_.lock);
  memory_.assert_held();
  bool allowed = false;
  memory_.for_each_resident(host, range, cluster, [&](Gfn frame, const mm::ResidentPage& page) {
    if (is_watched(frame)) return;
    if (frame == wanted) allowed = page.is_large || use != Access::kWrite || page.writable;
    const Slat::FillResult filled =
        page.is_large ? fill_large(range, frame, page) : slat_.fill(frame, 1, page.frame, {.write = page.writable});
    if (filled == Slat::FillResult::kNew) ++counts_.entries_filled;
  });
  return allowed;
}

// A large page of the host's becomes one entry where it lies right.
Slat::FillResult SecondLevel::fill_large(const GpaRange& range, Gfn frame, const mm::ResidentPage& page) {
  const PageCount in_piece(frame.value() % kPagesPerLargePage.value());
  const bool fits = in_piece <= frame - range.frames.first &&
                    kPagesPerLargePage - in_piece <= range.frames.count - (frame - range.frames.first) &&
                    (range.page_of(frame).value() - in_piece.value()) % kPagesPerLargePage.value() == 0;
  if (!fits) return slat_.fill(frame, 1, page.frame, {.write = page.writable});
  return slat_.fill(frame - in_piece, Slat::kLargeLevel, page.frame - in_piece, {.write = page.writable});
}

}  // namespace pagoda::hv
