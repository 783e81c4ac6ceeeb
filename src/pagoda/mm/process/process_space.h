// A process's address space: what a program's kernel does for it. NT: the memory half of EPROCESS.
//
// Programs use it through a processor that is attached to it. All functions take the space's lock themselves; all may be
// called for a space that is not attached anywhere. A function that needs frames waits for them; under an event loop it
// fails with kPending instead, having changed nothing: repeat it.
//
// Unless said otherwise, addresses that a process may not name fail with kInvalidParameter2, a size of zero or one that
// wraps with kInvalidParameter4 (releases, protect and watches: kInvalidParameter3), and a range that is not inside one
// region with kConflictingAddresses. Locking: see AddressSpace. Source: reference/nt.md sections 5 and 7.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "pagoda/mm/process/requests.h"
#include "pagoda/mm/process/stacks.h"
#include "pagoda/mm/region/region_space.h"
#include "pagoda/mm/region/user_pages.h"
#include "pagoda/mm/section/section.h"

namespace pagoda::mm {

// What `undo_reset` says when a page is not what it was. A choice: reference/nt.md 7.1 says only when it succeeds.
inline constexpr Status kResetContentsLost = Status::kMemoryNotAllocated;

class ProcessSpace final : public RegionSpace {
 public:
  struct Creation {
    std::uint32_t id = 0;
    Pfn root = kNoPfn;  // Stays the manager's.
    machine::Asid asid = machine::kUntagged;
    UserRange range = UserRange::kNormal;
    WorkingSet::Limits limits;
    std::optional<SharingDomain> domain;  // None: its own.
  };
  ProcessSpace(Core& core, ShortageRelief& relief, Sections& sections, const Creation& creation);

  [[nodiscard]] VirtualAddress highest_user() const { return highest(); }  // NT: MmHighestUserAddress.
  [[nodiscard]] VpnRange user_range() const { return range(); }
  // With whose pages its pages may be made one (mm/combine). Fixed once the space shares anything.
  [[nodiscard]] SharingDomain sharing_domain() const { return domain_; }
  // Fails with: kInvalidParameter, having changed nothing: a fork shares pages of it, maybe.
  Result<> set_sharing_domain(SharingDomain domain);

  // --- Promises (reserve.cpp, commit.cpp) ---
  // A new region on 64 KB, or in the place of a placeholder of its exact pages (else kConflictingAddresses).
  // Fails with: kInvalidParameter (wishes of no sense, or besides a base; a placeholder with rights or of a type; none
  // named to replace), kInvalidParameter4 (also too large), kInvalidPageProtection, kConflictingAddresses (base taken),
  // kNoMemory (no gap), kCommitmentLimit; windows for AWE with kInvalidParameter6 (not read-write), kInvalidParameter5
  // (committed); large pages, which need the form with a processor, with kInvalidParameter5; regions that commit on
  // touch with kInvalidParameter5 (committed now, or not ordinary), kInvalidPageProtection (no rights, or a guard).
  Result<VpnRange> reserve(const ReserveRequest& request);
  // The same, and large pages too, which take, zero and map their frames now: region/large_pages.h.
  // Fails with, besides: kInvalidParameter5 (not committed), kInsufficientResources (not enough frames in a row).
  Result<VpnRange> reserve(Processor& cpu, const ReserveRequest& request);
  // Promises memory for pages of one region; those already committed keep their contents and take the protection.
  // Fails with: kInvalidPageProtection (also NoChange, or secured), kCommitmentLimit, kNoMemory, kPending.
  Result<> commit(Processor& cpu, VirtualAddress base, ByteCount size, Protection protection);
  // Takes the promise and the contents back; the region stays reserved. Size zero: the whole region that begins at
  // `base`. Returns the pages. Fails with: kMemoryNotAllocated, kUnableToFreeVm (past the region), kUnableToDeleteSection (a view),
  // kFreeVmNotAtBase, kInvalidPageProtection (secured), kNoMemory, kPending.
  Result<VpnRange> decommit(Processor& cpu, VirtualAddress base, ByteCount size);
  // Gives addresses back, whole pages of one region, which may split it. Returns the pages. Fails with, besides what `decommit` does:
  // the modes for placeholders with kConflictingAddresses (not in a placeholder nor in a region that replaced one, or
  // all of a placeholder; not the bounds of several placeholders).
  Result<VpnRange> release(Processor& cpu, VirtualAddress base, ByteCount size, ReleaseMode mode = ReleaseMode::kFree);
  // Changes the rights of committed pages of one region; returns those of the first before. Fails with:
  // kInvalidPageProtection (also NoChange, or secured), kNotCommitted, kSectionProtection, kNoMemory, kPending.
  Result<Protection> protect(Processor& cpu, VirtualAddress base, ByteCount size, Protection protection);

