// The spaces of a manager, which only grow and shrink under its lock. Ranks above every space's lock.
#pragma once

#include <memory>
#include <vector>

#include "pagoda/mm/process/process_space.h"
#include "pagoda/mm/ws/trim_candidates.h"

namespace pagoda::mm {

struct SpaceList {
  explicit SpaceList(unsigned depth) : lock(LockRank(LockClass::kProcessList, depth)), to_trim(depth) {}
  mutable Lock lock;
  TrimCandidates to_trim;  // Has a lock of its own.
  // In the order of their ids.
  std::vector<std::unique_ptr<ProcessSpace>> spaces PAGODA_GUARDED_BY(lock);
};

}  // namespace pagoda::mm
