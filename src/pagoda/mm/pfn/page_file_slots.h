// What the PFN database tells the backings about the slots that PTEs and original PTEs name. BackingSet
// (backing/backing_set.h) is the only kind.
#pragma once

#include "pagoda/base/units.h"

namespace pagoda::mm {

// A slot, and the number of the backing that has it.
struct SlotName {
  unsigned file = 0;
  PageFileSlot slot;  // 0: no slot.

  [[nodiscard]] bool is_none() const { return slot.value() == 0; }
  // The slot so many behind it.
  [[nodiscard]] SlotName next(PageCount distance) const {
    return is_none() ? SlotName{} : SlotName{file, slot + distance};
  }
};

class PageFileSlots {
 public:
  virtual ~PageFileSlots() = default;
  // No PTE, no frame and no transfer uses the slot any more. Called under the PFN lock.
  virtual void free(unsigned file, PageFileSlot slot) = 0;
  // The page of the slot has another PTE from now on. Called under the PFN lock.
  virtual void moved(unsigned file, PageFileSlot slot, PhysicalAddress pte) = 0;
};

}  // namespace pagoda::mm
