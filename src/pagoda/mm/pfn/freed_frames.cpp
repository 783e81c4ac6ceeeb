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
  const Pfn first(frame.value() - static_cast<std::uint32_t>(frame.value() % granule_.value()));
  // Not a device's, nor a granule that belongs to a device, or to nothing, in part.
  if (!PfnRange{Pfn(0), pfns_.frames()}.contains(PfnRange{first, granule_})) return;
  if (granules_.empty() || granules_.back() != first) granules_.push_back(first);
}

void FreedFrames::give_back() {
  if (granules_.empty()) return;
  std::ranges::sort(granules_);
  granules_.erase(std::ranges::unique(granules_).begin(), granules_.end());
  // The lock is held throughout: no frame is taken between the look at it and its way back.
  const LockGuard guard(pfns_.lock);
  PfnRange run{};
  for (const Pfn first : granules_) {
    if (!is_unused(pfns_, {first, granule_})) continue;
    if (run.end() != first) {
      machine_.give_back(run);
      run = {first, PageCount()};
    }
    run.count += granule_;
  }
  machine_.give_back(run);
}

}  // namespace pagoda::mm
