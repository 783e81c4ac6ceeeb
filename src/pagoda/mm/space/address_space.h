// An address space: what a page fault, a TLB, a working set and an observer need of it, and no more. NT: the memory half
// of EPROCESS.
//
//   AddressSpace  page tables, working set, tag, observers          asks a RegionSource: what is this page?
//     RegionSpace   its VADs and what they are charged               region/region_space.h
//       ProcessSpace  what a program's kernel does with it           process/process_space.h
//
// It has a range of addresses and an owner. Nothing here asks of which kind a region is.
//
// Invariants (mm::check), beside those of PageTables and WorkingSet:
//   [AS4] No two spaces have the same tag, unless they have none.
//   [AS7] The processors in its set are those that have its root loaded.
//
// Processors that left a space keep what they remember under its tag, and are not interrupted for it: the space counts
// its invalidations, and a processor that comes back forgets it all if there was one meanwhile, or if it is new here,
// where the tag may have been another space's (Linux: tlb_gen).
//
// Locking: `lock` guards all parts; lower-ranked locks (PFN) are taken inside. Source: reference/nt.md sections 5 and 9.
#pragma once

#include <algorithm>
#include <cstdint>
#include <expected>
#include <span>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/backing/shortage.h"
#include "pagoda/mm/space/page_sharer.h"
#include "pagoda/mm/space/page_tables.h"
#include "pagoda/mm/space/region_source.h"
#include "pagoda/mm/space/secondary_mmu.h"
#include "pagoda/mm/space/working_set.h"

namespace pagoda::mm {

class FlushBatch;

class AddressSpace {
 public:
  struct Identity {
    std::uint32_t id = 0;  // Unique in its manager, in the order of creation.
    Pfn root = kNoPfn;     // The root page table, made already; the manager's to free.
    machine::Asid asid = machine::kUntagged;
    VpnRange range;                                  // Where regions may lie.
    VirtualAddress highest;                          // The last byte that a program may name.
    PteCodec::Owner owner = PteCodec::Owner::kUser;  // Who may use its pages.
  };

  AddressSpace(Core& core, ShortageRelief& relief, RegionSource& regions, const Identity& identity,
               const WorkingSet::Limits& limits);
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;
  virtual ~AddressSpace() = default;

  [[nodiscard]] std::uint32_t id() const { return identity_.id; }
  [[nodiscard]] machine::Asid asid() const { return identity_.asid; }
  [[nodiscard]] Pfn root() const { return identity_.root; }
  [[nodiscard]] VpnRange range() const { return identity_.range; }
  [[nodiscard]] VirtualAddress highest() const { return identity_.highest; }
  [[nodiscard]] PteCodec::Owner owner() const { return identity_.owner; }
  [[nodiscard]] Core& core() const { return core_; }
  [[nodiscard]] ShortageRelief& relief() const { return relief_; }

  // --- Observers ---
  // The observer stays the caller's. Requires: `remove_observer` before the observer dies.
  void add_observer(SecondaryMmu& observer);
  void remove_observer(SecondaryMmu& observer);
  // Who is offered its pages before they leave memory; null: nobody. Stays the caller's.
  void set_sharer(PageSharer* sharer) PAGODA_REQUIRES(lock) { sharer_ = sharer; }
  [[nodiscard]] PageSharer* sharer() const PAGODA_REQUIRES(lock) { return keeps_private_ ? nullptr : sharer_; }
  // While pages are being made private nobody is: a page that was, and leaves to make room for the next one, must stay so.
  void set_keeps_private(bool keeps) PAGODA_REQUIRES(lock) { keeps_private_ = keeps; }

  // --- Parts, for the rest of mm ---
  mutable Lock lock;
  // --- Changes of regions, which may let `lock` go in their middle: ChangeGuard, PauseGuard ---
  void wait_for_change() PAGODA_REQUIRES(lock) {
    while (paused_) [[unlikely]]
      changed_.wait(lock);
  }
  void set_paused(bool paused) PAGODA_REQUIRES(lock) {
    paused_ = paused;
    if (!paused) changed_.wake_all();
  }
  [[nodiscard]] bool is_paused() const PAGODA_REQUIRES(lock) { return paused_; }

