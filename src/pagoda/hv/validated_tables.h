// The page tables of a paravirtual guest as its hypervisor has validated them, which are what the hardware walks.
//
//   the guest's copy (its memory) ── a change is told ── validate ─┬─ installed: references taken, the walk sees it
//                                                                  └─ refused: the walk finds nothing there
//
// Each guest frame is writable or a table of one level, never both (Xen: PGT_writable, PGT_l1 to PGT_l4). A table is
// there as long as an entry of the level above names it, a processor has it loaded, or it is a pinned root: one that
// was loaded is validated once, and stays so until the guest uses its frame for something else (Xen: MMUEXT_PIN_TABLE).
//
// A valid entry is refused
//   that has a reserved bit set
//   that maps a frame with nothing behind it, or writably one that is a table
//   that names a table in no memory of the guest's own, in a frame mapped writably, or of another level
// The entry alone is refused, not the table around it or the batch: what the guest gets wrong is missing from its own
// address space, and a walk of it is a fault with the bit for reserved bits.
//
// In direct paging the guest's own frame is what the hardware walks. Here the validated entries stand beside it, in the
// guest's format, so that what reaches the frame unseen is in no walk; the walk sets accessed and dirty in both. They
// name the guest's frames: the host pages its guests, and which host frame an entry holds at a time is what the second
// level says of its frame.
//
// Invariants (hv::check):
//   [PV1] A table's links are the installed entries that name it, its loads the processors whose root it is; one with
//         neither is a pinned root.
//   [PV2] A frame's writers are the installed entries that map it writably; a table has none.
//   [PV3] A valid entry names a table of the level below, or maps frames with something behind them.
// Locking: as machine::Processor: the thread that drives the virtual processors.
// Source: Barham et al. 2003 (Xen), 3.3.3: types and counts of frames, validated updates in batches.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "pagoda/base/sparse_array.h"
#include "pagoda/hv/guest_frame.h"
#include "pagoda/hv/partition_counts.h"
#include "pagoda/hv/second_level.h"
#include "pagoda/machine/page_walker.h"

namespace pagoda::hv {

// Entries in a row of one table that the guest says it changed.
struct TableChange {
  Gfn table;
  std::uint16_t first = 0;
  std::uint16_t count = 0;
};

class ValidatedTables final : private machine::GuestFrameAccess {
 public:
  struct Table {
    unsigned level = 1;
    std::uint32_t links = 0;
    std::uint32_t loads = 0;
    bool pinned = false;
    alignas(kPageBytes) std::array<std::byte, kPageBytes> bytes{};

    [[nodiscard]] bool is_needed() const { return links > 0 || loads > 0 || pinned; }
  };

  // All that is named outlives this.
  ValidatedTables(SecondLevel& second_level, const machine::PagingMode& mode, PartitionCounts& counts);
  ValidatedTables(const ValidatedTables&) = delete;
  ValidatedTables& operator=(const ValidatedTables&) = delete;

  // Asked by every store of the guest's kernel.
  [[nodiscard]] bool is_table(Gfn frame) const { return frame.value() < is_table_.size() && is_table_[frame.value()]; }

  // Takes over what the guest's memory says now: first everything that is gone, then what is new, so that the order of
  // the changes in the batch does not matter. Changes of what is no table are passed over. Returns how many entries
  // were validated.
  std::uint64_t apply(const machine::PhysicalView& guest, std::span<const TableChange> changes);
  // The processor loads the root in place of the one before; kNoGfn: none. Returns as `apply`.
  std::uint64_t load_root(const machine::PhysicalView& guest, unsigned processor, Gfn root);
  // The guest uses the frame as data: a root that is loaded nowhere is a table no more.
  void unpin(Gfn frame);
  // The frame reads as zeros from now on.
  void contents_lost(Gfn frame);

  // What the hardware does, with the root that the processor has loaded; accessed and dirty are set in the guest's copy
  // too. The fault has the bit for reserved bits where an entry of the guest's was refused, or its root.
  std::expected<machine::Translation, machine::PageFault> walk(const machine::PhysicalView& guest, unsigned processor,
                                                               VirtualAddress va, machine::Access access,
                                                               machine::Privilege privilege,
                                                               const machine::WalkRules& rules, std::uint64_t& loads);

  // --- For the checker and for tests ---
  [[nodiscard]] const std::map<Gfn, std::unique_ptr<Table>>& all() const { return tables_; }
  [[nodiscard]] const std::vector<Gfn>& roots() const { return roots_; }  // By processor.
  [[nodiscard]] std::uint32_t writers(Gfn frame) const { return writers_[frame.value()]; }
  [[nodiscard]] machine::RawPte entry(Gfn table, std::uint64_t index) const;
  // The frames that the entry of a table of the level maps; none if it names a table.
  [[nodiscard]] std::optional<GfnRange> mapped_by(unsigned level, machine::RawPte raw) const;

 private:
  friend struct ParavirtualCorruptor;

  [[nodiscard]] Table* find(Gfn frame);
  [[nodiscard]] machine::RawPte load(const Table& table, std::uint64_t index) const;
  void store(Table& table, std::uint64_t index, machine::RawPte raw) const;
  [[nodiscard]] machine::RawPte load_guest(const machine::PhysicalView& guest, Gfn table, std::uint64_t index) const;

  // Installs an entry where there is none, with its references, or refuses it.
  void install(const machine::PhysicalView& guest, Gfn frame, std::uint64_t index, machine::RawPte raw);
  [[nodiscard]] bool take_references(const machine::PhysicalView& guest, unsigned level, machine::RawPte raw);
  [[nodiscard]] bool map_frames(GfnRange frames, bool writable);
  // Clears an entry, and gives its references back.
  void drop(Table& table, std::uint64_t index);
  // The table of the level in the frame, made of what the guest's memory says if there is none. Null: it cannot be one.
  Table* table_in(const machine::PhysicalView& guest, Gfn frame, unsigned level);
  // Nothing needs it any more: its entries go, and it is data.
  void remove_unneeded(Gfn frame);

  // machine::GuestFrameAccess: how a walk reads the validated entries.
  std::byte* pin(Pfn frame, machine::Access use, machine::FrameExtent part) override;
  void unpin(Pfn frame, machine::Access use, machine::FrameExtent part) override;
  machine::TlbBytes reach_for_tlb(Pfn frame, machine::Access use, VirtualAddress va, machine::Asid asid) override;

  SecondLevel& second_level_;
  const GpaMap& map_;
  const machine::PagingMode& mode_;
  PartitionCounts& counts_;
  SparseArray<bool> is_table_;          // By frame.
  SparseArray<std::uint32_t> writers_;  // By frame.
  std::map<Gfn, std::unique_ptr<Table>> tables_;
  std::vector<Gfn> roots_;
  std::uint64_t validated_ = 0;
  std::vector<PhysicalAddress> marked_;  // Entries in which a walk set a bit, until the guest's copy has it.
};

}  // namespace pagoda::hv
