// Where one virtual processor has guest frames: its nested TLB, the entries of the guest's own TLB, and the frames that
// it has pinned.
//
//   Gfn ── nested TLB ──────────────────> bytes of the host frame
//   Gfn ── where the guest's TLB has it ─> entry of the guest's TLB ─> the same bytes
//   Gfn ── pinned ──────────────────────> the same bytes, until unpinned
//
// "A TLB is a TLB": the second level makes the processor forget a guest frame before the host reuses the frame behind
// it. Each virtual processor has TLBs of its own, which is what tags of virtual machines in a shared one come to: a
// world switch flushes nothing.
//
// Pinned frames: their bytes stay where they are although the host may take the page away meanwhile (a second pin can
// make it short of memory). A frame that is pinned while that happens gets a reference in the host's PFN database,
// which keeps it.
//
// Invariants (hv::check):
//   [VP1] Every entry of the nested TLB leads to the bytes that the Slat leads to, and allows nothing that it forbids.
//   [VP2] Every entry of the guest's TLB leads to bytes that the nested way to its guest frame leads to.
//   [VP3] Nothing is pinned between two instructions.
// Locking: as machine::Processor: it belongs to the thread that drives it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "pagoda/base/check.h"
#include "pagoda/base/sparse_array.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/sim/sim_processor.h"
#include "pagoda/machine/tlb.h"
#include "pagoda/mm/memory_manager.h"

namespace pagoda::hv {

class GuestTlb {
 public:
  // `end`: one past the highest guest frame with something behind it. All that is named outlives this.
  GuestTlb(machine::SimProcessor& guest, machine::PhysicalView host_memory, mm::MemoryManager& host_manager, Gfn end,
           machine::TlbGeometry geometry)
      : guest_(guest),
        host_memory_(host_memory),
        host_manager_(host_manager),
        nested_(geometry),
        translated_at_(end.value()) {}

  [[nodiscard]] const machine::Tlb& nested() const { return nested_; }
  // Whether something can be behind the frame.
  [[nodiscard]] bool names(Gfn frame) const { return frame.value() < translated_at_.size(); }

  // The bytes of the frame; null: the nested TLB has no entry that allows the use.
  std::byte* find(Gfn frame, machine::Access use) {
    const VirtualAddress address = address_of(frame);
    const machine::Tlb::Entry* const entry = nested_.find(address);
    const machine::Access data = use == machine::Access::kWrite ? use : machine::Access::kRead;
    if (entry != nullptr && entry->allows(machine::access_right(data, machine::Privilege::kUser))) [[likely]]
      return entry->host(address);
    return nullptr;
  }
  // Makes the entry of the nested TLB for what the Slat says; returns the bytes.
  std::byte* insert(Gfn frame, const machine::Translation& walked, std::byte* bytes) {
    const VirtualAddress address = address_of(frame);
    return nested_.insert(address, machine::kUntagged, walked, bytes, true).host(address);
  }
  // The guest's own TLB gets an entry that leads to the frame.
  // Requires: names(frame).
  void note_translation(Gfn frame, VirtualAddress va, machine::Asid asid);

  void pin(Gfn frame, const std::byte* bytes) {
    PAGODA_CHECK_LT(pin_count_, kMostPins);
    pins_[pin_count_++] = {.frame = frame, .bytes = bytes};
  }
  // Requires: the frame is pinned. Ends the youngest of its pins.
  void unpin(Gfn frame, machine::Access use) {
    // Nearly always the last, and the host did not take it away.
    if (pin_count_ > 0 && pins_[pin_count_ - 1].frame == frame && pins_[pin_count_ - 1].kept == kNoPfn) [[likely]] {
      --pin_count_;
    } else {
      unpin_slowly(frame, use);
    }
  }
  [[nodiscard]] bool pins_any() const { return pin_count_ > 0; }

  // --- With vmmem's lock held ---
  // The host takes the page behind the frame away: if the frame is pinned, the host's frame gets a reference.
  void keep_pinned(Gfn frame);
  // Neither TLB leads to the frame any more.
  void forget(Gfn frame);
  void forget_all();

 private:
  friend struct Corruptor;

  struct Pin {
    Gfn frame = kNoGfn;
    const std::byte* bytes = nullptr;
    Pfn kept = kNoPfn;  // The host's frame, if it has a reference of ours.
  };
  static constexpr std::size_t kMostPins = 128;  // A disk transfer pins one at a time; a choice with room to spare.
  static constexpr std::uint64_t kManyAddresses = ~std::uint64_t{0};

  static VirtualAddress address_of(Gfn frame) { return VirtualAddress(GuestPhysicalAddress(frame).value()); }
  void unpin_slowly(Gfn frame, machine::Access use);
  void forget_translations(Gfn frame);
  [[nodiscard]] bool guest_tlb_has(std::uint64_t tag) const;

  machine::SimProcessor& guest_;
  const machine::PhysicalView host_memory_;
  mm::MemoryManager& host_manager_;
  machine::Tlb nested_;
  std::array<Pin, kMostPins> pins_;
  std::size_t pin_count_ = 0;
  // By guest frame: the page and space under which the guest's TLB may have it; 0 nowhere, kManyAddresses at several.
  SparseArray<std::uint64_t> translated_at_;
};

}  // namespace pagoda::hv