  // --- Page tables that are out ---
  // Brings in the tables on the way to the page's entry of the level. The lock is let go while a disk works, and time is
  // waited for on the processor's own clock, also under an event loop. kChange: by the holder of a ChangeGuard, during
  // which no other change begins. kEnd: the same for what has to end well, such as the end of a region: asks until the
  // disk answers. (NT: a bugcheck, KERNEL_DATA_INPAGE_ERROR; so it is here after kMostAttempts.) kLook: afterwards
  // nothing need be as it was.
  // Fails with: kInPageError, kNoMemory (nothing can be made available); not for kEnd.
  enum class For : std::uint8_t { kChange, kEnd, kLook };
  Status bring_in(Processor& cpu, Vpn page, For purpose, unsigned lowest = 1) PAGODA_REQUIRES(lock);
  // PageTables::for_each for the holder of a ChangeGuard: brings in each table of the range. `leave` ends what must not
  // stay open while the lock is let go. Fails as `bring_in` does, at the page where it stopped.
  template <class Visit, class Leave>
  Status for_each_entry(Processor& cpu, VpnRange pages, Visit&& visit, Leave&& leave, For purpose = For::kChange)
      PAGODA_REQUIRES(lock) {
    for (Vpn page = pages.first;;) {
      page = tables_.for_each(cpu, {page, pages.end() - page}, visit, leave);
      if (page == pages.end()) return Status::kSuccess;
      if (const Status status = bring_in(cpu, page, purpose); status != Status::kSuccess) return status;
    }
  }
  template <class Visit>
  Status for_each_entry(Processor& cpu, VpnRange pages, Visit&& visit) PAGODA_REQUIRES(lock) {
    return for_each_entry(cpu, pages, visit, [](Vpn) {});
  }
  // Calls `visit(part)` for the part of the range that each page table maps, whether or not there is one: what cannot
  // have all tables in memory at once does one after the other. The first failure ends it.
  template <class Visit>
  Result<> for_each_table(VpnRange pages, Visit&& visit) const {
    const std::uint64_t entries = core_.mode.entries(1);
    for (Vpn page = pages.first; page < pages.end();) {
      const Vpn next = std::min(Vpn((page.value() / entries + 1) * entries), pages.end());
      PAGODA_TRY(visit(VpnRange{page, next - page}));
      page = next;
    }
    return {};
  }
  // The page's table is there, for the holder of a ChangeGuard, and a new one if there was none. Fails with: kInPageError,
  // kNoMemory.
  Result<PhysicalAddress> make_entry(Processor& cpu, Vpn page) PAGODA_REQUIRES(lock) {
    if (const Status status = bring_in(cpu, page, For::kChange); status != Status::kSuccess) return fail(status);
    return tables_.make(cpu, page);
  }
  [[nodiscard]] RegionSource& regions() PAGODA_REQUIRES(lock) { return regions_; }
  [[nodiscard]] PageTables& tables() PAGODA_REQUIRES(lock) { return tables_; }
  [[nodiscard]] const PageTables& tables() const PAGODA_REQUIRES(lock) { return tables_; }
  [[nodiscard]] WorkingSet& working_set() PAGODA_REQUIRES(lock) { return working_set_; }
  [[nodiscard]] const WorkingSet& working_set() const PAGODA_REQUIRES(lock) { return working_set_; }
  [[nodiscard]] FaultCounts& faults() PAGODA_REQUIRES(lock) { return faults_; }

  // What the processor's page walker finds in these page tables, whatever root is loaded; the processor pays for it.
  // Sets accessed and dirty bits as an access does. Requires: as machine::walk.
  [[nodiscard]] std::expected<machine::Translation, machine::PageFault> walk(Processor& cpu, VirtualAddress va,
                                                                             machine::Access access,
                                                                             machine::Privilege privilege) const {
    std::uint64_t loads = 0;
    const auto walked =
        machine::walk(cpu.physical(), core_.mode, root(), va, access, privilege, cpu.walk_rules(), loads);
    cpu.charge(core_.machine.costs().walk_load * loads);
    return walked;
  }

