// Host frames for the hypervisor's own tables (second level, shadow). They are AWE frames of vmmem that no window maps:
// nonpageable, charged to the virtual machine that they serve, and freed with its host process. Hyper-V: memory that
// the root partition deposits.
//
// Locking: vmmem's lock, except for `reserve` and `give_spare_back`, which take it.
#pragma once

#include <vector>

#include "pagoda/machine/physical_view.h"
#include "pagoda/mm/process/process_space.h"

namespace pagoda::hv {

class TableFrames {
 public:
  explicit TableFrames(mm::ProcessSpace& vmmem) : vmmem_(vmmem) {}

  // Owns frames until `wanted` are spare. A host that is short of them just now makes some available first.
  // Requires: the caller holds no lock.
  // Fails with: kInsufficientResources (the host may not promise that so many stay in memory), kNoMemory (it has none left
  // and can make none available), kPending (it waits for a disk; the processor is blocked until then).
  Result<> reserve(mm::Processor& cpu, PageCount wanted);
  // A zeroed frame.
  // Requires: a spare one.
  Pfn take(const machine::PhysicalView& memory) PAGODA_REQUIRES(vmmem_.lock);
  void give_back(Pfn frame) PAGODA_REQUIRES(vmmem_.lock);
  // Returns those that are not in use to the host.
  void give_spare_back(mm::Processor& cpu);

  // For the analysis: the lock of vmmem is held.
  void assert_held() const PAGODA_ASSERT_CAPABILITY(vmmem_.lock) { vmmem_.lock.assert_held(); }

  [[nodiscard]] PageCount owned() const { return owned_; }
  [[nodiscard]] PageCount spare() const { return PageCount(spare_.size()); }  // Reserved, and not in use.
  [[nodiscard]] PageCount in_use() const { return owned_ - PageCount(spare_.size()); }

 private:
  struct Spare {
    Pfn frame;
    enum class Contents : std::uint8_t { kZeros, kOld } contents = Contents::kZeros;
  };

  // Whether the host may still promise so many.
  [[nodiscard]] bool may_get(PageCount frames) const;

  mm::ProcessSpace& vmmem_;
  std::vector<Spare> spare_;
  PageCount owned_;
};

}  // namespace pagoda::hv
