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
//   [PT4] Page-table frames are as many as were made and not freed, and not paged out and in again.
//   [PT5] A table that is out has no entry that is valid, in transition or in the compression store, and as many that are
//         not zero as its use count says.
//   [PT6] The page tables of spaces, roots aside, that have no such entry are as many as are counted.
// A table whose entries are neither valid nor in transition can leave memory as a page does (ws/table_trim.h); its entry
// above is then in transition or page-file form, and it is *out*. What walks says so, and who needs the entries brings
// the table in (space/table_in.h) and walks again. Its use count lies in that entry, or on x86 and PAE, whose entries
// have no room, in an array here. A root stays, and so do the four page directories of PAE.
//
// Locking: the lock of the address space; functions that say so take the PFN lock too.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "pagoda/base/bounded_vector.h"
#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/backing/entries_in.h"

namespace pagoda::mm {

// 4 MB on x86, 2 MB on PAE and AMD64.
inline ByteCount large_page_size(const machine::PagingMode& mode) { return mode.coverage(2); }

class PageTables {
 public:
  static constexpr PhysicalAddress kNone{~std::uint64_t{0}};

  PageTables(Core& core, Pfn root);

  [[nodiscard]] Pfn root() const { return root_; }
  // Where the level-1 entry of the page lies; kNone if its table does not exist, or is out.
  [[nodiscard]] PhysicalAddress find(const Processor& cpu, Vpn page) const;
  // That entry; zero, which asks the VAD, if its table does not exist. Requires: it is not out.
  [[nodiscard]] RawPte read(const Processor& cpu, Vpn page) const;
  // The same, making the tables that are missing; all or none: fails with kNoMemory. Takes the PFN lock. Requires: none
  // is out.
  Result<PhysicalAddress> make(Processor& cpu, Vpn page) { return make_to(cpu, page, 1); }
  // The same for a large page, whose entry stands on level 2.
  [[nodiscard]] PhysicalAddress find_large(const Processor& cpu, Vpn page) const;
  Result<PhysicalAddress> make_large(Processor& cpu, Vpn page) { return make_to(cpu, page, kLargeLevel); }
  static constexpr unsigned kLargeLevel = 2;
  static bool is_large(RawPte raw, unsigned level) {
    return level == kLargeLevel && PteCodec::is_valid(raw) && (raw & machine::pte_bits::kLarge) != 0;
  }

  // --- Tables that are out ---
  // The entry above the table that is out on the way to the page's entry of the level, and its level; kNone: none is.
  struct Out {
    PhysicalAddress entry = kNone;
    unsigned level = 0;

    [[nodiscard]] bool any() const { return entry != kNone; }
  };
  [[nodiscard]] Out find_out(const Processor& cpu, Vpn page, unsigned lowest = 1) const;
  // Whether tables of the level may be out.
  [[nodiscard]] bool are_pageable(unsigned level) const {
    return level < core_.mode.levels && (core_.mode.format != machine::PteFormat::kPae || level == 1);
  }
  // The entry above a table that goes out, demand zero with the use count; and that count again, of the entry, or the
  // original PTE, that says where the table is. `page`: any that it maps.
  [[nodiscard]] RawPte going_out(Vpn page, std::uint32_t used);
  [[nodiscard]] std::uint32_t use_count(Vpn page, RawPte out) const;
  // Where the next trim of tables begins (ws/table_trim.h).
  [[nodiscard]] Vpn trim_hand() const { return trim_hand_; }
  void set_trim_hand(Vpn page) { trim_hand_ = page; }
  // The page's level-1 entry, as `read` has it; nothing: its table is out.
  [[nodiscard]] std::optional<RawPte> read_if_in(const Processor& cpu, Vpn page) const;
  // The page's level-1 entry wherever its table is, for looks and checks: brings nothing in, takes no time. Zero also
  // where a medium does not give the bytes. Requires: the PFN lock.
  [[nodiscard]] RawPte peek(const Processor& cpu, Vpn page) const;
  // The same for each page of the range whose table exists: `visit(page, raw)`.
  template <class Visit>
  void peek_each(const Processor& cpu, VpnRange pages, Visit&& visit) const {
    for (Vpn page = pages.first; page < pages.end();) {
      page = for_each(cpu, {page, pages.end() - page}, [&](Vpn at, PhysicalAddress, RawPte raw) { visit(at, raw); });
      if (page == pages.end()) return;
      std::array<std::byte, kPageBytes> bytes{};
      const bool there = peek_out(cpu, page, bytes);
      do {
        if (there) visit(page, entry_of(bytes, page, 1));
        ++page;
      } while (page < pages.end() && core_.mode.index(VirtualAddress(page), 1) != 0);
    }
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
  // `visit` that returns a bool ends the walk with false: it knows its answer. Returns the first page whose table is out,
  // before which the walk stopped; the end of the range if it did not. (AddressSpace::for_each_entry goes on.)
  template <class Visit, class Leave>
  [[nodiscard]] Vpn for_each(const Processor& cpu, VpnRange pages, Visit&& visit, Leave&& leave) const {
    Vpn page = pages.first;
    while (page < pages.end()) {
      const Place at = locate(cpu, page);
      const Vpn stop = std::min(at.next, pages.end());
      if (at.pte != kNone) {
        PhysicalAddress pte = at.pte;
        for (; page < stop; ++page, pte += ByteCount(core_.mode.entry_bytes)) {
          if (!goes_on(visit, page, pte, core_.load(cpu, pte))) return pages.end();
        }
        leave(Vpn(stop.value() - 1));
      } else if (at.is_out) {
        return page;
      }
      page = stop;
    }
    return page;
  }
  template <class Visit>
  [[nodiscard]] Vpn for_each(const Processor& cpu, VpnRange pages, Visit&& visit) const {
    return for_each(cpu, pages, visit, [](Vpn) {});
  }
  // The same of what is in memory: pages whose table is out have no resident entry.
  template <class Visit>
  void for_each_in_memory(const Processor& cpu, VpnRange pages, Visit&& visit) const {
    const std::uint64_t entries = core_.mode.entries(1);
    for (Vpn page = pages.first; page < pages.end();) {
      page = for_each(cpu, {page, pages.end() - page}, visit);
      if (page < pages.end()) page = Vpn((page.value() / entries + 1) * entries);
    }
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
  // The page's entry of the level in a table's bytes.
  [[nodiscard]] RawPte entry_of(std::span<const std::byte, kPageBytes> bytes, Vpn page, unsigned level) const;
  // The bytes of the page's level-1 table, which is out. False: there is none, or a medium does not give them.
  [[nodiscard]] bool peek_out(const Processor& cpu, Vpn page, Backing::Page bytes) const;
  Result<PhysicalAddress> make_to(Processor& cpu, Vpn page, unsigned lowest);

  struct Place {
    PhysicalAddress pte;  // kNone: a table is missing, or a large page stands in its place.
    Vpn next;             // The first page that the same answer does not cover.
    bool is_out = false;  // The table is not missing.
  };
  [[nodiscard]] Place locate(const Processor& cpu, Vpn page) const;

  Core& core_;
  Pfn root_;
  Vpn trim_hand_;
  std::vector<std::uint16_t> use_counts_;  // Of level-1 tables that are out, by their number: x86 and PAE.
};

}  // namespace pagoda::mm