  // --- Caches over the page tables ---
  // A processor is about to load the root. Returns what must become of what it remembers under the tag.
  [[nodiscard]] machine::OldEntries enter(const Processor& cpu) PAGODA_REQUIRES(lock);
  // It has loaded another root.
  void leave(const Processor& cpu) PAGODA_REQUIRES(lock);
  // Whether the processor has entered and not left.
  [[nodiscard]] bool is_loaded_on(const Processor& cpu) const PAGODA_REQUIRES(lock) {
    return loaded_on_.contains(cpu.number());
  }
  // Whether the processor uses what it remembers under the tag, now or when it comes back.
  [[nodiscard]] bool trusts_entries_of(const Processor& cpu) const PAGODA_REQUIRES(lock) {
    return is_loaded_on(cpu) || left_now(cpu);
  }
  // Invalidates pages in all TLBs and SecondaryMmus; of more than one run a FlushBatch does it. Requires: their PTEs are
  // less permissive already, their frames not reused yet; the PFN lock is not held.
  void invalidate(Processor& cpu, const machine::StaleRun& run) PAGODA_REQUIRES(lock) {
    invalidate_tlbs(cpu, std::span(&run, 1));
    tell_observers(run.pages);
  }
  // The same in the processors' TLBs alone, after accessed bits were cleared: else the next use would not set them.
  void invalidate_tlbs(Processor& cpu, std::span<const machine::StaleRun> runs) PAGODA_REQUIRES(lock) {
    ++invalidations_;
    core_.machine.shoot_down(cpu, {root(), asid(), loaded_on_}, runs);
  }
  // The same in SecondaryMmus alone.
  void tell_observers(VpnRange pages) PAGODA_REQUIRES(lock) {
    for (SecondaryMmu* observer : observers_) observer->invalidate(pages);
  }
  // Reads and clears the accessed bit, in the PTE and in every observer. TLBs may keep the page.
  bool test_and_clear_accessed(const Processor& cpu, const Wsle& entry) PAGODA_REQUIRES(lock);
  // Whether the page was accessed since that; what observers know becomes the PTE's accessed bit.
  bool is_accessed(const Processor& cpu, const Wsle& entry) PAGODA_REQUIRES(lock);

  // --- What a level-1 entry says ---
  // Rights of a page whose entry is zero, as far as its region knows; kNone if it is not committed.
  [[nodiscard]] Protection protection_of_zero_pte(const Vad& vad, Vpn page) const {
    if (vad.source != PageSource::kZeros) [[unlikely]]
      return regions_.rights_by_region(vad, page);
    return vad.mem_commit == MemCommit::kYes ? vad.protection : Protection::kNone;
  }
  // Rights of a mapping whose entry is valid.
  [[nodiscard]] Protection protection_of_valid(Vpn page, RawPte raw) const PAGODA_REQUIRES(lock);
  // Rights that the entry of a page of the region carries now, whatever its form.
  [[nodiscard]] Protection current_protection(const Processor& cpu, const Vad& vad, Vpn page, RawPte raw) const
      PAGODA_REQUIRES(lock);
  // What the valid entry of a page becomes when the page leaves the working set: a transition entry; for a shared page a
  // pointer to its prototype PTE or, where the rights differ from the prototype's, the lookup-needed form. Takes the PFN
  // lock for a shared page.
  [[nodiscard]] RawPte unmapped_form(Pfn frame, RawPte raw, const Wsle& wsle) const;
  // Whether the entry leads to a page that a fork shares. Takes the PFN lock.
  [[nodiscard]] bool is_clone(RawPte raw) const;
  // Whether the page is this space's own, or one that a fork shares. Takes the PFN lock.
  [[nodiscard]] bool is_private_entry(RawPte raw) const;
  // Where the working set keeps the page of the entry; WorkingSet::kNoSlot if it is not mapped.
  [[nodiscard]] std::uint32_t working_set_slot(Vpn page, RawPte raw) const PAGODA_REQUIRES(lock);

