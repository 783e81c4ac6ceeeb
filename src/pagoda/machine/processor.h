// A processor: the clock that work is charged to, the TLB that may be stale, and the view of physical memory that work
// goes through.
//
// Code of mm takes `Processor& cpu`; there is no hidden current one. What a program does (`load`, `store`, `fetch`)
// translates through the TLB, walks on a miss, sets accessed and dirty as the hardware does, raises page faults to the
// FaultHandler and retries.
//
// Synchronous code, asynchronous time. Work that must wait calls `wait_until`. By itself that moves the clock. Under an
// event loop
// (`set_waiting(Waiting::kYields)`) it records when the waiter can go on: the access then returns Status::kPending with
// nothing done, and the loop runs somebody else until `blocked_until()`.
//
// Locking: a Processor belongs to the thread that drives it; only shoot-downs reach in from outside, through Machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/access.h"
#include "pagoda/machine/guest_mmu.h"
#include "pagoda/machine/machine.h"
#include "pagoda/machine/page_walker.h"
#include "pagoda/machine/physical_view.h"
#include "pagoda/machine/tlb.h"

namespace pagoda::machine {

// What the fault handler decided: repeat the access (kSuccess), or raise this status to the program.
using FaultOutcome = Status;

// Who serves faults: a memory manager.
class FaultHandler {
 public:
  virtual ~FaultHandler() = default;
  virtual FaultOutcome resolve(Processor& cpu, const PageFault& fault) = 0;
  // Only where software fills the TLB: inserts a translation for the access with `Processor::fill_tlb`, or says what to
  // raise.
  virtual FaultOutcome refill(Processor& cpu, VirtualAddress va, Access access, Privilege privilege) = 0;
};

// What moves in one load or store. Not a span, which means the bytes that it points to.
template <class T>
concept Word = std::is_arithmetic_v<T>;

class Processor {
 public:
  struct Counts {
    std::uint64_t tlb_misses = 0;  // No entry, or one without the right: a first write to a clean page counts.
    std::uint64_t walk_loads = 0;
    std::uint64_t faults = 0;   // Raised to the handler.
    std::uint64_t refills = 0;  // Refill exceptions.
    std::uint64_t invalidations = 0;
    std::uint64_t shootdowns_received = 0;
  };
  enum class Waiting : std::uint8_t { kAdvancesClock, kYields };

  Processor(Machine& machine, unsigned number, PhysicalView physical, TlbGeometry geometry);
  Processor(const Processor&) = delete;
  Processor& operator=(const Processor&) = delete;

  [[nodiscard]] Machine& machine() const { return machine_; }
  [[nodiscard]] unsigned number() const { return number_; }
  [[nodiscard]] const PhysicalView& physical() const { return physical_; }
  [[nodiscard]] const Counts& counts() const { return counts_; }

  // --- Time ---
  [[nodiscard]] Time now() const {
    // In two parts: cycles times 1000 overflow after 71 days at 3 GHz.
    return Time(cycles_ / cycles_per_us_ * 1000 + cycles_ % cycles_per_us_ * 1000 / cycles_per_us_);
  }
  void charge(Cycles work) { cycles_ += work.value(); }
  void wait_until(Time time);
  void advance_to(Time time);  // Idle until then; never backwards.
  // Idle until the other processor's time, to the cycle; both clocks have one rate.
  void catch_up_with(const Processor& other);
  // How long `wait_until` has moved the clock.
  [[nodiscard]] Duration waited() const { return waited_; }
  void set_waiting(Waiting waiting) { waiting_ = waiting; }
  [[nodiscard]] bool is_blocked() const { return blocked_until_ != Time{}; }
  // When the access that returned kPending can go on; reading it forgets it.
  [[nodiscard]] Time take_blocked_until();

  // --- Address space and TLB ---
  void attach(FaultHandler& handler) { handler_ = &handler; }
  // Who walks in place of the hardware; null: the hardware does.
  void attach(GuestMmu* mmu) { guest_mmu_ = mmu; }
  void load_root(Pfn root, Asid asid);  // x86: MOV CR3. Tag 0 is flushed, others keep their entries.
  [[nodiscard]] Pfn root() const { return root_; }
  [[nodiscard]] Asid asid() const { return asid_; }
  void set_walk_rules(const WalkRules& rules);  // CR0.WP and EFER.NXE; flushes the TLB.
  void invalidate_page(VirtualAddress va, Asid asid);
  void invalidate_asid(Asid asid);
  void invalidate_all();
  // What a shoot-down of many pages does in place of invalidating each: the whole space, and global entries of these
  // pages.
  void invalidate_range(VpnRange pages, Asid asid);
  // Software refill: what the handler found.
  void fill_tlb(VirtualAddress va, const Translation& translation);
  [[nodiscard]] const WalkRules& walk_rules() const { return rules_; }
  [[nodiscard]] const Tlb& tlb() const { return tlb_; }
  // What a hypervisor makes the processor forget, because of what the host did: the guest neither sees nor pays it.
  void forget_page(VirtualAddress va, Asid asid) { tlb_.invalidate_page(va, asid); }
  void forget_all() { tlb_.invalidate_all(); }
  // Another processor's shoot-down interrupted this one.
  void take_shootdown();

  // --- What a program does ---
  // One aligned or unaligned word. (What a user may touch the kernel may touch too, there being no SMAP: a hit does not
  // ask for the privilege.) Fails with what the handler raised, or kPending under an event loop: repeat it then.
  template <Word T>
  Result<T> load(VirtualAddress va, Privilege privilege = Privilege::kUser) {
    const Tlb::Hit& hit = tlb_.user_read(va);
    T value;
    if (hit.covers<sizeof(T)>(va, asid_)) [[likely]] {
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
    if (hit.covers<sizeof(T)>(va, asid_)) [[likely]] {
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
  // Brings the page in for the access without moving bytes.
  Result<> touch(VirtualAddress va, Access access, Privilege privilege = Privilege::kUser);

 private:
  Status load_slowly(VirtualAddress va, std::span<std::byte> into, Privilege privilege);
  Status store_slowly(VirtualAddress va, std::span<const std::byte> from, Privilege privilege);
  Result<std::byte*> translate(VirtualAddress va, Access access, Privilege privilege);
  Result<std::byte*> translate_slowly(VirtualAddress va, Access access, Privilege privilege);
  // Returns where the bytes of the address are.
  std::byte* remember(VirtualAddress va, const Translation& translation, Access use);
  template <class Move>
  Result<> for_each_page(VirtualAddress va, std::size_t bytes, Access access, Privilege privilege, Move&& move);

  Machine& machine_;
  const unsigned number_;
  const PhysicalView physical_;
  const std::uint64_t cycles_per_us_;
  Tlb tlb_;
  Asid asid_ = kUntagged;
  Pfn root_ = kNoPfn;
  FaultHandler* handler_ = nullptr;
  GuestMmu* guest_mmu_ = nullptr;
  WalkRules rules_;
  std::uint64_t cycles_ = 0;
  Waiting waiting_ = Waiting::kAdvancesClock;
  Time blocked_until_;  // Zero: not blocked.
  Duration waited_;
  std::byte* once_ = nullptr;  // What `fill_tlb` found for an access that gets no entry.
  Counts counts_;
};

}  // namespace pagoda::machine
