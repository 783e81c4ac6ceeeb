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
//   [AS1] Every entry that is not zero lies inside a VAD; regions of large pages have those throughout, no other has
//         any.
//   [AS2] Each VAD's charge is the number of its committed pages; the space's charge is the sum, the page tables that
//         its VADs span, the root, and AWE frames.
//   [AS3] VADs lie between the first 64 KB and the highest user address less 64 KB, with a protection that private
//         memory may have; decommitted entries are in committed VADs only.
//   [AS4] No two spaces have the same tag, unless they have none.
//   [AS5] A placeholder has no entries, no charge and no rights.
//   [AS6] A region that commits on touch is private, of ordinary pages, not committed as a whole, and accessible.
// Locking: `lock` guards all parts; lower-ranked locks (PFN) are taken inside. Source: reference/nt.md sections 5, 7
// and 9.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/process/hints.h"
#include "pagoda/mm/process/placement.h"
#include "pagoda/mm/process/stacks.h"
#include "pagoda/mm/process/vad_extra.h"
#include "pagoda/mm/process/vad_tree.h"
#include "pagoda/mm/region/awe.h"
#include "pagoda/mm/region/placeholder.h"
#include "pagoda/mm/section/section.h"
#include "pagoda/mm/space/page_tables.h"
#include "pagoda/mm/space/secondary_mmu.h"
#include "pagoda/mm/space/working_set.h"

namespace pagoda::mm {

class MemoryManager;

struct ReserveRequest {
  std::optional<VirtualAddress> base;  // Rounded down to 64 KB; none: the manager chooses.
  ByteCount size;
  Protection protection = Protection::kReadWrite;
  MemCommit commit = MemCommit::kNo;   // Committed as a whole, now.
  OnTouch on_touch = OnTouch::kRaise;  // kCommit: each page by its first touch, which the rest then is not.
  Direction direction = Direction::kBottomUp;
  VadType type = VadType::kNone;  // Or kWriteWatch, kAwe, kLargePages.
  PlacementWishes wishes{};       // Only without a base.
  Placeholder placeholder = Placeholder::kNo;
};

// What `undo_reset` says when a page is not what it was. A choice: reference/nt.md 7.1 says only when it succeeds.
inline constexpr Status kResetContentsLost = Status::kMemoryNotAllocated;

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

