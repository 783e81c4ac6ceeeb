#include "pagoda/mm/pfn/hinted_frames.h"

#include <algorithm>
#include <bitset>

namespace pagoda::mm {

namespace {

// What is looked at with the PFN lock held: granules, and frames of them beside those of the reserve. Choices: about as
// long as it takes to walk the default reserve.
constexpr std::size_t kGranulesAtOnce = 1024;
constexpr std::uint64_t kFramesAtOnce = 1024;

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
      granules_(pfns.frames().value() / granule.value()),
      hinted_(pfns.frames().value()) {
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
  constexpr std::size_t kLists = 3;
  std::vector<Pfn> frames;
  frames.reserve(kLists * std::min(window, pfns_.frames()).value());
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

std::uint64_t HintedFrames::set_some_aside(std::uint64_t first, PageCount reserve, std::size_t most,
                                           std::vector<PfnRange>& ranges) {
  const PageLists::Head& zeroed = pfns_.lists().head(PageState::kZeroed);
  if (PageCount(zeroed.count) <= reserve) return granules_;
  std::bitset<kGranulesAtOnce> reserved;  // With a frame of the reserve.
  Pfn next(zeroed.flink);
  for (PageCount passed; passed < reserve; ++passed) {
    const std::uint64_t number = next.value() / granule_.value();
    if (number >= first && number - first < kGranulesAtOnce) reserved.set(number - first);
    next = Pfn(pfns_.entry(next).flink);
  }
  const std::uint64_t end = std::min(granules_, first + kGranulesAtOnce);
  std::uint64_t number = first;
  for (std::uint64_t looked = 0; number < end && looked < kFramesAtOnce; ++number, ++looked) {
    if (reserved.test(number - first)) continue;
    const PfnRange granule{Pfn(static_cast<std::uint32_t>(number * granule_.value())), granule_};
    if (granule.end() > pfns_.never_used()) return granules_;  // They are on no list.
    bool all_hinted = true;
    Pfn frame = granule.first;
    for (; frame < granule.end() && pfns_.entry(frame).state == PageState::kZeroed; ++frame, ++looked)
      all_hinted = all_hinted && hinted_.test(frame.value());
    if (frame < granule.end() || all_hinted) continue;
    if (!joins(ranges, granule.first) && ranges.size() == most) return granules_;
    append(ranges, granule);
    for (frame = granule.first; frame < granule.end(); ++frame) pfns_.set_aside(frame);
  }
  return number;
}

std::vector<PfnRange> HintedFrames::set_aside(PageCount reserve, std::size_t most) {
  std::vector<PfnRange> ranges;
  ranges.reserve(most);
  for (std::uint64_t number = 0; number < granules_;) {
    const LockGuard guard(pfns_.lock);
    number = set_some_aside(number, reserve, most, ranges);
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
