#include "pagoda/machine/physical_view.h"

#include "pagoda/base/hash.h"
#include "pagoda/base/zero_fill.h"
#include "pagoda/base/zero_scan.h"

namespace pagoda::machine {

void PhysicalView::zero_in_background(Pfn frame) const {
  // A guest that looked first would make its host bring the frame in twice, for reading and for writing.
  if (!is_contiguous()) return zero(frame);
  const FrameView view = bytes(frame, Access::kWrite);
  if (!is_zero(view.bytes())) zero_past_caches(view.bytes());
}

std::uint64_t PhysicalView::hash(Pfn frame) const {
  const FrameView view = bytes(frame, Access::kRead);
  return hash_bytes(view.bytes());
}

}  // namespace pagoda::machine