  // --- Promises (process/reserve.cpp, process/commit.cpp) ---
  // A new region on 64 KB, or in the place of a placeholder of its exact pages (else kConflictingAddresses). Not of
  // large pages (kInvalidParameter5), which need a processor. A window for AWE is read-write (kInvalidParameter6) and
  // not committed (kInvalidParameter5). Fails with kInvalidParameter (wishes of no sense, or besides a base; a
  // placeholder with rights or of a type; none named to replace), kInvalidParameter4 (no or too large size),
  // kInvalidParameter2 (base out of reach), kInvalidPageProtection, kConflictingAddresses (base taken), kNoMemory (no
  // gap), kCommitmentLimit. What commits on touch is ordinary memory not committed now (else kInvalidParameter5), with
  // rights and no guard (else kInvalidPageProtection).
  Result<VpnRange> reserve(const ReserveRequest& request);
  // The same, and large pages too, which take, zero and map their frames now: region/large_pages.h. Those fail besides
  // with kInvalidParameter5 (not committed) and kInsufficientResources (not enough frames in a row).
  Result<VpnRange> reserve(Processor& cpu, const ReserveRequest& request);
  // Promises memory for pages of one region; those already committed keep their contents and take the protection. Fails
  // with kInvalidPageProtection, kInvalidParameter2 (base out of reach), kInvalidParameter4 (no size, or it wraps),
  // kConflictingAddresses (not inside one region), kInvalidPageProtection (NoChange, or secured), kCommitmentLimit,
  // kNoMemory, kPending.
  Result<> commit(Processor& cpu, VirtualAddress base, ByteCount size, Protection protection);
  // Takes the promise and the contents back; the region stays reserved. Size zero: the whole region that begins at
  // `base`. Fails with kMemoryNotAllocated, kUnableToFreeVm (past the region), kFreeVmNotAtBase, kInvalidPageProtection
  // (secured), kNoMemory, kPending.
  Result<> decommit(Processor& cpu, VirtualAddress base, ByteCount size);
  // Gives addresses back, whole pages of one region, which may split it. Statuses as for decommit.
  // Of the modes for placeholders: kInvalidParameter3 (no size), kConflictingAddresses (not in a placeholder nor in a
  // region that replaced one, or all of a placeholder; not the bounds of several placeholders).
  Result<> release(Processor& cpu, VirtualAddress base, ByteCount size, ReleaseMode mode = ReleaseMode::kFree);
  // Changes the rights of committed pages of one region; returns those of the first before. Fails with
  // kInvalidPageProtection, kInvalidParameter2 (base out of reach), kInvalidParameter3 (no size, or it wraps),
  // kConflictingAddresses, kNotCommitted, kInvalidPageProtection (NoChange, or secured), kNoMemory, kPending.
  Result<Protection> protect(Processor& cpu, VirtualAddress base, ByteCount size, Protection protection);
  // The contents of the pages are not wanted: each is as it was or zero from now on, whichever is cheaper, until it is
  // written again; state and protection stay. Needs a range inside one private region, committed or not, or one view of
  // a paging-file section, whose shared pages are reset for everybody (process/reset.cpp says which). Fails with
  // kInvalidParameter2 (base out of reach), kInvalidParameter4 (no size, or it wraps), kConflictingAddresses.
  Result<> reset(Processor& cpu, VirtualAddress base, ByteCount size);
  // The contents are wanted after all. Fails as `reset` does, and with kResetContentsLost, having changed nothing,
  // unless all pages still have theirs; a page that was never touched looks like one that lost them.
  Result<> undo_reset(const Processor& cpu, VirtualAddress base, ByteCount size);
  // Until `unsecure`, the pages allow at least what `weakest` does: to protect them against that, to decommit or to
  // release any of them fails with kInvalidPageProtection. NT: MmSecureVirtualMemory, whose one answer to every mistake
  // is no handle. Fails with kInvalidPageProtection (a guard, or no rights), kInvalidParameter (no size, or out of
  // reach), kConflictingAddresses (not inside one region), kAccessViolation (a page is not committed, or
  // allows less; a region of large pages, or an AWE window).
  Result<SecureHandle> secure(const Processor& cpu, VirtualAddress base, ByteCount size, Protection weakest);
  // Fails with kInvalidHandle.
  Result<> unsecure(SecureHandle handle);
  // Fails with kInvalidParameter above the highest user address.
  [[nodiscard]] Result<RegionInfo> query(const Processor& cpu, VirtualAddress address);

  // --- Write watch (region/write_watch.cpp) ---
  // The pages of the range that were written since the region was reserved or they were reset, whoever wrote: upward,
  // at most as many as fit; returns how many. With kYes those returned, and no others, are reset. Fails with
  // kInvalidParameter2 (base out of reach), kInvalidParameter3 (no size, or it wraps), kInvalidParameter5 (no room for
  // any), kInvalidParameter1 (not inside one write-watch region).
  enum class WatchReset : std::uint8_t { kNo, kYes };
  Result<std::size_t> get_write_watch(Processor& cpu, VirtualAddress base, ByteCount size,
                                      std::span<VirtualAddress> out, WatchReset reset);
  // No page of the range counts as written any more. Statuses as above.
  Result<> reset_write_watch(Processor& cpu, VirtualAddress base, ByteCount size);
  // A page is being written, or may be from now on without a fault. Everybody who gives Write, or takes a Dirty away,
  // says so here.
  void record_write(Vpn page) PAGODA_REQUIRES(lock) {
    if (extras_.watches() != 0) [[unlikely]]
      record_write_slowly(page);
  }

