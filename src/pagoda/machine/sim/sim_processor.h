// The simulated processor: a TLB of ours, which may be stale, before a walk of page tables.
//
// What a program does (`load`, `store`, `fetch`) translates through the TLB, walks on a miss, sets accessed and dirty
// as the hardware does, raises page faults to the FaultHandler and repeats the access. A hit in the large geometry is a
// few inlined instructions.
//
// Where threads drive the processors (Driving::kThreads), another one's shoot-down may come at any time. Then no access takes the
// inlined way, and from the look at the TLB to the last byte moved each holds the processor's lock, which an invalidation takes too:
// what an access read in the tables before a shoot-down is forgotten by it, and what it reads afterwards are the new entries; once
// `Machine::shoot_down` has returned nobody is still moving bytes to or from the old frame. Faults are resolved without the lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <span>
#include <type_traits>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/machine/guest_mmu.h"
#include "pagoda/machine/processor.h"
#include "pagoda/machine/tlb.h"

namespace pagoda::machine {

// What moves in one load or store. Not a span, which means the bytes that it points to.
template <class T>
concept Word = std::is_arithmetic_v<T>;

enum class Driving : std::uint8_t {
  kOneThread,  // One for all processors; or one for each, as long as no shoot-down crosses between them.
  kThreads,    // One for each processor.
};

class SimProcessor final : public Processor {
 public:
  struct Counts {
    std::uint64_t tlb_misses = 0;  // No entry, or one without the right: a first write to a clean page counts.
    std::uint64_t walk_loads = 0;
    std::uint64_t faults = 0;   // Raised to the handler.
    std::uint64_t refills = 0;  // Refill exceptions.
    std::uint64_t invalidations = 0;
    std::uint64_t shootdowns_received = 0;
  };

  SimProcessor(Machine& machine, unsigned number, PhysicalView physical, TlbGeometry geometry,
               Driving driving = Driving::kOneThread)
      : Processor(machine, number, physical),
        driving_(driving),
        refill_(machine.refill()),
        paging_(machine.paging()),
        costs_(machine.costs()),
        tlb_(geometry, driving == Driving::kThreads ? ShortestWay::kNever : ShortestWay::kHits) {}

  // Counts and TLB are the driving thread's to read, or anybody's while all threads rest.
  [[nodiscard]] const Counts& counts() const { return counts_; }
  [[nodiscard]] const Tlb& tlb() const { return tlb_; }

  // --- Page tables and TLB ---
  using Processor::attach;
  // The guest's MMU walks in place of the hardware; null: the hardware does.
  void attach(GuestMmu* mmu) { guest_mmu_ = mmu; }
  void set_walk_rules(const WalkRules& rules);  // CR0.WP and EFER.NXE; flushes the TLB.
  void invalidate_page(VirtualAddress va, Asid asid) override;
  void invalidate_asid(Asid asid) override;
  void invalidate_all() override;
  void invalidate_range(VpnRange pages, Asid asid) override;
  void fill_tlb(VirtualAddress va, const Translation& translation) override;
  [[nodiscard]] std::vector<CachedTranslation> cached() const override { return tlb_.held(); }
  // What a hypervisor makes the processor forget, because of what the host did: the guest neither sees nor pays it.
  // Requires: Driving::kOneThread.
  void forget_page(VirtualAddress va, Asid asid) { tlb_.invalidate_page(va, asid); }
  void forget_all() { tlb_.invalidate_all(); }
  // Another processor's shoot-down interrupted this one.
  void take_shootdown();

