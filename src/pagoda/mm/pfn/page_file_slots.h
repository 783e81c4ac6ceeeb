// What the PFN database tells the backings about the slots that PTEs and original PTEs name. BackingSet
// (backing/backing_set.h) is the only kind.
#pragma once

#include "pagoda/base/units.h"

namespace pagoda::mm {

class PageFileSlots {
 public:
  virtual ~PageFileSlots() = default;
  // No PTE and no frame names the slot any more. Called under the PFN lock.
  virtual void free(unsigned file, PageFileSlot slot) = 0;
  // The page of the slot has another PTE from now on. Called under the PFN lock.
  virtual void moved(unsigned file, PageFileSlot slot, PhysicalAddress pte) = 0;
};

}  // namespace pagoda::mm