  // --- AWE (region/awe.cpp) ---
  // Zeroed, nonpageable frames for the program's own, charged; fewer than asked for if there are no more. Fails with
  // kInsufficientResources (none).
  Result<std::vector<Pfn>> allocate_user_pages(Processor& cpu, PageCount count);
  // Gives frames back, unmapped if need be, up to the first that is not the space's: kConflictingAddresses then.
  struct UserPagesFreed {
    PageCount count;
    Status status = Status::kSuccess;
  };
  UserPagesFreed free_user_pages(Processor& cpu, std::span<const Pfn> frames);
  // Maps frames in a row in a window, in place of what is mapped there; or nothing, in the second form. All or nothing.
  // Fails with kInvalidParameter2 (wild count), kInvalidParameter1 (not inside one AWE window), kInvalidParameter3 (a
  // frame is not the space's), kConflictingAddresses (it is named twice, or mapped elsewhere), kNoMemory, kPending.
  Result<> map_user_pages(Processor& cpu, VirtualAddress base, std::span<const Pfn> frames);
  Result<> unmap_user_pages(Processor& cpu, VirtualAddress base, PageCount count);
  // Each frame at an address of its own, in whatever windows; frame 0, or no frames at all: unmaps. Statuses as above;
  // kInvalidParameter2 (not as many of both), kInvalidParameter1 (or an address named twice).
  Result<> map_user_pages_scatter(Processor& cpu, std::span<const VirtualAddress> addresses,
                                  std::span<const Pfn> frames);
  [[nodiscard]] const AweFrames& awe_frames() const PAGODA_REQUIRES(lock) { return awe_; }

  // --- Views (region/view.cpp) ---
  // Maps a part of a section. What depends on the section's and the view's parameters is checked in NT's order
  // (reference/nt.md 6.2). Fails with kInvalidParameter3 (base or end out of reach), kMappedAlignment,
  // kSectionProtection, kInvalidViewSize, kInvalidParameter5 (commit larger than the view), kInvalidParameter9 (reserve
  // on paging-file sections), kConflictingAddresses, kNoMemory (no gap), kCommitmentLimit, kInsufficientResources. Of
  // large pages: region/large_pages.h.
  Result<VpnRange> map_view(Processor& cpu, Section& section, const ViewRequest& request);
  // Takes away the view, or the device frames, that contain the address, or puts the placeholder back that it replaced.
  // Fails with kNotMappedView, kInvalidPageProtection (a page is secured), kConflictingAddresses (it replaced no
  // placeholder).
  enum class After : std::uint8_t { kNothing, kPlaceholder };
  Result<> unmap_view(Processor& cpu, VirtualAddress address, After after = After::kNothing);
  // Writes the modified pages of a view of a file's data, and waits; size zero: to the end of the view. Returns the
  // pages. Fails with kNotMappedView, kNotMappedData (not a data file's), kInvalidParameter, kIoDeviceError.
  Result<VpnRange> flush_view(Processor& cpu, VirtualAddress base, ByteCount size);
  // The file that the address is mapped from. Fails with kInvalidAddress.
  Result<std::shared_ptr<FileStream>> mapped_file(VirtualAddress address);

  // --- Device frames (region/device_frames.h) ---
  // Maps frames in a row that the PFN database has not; `unmap_view` takes them away. Fails with kInvalidPageProtection
  // (writable other than by a copy, a guard, or not cached), kInvalidParameter (no frames, or some that the database
  // has or an entry cannot name; wishes of no sense, or besides a base), kMappedAlignment, kInvalidParameter3 (base or
  // end out of reach), kConflictingAddresses (base taken), kNoMemory (no gap), kCommitmentLimit.
  Result<VpnRange> map_frames(const FramesRequest& request);

  // --- Stacks (process/stacks.cpp) ---
  // The pages from `base` to `top`, in one region, are a thread's stack, in use from `limit` on, with a guard page
  // below that the caller has made. From now on a hit on a guard page in it moves the guard down a page and the access
  // goes on; without room or commit charge for that it gets kStackOverflow, and the page that was hit is usable all the
  // same. Who hits it is not looked at. Fails with kInvalidParameter (addresses not of pages, or not in this order),
  // kConflictingAddresses (not in one region, or another stack's).
  Result<> add_stack(VirtualAddress base, VirtualAddress limit, VirtualAddress top, ByteCount guarantee);
  // By its base; frees nothing. Fails with kInvalidParameter.
  Result<> remove_stack(VirtualAddress base);
  // Where it is in use from, by its base. NT keeps it in the TEB. Fails with kInvalidParameter.
  Result<VirtualAddress> stack_limit(VirtualAddress base);

