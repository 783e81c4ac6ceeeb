// What a guest's hints make its host do. Source: reference/virtualization.md section 5, "Host reaction".
#include <algorithm>

#include "pagoda/hv/partition.h"

namespace pagoda::hv {

using machine::FrameRange;
using machine::HeatHint;

void Partition::heat_hint(mm::Processor& host, HeatHint hint, FrameRange frames) {
  while (!frames.count.is_zero()) {
    const GpaRange& range = *map_.find(frames.first);
    // What lies in one range, and in one table of the second level.
    const PageCount in_table(Slat::kEntriesPerTable.value() - frames.first.value() % Slat::kEntriesPerTable.value());
    const PageCount here = std::min({frames.count, in_table, range.frames.count - (frames.first - range.frames.first)});
    hint_in_range(host, hint, range, {frames.first, here});
    frames = {frames.first + here, frames.count - here};
  }
}

void Partition::hint_in_range(mm::Processor& host, HeatHint hint, const GpaRange& range, FrameRange frames) {
  const VpnRange pages{range.page_of(frames.first), frames.count};
  switch (hint) {
    case HeatHint::kCold:
      counts_.cold_pages += frames.count.value();
      vmmem_.trim_range(host, pages);
      break;
    case HeatHint::kHot: {
      counts_.hot_pages += frames.count.value();
      [[maybe_unused]] const auto resident = vmmem_.make_resident(host, pages);  // As far as memory allows.
      fill_cluster(host, range, frames, frames.first, machine::Access::kRead);
      break;
    }
    case HeatHint::kColdDiscard:
      counts_.discarded_pages += frames.count.value();
      if (config_.backing == Backing::kPinned) break;
      PAGODA_CHECK(vmmem_.discard(host, pages).has_value());
      break;
  }
}

}  // namespace pagoda::hv
