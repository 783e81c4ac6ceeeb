// An address space: what a process may touch. NT: the memory half of EPROCESS.
//
// It owns its VADs (what was promised), its page tables (where pages are) and its working set (what is mapped).
// Programs use it through a processor that is attached to it; these functions are what the program's kernel does for
// it. All take the space's lock themselves; all may be called for a space that is not attached anywhere.
//
// A function that needs frames waits for them. Under an event loop it fails with kPending instead, having changed
// nothing: repeat it.
//
// Invariants (mm::check), beside those of VadTree, PageTables and WorkingSet:
//   [AS1] Every entry that is not zero lies inside a VAD.
//   [AS2] Each VAD's charge is the number of its committed pages; the space's charge is the sum, the page tables that
//         its VADs span, and the root.
//   [AS3] VADs lie between the first 64 KB and the highest user address less 64 KB, with a protection that private
//         memory may have; decommitted entries are in committed VADs only.
//   [AS4] No two spaces have the same tag, unless they have none.
// Locking: `lock` guards all parts; lower-ranked locks (PFN) are taken inside. Source: reference/nt.md sections 5, 7
// and 9.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/mm/core.h"
#include "pagoda/mm/section/section.h"
#include "pagoda/mm/space/page_tables.h"
#include "pagoda/mm/space/placement.h"
#include "pagoda/mm/space/secondary_mmu.h"
#include "pagoda/mm/space/vad_tree.h"
#include "pagoda/mm/ws/working_set.h"

namespace pagoda::mm {

class MemoryManager;

struct ReserveRequest {
  std::optional<VirtualAddress> base;  // Rounded down to 64 KB; none: the manager chooses.
  ByteCount size;
  Protection protection = Protection::kReadWrite;
  MemCommit commit = MemCommit::kNo;  // Committed as a whole, now.
  enum class Direction : std::uint8_t { kBottomUp, kTopDown } direction = Direction::kBottomUp;
  PlacementWishes wishes{};  // Only without a base.
};

enum class MemoryState : std::uint8_t { kFree, kReserved, kCommitted };
enum class MemoryType : std::uint8_t { kPrivate, kMapped, kImage };

// A run of pages with equal state and protection. NT: MEMORY_BASIC_INFORMATION.
struct RegionInfo {
  VirtualAddress base;
  ByteCount size;
  MemoryState state = MemoryState::kFree;
  Protection protection = Protection::kNoAccess;  // Of committed pages.
  VirtualAddress allocation_base;                 // Of reserved and committed ones.
  Protection allocation_protection = Protection::kNone;
  MemoryType type = MemoryType::kPrivate;
};

class AddressSpace {
 public:
  AddressSpace(Core& core, std::uint32_t id, Pfn root, machine::Asid asid, UserRange range,
               const WorkingSet::Limits& limits);
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  [[nodiscard]] std::uint32_t id() const { return id_; }
  [[nodiscard]] machine::Asid asid() const { return asid_; }
  [[nodiscard]] VirtualAddress highest_user() const { return highest_user_; }  // NT: MmHighestUserAddress.
  // Where regions may lie.
  [[nodiscard]] VpnRange user_range() const;
  // Never changes, so that no lock is needed.
  [[nodiscard]] Pfn root() const PAGODA_NO_THREAD_SAFETY { return tables_.root(); }

  // --- Promises (space/reserve.cpp, space/commit.cpp) ---
  // A new region on 64 KB. Fails with kInvalidParameter (wishes of no sense, or besides a base), kInvalidParameter4 (no
  // or too large size), kInvalidParameter2 (base out of reach), kInvalidPageProtection, kConflictingAddresses (base
  // taken), kNoMemory (no gap), kCommitmentLimit.
  Result<VpnRange> reserve(const ReserveRequest& request);
  // Promises memory for pages of one region; those already committed keep their contents and take the protection. Fails
  // with kInvalidPageProtection, kInvalidParameter2 (base out of reach), kInvalidParameter4 (no size, or it wraps),
  // kConflictingAddresses (not inside one region), kCommitmentLimit, kNoMemory, kPending.
  Result<> commit(Processor& cpu, VirtualAddress base, ByteCount size, Protection protection);
  // Takes the promise and the contents back; the region stays reserved. Size zero: the whole region that begins at
  // `base`. Fails with kMemoryNotAllocated, kUnableToFreeVm (past the region), kFreeVmNotAtBase, kNoMemory, kPending.
  Result<> decommit(Processor& cpu, VirtualAddress base, ByteCount size);
  // Gives addresses back, whole pages of one region, which may split it. Statuses as for decommit.
  Result<> release(Processor& cpu, VirtualAddress base, ByteCount size);
  // Changes the rights of committed pages of one region; returns those of the first before. Fails with
  // kInvalidPageProtection, kInvalidParameter2 (base out of reach), kInvalidParameter3 (no size, or it wraps),
  // kConflictingAddresses, kNotCommitted, kNoMemory, kPending.
  Result<Protection> protect(Processor& cpu, VirtualAddress base, ByteCount size, Protection protection);
  // Fails with kInvalidParameter above the highest user address.
  [[nodiscard]] Result<RegionInfo> query(const Processor& cpu, VirtualAddress address);

