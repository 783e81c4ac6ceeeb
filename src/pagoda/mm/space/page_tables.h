// The page tables of one address space: made on demand, unlinked and freed when their last entry goes.
//
// Each table's PfnEntry counts its entries that are not zero (used_entries, under the space's lock) and, under the PFN
// lock, those that are valid or in transition (share count). NT keeps the first count in MMWSL.UsedPageTableEntries or
// in software PTE bits.
//
// Invariants (mm::check):
//   [PT1] No page table but the root is without entries.
//   [PT2] Entries above level 1 are zero, or point to a page table of this space with the right bits, or, on level 2,
//         map a large page with the rights of its frames; every page-table frame is a root or pointed to once, by its
//         owner.
//   [PT3] A level-1 entry is zero, demand zero, a hole, a slot, or names a frame with the rights of its original PTE.
//   [PT4] Page-table frames are as many as were made and not freed.
// Locking: the lock of the address space; functions that say so take the PFN lock too.
#pragma once

#include <algorithm>
#include <type_traits>

#include "pagoda/base/bounded_vector.h"
#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

// 4 MB on x86, 2 MB on PAE and AMD64.
inline ByteCount large_page_size(const machine::PagingMode& mode) { return mode.coverage(2); }

class PageTables {
 public:
  static constexpr PhysicalAddress kNone{~std::uint64_t{0}};

  PageTables(Core& core, Pfn root) : core_(core), root_(root) {}

  [[nodiscard]] Pfn root() const { return root_; }
  // Where the level-1 entry of the page lies; kNone if its table does not exist.
  [[nodiscard]] PhysicalAddress find(const Processor& cpu, Vpn page) const;
  // That entry; zero, which asks the VAD, if its table does not exist.
  [[nodiscard]] RawPte read(const Processor& cpu, Vpn page) const;
  // The same, making the tables that are missing; all or none: fails with kNoMemory. Takes the PFN lock.
  Result<PhysicalAddress> make(Processor& cpu, Vpn page) { return make_to(cpu, page, 1); }
  // The same for a large page, whose entry stands on level 2.
  [[nodiscard]] PhysicalAddress find_large(const Processor& cpu, Vpn page) const;
  Result<PhysicalAddress> make_large(Processor& cpu, Vpn page) { return make_to(cpu, page, kLargeLevel); }
  static constexpr unsigned kLargeLevel = 2;
  static bool is_large(RawPte raw, unsigned level) {
    return level == kLargeLevel && PteCodec::is_valid(raw) && (raw & machine::pte_bits::kLarge) != 0;
  }

  // Replaces an entry and keeps the use count of its table.
  void store(const Processor& cpu, PhysicalAddress pte, RawPte value);
  // Replaces an entry that is not zero by another that is not: the use count stays.
  void replace(const Processor& cpu, PhysicalAddress pte, RawPte value) {
    machine::store_entry(cpu.physical(), core_.mode, pte, value);
  }
  // Takes the tables of the page that became empty out of those above them, from the bottom up, and adds them to
  // `unlinked`. Processors may remember the way through them: their frames are free after the next shoot-down
  // (FlushBatch::unlink_tables).
  // Requires: room for kMaxPagingLevels.
  void unlink_if_empty(const Processor& cpu, Vpn page, BoundedVector<Pfn>& unlinked);

  // Calls `visit(page, pte, raw)` for every level-1 entry of the range whose table exists, in order; skips what is
  // missing, large pages too, in large steps. After each table `leave(page of it)` is called, which may unlink it. A
  // `visit` that returns a bool ends the walk with false: it knows its answer.
  template <class Visit, class Leave>
  void for_each(const Processor& cpu, VpnRange pages, Visit&& visit, Leave&& leave) const {
    Vpn page = pages.first;
    while (page < pages.end()) {
      const Place at = locate(cpu, page);
      const Vpn stop = std::min(at.next, pages.end());
      if (at.pte != kNone) {
        PhysicalAddress pte = at.pte;
        for (; page < stop; ++page, pte += ByteCount(core_.mode.entry_bytes)) {
          if (!goes_on(visit, page, pte, core_.load(cpu, pte))) return;
        }
        leave(Vpn(stop.value() - 1));
      }
      page = stop;
    }
  }
  template <class Visit>
  void for_each(const Processor& cpu, VpnRange pages, Visit&& visit) const {
    for_each(cpu, pages, visit, [](Vpn) {});
  }

  // Visits an entry. Whether the walk goes on.
  template <class Visit>
  static bool goes_on(Visit& visit, Vpn page, PhysicalAddress pte, RawPte raw) {
    if constexpr (std::is_same_v<std::invoke_result_t<Visit&, Vpn, PhysicalAddress, RawPte>, bool>) {
      return visit(page, pte, raw);
    } else {
      visit(page, pte, raw);
      return true;
    }
  }

  // Page tables that a range would need at most, by level, besides the root: what its VAD is charged.
  [[nodiscard]] PageCount table_number(Vpn page, unsigned level) const {
    return PageCount(page.value() >> (core_.mode.level[level + 1].shift - kPageShift));
  }

 private:
  Result<PhysicalAddress> make_to(Processor& cpu, Vpn page, unsigned lowest);

  struct Place {
    PhysicalAddress pte;  // kNone: a table is missing, or a large page stands in its place.
    Vpn next;             // The first page that the same answer does not cover.
  };
  [[nodiscard]] Place locate(const Processor& cpu, Vpn page) const;

  Core& core_;
  Pfn root_;
};

}  // namespace pagoda::mm