  // --- Views, device frames, other kinds (views.cpp) ---
  // Maps a part of a section; parameters are checked in NT's order (reference/nt.md 6.2). Fails with:
  // kInvalidParameter3 (base or end out of reach), kMappedAlignment, kSectionProtection, kInvalidViewSize,
  // kInvalidParameter5 (commit larger than the view), kInvalidParameter9 (reserve on paging-file sections),
  // kConflictingAddresses, kNoMemory (no gap), kCommitmentLimit, kInsufficientResources. Views of large pages:
  // region/large_pages.h.
  Result<VpnRange> map_view(Processor& cpu, Section& section, const ViewRequest& request);
  // Deletes the region, which is not private memory, that contains the address, or puts the placeholder back that it
  // replaced. Fails with: kNotMappedView, kInvalidPageProtection (a page is secured), kConflictingAddresses (it replaced
  // no placeholder).
  enum class After : std::uint8_t { kNothing, kPlaceholder };
  Result<> unmap_view(Processor& cpu, VirtualAddress address, After after = After::kNothing);
  // Writes the modified pages of a view of a file's data, and waits; size zero: to the end of the view. Returns the
  // pages. Fails with: kNotMappedView, kNotMappedData (not a data file's), kInvalidParameter, kIoDeviceError.
  Result<VpnRange> flush_view(Processor& cpu, VirtualAddress base, ByteCount size);
  // What this space's views of the control area wrote, which only their entries say, becomes known to the pages; a next
  // write says so again.
  void collect_writes(Processor& cpu, const ControlArea& area);
  // The file that the address is mapped from. Fails with: kInvalidAddress.
  Result<std::shared_ptr<FileStream>> mapped_file(VirtualAddress address);
  // Whether one address shows the image of the file that the other shows, as an image or as data; so do two addresses
  // of one view. Fails with: kInvalidAddress (no region is there), kConflictingAddresses (one that maps no file).
  Result<bool> maps_same_file(VirtualAddress image, VirtualAddress file);
  // Maps frames in a row that the PFN database does not have (region/device_frames.h). Fails with:
  // kInvalidPageProtection (writable other than by a copy, a guard, or not cached), kInvalidParameter (no frames, or
  // some that the database has or an entry cannot name; wishes of no sense, or besides a base), kMappedAlignment,
  // kInvalidParameter3 (base or end out of reach), kConflictingAddresses, kNoMemory (no gap), kCommitmentLimit.
  Result<VpnRange> map_frames(const FramesRequest& request);
  // A region of an embedder's kind, charged as a whole; `release` or `unmap_view` deletes it, by the kind's type.
  // Requires: the kind outlives the region. Fails with: kInvalidPageProtection, kInvalidParameter4, kMappedAlignment,
  // kInvalidParameter3 (base or end out of reach), kConflictingAddresses, kNoMemory (no gap), kCommitmentLimit.
  Result<VpnRange> map_region(const RegionKind& kind, const KindRequest& request);
  // Frames of the program's own, and its AWE windows.
  [[nodiscard]] UserPages& user_pages() { return user_pages_; }
  [[nodiscard]] const UserPages& user_pages() const { return user_pages_; }

  // --- Contents that are not wanted (reset.cpp, hints.cpp) ---
  // Each page is as it was or zero from now on, whichever is cheaper, until it is written again; state and protection
  // stay. The range lies in one private region, committed or not, or in one view of a paging-file section, whose shared
  // pages are reset in all spaces.
  Result<> reset(Processor& cpu, VirtualAddress base, ByteCount size);
  // The contents are wanted after all. Fails with, besides: kResetContentsLost, having changed nothing, unless all pages
  // still have theirs; a page that was never touched looks like one that lost them.
  Result<> undo_reset(const Processor& cpu, VirtualAddress base, ByteCount size);
  // Cold: the pages of the range leave the working set now, unless they are locked; those that hold nothing but zeros
  // enter the zeroed list. Returns how many left.
  PageCount trim_range(Processor& cpu, VpnRange pages);
  // Hot: committed pages are faulted in as if they were read, as long as memory is not short; pages that cannot be read
  // stay as they are. Returns how many of the range are resident now. Fails with: kPending.
  Result<PageCount> make_resident(Processor& cpu, VpnRange pages);
  // Likely to be used soon: pages of which the only copy is on a disk are read into memory, as many as are available,
  // and stay out of the working set. Pages that cannot be read stay where they are. Fails with: kPending.
  Result<> prefetch(Processor& cpu, VpnRange pages);
  // Cold-discard: the contents of the range's pages, in one private region, are deleted; the next read finds zeros.
  // Committed stays committed, except where pages commit on touch: those give their charge back.
  // Fails with: kConflictingAddresses (not inside one private region of ordinary pages), kInvalidPageProtection (secured).
  Result<> discard(Processor& cpu, VpnRange pages);

