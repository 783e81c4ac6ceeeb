// A page in a paging file: a hard fault. Neighbours whose slots follow each other come with it and go to standby.
#include <algorithm>

#include "pagoda/mm/fault/fault.h"

namespace pagoda::mm::fault {

Outcome page_file(Context& c, PhysicalAddress pte, PteHome home) {
  const LockGuard guard(c.core.pfns.lock);
  const PteCodec& codec = c.core.codec;
  // Since a prototype PTE was looked at its page of them may have left memory, or another processor may have read its
  // page.
  constexpr Outcome kAgain{Status::kSuccess, FaultKind::kSpurious, false};
  if (home == PteHome::kSegment && c.core.prototypes.find(c.prototype) != pte) return kAgain;
  const RawPte raw = c.core.load(c.cpu, pte);
  if (!codec.has_slot(raw) || c.core.is_compressed(raw)) return kAgain;
  const unsigned file = codec.file(raw);
  const std::int64_t slot = codec.slot(raw).value();
  Cluster& cluster =
      c.read.emplace(gather(c.core, c.cpu, pte, std::min<std::size_t>(c.core.tunables.read_cluster, kMaxTransferPages),
                            [&](std::int64_t distance, RawPte neighbour) {
                              return codec.has_slot(neighbour) && codec.file(neighbour) == file &&
                                     codec.slot(neighbour).value() == slot + distance;
                            }));
  cluster.home = home;
  cluster.backing = &c.core.backing_of(raw);
  cluster.slot = codec.slot(cluster.raw[0]);
  if (!begin_read(c.core, c.cpu, cluster)) {
    c.read.reset();
    return {Status::kNoMemory};
  }
  return {Status::kSuccess, FaultKind::kPageFile};
}

}  // namespace pagoda::mm::fault
