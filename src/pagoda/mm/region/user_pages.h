// AWE: frames that a program has for its own, and windows in which it maps them where it likes. NT: Address Windowing
// Extensions, so that a 32-bit program can use more memory than it has addresses.
//
//   allocate -> owned, not mapped <-> mapped by one entry of a window -> free
//
// An owned frame is active with one reference, its owner's; nonpageable, in no working set, never clean. Its PFN entry
// says where the owner's list has it, and which entry maps it. A window (VadType::kAwe) promises nothing: its entries
// are zero, which faults as an access violation, or map a frame read-write.
//
// Invariants (mm::check):
//   [AW1] Every AWE frame is in the list of one space, at the place that its PFN entry names; lists have no others.
//   [AW2] An AWE frame is mapped by the entry that its PFN entry names, and no other; by none if it names none.
//   [AW3] An entry of a window is zero or maps a frame of its space's list; nothing else maps one.
// What reference/nt.md leaves open, and was chosen: a frame that the caller does not own is kInvalidParameter3; one
// that is named twice, or is mapped where the call does not replace it, kConflictingAddresses; so is the foreign frame
// at which freeing stops. An address named twice is kInvalidParameter1. A window can only be protected read-write,
// which changes nothing (kInvalidPageProtection). A mapped page of a window reads as committed, the others as reserved.
// Locking: the lock of the address space. Source: reference/nt.md 7.8.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/base/try_reserve.h"
#include "pagoda/mm/pfn/pfn_database.h"
#include "pagoda/mm/region/region_space.h"
#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

// The frames that one space owns.
class AweFrames {
 public:
  // Any frame number, also of no frame that exists.
  [[nodiscard]] bool owns(const PfnDatabase& pfns, Pfn frame) const PAGODA_REQUIRES(pfns.lock) {
    if (frame.value() >= pfns.frames().value()) return false;
    const PfnEntry& e = pfns.entry(frame);
    return e.awe != 0 && e.awe_index < all_.size() && all_[e.awe_index] == frame;
  }
  // A frame that was taken.
  void add(PfnDatabase& pfns, Pfn frame) PAGODA_REQUIRES(pfns.lock) {
    pfns.make_awe(frame, static_cast<std::uint32_t>(all_.size()));
    all_.push_back(frame);
  }
  // One that is not mapped; it is free then.
  void remove(PfnDatabase& pfns, Pfn frame) PAGODA_REQUIRES(pfns.lock) {
    const std::uint32_t index = pfns.entry(frame).awe_index;
    all_[index] = all_.back();
    pfns.set_awe_index(all_[index], index);
    all_.pop_back();
    pfns.remove_awe(frame);
  }
  [[nodiscard]] std::span<const Pfn> all() const { return all_; }
  // Room for so many more, so that `add` does not allocate. False: there is no memory for them.
  [[nodiscard]] bool reserve(PageCount more) {
    return all_.capacity() >= all_.size() + more.value() ||
           try_reserve(all_, std::max(2 * all_.capacity(), all_.size() + more.value()));
  }
  [[nodiscard]] PageCount count() const { return PageCount(all_.size()); }

 private:
  friend struct Corruptor;  // Tests of mm::check.

  std::vector<Pfn> all_;
};

// A window, in which only UserPages maps anything.
class WindowRegion final : public RegionKind {
 public:
  WindowRegion() : RegionKind(Residence::kMapped) {}
  [[nodiscard]] DefaultRun rights(const Vad& vad, Vpn page) const override;
  [[nodiscard]] Result<PageCount> committed(RegionSpace& space, Processor& cpu, const Vad& vad,
                                            VpnRange pages) const override;
  [[nodiscard]] Result<Protection> shown_protection(RegionSpace& space, Processor& cpu, const Vad& vad,
                                                    Vpn page) const override;
  [[nodiscard]] Result<> may_protect(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                     Protection protection) const override;
  Result<> protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const override;
  void unmap(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const override;
  [[nodiscard]] bool is_forked(const Vad& vad) const override;
};

const WindowRegion& window_region();

// What a program does with frames of its own in one space. NT: NtAllocateUserPhysicalPages and its kin.
class UserPages {
 public:
  explicit UserPages(RegionSpace& space) : space_(space) {}

