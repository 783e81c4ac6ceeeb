// Frames that were just freed because their contents are worth nothing, on their way back to the machine's own host.
//
// A machine takes whole granules (2 MB where its memory lies on huge pages), so a granule goes back when the last of its
// frames has become free or zeroed. Frames stay on their lists; those on the free list happen to be zero afterwards.
// What is simulated does not change by it.
#pragma once

#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/machine/machine.h"
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

class FreedFrames {
 public:
  FreedFrames(machine::Machine& machine, PfnDatabase& pfns)
      : machine_(machine), pfns_(pfns), granule_(machine.give_back_granule()) {}

  // Whether the machine takes anything at all.
  [[nodiscard]] bool wanted() const { return !granule_.is_zero(); }
  // Requires: wanted(). The frame is about to be freed.
  void add(Pfn frame);
  // They are free now. Takes the PFN lock.
  void give_back();

 private:
  machine::Machine& machine_;
  PfnDatabase& pfns_;
  PageCount granule_;
  std::vector<Pfn> granules_;  // Their first frames, as they come.
};

}  // namespace pagoda::mm