  // --- Views (section/view.cpp) ---
  // Maps a part of a section. What depends on the section's and the view's parameters is checked in NT's order
  // (reference/nt.md 6.2). Fails with kInvalidParameter3 (base or end out of reach), kMappedAlignment,
  // kSectionProtection, kInvalidViewSize, kInvalidParameter5 (commit larger than the view), kInvalidParameter9 (reserve
  // on paging-file sections), kConflictingAddresses, kNoMemory (no gap), kCommitmentLimit, kInsufficientResources.
  Result<VpnRange> map_view(Processor& cpu, Section& section, const ViewRequest& request);
  // Takes away the view that contains the address. Fails with kNotMappedView.
  enum class After : std::uint8_t { kNothing, kPlaceholder };
  Result<> unmap_view(Processor& cpu, VirtualAddress address, After after = After::kNothing);
  // Writes the modified pages of a view of a file's data, and waits; size zero: to the end of the view. Returns the
  // pages. Fails with kNotMappedView, kNotMappedData (not a data file's), kInvalidParameter, kIoDeviceError.
  Result<VpnRange> flush_view(Processor& cpu, VirtualAddress base, ByteCount size);
  // The file that the address is mapped from. Fails with kInvalidAddress.
  Result<std::shared_ptr<FileStream>> mapped_file(VirtualAddress address);

  // --- Working set (ws/limits.cpp) ---
  // Fails with kBadWorkingSetLimit (minimum above maximum) or kInsufficientResources (more than the machine can keep).
  Result<> set_limits(Processor& cpu, const WorkingSet::Limits& limits);
  // Every page that is not locked leaves. Returns how many did.
  PageCount empty(Processor& cpu);
  // Makes the pages resident and keeps them so until unlocked. Fails with kInvalidParameter (no size, or out of reach),
  // kAccessViolation (not accessible), kWorkingSetQuota (with the pages that are locked already, more than the minimum
  // less 8: reference/nt.md 7.5), kGuardPageViolation (and the guard is gone), kInPageError, kNoMemory, kPending,
  // having locked nothing; and with kWasLocked, a success in NT: some page was locked already; all are now.
  Result<> lock_pages(Processor& cpu, VirtualAddress base, ByteCount size, LockKind kind);
  // Fails with kInvalidParameter (no size, or out of reach), or kNotLocked if any page is not locked that way, having
  // changed nothing.
  Result<> unlock_pages(Processor& cpu, VirtualAddress base, ByteCount size, LockKind kind);

  // --- Watching ---
  // The observer stays the caller's and must be removed before it dies.
  void add_observer(SecondaryMmu& observer);
  void remove_observer(SecondaryMmu& observer);
  struct Statistics {
    PageCount working_set;
    PageCount peak_working_set;
    PageCount commit;
    PageCount peak_commit;
    FaultCounts faults{};
    std::uint64_t insertions = 0;  // Pages brought into the working set.
  };
  [[nodiscard]] Statistics statistics() const;
  // What was promised to it, page tables and root included.
  [[nodiscard]] PageCount total_charge() const PAGODA_REQUIRES(lock) { return commit_ + table_charge_; }

  // --- Parts, for the rest of mm, under `lock` ---
  mutable Lock lock;
  [[nodiscard]] VadTree& vads() PAGODA_REQUIRES(lock) { return vads_; }
  [[nodiscard]] const VadTree& vads() const PAGODA_REQUIRES(lock) { return vads_; }
  [[nodiscard]] PageTables& tables() PAGODA_REQUIRES(lock) { return tables_; }
  [[nodiscard]] WorkingSet& working_set() PAGODA_REQUIRES(lock) { return working_set_; }
  [[nodiscard]] const WorkingSet& working_set() const PAGODA_REQUIRES(lock) { return working_set_; }
  [[nodiscard]] FaultCounts& faults() PAGODA_REQUIRES(lock) { return faults_; }
  [[nodiscard]] Core& core() { return core_; }