  // Zeroed, nonpageable frames for the program, charged; fewer than asked for if there are no more.
  // Fails with: kInsufficientResources (none, or no memory to list them).
  Result<std::vector<Pfn>> allocate(Processor& cpu, PageCount count);
  // Frees frames, unmapping them if need be, up to the first that is not the space's: kConflictingAddresses then.
  struct FreeResult {
    PageCount count;
    Status status = Status::kSuccess;
  };
  FreeResult free(Processor& cpu, std::span<const Pfn> frames);
  // Maps frames in a row in a window, in place of what is mapped there. All or nothing.
  // Fails with: kInvalidParameter2 (wild count), kInvalidParameter1 (not inside one AWE window), kInvalidParameter3 (a
  // frame is not the space's), kConflictingAddresses (it is named twice, or mapped elsewhere), kNoMemory, kPending,
  // kInsufficientResources (no memory to list them, or too little may stay in memory for the tables).
  Result<> map(Processor& cpu, VirtualAddress base, std::span<const Pfn> frames);
  Result<> unmap(Processor& cpu, VirtualAddress base, PageCount count);
  // Fails with: kInvalidParameter1 (one is not).
  Result<> are_in_windows(std::span<const VirtualAddress> addresses) const;
  // Each frame at an address of its own, in whatever windows; frame 0, or no frames at all: unmaps. Fails as above, and
  // with kInvalidParameter2 (not as many of both), kInvalidParameter1 (or an address named twice).
  Result<> map_scatter(Processor& cpu, std::span<const VirtualAddress> addresses, std::span<const Pfn> frames);

  // Requires: the space's lock, by whatever name the caller knows it.
  [[nodiscard]] const AweFrames& frames() const PAGODA_NO_THREAD_SAFETY { return frames_; }
  // Frees all frames of a space that ends. Requires: the space's lock; no window is left.
  void free_all() PAGODA_NO_THREAD_SAFETY;

 private:
  friend struct Corruptor;

  struct WindowPage {
    Vpn page;
    Pfn frame;  // 0: none.
    PhysicalAddress pte = PageTables::kNone;
  };
  // Frames that are there to become nonpageable.
  [[nodiscard]] PageCount room() const PAGODA_REQUIRES(space_.core().pfns.lock);
  // As many as can be had, charged.
  PageCount charge(PageCount wanted) PAGODA_REQUIRES(space_.lock);
  void give_back(PageCount pages) PAGODA_REQUIRES(space_.core().pfns.lock);
  Result<> map(Processor& cpu, VirtualAddress base, PageCount count, std::span<const Pfn> frames);
  Result<> may_map(std::span<const WindowPage> pages) PAGODA_REQUIRES(space_.lock);
  Result<bool> have_tables(Processor& cpu, VpnRange pages) PAGODA_REQUIRES(space_.lock);
  Result<> map_pages(Processor& cpu, std::span<WindowPage> pages) PAGODA_REQUIRES(space_.lock);
  // Its steps. Fails with: kNoMemory; some tables may be made then.
  Result<> make_tables(Processor& cpu, std::span<WindowPage> pages) PAGODA_REQUIRES(space_.lock);
  // The tables of the pages that get a frame stay in memory. Fails with: kInsufficientResources, having kept none.
  Result<> keep_tables(std::span<const WindowPage> pages) PAGODA_REQUIRES(space_.lock);
  // Entries that do not map these frames any more.
  void flush(Processor& cpu, std::span<const FlushBatch::Change> unmapped) PAGODA_REQUIRES(space_.lock);
  // The page that a level-1 entry of this space translates.
  [[nodiscard]] Vpn page_of_entry(PhysicalAddress pte) const PAGODA_REQUIRES(space_.lock);

  RegionSpace& space_;
  AweFrames frames_ PAGODA_GUARDED_BY(space_.lock);
};

}  // namespace pagoda::mm
