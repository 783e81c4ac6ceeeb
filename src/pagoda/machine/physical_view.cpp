#include "pagoda/machine/physical_view.h"

#include "pagoda/base/hash.h"

namespace pagoda::machine {

std::uint64_t PhysicalView::hash(Pfn frame) const {
  const FrameView view = bytes(frame, Access::kRead);
  return hash_bytes(view.bytes());
}

}  // namespace pagoda::machine
