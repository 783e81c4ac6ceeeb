// Frames that a driver has for its own: nonpageable, in no space, charged. A balloon's driver holds them so that nobody
// else uses them. NT: MmAllocatePagesForMdlEx, with MM_DONT_ZERO_ALLOCATION, and MmFreePagesFromMdl.
//
//   available --allocate-> nonpaged, the driver's --free-> free
//
// Invariants (mm::check):
//   [DR1] A nonpaged frame is the compression store's or a driver's, and not both; drivers have no others.
// What they are charged is part of [CM1] and [RA1].
// Locking: allocate, free and count take the PFN lock; what says so is called with it held.
#pragma once

#include <span>
#include <vector>

#include "pagoda/base/bitmap.h"
#include "pagoda/mm/backing/commit.h"
#include "pagoda/mm/backing/resident.h"
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

class DriverFrames {
 public:
  // `left`: available frames that no driver takes, so that the faults that make more available find theirs.
  DriverFrames(PfnDatabase& pfns, CommitLedger& commit, ResidentLedger& resident, PageCount left)
      : pfns_(pfns), commit_(commit), resident_(resident), left_(left) {}

  // Frames with any contents, as many as asked for, or fewer if fewer can be had at once: nothing is trimmed for them.
  // Fails with: kInsufficientResources (none).
  Result<std::vector<Pfn>> allocate(machine::Processor& cpu, PageCount most);
  // Requires: a driver's frames.
  void free(std::span<const Pfn> frames);

  [[nodiscard]] PageCount count() const {
    const LockGuard guard(pfns_.lock);
    return count_locked();
  }
  // Requires: the PFN lock, by whatever name the caller knows it.
  [[nodiscard]] PageCount count_locked() const PAGODA_NO_THREAD_SAFETY { return PageCount(held_.count()); }
  [[nodiscard]] bool holds(Pfn frame) const PAGODA_NO_THREAD_SAFETY {
    return frame.value() < held_.size() && held_.test(frame.value());
  }

 private:
  friend struct Corruptor;

  PfnDatabase& pfns_;
  CommitLedger& commit_ PAGODA_GUARDED_BY(pfns_.lock);
  ResidentLedger& resident_;
  const PageCount left_;
  Bitmap held_ PAGODA_GUARDED_BY(pfns_.lock);  // By frame; empty until the first is taken.
};

}  // namespace pagoda::mm
