// Frames that were just freed because their contents are worth nothing, on their way back to the machine's own host.
//
// Its memory may lie on large pages there, which giving back a part would split for little: so frames go back when most
// of the large page around them is free or zeroed. (All of it is rare: page tables lie among the pages that they map.)
// Frames stay on their lists; those on the free list happen to be zero afterwards. What is simulated does not change.
#pragma once

#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/machine/machine.h"
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

class FreedFrames {
 public:
  FreedFrames(machine::Machine& machine, PfnDatabase& pfns) : machine_(machine), pfns_(pfns) {}

  // Whether the machine takes frames one by one.
  [[nodiscard]] bool wanted() const { return machine_.give_back_granule() == PageCount(1); }
  // Requires: wanted(). The frame is about to be freed.
  void add(Pfn frame);
  // They are free now. Takes the PFN lock.
  void give_back();

 private:
  machine::Machine& machine_;
  PfnDatabase& pfns_;
  std::vector<Pfn> large_pages_;  // Around the frames, as they come: the first frame of each.
};

}  // namespace pagoda::mm