  // Whoever may have cached the pages forgets them: processors' TLBs and observers. The PTEs are less permissive
  // already; the frames are not reused yet. Not under the PFN lock.
  void invalidate(Processor& cpu, std::span<const Vpn> pages) PAGODA_REQUIRES(lock);
  void invalidate_everything(Processor& cpu) PAGODA_REQUIRES(lock);
  // Reads and clears the accessed bit, in the PTE and in every observer. TLBs may keep the page until invalidated.
  bool test_and_clear_accessed(const Processor& cpu, const Wsle& entry) PAGODA_REQUIRES(lock);
  // A processor loads the root.
  void loaded_on(const Processor& cpu) PAGODA_REQUIRES(lock) { loaded_on_.add(cpu.number()); }
  // What a page whose PTE is zero may be used for; kNone if it is not committed. Of a view: what its section says, as
  // far as it is known without looking at prototype PTEs.
  [[nodiscard]] Protection protection_of_zero_pte(const Vad& vad, Vpn page) const {
    if (vad.control_area != nullptr) [[unlikely]]
      return protection_of_view(vad, page);
    return vad.mem_commit == MemCommit::kYes ? vad.protection : Protection::kNone;
  }
  // The rights that a valid entry's mapping has.
  [[nodiscard]] Protection protection_of_valid(Vpn page, RawPte raw) const PAGODA_REQUIRES(lock) {
    if (PteCodec::is_shared(raw)) return working_set_[working_set_.find_shared(page)].protection();
    return core_.codec.protection(core_.pfns.entry(core_.codec.frame(raw)).original_pte);
  }
  // The rights that an entry of a region carries by now.
  [[nodiscard]] Protection current_protection(const Processor& cpu, const Vad& vad, Vpn page, RawPte raw) const
      PAGODA_REQUIRES(lock);
  // What the valid entry of a page becomes when the page leaves the working set: a transition entry; of a shared page a
  // pointer to its prototype PTE, or, where the rights differ from the prototype's, what says that the VAD knows. Takes
  // the PFN lock for a shared page.
  [[nodiscard]] RawPte unmapped_form(Pfn frame, RawPte raw, const Wsle& wsle) const;
  // Takes everything apart; the manager frees the root afterwards.
  void tear_down(Processor& cpu);

 private:
  friend struct Corruptor;

