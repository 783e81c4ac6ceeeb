#include "pagoda/mm/pfn/freed_frames.h"

#include <algorithm>

#include "pagoda/machine/paging_mode.h"

namespace pagoda::mm {

namespace {

using machine::kPagesPerLargePage;

// A large page is split when no more of it than this is in use. Choice: with a page table in each, and some neighbours,
// what a guest discards goes back nevertheless.
constexpr PageCount kMostInUse = kPagesPerLargePage / 8;

bool is_unused(const PfnDatabase& pfns, Pfn frame) {
  const PageState state = pfns.entry(frame).state;  // Frames that were never used are zeroed.
  return state == PageState::kFree || state == PageState::kZeroed;
}

}  // namespace

void FreedFrames::add(Pfn frame) {
  if (!pfns_.contains(frame)) return;  // A device's.
  const Pfn first = frame - PageCount(frame.value() % kPagesPerLargePage.value());
  if (large_pages_.empty() || large_pages_.back() != first) large_pages_.push_back(first);
}

void FreedFrames::give_back() {
  std::ranges::sort(large_pages_);
  large_pages_.erase(std::ranges::unique(large_pages_).begin(), large_pages_.end());
  // The lock is held throughout: no frame is taken between the look at it and its way back.
  const LockGuard guard(pfns_.lock);
  for (const Pfn first : large_pages_) {
    const PfnRange all = PfnRange{first, kPagesPerLargePage}.intersection({Pfn(0), pfns_.frames()});
    PageCount in_use;
    for (Pfn frame = all.first; frame < all.end(); ++frame) in_use += PageCount(is_unused(pfns_, frame) ? 0 : 1);
    if (in_use > kMostInUse) continue;
    PfnRange run{all.first, PageCount()};
    for (Pfn frame = all.first; frame < all.end(); ++frame) {
      if (is_unused(pfns_, frame)) {
        ++run.count;
        continue;
      }
      machine_.give_back(run);
      run = {frame + PageCount(1), PageCount()};
    }
    machine_.give_back(run);
  }
}

}  // namespace pagoda::mm
