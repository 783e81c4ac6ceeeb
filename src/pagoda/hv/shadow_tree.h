// The shadow tables of one guest root: real AMD64 tables in host frames, from the guest's virtual addresses straight to
// host frames, which the hardware walks.
//
//   ShadowRole (guest root, rules of the walk) -> tree: 4 levels, whatever mode the guest runs in
//
// The guest of a 32-bit mode uses the lowest 4 GB. Entries map 4 KB each, also where the guest's page is larger: they
// say of what level it was, since an invalidation of a large page is one of all of it. Beside each entry is stored the
// guest frame that it leads to (KVM: gfns), and for each of the guest's tables that entries derive from, which it is.
//
// Invariants (hv::check):
//   [SH1] The count of each table is the number of its entries in use; none but the root is empty.
// Locking: as ShadowMmu, which owns it. Source: reference/virtualization.md 2.1.
#pragma once

#include <array>
#include <compare>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "pagoda/hv/table_frames.h"
#include "pagoda/machine/page_walker.h"

namespace pagoda::hv {

// What one tree stands for. Other rules give the same tables another meaning (KVM: a role).
struct ShadowRole {
  Gfn root;
  bool write_protect = true;
  bool no_execute = true;

  friend constexpr auto operator<=>(const ShadowRole&, const ShadowRole&) = default;
};

class ShadowTree {
 public:
  // One entry.
  struct Leaf {
    Pfn host;
    Gfn guest;
    unsigned guest_level = 1;  // The level of the guest's entry that it derives from.
    bool writable = false;
    bool user = false;
    bool executable = false;
    bool global = false;
    bool cache_disable = false;
    bool write_through = false;
    bool accessed = false;  // By the hardware, through this entry.
  };
  static constexpr PageCount kTablesPerPath{machine::kMaxPagingLevels - 1};  // Besides the root.

  // Takes a frame for the root. Both outlive it.
  // Requires: a spare frame.
  ShadowTree(machine::PhysicalView memory, TableFrames& frames, const ShadowRole& role);
  ShadowTree(const ShadowTree&) = delete;
  ShadowTree& operator=(const ShadowTree&) = delete;

  [[nodiscard]] const ShadowRole& role() const { return role_; }
  [[nodiscard]] Pfn root() const { return root_; }
  [[nodiscard]] PageCount table_count() const { return PageCount(tables_.size()); }
  static const machine::PagingMode& mode() { return machine::kAmd64Paging; }

  // What the hardware does, whose rules are its own: reads `loads` entries more, sets accessed. Null: an exit. The
  // translation is the guest's, but for where its entry lies.
  [[nodiscard]] std::optional<machine::Translation> walk(VirtualAddress va, machine::Access access,
                                                         machine::Privilege privilege, std::uint64_t& loads) const;
  [[nodiscard]] std::optional<Leaf> find(VirtualAddress va) const;

  // Tables that an entry for the address would need.
  [[nodiscard]] PageCount missing_tables(VirtualAddress va) const;
  // Makes or replaces an entry.
  // Requires: `missing_tables` spare frames.
  void install(VirtualAddress va, const Leaf& leaf);
  // Clears an entry, and gives back tables that become empty.
  void clear(VirtualAddress va);
  // Removes the right to write.
  void write_protect(VirtualAddress va);
  bool test_and_clear_accessed(VirtualAddress va);
  // Gives all tables back, the root too. The tree ends with it.
  void release();

  // Whether some page of the guest that is mapped by an entry of the level has an entry.
  [[nodiscard]] bool has_large(unsigned level) const { return entries_of_level_[level] > 0; }
  [[nodiscard]] bool has_global() const { return global_entries_ > 0; }
  // The addresses of the entries in the aligned power of two of memory from `base` on, in order.
  [[nodiscard]] std::vector<VirtualAddress> addresses(VirtualAddress base, ByteCount bytes) const;
  [[nodiscard]] std::vector<VirtualAddress> addresses() const;

  // Address-space tags under which the root was loaded. Returns whether the tag is new.
  bool loaded_under(machine::Asid asid);
  [[nodiscard]] bool was_loaded_under(machine::Asid asid) const;
  [[nodiscard]] std::span<const machine::Asid> tags() const { return asids_; }

  // Which guest frame holds the guest's table that translates the memory from `base` on at the level; by level and
  // base. TracedTables knows what derives from it.
  using Key = std::pair<std::uint64_t, unsigned>;  // Base and level.
  [[nodiscard]] std::map<Key, Gfn>& guest_tables() { return guest_tables_; }
  [[nodiscard]] const std::map<Key, Gfn>& guest_tables() const { return guest_tables_; }

  // For the checker.
  struct Table {
    std::uint16_t used = 0;
    // The guest frame of each entry of a level-1 table.
    std::unique_ptr<std::array<Gfn, machine::kEntriesPerTable>> guests;
  };
  [[nodiscard]] const std::map<Pfn, Table>& tables() const { return tables_; }

  std::uint64_t last_use = 0;  // By the owner's count of uses.

 private:
  friend struct ShadowCorruptor;

  struct Place {
    PhysicalAddress at;
    machine::RawPte raw = 0;
  };
  // The level-1 entry that translates the address; nothing if a table is missing.
  [[nodiscard]] std::optional<Place> place(VirtualAddress va) const;
  void collect(Pfn table, unsigned level, std::uint64_t base, std::uint64_t first, std::uint64_t end,
               std::vector<VirtualAddress>& found) const;
  void count(machine::RawPte raw, int change);
  [[nodiscard]] Leaf decode(const Place& place) const;

  const machine::PhysicalView memory_;
  TableFrames& frames_;
  const ShadowRole role_;
  const Pfn root_;
  std::map<Pfn, Table> tables_;  // By host frame, the root too.
  std::map<Key, Gfn> guest_tables_;
  std::vector<machine::Asid> asids_;                                             // Sorted.
  std::array<std::uint64_t, machine::kMaxPagingLevels + 1> entries_of_level_{};  // By the guest's level.
  std::uint64_t global_entries_ = 0;
};

}  // namespace pagoda::hv