  // The region that holds the whole range.
  Result<Vad*> region_of(VpnRange pages) PAGODA_REQUIRES(lock);
  // Page tables that the range spans and no neighbour does.
  [[nodiscard]] PageCount tables_spanned(VpnRange pages, const Vad* before, const Vad* after) const
      PAGODA_REQUIRES(lock);
  // The same for a region that is or will be there, between these neighbours. Views whose tables are not charged do not
  // count; there are few of them, since each is large.
  [[nodiscard]] PageCount tables_charged(const Vad& vad, const Vad* before, const Vad* after) const
      PAGODA_REQUIRES(lock);
  [[nodiscard]] static const Vad* previous_charged(const Vad* vad);
  [[nodiscard]] static const Vad* next_charged(const Vad* vad);
  Result<> charge_commit(PageCount pages) PAGODA_REQUIRES(lock);
  void give_back_commit(PageCount pages) PAGODA_REQUIRES(lock);
  Result<Vad*> insert_vad(const Vad& vad) PAGODA_REQUIRES(lock);
  void erase_vad(Vad& vad) PAGODA_REQUIRES(lock);
  // Pages of the part of a region that are promised.
  [[nodiscard]] PageCount committed_in(const Processor& cpu, const Vad& vad, VpnRange pages) const
      PAGODA_REQUIRES(lock);
  // Frees the pages of a range of entries, whose PTEs become zero or, with `hole`, that; returns how many had been
  // committed.
  PageCount free_pages(Processor& cpu, const Vad& vad, VpnRange pages, RawPte hole) PAGODA_REQUIRES(lock);
  Result<> commit_locked(Processor& cpu, VpnRange pages, Protection protection) PAGODA_REQUIRES(lock);
  Result<> decommit_locked(Processor& cpu, Vad& vad, VpnRange pages) PAGODA_REQUIRES(lock);
  Result<Protection> protect_locked(Processor& cpu, VpnRange pages, Protection protection) PAGODA_REQUIRES(lock);
  void protect_entry(Processor& cpu, Vpn page, PhysicalAddress pte, RawPte raw, Protection protection)
      PAGODA_REQUIRES(lock);
  // Whether the region as a whole lets its pages have the protection.
  [[nodiscard]] Result<> may_protect(const Vad& vad, Protection protection) const PAGODA_REQUIRES(lock);
  // Pages that a fork shares get copies, since a clone's page has one protection for all who share it. Fails with
  // kNoMemory, kPending, kInPageError; some may have their copies then.
  Result<> make_private(Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  void free_mapped(const Processor& cpu, PhysicalAddress pte, RawPte raw) PAGODA_REQUIRES(lock, core_.pfns.lock);
  void drop_clone(const Processor& cpu, VirtualAddress prototype) PAGODA_REQUIRES(lock, core_.pfns.lock);
  // Of views (section/view.cpp).
  [[nodiscard]] PageCount committed_in_view(const Processor& cpu, const Vad& vad, VpnRange pages) const
      PAGODA_REQUIRES(lock);
  // Pages of the part of a view that are private or become so when written.
  [[nodiscard]] PageCount charged_in_view(const Processor& cpu, const Vad& vad, VpnRange pages) const
      PAGODA_REQUIRES(lock);
  Result<> commit_view(Processor& cpu, Vad& vad, VpnRange pages, Protection protection) PAGODA_REQUIRES(lock);
  Result<Protection> protect_view(Processor& cpu, Vad& vad, VpnRange pages, Protection protection)
      PAGODA_REQUIRES(lock);
  void protect_shared_entry(Processor& cpu, const Vad& vad, Vpn page, PhysicalAddress pte, RawPte raw,
                            Protection protection) PAGODA_REQUIRES(lock);
  // The range and the rights of a view that is asked for.
  Result<Vad> place_view(const Section& section, const ViewRequest& request) PAGODA_REQUIRES(lock);
  // Pages from `page` on whose entries are zero have these rights, up to the end of the region.
  struct DefaultRun {
    Vpn end;
    Protection protection = Protection::kNone;  // kNone: not committed.
  };
  [[nodiscard]] DefaultRun default_run(const Processor& cpu, const Vad& vad, Vpn page) const;
  // What a page of a view may be used for as long as its entry says nothing else.
  [[nodiscard]] Protection protection_of_view(const Vad& vad, Vpn page) const;
  // Of the prototype PTE that an entry points to.
  [[nodiscard]] Protection protection_of_pointer(const Processor& cpu, const Vad& vad, Vpn page, RawPte raw) const;
  // Where the working set keeps the page of an entry; WorkingSet::kNoSlot if it is not mapped.
  [[nodiscard]] std::uint32_t working_set_slot(Vpn page, RawPte raw) const PAGODA_REQUIRES(lock);
  // Whether the pages may be locked, before any is.
  Result<> may_lock(const Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  // Pages named by a free or decommit call, and their region.
  struct Freed {
    Vad* vad = nullptr;
    VpnRange pages;
  };
  Result<Freed> range_to_free(VirtualAddress base, ByteCount size) PAGODA_REQUIRES(lock);

  Core& core_;
  const std::uint32_t id_;
  const machine::Asid asid_;
  const VirtualAddress highest_user_;
  VadTree vads_ PAGODA_GUARDED_BY(lock);
  PageTables tables_ PAGODA_GUARDED_BY(lock);
  WorkingSet working_set_ PAGODA_GUARDED_BY(lock);
  FaultCounts faults_ PAGODA_GUARDED_BY(lock){};
  PageCount commit_ PAGODA_GUARDED_BY(lock);
  PageCount peak_commit_ PAGODA_GUARDED_BY(lock);
  PageCount table_charge_ PAGODA_GUARDED_BY(lock);
  machine::ProcessorSet loaded_on_ PAGODA_GUARDED_BY(lock);
  std::vector<SecondaryMmu*> observers_ PAGODA_GUARDED_BY(lock);
};

// The smallest range of whole pages that holds the bytes; nothing if it wraps or is empty.
std::optional<VpnRange> pages_covering(VirtualAddress base, ByteCount size);

}  // namespace pagoda::mm