  // --- Working set (process/limits.cpp) ---
  // Fails with kBadWorkingSetLimit (minimum above maximum) or kInsufficientResources (more than the machine can keep).
  Result<> set_limits(Processor& cpu, const WorkingSet::Limits& limits);
  // Every page that is not locked leaves. Returns how many did.
  PageCount empty(Processor& cpu);
  // Makes the pages resident and keeps them so until unlocked. Fails with kInvalidParameter (no size, or out of reach),
  // kAccessViolation (not accessible), kIncompatibleFileMap (large pages, AWE windows, device frames), kWorkingSetQuota
  // (with the pages that are locked already, more than the minimum less 8: reference/nt.md 7.5), kGuardPageViolation
  // (and the guard is gone), kInPageError, kNoMemory, kPending, having locked nothing; and with kWasLocked, a success
  // in NT: some page was locked already; all are now.
  Result<> lock_pages(Processor& cpu, VirtualAddress base, ByteCount size, LockKind kind);
  // Fails with kInvalidParameter (no size, or out of reach), or kNotLocked if any page is not locked that way, having
  // changed nothing.
  Result<> unlock_pages(Processor& cpu, VirtualAddress base, ByteCount size, LockKind kind);

  // --- Hints (process/hints.h) ---
  // Cold: the pages of the range leave the working set now, unless they are locked; those that hold nothing but zeros
  // go to the zeroed list. Returns how many left. Whatever the range has, or has not, is fine.
  PageCount trim_range(Processor& cpu, VpnRange pages);
  // Hot: committed pages are faulted in as if they were read, as long as memory is not short. Pages that cannot be read
  // are left as they are. Returns how many of the range are resident now. Fails with kPending alone.
  Result<PageCount> make_resident(Processor& cpu, VpnRange pages);
  // Cold-discard: the contents of the range's pages, in one private region, are gone; what is read next is zeros.
  // Committed stays committed, except where pages commit on touch: those give their charge back. Fails with
  // kConflictingAddresses (not inside one private region of ordinary pages), kInvalidPageProtection (a page is
  // secured).
  Result<> discard(Processor& cpu, VpnRange pages);
  // A page of a region that commits on touch is being touched; its entry is zero. Fails with kCommitmentLimit, as the
  // touch does then. Until `uncommit_touched` it is committed.
  Result<> commit_touched(Vpn page) PAGODA_REQUIRES(lock);
  void uncommit_touched(Vpn page) PAGODA_REQUIRES(lock);

  // --- Watching ---
  // The observer stays the caller's and must be removed before it dies.
  void add_observer(SecondaryMmu& observer);
  void remove_observer(SecondaryMmu& observer);
  struct Statistics {
    PageCount working_set;
    PageCount shared;  // Of these: mapped through prototype PTEs.
    PageCount peak_working_set;
    PageCount commit;
    PageCount peak_commit;
    FaultCounts faults{};
    std::uint64_t insertions = 0;  // Pages brought into the working set.
  };
  [[nodiscard]] Statistics statistics() const;
  // What was promised to it: page tables, root and AWE frames included.
  [[nodiscard]] PageCount total_charge() const PAGODA_REQUIRES(lock) { return commit_ + table_charge_ + awe_.count(); }

  // --- Parts, for the rest of mm, under `lock` ---
  mutable Lock lock;
  [[nodiscard]] VadTree& vads() PAGODA_REQUIRES(lock) { return vads_; }
  [[nodiscard]] const VadTree& vads() const PAGODA_REQUIRES(lock) { return vads_; }
  [[nodiscard]] const VadExtras& extras() const PAGODA_REQUIRES(lock) { return extras_; }
  [[nodiscard]] PageTables& tables() PAGODA_REQUIRES(lock) { return tables_; }
  [[nodiscard]] WorkingSet& working_set() PAGODA_REQUIRES(lock) { return working_set_; }
  [[nodiscard]] const WorkingSet& working_set() const PAGODA_REQUIRES(lock) { return working_set_; }
  [[nodiscard]] FaultCounts& faults() PAGODA_REQUIRES(lock) { return faults_; }
  [[nodiscard]] Core& core() { return core_; }

  // A guard page was hit; it is a guard still. If a stack contains it, makes the page below the next guard and says
  // kPageFaultGuardPage, or kStackOverflow; kGuardPageViolation if none does; kNoMemory, having changed nothing.
  // Besides a first touch (`commit_touched`) the one place where a fault takes commit charge.
  Status grow_stack(Processor& cpu, Vpn page) PAGODA_REQUIRES(lock);