  // --- Secured ranges (secure.cpp). NT: MmSecureVirtualMemory, whose one answer to every mistake is no handle ---
  // Until `unsecure`, the pages allow at least what `weakest` does: to protect them against that, to decommit or to
  // release any of them fails with kInvalidPageProtection. Fails with: kInvalidPageProtection (a guard, or no rights),
  // kInvalidParameter (no size, or out of reach), kConflictingAddresses, kAccessViolation (a page is not committed, or
  // allows less; a region of large pages, or an AWE window).
  Result<SecureHandle> secure(Processor& cpu, VirtualAddress base, ByteCount size, Protection weakest);
  // Fails with: kInvalidHandle.
  Result<> unsecure(SecureHandle handle);

  // --- Write watch (watch.cpp) ---
  // The pages of the range that were written since the region was reserved or they were reset, whatever wrote them:
  // upward, at most as many as fit; returns how many. With kYes those returned, and no others, are reset.
  // Fails with: kInvalidParameter5 (no room for any), kInvalidParameter1 (not inside one write-watch region).
  enum class WatchReset : std::uint8_t { kNo, kYes };
  Result<std::size_t> get_write_watch(Processor& cpu, VirtualAddress base, ByteCount size,
                                      std::span<VirtualAddress> out, WatchReset reset);
  // No page of the range counts as written any more. Fails as above.
  Result<> reset_write_watch(Processor& cpu, VirtualAddress base, ByteCount size);

  // --- Stacks (stacks.cpp) ---
  // A new region of `size` whose top `commit` bytes are committed, a guard page below them; whole pages, and the guard
  // page fits. Fails with: as `reserve`, kCommitmentLimit, kNoMemory, kPending.
  Result<VpnRange> reserve_stack(Processor& cpu, ByteCount size, ByteCount commit);
  // The pages from `base` to `top`, in one region, are a thread's stack, in use from `limit` on, with a guard page
  // below that the caller has made. Any thread's access to a guard page in it moves the guard down a page and goes on;
  // without room or commit charge for that it gets kStackOverflow, and the page that was hit is usable all the same.
  // Fails with: kInvalidParameter (addresses not of pages, or not in this order), kConflictingAddresses (not in one
  // region, or another stack's).
  Result<> add_stack(VirtualAddress base, VirtualAddress limit, VirtualAddress top, ByteCount guarantee);
  // By its base; frees nothing. Fails with: kInvalidParameter.
  Result<> remove_stack(VirtualAddress base);
  // Where it is in use from, by its base. NT keeps it in the TEB. Fails with: kInvalidParameter.
  Result<VirtualAddress> stack_limit(VirtualAddress base);
  Status guard_hit(Processor& cpu, Vpn page) override PAGODA_NO_THREAD_SAFETY;
  [[nodiscard]] std::optional<Vpn> next_guard(Vpn page) override PAGODA_NO_THREAD_SAFETY;

  // --- Working set (limits.cpp) ---
  // Fails with: kBadWorkingSetLimit (minimum above maximum), kInsufficientResources (more than the machine can keep).
  Result<> set_limits(Processor& cpu, const WorkingSet::Limits& limits);
  // The same, where the new limits depend on those that there are. `change` may fail in its own way; it is called with
  // the space's lock held.
  using LimitsChange = std::function<Result<WorkingSet::Limits>(const WorkingSet::Limits& now)>;
  Result<> change_limits(Processor& cpu, const LimitsChange& change);
  // Every page that is not locked leaves. Returns how many did.
  PageCount empty_working_set(Processor& cpu);
  // Makes the pages resident and keeps them so until unlocked. Fails with, having locked nothing: kInvalidParameter (no
  // size, or out of reach), kAccessViolation (not accessible), kIncompatibleFileMap (large pages, AWE windows, device
  // frames), kWorkingSetQuota (with the pages that are locked already, more than the minimum less 8: reference/nt.md
  // 7.5), kGuardPageViolation (and the guard is consumed), kInPageError, kNoMemory, kPending. Fails with kWasLocked, a
  // success in NT: some page was locked already; all are now.
  Result<> lock_pages(Processor& cpu, VirtualAddress base, ByteCount size, LockKind kind);
  // Fails with: kInvalidParameter (no size, or out of reach), kNotLocked (a page is not locked that way: then none is
  // unlocked, and those that are not locked at all leave the working set, which programs use to give memory back).
  // Source: Microsoft's VirtualUnlock.
  Result<> unlock_pages(Processor& cpu, VirtualAddress base, ByteCount size, LockKind kind);

