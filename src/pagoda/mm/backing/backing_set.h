// The backings of a manager, by the numbers that PTEs carry.
#pragma once

#include <array>

#include "pagoda/base/check.h"
#include "pagoda/mm/backing/backing.h"
#include "pagoda/mm/pfn/page_file_slots.h"

namespace pagoda::mm {

class BackingSet final : public PageFileSlots {
 public:
  static constexpr unsigned kMost = 16;  // Four bits of a PTE.

  // Requires: no backing has the number.
  void add(unsigned number, Backing& backing) {
    PAGODA_CHECK(find(number) == nullptr && number < kMost);
    backings_[number] = &backing;
  }
  // Null: no backing has the number.
  [[nodiscard]] Backing* find(unsigned number) const { return number < kMost ? backings_[number] : nullptr; }
  [[nodiscard]] Backing& operator[](unsigned number) const {
    PAGODA_DCHECK(find(number) != nullptr);
    return *backings_[number];
  }

  void free(unsigned file, PageFileSlot slot) override { (*this)[file].free(slot); }
  void moved(unsigned file, PageFileSlot slot, PhysicalAddress pte) override { (*this)[file].moved(slot, pte); }

 private:
  std::array<Backing*, kMost> backings_{};
};

}  // namespace pagoda::mm