  // --- Changes of a level-1 entry ---
  // See RegionSource.
  void record_write(Vpn page) PAGODA_REQUIRES(lock) { regions_.record_write(page); }
  // Frees those tables of the page that are empty. Takes the PFN lock.
  void free_empty_tables(Processor& cpu, Vpn page) PAGODA_REQUIRES(lock);
  // Gives a private page other rights, whatever form its entry has.
  void protect_entry(FlushBatch& batch, Vpn page, PhysicalAddress pte, RawPte raw, Protection protection)
      PAGODA_REQUIRES(lock);
  void protect_entry(Processor& cpu, Vpn page, PhysicalAddress pte, RawPte raw, Protection protection)
      PAGODA_REQUIRES(lock);
  // Unmaps the page of an entry that was valid: deletes a private page, drops this space's share of a shared one.
  // Requires: the PFN lock.
  void free_mapped(const Processor& cpu, PhysicalAddress pte, RawPte raw) PAGODA_REQUIRES(lock);
  // --- Pages that are locked (space/locked_pages.cpp) ---
  // Locks the page of the slot, which is charged by its first lock. Takes the PFN lock.
  // Fails with: kWorkingSetQuota (too little may stay in memory), kCommitmentLimit (a page of a file is charged to commit
  // while it is locked: nothing else promises it its frame. NT: MI_ADD_LOCKED_PAGE_CHARGE).
  Result<> lock_page(const Processor& cpu, std::uint32_t slot, LockKind kind) PAGODA_REQUIRES(lock);
  void unlock_page(const Processor& cpu, std::uint32_t slot, LockKind kind) PAGODA_REQUIRES(lock);
  // The page of the slot leaves the working set, locked or not. Requires: its entry is still the valid one.
  void leave_working_set(const Processor& cpu, std::uint32_t slot) PAGODA_REQUIRES(lock) {
    if (working_set_[slot].is_locked()) [[unlikely]]
      let_go_locked(cpu, slot);
    working_set_.erase(slot);
  }
  // The page of the slot, shared and in this frame, is about to be replaced by one of the space's own, or to become that:
  // what its prototype PTE was charged for a lock is given back. Requires: the PFN lock.
  void let_go_prototype(std::uint32_t slot, Pfn frame) PAGODA_REQUIRES(lock);
  // Drops an entry's reference to a clone. Requires: the PFN lock.
  void drop_clone(const Processor& cpu, VirtualAddress prototype) PAGODA_REQUIRES(lock);

 protected:
  friend struct Corruptor;

  [[nodiscard]] Protection protection_of_pointer(const Vad& vad, Vpn page, RawPte raw) const;

  Core& core_;
  PageTables tables_ PAGODA_GUARDED_BY(lock);
  WorkingSet working_set_ PAGODA_GUARDED_BY(lock);
  FaultCounts faults_ PAGODA_GUARDED_BY(lock){};
  machine::ProcessorSet loaded_on_ PAGODA_GUARDED_BY(lock);

 private:
  // Gives back what the locked page of the slot is charged. Takes the PFN lock.
  void let_go_locked(const Processor& cpu, std::uint32_t slot) PAGODA_REQUIRES(lock);
  [[nodiscard]] bool left_now(const Processor& cpu) const PAGODA_REQUIRES(lock) {
    return cpu.number() < left_at_.size() && left_at_[cpu.number()] == invalidations_;
  }

  WaitQueue changed_;
  bool paused_ PAGODA_GUARDED_BY(lock) = false;  // A change has let the lock go for a while.
  ShortageRelief& relief_;
  RegionSource& regions_;
  const Identity identity_;
  std::vector<SecondaryMmu*> observers_ PAGODA_GUARDED_BY(lock);
  PageSharer* sharer_ PAGODA_GUARDED_BY(lock) = nullptr;
  bool keeps_private_ PAGODA_GUARDED_BY(lock) = false;
  std::uint64_t invalidations_ PAGODA_GUARDED_BY(lock) = 1;
  // By processor: `invalidations_` when it left; 0: it has not left yet.
  std::vector<std::uint64_t> left_at_ PAGODA_GUARDED_BY(lock);
};

// Holds the space's lock for a change of its regions, or of the rights of their pages. At most one change of a space is
// under way, also while it has let the lock go (PauseGuard): what it has found out about regions stays true then, while
// faults and trims go on. NT: the address creation lock.
class PAGODA_SCOPED_CAPABILITY ChangeGuard {
 public:
  explicit ChangeGuard(AddressSpace& space) PAGODA_ACQUIRE(space.lock) : space_(space) {
    space_.lock.take();
    space_.wait_for_change();
  }
  ~ChangeGuard() PAGODA_RELEASE() {
    if (space_.is_paused()) [[unlikely]]
      space_.set_paused(false);
    space_.lock.release();
  }
  ChangeGuard(const ChangeGuard&) = delete;
  ChangeGuard& operator=(const ChangeGuard&) = delete;

 private:
  AddressSpace& space_;
};

// Lets the lock of a change go for a scope, in which a disk may work. Afterwards entries are to be read again.
// Requires: the ChangeGuard of the space.
class PauseGuard {
 public:
  explicit PauseGuard(AddressSpace& space) PAGODA_NO_THREAD_SAFETY : space_(space) {
    space_.set_paused(true);
    space_.lock.release();
  }
  ~PauseGuard() PAGODA_NO_THREAD_SAFETY { space_.lock.take(); }
  PauseGuard(const PauseGuard&) = delete;
  PauseGuard& operator=(const PauseGuard&) = delete;

 private:
  AddressSpace& space_;
};

}  // namespace pagoda::mm
