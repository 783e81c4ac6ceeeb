#include "pagoda/mm/pfn/freed_frames.h"

#include <algorithm>

namespace pagoda::mm {

namespace {

bool is_unused(const PfnDatabase& pfns, PfnRange frames) {
  for (Pfn frame = frames.first; frame < frames.end(); ++frame) {
    const PageState state = pfns.entry(frame).state;  // Frames that were never used are zeroed.
    if (state != PageState::kFree && state != PageState::kZeroed) return false;
  }
  return true;
}

}  // namespace

void FreedFrames::add(Pfn frame) {
  if (!pfns_.contains(frame)) return;  // A device's.
  const auto number = static_cast<std::uint32_t>(frame.value() / granule_.value());
  if (granules_.empty() || granules_.back() != number) granules_.push_back(number);
}

PfnRange FreedFrames::granule(std::uint32_t number) const {
  const PfnRange whole{Pfn(static_cast<std::uint32_t>(number * granule_.value())), granule_};
  return whole.intersection({Pfn(0), pfns_.frames()});
}

void FreedFrames::give_back() {
  if (granules_.empty()) return;
  std::ranges::sort(granules_);
  granules_.erase(std::ranges::unique(granules_).begin(), granules_.end());
  // The lock is held throughout: no frame is taken between the look at it and its way back.
  const LockGuard guard(pfns_.lock);
  PfnRange run{};
  for (const std::uint32_t number : granules_) {
    const PfnRange next = granule(number);
    if (!is_unused(pfns_, next)) continue;
    if (run.empty() || run.end() != next.first) {
      machine_.give_back(run);
      run = next;
    } else {
      run.count += next.count;
    }
  }
  machine_.give_back(run);
}

}  // namespace pagoda::mm