  // --- Placeholders under views (region/placeholder.cpp) ---
  // Puts a region into the place of the placeholder of exactly its range and takes its commit charge; page tables are
  // charged already. Fails with kConflictingAddresses, kCommitmentLimit.
  Result<Vad*> replace_placeholder(const Vad& by) PAGODA_REQUIRES(lock);
  // A region whose entries are gone becomes a placeholder; gives its commit charge back.
  void leave_placeholder(Vad& vad) PAGODA_REQUIRES(lock);

  // Whoever may have cached the pages forgets them: processors' TLBs and observers. The PTEs are less permissive
  // already; the frames are not reused yet. Not under the PFN lock.
  void invalidate(Processor& cpu, std::span<const Vpn> pages) PAGODA_REQUIRES(lock);
  // Processors forget pages whose accessed bits were cleared, or their next use would not set them again. (Observers
  // have seen to that themselves.)
  void forget_in_tlbs(Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  // Reads and clears the accessed bit, in the PTE and in every observer. Processors' TLBs may keep the page.
  bool test_and_clear_accessed(const Processor& cpu, const Wsle& entry) PAGODA_REQUIRES(lock);
  // Whether it was accessed since that; what observers know is folded into the PTE.
  bool is_accessed(const Processor& cpu, const Wsle& entry) PAGODA_REQUIRES(lock);
  // A processor loads the root.
  void loaded_on(const Processor& cpu) PAGODA_REQUIRES(lock) { loaded_on_.add(cpu.number()); }
  // What a page whose PTE is zero may be used for; kNone if it is not committed. Of a view: what its section says, as
  // far as it is known without looking at prototype PTEs.
  [[nodiscard]] Protection protection_of_zero_pte(const Vad& vad, Vpn page) const {
    if (vad.control_area != nullptr || has_device_frames(vad)) [[unlikely]]
      return protection_of_view(vad, page);
    return vad.mem_commit == MemCommit::kYes ? vad.protection : Protection::kNone;
  }
  // The rights that a valid entry's mapping has.
  [[nodiscard]] Protection protection_of_valid(Vpn page, RawPte raw) const PAGODA_REQUIRES(lock) {
    if (PteCodec::is_shared(raw)) return working_set_[working_set_.find_shared(page)].protection();
    const Pfn frame = core_.codec.frame(raw);
    if (!core_.pfns.contains(frame)) [[unlikely]]
      return protection_of_device_frame(page);
    return core_.codec.protection(core_.pfns.entry(frame).original_pte);
  }
  // The rights that an entry of a region carries by now.
  [[nodiscard]] Protection current_protection(const Processor& cpu, const Vad& vad, Vpn page, RawPte raw) const
      PAGODA_REQUIRES(lock);
  // What the valid entry of a page becomes when the page leaves the working set: a transition entry; of a shared page a
  // pointer to its prototype PTE, or, where the rights differ from the prototype's, what says that the VAD knows. Takes
  // the PFN lock for a shared page.
  [[nodiscard]] RawPte unmapped_form(Pfn frame, RawPte raw, const Wsle& wsle) const;
  // Pages that a fork shares get copies, since a clone's page has one protection for all who share it. Fails with
  // kNoMemory, kPending, kInPageError; some may have their copies then.
  Result<> make_private(Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  // A private page gets other rights, whatever form its entry has.
  void protect_entry(Processor& cpu, Vpn page, PhysicalAddress pte, RawPte raw, Protection protection)
      PAGODA_REQUIRES(lock);
  // The page of an entry that was valid is unmapped: a private one goes for good, a shared one as far as this space is
  // concerned.
  void free_mapped(const Processor& cpu, PhysicalAddress pte, RawPte raw) PAGODA_REQUIRES(lock);
  // A clone has one entry fewer that names it. Both under the PFN lock.
  void drop_clone(const Processor& cpu, VirtualAddress prototype) PAGODA_REQUIRES(lock);
  // Whether an entry leads to a page that a fork shares. Takes the PFN lock.
  [[nodiscard]] bool is_clone(RawPte raw) const;
  // The child of a fork, which is empty, becomes a copy (process/fork.cpp). Fails with kCommitmentLimit,
  // kInsufficientResources, kNoMemory; what it has then is the caller's to take apart.
  Result<> clone_from(Processor& cpu, AddressSpace& parent);
  // Of a region of large pages, which has one.
  [[nodiscard]] Protection protection_of_large_pages(const Processor& cpu, const Vad& vad) const PAGODA_REQUIRES(lock);
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
  // A region that was just made, and has no entries, is not to be after all: what it replaced comes back.
  void take_back(Vad& vad) PAGODA_REQUIRES(lock);
  // Pages of the part of a region that are promised.
  [[nodiscard]] PageCount committed_in(const Processor& cpu, const Vad& vad, VpnRange pages) const
      PAGODA_REQUIRES(lock);
  // Frees the pages of a range of entries, whose PTEs become zero or, with `hole`, that; returns how many had been
  // committed. kAsDemandZero: those that have contents become demand zero with their own protection, others stay.
  static constexpr RawPte kAsDemandZero = ~RawPte{0};
  PageCount free_pages(Processor& cpu, const Vad& vad, VpnRange pages, RawPte hole) PAGODA_REQUIRES(lock);
  Result<> commit_locked(Processor& cpu, VpnRange pages, Protection protection) PAGODA_REQUIRES(lock);
  Result<> decommit_locked(Processor& cpu, Vad& vad, VpnRange pages) PAGODA_REQUIRES(lock);
  void protect_locked(Processor& cpu, VpnRange pages, Protection protection) PAGODA_REQUIRES(lock);
  // Whether the region as a whole lets its pages have the protection.
  [[nodiscard]] Result<> may_protect(const Vad& vad, Protection protection) const PAGODA_REQUIRES(lock);
  Result<> clone_region(Processor& cpu, AddressSpace& parent, const Vad& vad, class CloneEntries& entries)
      PAGODA_REQUIRES(lock, parent.lock);
  // Of views (region/view.cpp), and of device frames.
  [[nodiscard]] PageCount committed_in_view(const Processor& cpu, const Vad& vad, VpnRange pages) const
      PAGODA_REQUIRES(lock);
  // Pages of the part of a view that are private or become so when written.
  [[nodiscard]] PageCount charged_in_view(const Processor& cpu, const Vad& vad, VpnRange pages) const
      PAGODA_REQUIRES(lock);
  [[nodiscard]] bool is_private_entry(RawPte raw) const;
  // Of the pages of a view, so many are charged now and so many will be. Fails with kCommitmentLimit.
  Result<> change_charge(Vad& vad, PageCount before, PageCount after) PAGODA_REQUIRES(lock);
  Result<> commit_view(Processor& cpu, Vad& vad, VpnRange pages, Protection protection) PAGODA_REQUIRES(lock);
  Result<> protect_view(Processor& cpu, Vad& vad, VpnRange pages, Protection protection) PAGODA_REQUIRES(lock);
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
  // What a query says of the rights: that a fork shares a private page does not show.
  [[nodiscard]] Protection shown_protection(const Processor& cpu, const Vad& vad, Vpn page, RawPte raw) const
      PAGODA_REQUIRES(lock) {
    const Protection protection = current_protection(cpu, vad, page, raw);
    return vad.is_private ? unshared(protection) : protection;
  }
  // What a page of a view may be used for as long as its entry says nothing else.
  [[nodiscard]] Protection protection_of_view(const Vad& vad, Vpn page) const;
  // Of the prototype PTE that an entry points to.
  [[nodiscard]] Protection protection_of_pointer(const Processor& cpu, const Vad& vad, Vpn page, RawPte raw) const;
  // Where the working set keeps the page of an entry; WorkingSet::kNoSlot if it is not mapped.
  [[nodiscard]] std::uint32_t working_set_slot(Vpn page, RawPte raw) const PAGODA_REQUIRES(lock);
  // Whether the pages may be locked, before any is.
  // Whether a hot hint may bring the page of the entry, which is not valid, in.
  [[nodiscard]] bool may_bring_in(const Processor& cpu, Vpn page, RawPte raw) PAGODA_REQUIRES(lock);
  Result<> may_lock(const Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  Result<Vad*> reserve_locked(const ReserveRequest& request) PAGODA_REQUIRES(lock);
  void invalidate_range(Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  // --- Device frames (region/device_frames.cpp) ---
  // Of a page whose entry maps one.
  [[nodiscard]] Protection protection_of_device_frame(Vpn page) const PAGODA_REQUIRES(lock);
  Result<> protect_device_frames(Processor& cpu, Vad& vad, VpnRange pages, Protection protection) PAGODA_REQUIRES(lock);
  // --- Large pages and AWE windows: VADs that are `is_physical` (region/awe.cpp) ---
  // Nothing of the region is mapped any more; frames of private large pages are freed.
  void free_physical(Processor& cpu, const Vad& vad) PAGODA_REQUIRES(lock);
  Result<Protection> protect_physical(Processor& cpu, Vad& vad, VpnRange pages, Protection protection)
      PAGODA_REQUIRES(lock);
  // --- AWE ---
  struct WindowPage {
    Vpn page;
    Pfn frame;  // 0: none.
    PhysicalAddress pte = PageTables::kNone;
  };
  [[nodiscard]] PageCount room_for_user_pages() const PAGODA_REQUIRES(core_.pfns.lock);
  PageCount charge_user_pages(PageCount wanted) PAGODA_REQUIRES(lock);
  void free_all_user_pages() PAGODA_REQUIRES(lock);
  Result<> map_user_pages(Processor& cpu, VirtualAddress base, PageCount count, std::span<const Pfn> frames);
  Result<> may_map_user_pages(std::span<const WindowPage> pages) PAGODA_REQUIRES(lock);
  Result<> map_window_pages(Processor& cpu, std::span<WindowPage> pages) PAGODA_REQUIRES(lock);
  // The page that a level-1 entry of this space translates.
  [[nodiscard]] Vpn page_of_entry(PhysicalAddress pte) const PAGODA_REQUIRES(lock);
  // --- Large pages (region/large_pages.cpp) ---
  Result<> map_large_page(Processor& cpu, Vpn page, Protection protection) PAGODA_REQUIRES(lock);
  // Of a view of a large-page section: maps all of it, or nothing. Fails with kNoMemory.
  Result<> map_large_view(Processor& cpu, const Vad& vad) PAGODA_REQUIRES(lock);
  // Calls `visit(page, entry's address, first frame)` for those of the region that are mapped.
  template <class Visit>
  void for_each_large_page(const Processor& cpu, const Vad& vad, Visit&& visit) const PAGODA_REQUIRES(lock);
  void free_large_pages(Processor& cpu, const Vad& vad) PAGODA_REQUIRES(lock);
  Result<Protection> protect_large_pages(Processor& cpu, Vad& vad, VpnRange pages, Protection protection)
      PAGODA_REQUIRES(lock);
  // --- Write watch ---
  void record_write_slowly(Vpn page) PAGODA_REQUIRES(lock);
  [[nodiscard]] Result<VpnRange> watched_pages(VirtualAddress base, ByteCount size) const;
  // Up to date with what the hardware says.
  Result<WriteWatch*> watch_of(const Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  void reset_watch(Processor& cpu, WriteWatch& watch, VpnRange pages) PAGODA_REQUIRES(lock);
  // Pages named by a free or decommit call, and their region.
  struct Freed {
    Vad* vad = nullptr;
    VpnRange pages;
  };
  Result<Freed> range_to_free(VirtualAddress base, ByteCount size) PAGODA_REQUIRES(lock);
  // Frees the pages and takes them out of their region, which shrinks, splits or goes; gives their charge back, but not
  // that of page tables.
  void cut(Processor& cpu, Vad& vad, VpnRange pages) PAGODA_REQUIRES(lock);
  Result<> preserve_placeholder(Processor& cpu, const Freed& freed) PAGODA_REQUIRES(lock);
  Result<> coalesce_placeholders(VpnRange pages) PAGODA_REQUIRES(lock);

  Core& core_;
  const std::uint32_t id_;
  const machine::Asid asid_;
  const VirtualAddress highest_user_;
  VadTree vads_ PAGODA_GUARDED_BY(lock);
  VadExtras extras_ PAGODA_GUARDED_BY(lock);
  Stacks stacks_ PAGODA_GUARDED_BY(lock);
  PageTables tables_ PAGODA_GUARDED_BY(lock);
  WorkingSet working_set_ PAGODA_GUARDED_BY(lock);
  AweFrames awe_ PAGODA_GUARDED_BY(lock);
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
