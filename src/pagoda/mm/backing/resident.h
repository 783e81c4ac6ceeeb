// Resident available: how many frames may still be given to what must stay in memory. NT: MmResidentAvailablePages.
//
// Beside commit, which says that there is a place for everything that was promised, it says that enough of the frames
// can change hands: whoever makes something unpageable charges first, is refused if too little is left, and gives back
// when it can leave memory again. At the start the limit is the machine's frames without Core::kept_pageable: frame 0,
// what is promised to nobody, and a fault's reserve. That many are enough for any fault, one after the other.
//
//   what must stay                     charged by                          for as long as
//   a page locked in a working set     AddressSpace::lock_page, once a     a lock of either kind stands
//                                      space, however often it is locked
//   a frame of a large page            map_large_region, take_large_page   the region, or the section, is there
//   an AWE frame                       UserPages::allocate                 the program owns it
//   a driver's frame                   DriverFrames::allocate              the driver holds it
//   second-level and shadow tables     the same: AWE frames of vmmem       hv::TableFrames owns them, spare or in use
//   a root; PAE: its directories too   MemoryManager::create_space         the space is there
//   tables on the way to any of those  backing/kept.h                      they lead to one: each is charged once
//   pages of their prototype PTEs      the same                            the same
//
// Not charged: frames of transfers and pins (a few for each processor, for as long as one operation takes: the reserve has
// them); pool tables (pfn/prototype_pages.h: one for as many pages of prototype PTEs as a table has entries, so that the
// reserve has those, too); the compression store's (compression_store.h says how it keeps what was promised); other page tables and pages
// of prototype PTEs, which follow what they map out of memory (but for those with entries of device frames, which no
// trim takes: region/device_frames.h); working sets' minimums. NT charges those when a process begins, since it does not
// trim below them; here a shortage does, so that a minimum says who gives pages up first, and how many may be locked. A
// minimum that could not be locked is refused (ProcessSpace::set_limits). There are no kernel stacks and no nonpaged pool.
//
// Invariants (mm::check):
//   [RA1] The charge is what frames, locks and spaces say, and the limit is the machine's.
//   [RA2] The `kept_entries` of a page table, or of a page of prototype PTEs, are those of its entries that lead to what
//         must stay, or to a table of which the same is true; it is charged to commit for that only while there are any.
// Locking: none; the counts are atomic. Source: reference/nt.md section 9, nt-kernel-facts.md ("Lock limit").
#pragma once

#include <atomic>
#include <cstdint>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"

namespace pagoda::mm {

class ResidentLedger {
 public:
  explicit ResidentLedger(PageCount limit) : limit_(limit) {}

  // Fails with: kInsufficientResources, having charged nothing.
  Result<> charge(PageCount pages);
  void give_back(PageCount pages);

  [[nodiscard]] PageCount limit() const { return limit_; }
  [[nodiscard]] PageCount charged() const { return PageCount(charged_.load(std::memory_order_relaxed)); }
  [[nodiscard]] PageCount available() const { return limit_ - charged(); }
  [[nodiscard]] PageCount peak() const { return PageCount(peak_.load(std::memory_order_relaxed)); }
  [[nodiscard]] std::uint64_t refusals() const { return refusals_.load(std::memory_order_relaxed); }

 private:
  friend struct Corruptor;

  const PageCount limit_;
  std::atomic<std::uint64_t> charged_ = 0;
  std::atomic<std::uint64_t> peak_ = 0;
  std::atomic<std::uint64_t> refusals_ = 0;
};

}  // namespace pagoda::mm