  // --- Looking (look.cpp) ---
  // The run of equal pages from the address on. Fails with: kInvalidParameter (above the highest user address).
  [[nodiscard]] Result<RegionInfo> query(Processor& cpu, VirtualAddress address);
  // Where one page is, and where a range's pages are.
  [[nodiscard]] PageInfo page_info(const Processor& cpu, VirtualAddress address);
  [[nodiscard]] PageInfo page_info_locked(const Processor& cpu, Vpn page) PAGODA_REQUIRES(lock);
  [[nodiscard]] Residency residency(const Processor& cpu, VpnRange pages);
  // The region that contains the address, as a whole.
  struct Allocation {
    VpnRange pages;
    PageCount commit_charge;
    Protection protection = Protection::kNone;  // As it was made.
    MemoryType type = MemoryType::kPrivate;
    bool maps_file = false;
  };
  [[nodiscard]] std::optional<Allocation> allocation(VirtualAddress address);
  struct Statistics {
    PageCount working_set;
    PageCount shared;  // Those of the working set that prototype PTEs map.
    PageCount peak_working_set;
    PageCount commit;
    PageCount peak_commit;
    PageCount reserved;  // Pages of all regions. NT: VirtualSize.
    PageCount peak_reserved;
    FaultCounts faults{};
    std::uint64_t insertions = 0;  // Pages brought into the working set.
  };
  [[nodiscard]] Statistics statistics() const;
  // What was promised to it: page tables, root and AWE frames included.
  [[nodiscard]] PageCount total_charge() const PAGODA_REQUIRES(lock);

  // --- For the manager ---
  // The child of a fork, which is empty, becomes a copy (fork.cpp). On failure it is partial; the caller destroys it.
  // Fails with: kCommitmentLimit, kInsufficientResources, kNoMemory.
  Result<> clone_from(Processor& cpu, ProcessSpace& parent);
  // Deletes all regions; the manager frees the root afterwards.
  void tear_down(Processor& cpu);

 private:
  friend struct Corruptor;

  // The run of pages from `page` on whose rights are shown alike.
  struct Run {
    Vpn end;
    Protection protection = Protection::kNone;
  };
  [[nodiscard]] Result<Run> run_from(Processor& cpu, Vpn page) PAGODA_REQUIRES(lock);
  Result<Vad*> reserve_locked(const ReserveRequest& request) PAGODA_REQUIRES(lock);
  // Pages named by a free or decommit call, and their region.
  struct RegionPages {
    Vad* vad = nullptr;
    VpnRange pages;
  };
  Result<RegionPages> range_to_free(VirtualAddress base, ByteCount size) PAGODA_REQUIRES(lock);
  // Gives the pages back, and the page tables that none needs any more.
  Result<> release_pages(Processor& cpu, const RegionPages& freed) PAGODA_REQUIRES(lock);
  Result<> preserve_placeholder(Processor& cpu, const RegionPages& freed) PAGODA_REQUIRES(lock);
  Result<> coalesce_placeholders(VpnRange pages) PAGODA_REQUIRES(lock);
  // The same of pages of a view.
  void collect_writes(Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  // The range and the rights of a view that is asked for.
  Result<Vad> place_view(const Section& section, const ViewRequest& request) PAGODA_REQUIRES(lock);
  // Addresses for a region on 64 KB: at `base`, or in the first gap within the limits.
  [[nodiscard]] Result<VpnRange> place_region(std::optional<VirtualAddress> base, PageCount count, Direction direction,
                                              VpnRange within, ByteCount alignment) const PAGODA_REQUIRES(lock);
  [[nodiscard]] Result<VpnRange> watched_pages(VirtualAddress base, ByteCount size) const;
  // The marks of the pages' region, up to date with what the hardware says.
  Result<WriteWatch*> watch_of(const Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  void reset_watch(Processor& cpu, WriteWatch& watch, VpnRange pages) PAGODA_REQUIRES(lock);
  // Whether a hot hint may bring in the page of the entry, which is not valid.
  [[nodiscard]] bool may_bring_in(const Processor& cpu, Vpn page, RawPte raw) PAGODA_REQUIRES(lock);
  // Whether the page's contents are in a file or paging file alone; and the first of the range that is so, or its end.
  [[nodiscard]] bool is_on_disk(const Processor& cpu, const Vad& vad, Vpn page) PAGODA_REQUIRES(lock);
  [[nodiscard]] Vpn next_on_disk(const Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  // Whether the pages may be locked, before any is.
  Result<> may_lock(Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);
  // Whether it has: one page that is not locked keeps all others locked.
  bool unlock_if_all_locked(Processor& cpu, VpnRange pages, LockKind kind);

  SharingDomain domain_;
  bool is_forked_ PAGODA_GUARDED_BY(lock) = false;  // Or the child of a fork.
  Stacks stacks_ PAGODA_GUARDED_BY(lock);
  UserPages user_pages_;
};

// The smallest range of whole pages that holds the bytes; nothing if it wraps or is empty.
std::optional<VpnRange> pages_covering(VirtualAddress base, ByteCount size);

}  // namespace pagoda::mm
