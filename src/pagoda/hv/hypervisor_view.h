// Guest-physical memory as the hypervisor reaches it for one virtual processor: through the nested TLB and the second
// level, unseen by shadow tables.
//
//   Gfn ── GuestTlb ── hit ─────────────────────────> bytes
//             │ miss
//          Slat walk ── entry allows it ────────────> bytes, and an entry of the nested TLB
//             │ violation
//          SecondLevel::handle_violation ── again, or ── a page of ones: nothing is behind the frame
//
// The guest's own accesses take the same way, below VirtualProcessor.
//
// Locking: as machine::Processor: it belongs to the thread that drives it.
#pragma once

#include <vector>

#include "pagoda/hv/guest_frame.h"
#include "pagoda/hv/guest_tlb.h"
#include "pagoda/hv/second_level.h"
#include "pagoda/hv/world_switch.h"
#include "pagoda/machine/physical_view.h"

namespace pagoda::hv {

class HypervisorView final : public machine::GuestFrameAccess {
 public:
  // All that is named outlives this.
  HypervisorView(SecondLevel& second_level, WorldSwitch& world, const PartitionConfig& config, PartitionCounts& counts);
  ~HypervisorView() override;
  HypervisorView(const HypervisorView&) = delete;
  HypervisorView& operator=(const HypervisorView&) = delete;

  [[nodiscard]] WorldSwitch& world() { return world_; }
  [[nodiscard]] GuestTlb& tlb() { return tlb_; }
  [[nodiscard]] machine::PhysicalView memory() { return machine::PhysicalView(*this); }

  // The bytes of a guest frame that may be used so, until the next call. Where nothing is behind the frame: a page of
  // ones, of which nothing is kept.
  std::byte* reach(Gfn frame, machine::Access use) {
    if (std::byte* const bytes = tlb_.find(frame, use); bytes != nullptr) [[likely]]
      return bytes;
    return reach_slowly(frame, use);
  }
  // The same, and they stay where they are until `unpin`.
  std::byte* pin(Gfn frame, machine::Access use) {
    std::byte* const bytes = reach(frame, use);
    tlb_.pin(frame, bytes);
    return bytes;
  }
  void unpin(Gfn frame, machine::Access use) { tlb_.unpin(frame, use); }
  // The same for an entry of the guest's TLB.
  machine::TlbBytes reach_for_tlb(Gfn frame, machine::Access use, VirtualAddress va, machine::Asid asid);

  // --- machine::GuestFrameAccess: by the guest's numbers ---
  std::byte* pin(Pfn frame, machine::Access use, machine::FrameExtent /*part*/) override {
    return pin(to_gfn(frame), use);
  }
  void unpin(Pfn frame, machine::Access use, machine::FrameExtent /*part*/) override { unpin(to_gfn(frame), use); }
  const std::byte* reach_for_load(Pfn frame, machine::FrameExtent /*part*/) override {
    return reach(to_gfn(frame), machine::Access::kRead);
  }
  machine::TlbBytes reach_for_tlb(Pfn frame, machine::Access use, VirtualAddress va, machine::Asid asid) override {
    return reach_for_tlb(to_gfn(frame), use, va, asid);
  }

 private:
  std::byte* reach_slowly(Gfn frame, machine::Access use);
  std::byte* nothing();
  // Whether nothing is behind a frame whose bytes these are.
  [[nodiscard]] bool is_nothing(const std::byte* bytes) const { return bytes == nothing_page_; }
  [[nodiscard]] machine::FrameOrder order_around(Gfn frame) const;

  SecondLevel& second_level_;
  WorldSwitch& world_;
  PartitionCounts& counts_;
  const machine::PhysicalView host_memory_;
  const bool hardware_walks_;  // The Slat: nested paging.
  const bool may_be_large_;    // Entries of the Slat that the hardware walks.
  GuestTlb tlb_;
  std::vector<std::byte> nothing_;  // What is read where nothing is: a page, aligned inside.
  std::byte* const nothing_page_;
};

}  // namespace pagoda::hv
