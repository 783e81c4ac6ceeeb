#include "pagoda/sim/guest_memory.h"

namespace pagoda::sim {

GuestMemory guest_memory(hv::Partition& partition) {
  mm::ProcessSpace& vmmem = partition.vmmem();
  const mm::Core& core = partition.host().core();
  const machine::SimProcessor& cpu = partition.processor(0).host();
  const bool pinned = partition.config().backing == hv::Backing::kPinned;  // In large pages, all of it.
  GuestMemory memory;
  PageCount all;
  const LockGuard guard(vmmem.lock);
  const LockGuard pfn_guard(core.pfns.lock);
  for (const hv::GpaRange& range : partition.map().ranges()) {
    if (range.kind != hv::GpaKind::kMemory) continue;
    all += range.frames.count;
    if (pinned) {
      memory.active += range.frames.count;
      continue;
    }
    vmmem.tables().for_each(cpu, range.pages(), [&](Vpn, PhysicalAddress, mm::RawPte raw) {
      core.pfns.lock.assert_held();
      switch (core.codec.kind(raw)) {
        case mm::PteKind::kValid:
          ++memory.active;
          break;
        case mm::PteKind::kTransition:
          ++(core.pfns.entry(core.codec.frame(raw)).state == mm::PageState::kStandby ? memory.standby
                                                                                     : memory.modified);
          break;
        case mm::PteKind::kPageFile:
          ++(core.is_compressed(raw) ? memory.compressed : memory.page_file);
          break;
        default:
          break;
      }
    });
  }
  memory.nothing = all - memory.active - memory.modified - memory.standby - memory.page_file - memory.compressed;
  return memory;
}

}  // namespace pagoda::sim
