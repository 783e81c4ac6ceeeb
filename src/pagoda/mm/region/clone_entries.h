// What a fork does with the entries of a region: every page is shared until one of the two spaces writes.
//
//   before   parent PTE ── private page
//   after    parent PTE ─┬─> clone entry (a prototype PTE, counted twice) ── the same page
//            child PTE  ─┘
//
// A private page, in memory or in a paging file, moves into a clone entry, writable becomes write-copy, and both PTEs
// lead there: the parent's stays valid if it was. An entry that leads to a clone entry already, from a fork before, is
// counted once more. Pages of views that have no copy stay shared through their section. An entry without a page (demand
// zero, holes, guards on nothing) is copied as it is. The pages' contents are not touched.
//
// After a failed fork the pages that were moved stay moved: only the parent refers to them, and it reads the same.
// Source: reference/nt.md section 5, "Fork".
#pragma once

#include <cstdint>

#include "pagoda/base/status.h"
#include "pagoda/mm/region/region_space.h"

namespace pagoda::mm {

// Hands out clone entries, from pages in which some are free, and charges the pages that it has to make.
class CloneEntries {
 public:
  CloneEntries(Core& core, Processor& cpu) : core_(core), cpu_(cpu) {}

  // The caller references it before it asks for the next. Requires: the PFN lock. Fails with: kNoMemory,
  // kCommitmentLimit, kInsufficientResources.
  Result<VirtualAddress> next();

 private:
  Core& core_;
  Processor& cpu_;
};

// Where a page is that has moved into a clone entry.
struct ClonedPage {
  VirtualAddress prototype;
  Protection protection = Protection::kNone;  // What all spaces that share it allow.
};
enum class Locked : std::uint8_t { kNo, kYes };
// Moves the page of a valid entry, which is private, into a clone entry that so many PTEs name; the caller sets them. The
// page of entries of one that is locked stays. Requires: the caller takes Write away from the PTE and the TLBs
// before anybody relies on the contents. Fails with: as `CloneEntries::next`.
Result<ClonedPage> move_mapped(Core& core, const Processor& cpu, RawPte raw, Locked locked, std::uint32_t references,
                               CloneEntries& entries) PAGODA_REQUIRES(core.pfns.lock);

// Fills the child's entries of the range, which are zero, from the parent's. Device frames stay unmapped in the child,
// which finds them by its region. Fails with: kNoMemory, kCommitmentLimit, kInsufficientResources (more forks than an
// entry can count).
Result<> clone_entries(RegionSpace& child, RegionSpace& parent, Processor& cpu, VpnRange pages, CloneEntries& entries)
    PAGODA_REQUIRES(child.lock, parent.lock);

}  // namespace pagoda::mm
