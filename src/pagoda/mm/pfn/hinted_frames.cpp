#include "pagoda/mm/pfn/hinted_frames.h"

#include <algorithm>

namespace pagoda::mm {

namespace {

bool joins(const std::vector<PfnRange>& ranges, Pfn first) { return !ranges.empty() && ranges.back().end() == first; }

// Frames in ascending order become as few ranges as they can.
void append(std::vector<PfnRange>& ranges, PfnRange range) {
  if (joins(ranges, range.first)) {
    ranges.back().count += range.count;
  } else {
    ranges.push_back(range);
  }
}

}  // namespace

HintedFrames::HintedFrames(PfnDatabase& pfns, const Counters& counters, PageCount granule)
    : pfns_(pfns),
      counters_(counters),
      granule_(granule),
      hinted_(pfns.frames().value()),
      granules_(pfns.frames().value() / granule.value()) {
  const LockGuard guard(pfns_.lock);
  pfns_.set_watch(this);
}

HintedFrames::~HintedFrames() {
  const LockGuard guard(pfns_.lock);
  pfns_.set_watch(nullptr);
}

void HintedFrames::used(Pfn frame) {
  pfns_.lock.assert_held();
  if (hinted_.test(frame.value())) hinted_.clear(frame.value());
}

PageCount HintedFrames::count() const {
  const LockGuard guard(pfns_.lock);
  return PageCount(hinted_.count());
}

bool HintedFrames::contains(Pfn frame) const {
  const LockGuard guard(pfns_.lock);
  return hinted_.test(frame.value());
}

bool HintedFrames::is_next() const {
  const LockGuard guard(pfns_.lock);
  const PageLists& lists = pfns_.lists();
  return is_hinted(lists.head(PageState::kZeroed).flink) || is_hinted(lists.head(PageState::kFree).flink) ||
         is_hinted(lists.oldest_standby().value());
}

std::uint64_t HintedFrames::ever_zeroed() const {
  const LockGuard guard(pfns_.lock);
  return counters_.pages_zeroed_by_thread;
}

void HintedFrames::add_next(std::vector<Pfn>& frames, const PageLists::Head& list, PageCount window) const {
  Pfn frame(list.flink);
  for (PageCount looked; frame != kNoPfn && looked < window; ++looked) {
    if (hinted_.test(frame.value())) frames.push_back(frame);
    frame = Pfn(pfns_.entry(frame).flink);
  }
}

std::vector<PfnRange> HintedFrames::unmark_next(PageCount window, std::size_t most) {
  std::vector<Pfn> frames;
  std::vector<PfnRange> ranges;
  const LockGuard guard(pfns_.lock);
  const PageLists& lists = pfns_.lists();
  add_next(frames, lists.head(PageState::kZeroed), window);
  add_next(frames, lists.head(PageState::kFree), window);
  for (PagePriority priority = 0; priority < kPagePriorities; ++priority) {
    if (lists.standby_count(priority).is_zero()) continue;
    add_next(frames, lists.head(PageState::kStandby, priority), window);
    break;  // The others are not next.
  }
  std::ranges::sort(frames);
  for (const Pfn frame : frames) {
    if (ranges.size() == most) break;
    append(ranges, {frame, 1_pages});
    hinted_.clear(frame.value());
  }
  return ranges;
}

void HintedFrames::count_back(PageCount reserve) {
  std::ranges::fill(granules_, Granule{});
  const PageLists::Head& zeroed = pfns_.lists().head(PageState::kZeroed);
  Pfn frame(zeroed.blink);
  for (PageCount left(zeroed.count); left > reserve; --left) {
    // The machine's last granule may be a part of one.
    const std::size_t number = frame.value() / granule_.value();
    if (number < granules_.size()) {
      Granule& granule = granules_[number];
      ++granule.in_back;
      if (!hinted_.test(frame.value())) ++granule.not_hinted;
    }
    frame = Pfn(pfns_.entry(frame).blink);
  }
}

std::vector<PfnRange> HintedFrames::set_aside(PageCount reserve, std::size_t most) {
  std::vector<PfnRange> ranges;
  const LockGuard guard(pfns_.lock);
  count_back(reserve);
  for (std::size_t number = 0; number < granules_.size(); ++number) {
    if (granules_[number].in_back != granule_.value() || granules_[number].not_hinted == 0) continue;
    const PfnRange range{Pfn(static_cast<std::uint32_t>(number * granule_.value())), granule_};
    if (!joins(ranges, range.first) && ranges.size() == most) break;
    append(ranges, range);
    for (Pfn frame = range.first; frame < range.end(); ++frame) pfns_.set_aside(frame);
  }
  return ranges;
}

void HintedFrames::put_back(std::span<const PfnRange> ranges, Hinted hinted) {
  const LockGuard guard(pfns_.lock);
  for (const PfnRange& range : ranges) {
    for (Pfn frame = range.first; frame < range.end(); ++frame) {
      pfns_.put_back(frame);
      if (hinted == Hinted::kYes && !hinted_.test(frame.value())) hinted_.set(frame.value());
    }
  }
}

}  // namespace pagoda::mm
