#include "pagoda/hv/hot_io_pages.h"

namespace pagoda::hv {

HotIoPages::HotIoPages(SecondLevel& second_level, PartitionCounts& counts, Pfn end)
    : second_level_(second_level), counts_(counts), end_(end), copies_(second_level.memory().map().end().value()) {}

void HotIoPages::note_transfer(WorldSwitch& world, std::span<const Pfn> frames) {
  std::vector<Gfn> hot;
  for (const Pfn of_guest : frames) {
    const Gfn frame = to_gfn(of_guest);
    // Nothing is behind it, or the host has taken it already, which it does not do for a DMA's sake.
    const Pfn host = frame.value() < copies_.size() ? second_level_.slat().frame_of(frame) : kNoPfn;
    if (host == kNoPfn || host < end_) continue;
    ++counts_.bounced_pages;
    world.guest().charge(world.guest().machine().costs().copy_page);
    if (++copies_[frame.value()] >= kHotCopies) hot.push_back(frame);
  }
  if (hot.empty()) return;
  world.exit_to_host([&](mm::Processor& host) {
    for (const Gfn frame : hot) move_below(host, frame);
  });
}

void HotIoPages::move_below(mm::Processor& host, Gfn frame) {
  copies_[frame.value()] = 0;
  GuestMemory& memory = second_level_.memory();
  const GpaRange& range = *memory.map().find(frame);
  if (range.kind != GpaKind::kMemory) return;  // A file's page, which others may have mapped too.
  mm::ProcessSpace& vmmem = memory.vmmem();
  mm::PageMover mover(memory.host().core());
  const LockGuard guard(vmmem.lock);
  auto outcome = mover.move_below(vmmem, host, range.page_of(frame), end_);
  if (outcome == mm::PageMover::Outcome::kNoFrame &&
      mover.make_room_below(vmmem, host, end_) == mm::PageMover::Outcome::kDone) {
    ++counts_.raised_pages;
    outcome = mover.move_below(vmmem, host, range.page_of(frame), end_);
  }
  if (outcome == mm::PageMover::Outcome::kDone) ++counts_.lowered_pages;
}

}  // namespace pagoda::hv
