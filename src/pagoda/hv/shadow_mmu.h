// Shadow page tables: from guest virtual addresses straight to host frames, kept by the hypervisor where the hardware
// has one level of translation only.
#pragma once

#include <cstdint>

#include "pagoda/machine/guest_mmu.h"
#include "pagoda/machine/physical_view.h"

namespace pagoda::hv {

class Partition;
class VirtualProcessor;

class ShadowMmu final : public machine::GuestMmu {
 public:
  explicit ShadowMmu(Partition& partition) : partition_(partition) {}

  // --- machine::GuestMmu ---
  std::expected<machine::Translation, machine::PageFault> walk(machine::Processor& cpu, VirtualAddress va,
                                                               machine::Access access, machine::Privilege privilege,
                                                               std::uint64_t& loads) override;
  void root_loaded(machine::Processor& cpu) override;
  void rules_changed(machine::Processor& cpu) override;
  void page_invalidated(machine::Processor& cpu, VirtualAddress va, machine::Asid asid) override;
  void space_invalidated(machine::Processor& cpu, machine::Asid asid) override;
  void all_invalidated(machine::Processor& cpu) override;

  // --- The guest's kernel writes a frame of its own, which may be a page table ---
  void before_write(VirtualProcessor& vcpu, Pfn frame, machine::FrameExtent part);
  void after_write(VirtualProcessor& vcpu, Pfn frame, machine::FrameExtent part);

  // --- With vmmem's lock held ---
  // The host takes the guest frame's page away: no entry may lead there any more.
  void forget_frame(Pfn frame);
  bool test_and_clear_accessed(Pfn frame);

 private:
  Partition& partition_;
};

}  // namespace pagoda::hv
