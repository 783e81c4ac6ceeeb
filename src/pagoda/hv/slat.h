// The second level of translation: from guest frames to host frames, in the processor's own format (AMD64 nested
// paging, which is the format of its ordinary tables; Intel's EPT differs in bits only).
//
// It is a cache over the host's PTEs of vmmem, which SecondLevel keeps: entries are made when the guest needs them
// ("violation"), carry no right that the host's PTE does not carry, and are cleared when the host says so. Write is
// given only for pages that the host knows to be dirty, so that a first write comes to the host as any other does.
//
// Under shadow paging the same tables are the hypervisor's map from guest frames to host frames (ESX: pmap), which only
// software reads.
//
// Invariants (hv::check):
//   [SL2-1] Every entry leads to the frame that the host's PTE of the backing page leads to, and allows nothing that it
//           forbids; an entry that allows writing has a dirty PTE behind it.
//   [SL2-2] Every table is in use by one entry. A table that became empty stays until `reset`.
// Locking: the lock of vmmem for changes. The hardware reads without. Source: AMD APM vol. 2, 15.25;
// reference/virtualization.md 2.2.
#pragma once

#include <cstdint>
#include <expected>

#include "pagoda/hv/table_frames.h"
#include "pagoda/machine/page_walker.h"

namespace pagoda::hv {

class Slat {
 public:
  // Tables on the way to an entry, at most, besides the root.
  static constexpr PageCount kTablesPerPath{machine::kMaxPagingLevels - 1};
  static constexpr unsigned kLargeLevel = 2;

  // Takes a frame for the root. Both outlive it.
  // Requires: a spare frame.
  Slat(machine::PhysicalView memory, TableFrames& frames);

  [[nodiscard]] Pfn root() const { return root_; }
  // Tables, besides the root, that 4 KB entries for all the frames need.
  [[nodiscard]] static PageCount tables_for(GfnRange frames);
  // Those of them that one frame needs and that do not exist.
  [[nodiscard]] PageCount missing_tables(Gfn guest) const;
  static const machine::PagingMode& mode() { return machine::kAmd64Paging; }

  // What the hardware does: reads `loads` entries more, sets accessed, and dirty for a write. A fault is a violation.
  [[nodiscard]] std::expected<machine::Translation, machine::PageFault> walk(Gfn guest, machine::Access access,
                                                                             std::uint64_t& loads) const {
    return machine::walk(memory_, mode(), root_, address_of(guest), access, machine::Privilege::kUser, {}, loads);
  }

  struct Rights {
    bool write = false;
    bool execute = true;
  };
  // Makes or replaces an entry of 4 KB (level 1), 2 MB (level 2) or 1 GB (level 3), not accessed yet; one that says the
  // same already stays as it is. (A host process has no pages of 1 GB, so no partition asks for level 3.)
  // Requires: both frames multiples of the entry's size, `missing_tables` spare frames.
  enum class FillResult : std::uint8_t { kSame, kNew };
  FillResult fill(Gfn guest, unsigned level, Pfn host, Rights rights);
  // The entry that translates the frame, large or not; 0 if there is none.
  [[nodiscard]] machine::RawPte entry(Gfn guest) const;
  // The host frame that translates it; kNoPfn if there is no entry.
  [[nodiscard]] Pfn frame_of(Gfn guest) const;
  // Clears that entry; which frames it translated, none if there was none.
  GfnRange clear(Gfn guest);
  bool test_and_clear_accessed(Gfn guest);
  // Clears all entries, and gives all tables but the root back.
  void reset();

  // Calls `visit(first guest frame, level, raw)` for every entry that maps memory.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for_each_below(root_, machine::kMaxPagingLevels, 0, visit);
  }

 private:
  static VirtualAddress address_of(Gfn guest) { return VirtualAddress(GuestPhysicalAddress(guest).value()); }
  [[nodiscard]] PhysicalAddress find(Gfn guest, unsigned& level) const;
  void free_below(Pfn table, unsigned level);
  template <class Visit>
  void for_each_below(Pfn table, unsigned level, std::uint64_t base, Visit&& visit) const {
    const std::uint64_t coverage = mode().coverage(level).value();
    for (std::uint64_t index = 0; index < mode().entries(level); ++index) {
      const machine::RawPte raw = memory_.load<std::uint64_t>(PhysicalAddress(table) + ByteCount(index * 8));
      if ((raw & machine::pte_bits::kValid) == 0) continue;
      const std::uint64_t address = base + index * coverage;
      if (level > 1 && (raw & machine::pte_bits::kLarge) == 0) {
        for_each_below(mode().frame(raw), level - 1, address, visit);
      } else {
        visit(GuestPhysicalAddress(address).gfn(), level, raw);
      }
    }
  }

  const machine::PhysicalView memory_;
  TableFrames& frames_;
  const Pfn root_;
};

}  // namespace pagoda::hv
