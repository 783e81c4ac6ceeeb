// A virtual processor: the guest's processor, and the way by which it reaches guest frames.
//
//   guest Processor ── own TLB (guest virtual -> bytes) ── walk ── FrameReach: this ── nested TLB (guest frame ->
//   bytes)
//                                                                     │ miss
//                                                              Slat walk ── violation ── host Processor: a host fault
//
// Every entry of both TLBs is under the rule that a TLB is a TLB: the partition has the processor forget a guest frame
// before the host gives the frame behind it to somebody else. Each virtual processor has TLBs of its own, which is what
// tags of virtual machines in a shared one come to: a world switch flushes nothing.
//
// The host processor does the host's work for this virtual processor and nothing else, and is attached to vmmem for
// good. Its clock follows the guest's at every exit, and the guest's follows it back: a guest pays for what the host
// does for it, waits for the host's disk included.
//
// Held frames: bytes that `hold` returned stay where they are until `let_go`, although the host may take the page away
// meanwhile (a second `hold` can make it short of memory). A frame that is held while that happens gets a reference in
// the host's PFN database, which keeps it.
//
// Invariants (hv::check):
//   [VP1] Every entry of the nested TLB leads to the bytes that the Slat leads to, and allows nothing that it forbids.
//   [VP2] Every entry of the guest's TLB leads to bytes that the nested way to its guest frame leads to.
//   [VP3] Nothing is held between two instructions.
// Locking: as machine::Processor: it belongs to the thread that drives it.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "pagoda/base/sparse_array.h"
#include "pagoda/machine/sim/sim_processor.h"
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::hv {

class Partition;
class ShadowMmu;

class VirtualProcessor final : public machine::FrameReach {
 public:
  VirtualProcessor(Partition& partition, machine::Machine& machine, unsigned number, machine::Processor& host,
                   machine::TlbGeometry geometry);
  ~VirtualProcessor() override;

  [[nodiscard]] machine::SimProcessor& guest() { return guest_; }
  [[nodiscard]] machine::Processor& host() { return host_; }
  [[nodiscard]] const machine::Tlb& nested_tlb() const { return nested_; }
  [[nodiscard]] bool holds_any() const { return held_count_ > 0; }

  std::byte* hold(Pfn frame, machine::Access use, machine::FrameExtent part) override;
  void let_go(Pfn frame, machine::Access use, machine::FrameExtent part) override;
  const std::byte* reach_for_load(Pfn frame, machine::FrameExtent part) override;
  machine::TlbBytes reach_for_tlb(Pfn frame, machine::Access use, VirtualAddress va, machine::Asid asid) override;

  // The bytes of a guest frame that may be used so, now; the hypervisor's own way, which no shadow table watches. Where
  // nothing is behind the frame: a page of ones, of which nothing is kept.
  std::byte* reach(Pfn frame, machine::Access use) {
    const VirtualAddress address(PhysicalAddress(frame).value());
    const machine::Tlb::Entry* const entry = nested_.find(address, machine::kUntagged);
    const machine::Access data = use == machine::Access::kWrite ? use : machine::Access::kRead;
    if (entry != nullptr && entry->allows(machine::access_right(data, machine::Privilege::kUser))) [[likely]]
      return entry->host(address);
    return reach_slowly(frame, use);
  }
  // Guest-physical memory as the hypervisor reads and writes it.
  [[nodiscard]] machine::PhysicalView unwatched() { return machine::PhysicalView(unwatched_); }

  // Called before every access of the guest's kernel to a frame, as a host's interrupt may come between any two
  // instructions: what the host does meanwhile. Null: nothing.
  class Interruption {
   public:
    virtual ~Interruption() = default;
    virtual void before_access() = 0;
  };
  void set_interruption(Interruption* interruption) { interruption_ = interruption; }

  // Runs `work(host processor)` in the host, at the guest's time and cost. Inside of such work: no switch of its own.
  template <class Work>
  decltype(auto) exit_to_host(Work&& work) {
    struct Return {
      VirtualProcessor& vcpu;
      const bool was_in_host;
      ~Return() {
        vcpu.guest_.catch_up_with(vcpu.host_);
        vcpu.in_host_ = was_in_host;
      }
    };
    host_.catch_up_with(guest_);
    if (!in_host_) host_.charge(host_.machine().costs().world_switch);
    const Return back{*this, std::exchange(in_host_, true)};
    return work(host_);
  }

  [[nodiscard]] bool in_host() const { return in_host_; }

  // --- What the partition calls, with vmmem's lock held ---
  // The host takes the page behind the frame away: if it is held it gets a reference.
  void keep_held(Pfn frame);
  // No TLB may lead to the frame any more.
  void forget(Pfn frame);
  void forget_all();

 private:
  friend struct Corruptor;

  // The same memory without shadow tables looking.
  class Unwatched final : public machine::FrameReach {
   public:
    explicit Unwatched(VirtualProcessor& vcpu) : vcpu_(vcpu) {}
    std::byte* hold(Pfn frame, machine::Access use, machine::FrameExtent part) override;
    void let_go(Pfn frame, machine::Access use, machine::FrameExtent part) override;
    const std::byte* reach_for_load(Pfn frame, machine::FrameExtent part) override;
    machine::TlbBytes reach_for_tlb(Pfn frame, machine::Access use, VirtualAddress va, machine::Asid asid) override;

   private:
    VirtualProcessor& vcpu_;
  };
  struct Held {
    Pfn frame = kNoPfn;
    const std::byte* bytes = nullptr;
    Pfn pinned = kNoPfn;  // The host's frame, if it has a reference of ours.
  };
  static constexpr std::size_t kMostHeld = 128;  // A disk transfer holds one at a time; a choice with room to spare.
  static constexpr std::uint64_t kManyAddresses = ~std::uint64_t{0};

  std::byte* reach_slowly(Pfn frame, machine::Access use);
  std::byte* nothing();
  void push_held(Pfn frame, const std::byte* bytes) {
    PAGODA_CHECK_LT(held_count_, kMostHeld);
    held_[held_count_++] = {.frame = frame, .bytes = bytes};
  }
  void pop_held(Pfn frame, machine::Access use) {
    // Nearly always the last, and nobody took it away.
    if (held_count_ > 0 && held_[held_count_ - 1].frame == frame && held_[held_count_ - 1].pinned == kNoPfn)
        [[likely]] {
      --held_count_;
    } else {
      pop_held_slowly(frame, use);
    }
  }
  void pop_held_slowly(Pfn frame, machine::Access use);
  // Whether there is nothing behind a frame whose bytes these are.
  [[nodiscard]] bool is_nothing(const std::byte* bytes) const { return bytes == nothing_page_; }
  [[nodiscard]] machine::FrameOrder order_around(Pfn frame) const;
  void forget_translations(Pfn frame);
  [[nodiscard]] bool guest_tlb_has(std::uint64_t tag) const;

  Partition& partition_;
  machine::Processor& host_;
  Interruption* interruption_ = nullptr;
  Unwatched unwatched_;
  machine::SimProcessor guest_;
  machine::Tlb nested_;
  std::array<Held, kMostHeld> held_;
  std::size_t held_count_ = 0;
  bool in_host_ = false;
  // By guest frame: the page and space under which the guest's TLB may have it; 0 nowhere, kManyAddresses at several.
  SparseArray<std::uint64_t> translated_at_;
  std::vector<std::byte> nothing_;  // What is read where nothing is: a page, aligned inside.
  std::byte* const nothing_page_;
};

}  // namespace pagoda::hv
