#include "pagoda/mm/backing/driver_frames.h"

#include <algorithm>

#include "pagoda/base/try_reserve.h"
#include "pagoda/mm/backing/nonpageable.h"

namespace pagoda::mm {

Result<std::vector<Pfn>> DriverFrames::allocate(machine::Processor& cpu, PageCount most) {
  std::vector<Pfn> frames;
  const LockGuard guard(pfns_.lock);
  const PageCount room = pfns_.available() > left_ ? pfns_.available() - left_ : 0_pages;
  most = std::min(most, room);
  if (!try_reserve(frames, most.value())) return fail(Status::kInsufficientResources);
  const PageCount charged = charge_nonpageable(resident_, commit_, most);
  if (charged.is_zero()) return fail(Status::kInsufficientResources);
  if (held_.size() == 0) held_.resize(pfns_.frames().value());
  while (PageCount(frames.size()) < charged) {
    const auto taken = pfns_.take(cpu, Contents::kAny);
    if (!taken) break;  // What is left is kept for who makes more available.
    pfns_.make_nonpaged(taken->frame);
    held_.set(taken->frame.value());
    frames.push_back(taken->frame);
  }
  give_back_nonpageable(resident_, commit_, charged - PageCount(frames.size()));
  if (frames.empty()) return fail(Status::kInsufficientResources);
  return frames;
}

void DriverFrames::free(std::span<const Pfn> frames) {
  const LockGuard guard(pfns_.lock);
  for (const Pfn frame : frames) {
    PAGODA_CHECK(holds(frame));
    held_.clear(frame.value());
    pfns_.free_nonpaged(frame);
  }
  give_back_nonpageable(resident_, commit_, PageCount(frames.size()));
}

}  // namespace pagoda::mm
