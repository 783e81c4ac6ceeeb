// Host frames for the hypervisor's own tables (second level, shadow). They are AWE frames of the virtual machine's host
// process that no window maps: nonpageable, charged to whom they serve, and given back with it. Hyper-V: memory that
// the root partition deposits.
//
// Locking: the lock of the host process, except for `reserve` and `give_all_back`, which take it.
#pragma once

#include <vector>

#include "pagoda/machine/physical_view.h"
#include "pagoda/mm/process/process_space.h"

namespace pagoda::hv {

class TableFrames {
 public:
  explicit TableFrames(mm::ProcessSpace& vmmem) : vmmem_(vmmem) {}

  // Sees to it that so many can be taken. Fails with kInsufficientResources.
  Result<> reserve(mm::Processor& cpu, PageCount wanted);
  // A zeroed frame, of those reserved.
  Pfn take(const machine::PhysicalView& memory) PAGODA_REQUIRES(vmmem_.lock);
  void give_back(Pfn frame) PAGODA_REQUIRES(vmmem_.lock);
  // Those that are not in use go back to the host.
  void give_spare_back(mm::Processor& cpu);

  // For the analysis: the lock of the host process is held.
  void assert_held() const PAGODA_ASSERT_CAPABILITY(vmmem_.lock) { vmmem_.lock.assert_held(); }

  [[nodiscard]] PageCount owned() const { return owned_; }
  [[nodiscard]] PageCount spare() const { return PageCount(spare_.size()); }  // Reserved, and not in use.
  [[nodiscard]] PageCount in_use() const { return owned_ - PageCount(spare_.size()); }

 private:
  struct Spare {
    Pfn frame;
    enum class Contents : std::uint8_t { kZeros, kOld } contents = Contents::kZeros;
  };

  mm::ProcessSpace& vmmem_;
  std::vector<Spare> spare_;
  PageCount owned_;
};

}  // namespace pagoda::hv
