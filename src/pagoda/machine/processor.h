// A processor, as a memory manager sees it: the clock that work is charged to, the view of physical memory that work
// goes through, and the page tables whose translations it may remember.
//
// Code of mm takes `Processor& cpu`; there is no hidden current one. How a processor translates is its own business:
// SimProcessor walks tables and fills a TLB of ours; one that leaves translation to the host's MMU derives from this
// class too. It raises page faults to the FaultHandler and repeats the access when that returns kSuccess.
//
// Synchronous code, asynchronous time. Work that must wait calls `wait_until`. By itself that moves the clock. Under an
// event loop, or where a thread really sleeps (`set_waiting(Waiting::kYields)`), it records when the waiter can go on:
// the access then returns Status::kPending with nothing done, and its driver repeats it at `take_blocked_until()`.
//
// Locking: a Processor belongs to the thread that drives it; only shoot-downs reach in from outside, through Machine.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/access.h"
#include "pagoda/machine/machine.h"
#include "pagoda/machine/page_walker.h"
#include "pagoda/machine/physical_view.h"

namespace pagoda::machine {

// What becomes of the entries under the tag of a root that is loaded. AMD64: bit 63 of CR3.
enum class OldEntries : std::uint8_t { kKeep, kForget };

// What the fault handler decided: repeat the access (kSuccess), or raise this status to the program.
using FaultOutcome = Status;

// Serves a processor's faults: a memory manager.
class FaultHandler {
 public:
  virtual ~FaultHandler() = default;
  virtual FaultOutcome resolve(Processor& cpu, const PageFault& fault) = 0;
  // Only where software fills the TLB: walks and inserts a translation for the access with `Processor::fill_tlb`, in one
  // piece to all who change entries; or says what to raise.
  virtual FaultOutcome refill(Processor& cpu, VirtualAddress va, Access access, Privilege privilege) = 0;
};

class Processor {
 public:
  enum class Waiting : std::uint8_t { kAdvancesClock, kYields };

  Processor(const Processor&) = delete;
  Processor& operator=(const Processor&) = delete;
  virtual ~Processor() = default;

  [[nodiscard]] Machine& machine() const { return machine_; }
  [[nodiscard]] unsigned number() const { return number_; }
  [[nodiscard]] const PhysicalView& physical() const { return physical_; }
  void attach(FaultHandler& handler) { handler_ = &handler; }

  // --- Time ---
  [[nodiscard]] Time now() const {
    // In two parts: cycles times 1000 overflow after 71 days at 3 GHz.
    return Time(cycles_ / cycles_per_us_ * 1000 + cycles_ % cycles_per_us_ * 1000 / cycles_per_us_);
  }
  void charge(Cycles work) { cycles_ += work.value(); }
  void wait_until(Time time);
  void advance_to(Time time);  // Idle until then; never backwards.
  // For who schedules threads on it. One that waited in the midst of its work had the clock to itself meanwhile; others
  // have the processor from `time` on, which may be earlier than now.
  void resume_at(Time time);
  // Idle until the other processor's time, to the cycle.
  // Requires: both clocks have one rate.
  void catch_up_with(const Processor& other) {
    PAGODA_DCHECK_EQ(cycles_per_us_, other.cycles_per_us_);
    cycles_ = std::max(cycles_, other.cycles_);
  }
  // How long `wait_until` has moved the clock.
  [[nodiscard]] Duration waited() const { return waited_; }
  [[nodiscard]] Waiting waiting() const { return waiting_; }
  void set_waiting(Waiting waiting) { waiting_ = waiting; }
  [[nodiscard]] bool is_blocked() const { return blocked_until_ != Time{}; }
  // When the access that returned kPending can go on; reading it forgets it.
  [[nodiscard]] Time take_blocked_until() { return std::exchange(blocked_until_, Time{}); }

  // --- Page tables, and what the processor remembers of them ---
  [[nodiscard]] Pfn root() const { return root_; }
  [[nodiscard]] Asid asid() const { return asid_; }
  [[nodiscard]] const WalkRules& walk_rules() const { return rules_; }
  // x86: MOV CR3. Drops what it remembers under tag 0, and if `old` says so, under this tag.
  void load_root(Pfn root, Asid asid, OldEntries old = OldEntries::kKeep) { do_load_root(root, asid, old); }
  virtual void invalidate_page(VirtualAddress va, Asid asid) = 0;
  virtual void invalidate_asid(Asid asid) = 0;
  virtual void invalidate_all() = 0;
  // What a shoot-down of many pages does in place of invalidating each: the whole space, and global entries of these
  // pages.
  virtual void invalidate_range(VpnRange pages, Asid asid) = 0;
  // Software refill: what the handler found.
  virtual void fill_tlb(VirtualAddress va, const Translation& translation) = 0;
  // A program's access to the page without the moving of bytes: brings it in.
  // Fails with: what the handler raised; kPending under an event loop: repeat it then.
  Result<> touch(VirtualAddress va, Access access, Privilege privilege = Privilege::kUser) {
    return touch_page(va, access, privilege);
  }
  // Everything that it may use without looking at the tables again; for `mm::check`.
  [[nodiscard]] virtual std::vector<CachedTranslation> cached() const = 0;

 protected:
  Processor(Machine& machine, unsigned number, PhysicalView physical)
      : machine_(machine), number_(number), physical_(physical), cycles_per_us_(machine.costs().cycles_per_us) {}

  virtual void do_load_root(Pfn root, Asid asid, OldEntries old) = 0;
  virtual Result<> touch_page(VirtualAddress va, Access access, Privilege privilege) = 0;
  // Requires: a manager is attached.
  [[nodiscard]] FaultHandler& handler() const {
    PAGODA_CHECK(handler_ != nullptr);
    return *handler_;
  }
  void set_root(Pfn root, Asid asid) {
    PAGODA_DCHECK(asid != kGlobalAsid);
    root_ = root;
    asid_ = asid;
  }
  void set_rules(const WalkRules& rules) { rules_ = rules; }

 private:
  // The first cycle at which now() >= time.
  [[nodiscard]] std::uint64_t cycles_at(Time time) const {
    return time.value() / 1000 * cycles_per_us_ + (time.value() % 1000 * cycles_per_us_ + 999) / 1000;
  }

  Machine& machine_;
  const unsigned number_;
  Asid asid_ = kUntagged;
  Pfn root_ = kNoPfn;
  const PhysicalView physical_;
  const std::uint64_t cycles_per_us_;
  std::uint64_t cycles_ = 0;
  Time blocked_until_;  // Zero: not blocked.
  Duration waited_;
  FaultHandler* handler_ = nullptr;
  WalkRules rules_;
  Waiting waiting_ = Waiting::kAdvancesClock;
};

}  // namespace pagoda::machine
