#include "pagoda/hv/gpa_map.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace pagoda::hv {

Result<> GpaMap::add(const GpaRange& range) {
  const auto [first, count] = range.frames;
  if (count.is_zero() || count.value() > kNoGfn.value() - first.value()) return fail(Status::kInvalidParameter);
  const auto next = std::ranges::upper_bound(ranges_, first, {}, [](const GpaRange& r) { return r.frames.first; });
  if (next != ranges_.begin() && std::prev(next)->frames.contains(first)) return fail(Status::kConflictingAddresses);
  if (next != ranges_.end() && range.frames.contains(next->frames.first)) return fail(Status::kConflictingAddresses);
  ranges_.insert(next, range);
  longest_ = std::max(longest_, count);
  by_backing_.resize(ranges_.size());
  std::iota(by_backing_.begin(), by_backing_.end(), std::size_t{0});
  std::ranges::sort(by_backing_, {}, [this](std::size_t number) { return std::pair(ranges_[number].backing, number); });
  return {};
}

const GpaRange* GpaMap::find(Gfn frame) const {
  const auto next = std::ranges::upper_bound(ranges_, frame, {}, [](const GpaRange& r) { return r.frames.first; });
  if (next == ranges_.begin()) return nullptr;
  const GpaRange& range = *std::prev(next);
  return range.frames.contains(frame) ? &range : nullptr;
}

bool GpaMap::is_memory(GfnRange frames) const {
  if (frames.count.is_zero()) return false;
  while (!frames.count.is_zero()) {
    const GpaRange* const range = find(frames.first);
    if (range == nullptr || range->kind != GpaKind::kMemory) return false;
    const PageCount here = std::min(frames.count, range->frames.count - (frames.first - range->frames.first));
    frames.count -= here;
    if (frames.count.value() > 0 && here.value() > kNoGfn.value() - frames.first.value()) return false;
    frames.first += here;
  }
  return true;
}

std::size_t GpaMap::after(VpnRange pages) const {
  const auto backing = [this](std::size_t number) { return ranges_[number].backing; };
  return static_cast<std::size_t>(std::ranges::lower_bound(by_backing_, pages.end(), {}, backing) -
                                  by_backing_.begin());
}

}  // namespace pagoda::hv