  // --- What a program does ---
  // One aligned or unaligned word. (What a user may touch the kernel may touch too, there being no SMAP: a hit does not
  // ask for the privilege.)
  // Fails with: what the handler raised; kPending under an event loop: repeat it then.
  template <Word T>
  Result<T> load(VirtualAddress va, Privilege privilege = Privilege::kUser) {
    const Tlb::Hit& hit = tlb_.user_read(va);
    T value;
    if (hit.covers<sizeof(T)>(va, tlb_.loaded_tag())) [[likely]] {
      std::memcpy(&value, hit.host(va), sizeof(T));
      return value;
    }
    T slow;  // Another variable: the address of `value` never escapes.
    if (const Status status = load_slowly(va, std::as_writable_bytes(std::span(&slow, 1)), privilege);
        status != Status::kSuccess)
      return fail(status);
    return slow;
  }
  template <Word T>
  Result<> store(VirtualAddress va, T value, Privilege privilege = Privilege::kUser) {
    const Tlb::Hit& hit = tlb_.user_write(va);
    if (hit.covers<sizeof(T)>(va, tlb_.loaded_tag())) [[likely]] {
      std::memcpy(hit.host(va), &value, sizeof(T));
      return {};
    }
    const T slow = value;
    if (const Status status = store_slowly(va, std::as_bytes(std::span(&slow, 1)), privilege);
        status != Status::kSuccess)
      return fail(status);
    return {};
  }
  // Any run of bytes. A failure part of the way leaves the pages before it done; repeating the whole is right.
  Result<> load(VirtualAddress va, std::span<std::byte> into, Privilege privilege = Privilege::kUser);
  Result<> store(VirtualAddress va, std::span<const std::byte> from, Privilege privilege = Privilege::kUser);
  // Executes at `va`: the right to, and the walk.
  Result<> fetch(VirtualAddress va, Privilege privilege = Privilege::kUser);

 private:
  void do_load_root(Pfn root, Asid asid, OldEntries old) override;
  Result<> touch_page(VirtualAddress va, Access access, Privilege privilege) override;
  Status load_slowly(VirtualAddress va, std::span<std::byte> into, Privilege privilege);
  Status store_slowly(VirtualAddress va, std::span<const std::byte> from, Privilege privilege);
  Result<std::byte*> translate(VirtualAddress va, Access access, Privilege privilege);
  Result<std::byte*> translate_slowly(VirtualAddress va, Access access, Privilege privilege);
  [[nodiscard]] bool can_translate(VirtualAddress va) const;
  // Where the TLB says that the bytes are; null: nowhere, or without the right.
  std::byte* find_entry(VirtualAddress va, Access access, Privilege privilege);
  // The same where software fills the TLB, after it did.
  std::byte* find_refilled(VirtualAddress va, Access access, Privilege privilege);
  // As the hardware, or the guest's MMU, does.
  std::expected<Translation, PageFault> walk_tables(VirtualAddress va, Access access, Privilege privilege);
  Result<> raise(const PageFault& fault);
  // Calls `use(where the bytes are)`.
  template <class Use>
  Result<> with_bytes(VirtualAddress va, Access access, Privilege privilege, Use&& use);
  template <class Use>
  Result<> with_bytes_locked(VirtualAddress va, Access access, Privilege privilege, Use&& use);
  // Does something with the TLB and what it costs, under the lock where there are threads.
  template <class Body>
  void with_tlb(Body&& body);
  // Work of this processor that others may order. Requires: inside `with_tlb`.
  void charge_interrupt(Cycles work);
  // Returns where the bytes of the address are.
  std::byte* remember(VirtualAddress va, const Translation& translation, Access use);
  void count_invalidation();
  template <class Move>
  Result<> for_each_page(VirtualAddress va, std::size_t bytes, Access access, Privilege privilege, Move&& move);

  const Driving driving_;
  // The machine's.
  const TlbRefill refill_;
  const PagingMode& paging_;
  const CostModel& costs_;
  // With threads it guards the TLB, the counts and what is owed. A leaf: nothing else is taken under it.
  Lock lock_{LockRank(LockClass::kLeaf, 0)};
  Tlb tlb_;
  Cycles owed_;  // With threads: charged by others, and not yet part of this processor's clock.
  GuestMmu* guest_mmu_ = nullptr;
  std::byte* once_ = nullptr;  // What `fill_tlb` found for an access that gets no entry.
  Counts counts_;
};

}  // namespace pagoda::machine
