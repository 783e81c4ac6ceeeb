// A virtual processor: the guest's processor, and the edge where what it and its kernel do to the machine's frames
// becomes what hv does to guest frames.
//
//   guest Processor ── own TLB (guest virtual -> bytes) ── walk ── PhysicalView ── VirtualProcessor  Pfn -> Gfn
//                                                                                        │
//                    ShadowMmu or ParavirtualMmu, if there is one: is a table written? ──┤
//                                                                                 HypervisorView
//
// This is the one place where the guest's frame numbers become Gfns on the way of an access (guest_frame.h).
//
// Locking: as machine::Processor: it belongs to the thread that drives it, which is another one from time to time
// (world_switch.h).
#pragma once

#include "pagoda/hv/hypervisor_view.h"
#include "pagoda/hv/paravirtual_mmu.h"
#include "pagoda/hv/shadow_mmu.h"
#include "pagoda/machine/sim/sim_processor.h"

namespace pagoda::hv {

// What knows the guest's page tables: one of them, or none under nested paging.
struct GuestTables {
  ShadowMmu* shadow = nullptr;
  ParavirtualMmu* paravirtual = nullptr;
};

class VirtualProcessor final : public machine::GuestFrameAccess {
 public:
  // All that is named outlives this.
  VirtualProcessor(machine::Machine& machine, unsigned number, SecondLevel& second_level, const GuestTables& tables,
                   const PartitionConfig& config, PartitionCounts& counts);
  ~VirtualProcessor() override;
  VirtualProcessor(const VirtualProcessor&) = delete;
  VirtualProcessor& operator=(const VirtualProcessor&) = delete;

  [[nodiscard]] machine::SimProcessor& guest() { return guest_; }
  // The way to the host's processors: it is dispatched there.
  [[nodiscard]] WorldSwitch& world() { return world_; }
  [[nodiscard]] GuestTlb& tlb() { return view_.tlb(); }
  // Guest-physical memory as the hypervisor reads and writes it, by the guest's numbers.
  [[nodiscard]] machine::PhysicalView hypervisor_view() { return view_.memory(); }

  // Called before every access of the guest's kernel to a frame, as a host's interrupt may come between any two
  // instructions: what the host does meanwhile. Null: nothing.
  class Interruption {
   public:
    virtual ~Interruption() = default;
    virtual void before_access() = 0;
  };
  void set_interruption(Interruption* interruption) { interruption_ = interruption; }

  // --- machine::GuestFrameAccess: what the guest's processor and kernel do ---
  std::byte* pin(Pfn frame, machine::Access use, machine::FrameExtent part) override;
  void unpin(Pfn frame, machine::Access use, machine::FrameExtent part) override;
  const std::byte* reach_for_load(Pfn frame, machine::FrameExtent part) override;
  machine::TlbBytes reach_for_tlb(Pfn frame, machine::Access use, VirtualAddress va, machine::Asid asid) override;

 private:
  friend struct Corruptor;

  const GuestTables tables_;
  Interruption* interruption_ = nullptr;
  machine::SimProcessor guest_;
  WorldSwitch world_;
  HypervisorView view_;
};

}  // namespace pagoda::hv
