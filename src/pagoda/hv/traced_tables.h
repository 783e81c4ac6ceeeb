// Which guest frames are page tables that shadow entries derive from, and what derives from them.
//
//   kNone ─ first use ─> kTraced ─ first write, leaf tables only ─> kUnsync ─ INVLPG of all, CR3 load, flush ─> kTraced
//     ^                     │                                         │
//     └──── last use removed, or unshadowed: it is data now ──────────┘
//
// A *use* is one place in one tree that the table translates: the memory from `base` on at `level`. A table may have
// several: of two trees, of two addresses, even of two levels.
//
// The guest cannot write a traced table unseen: no shadow entry and no TLB entry allows it, and what its kernel writes
// through its physical memory asks `is_traced`. An unsync table may be written: what derives from it may be stale as a
// TLB entry may, until the guest invalidates it.
//
// Invariants (hv::check):
//   [SH2] Each use is known to its tree, and each of the tree's guest tables has a use; the use's count is the number
//         of shadow entries in its memory that its level translates. Uses without entries are of unsync tables.
//   [SH3] A table that is unsync has uses of level 1 only.
// Locking: as ShadowMmu, which owns it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "pagoda/base/sparse_array.h"
#include "pagoda/base/units.h"

namespace pagoda::hv {

class ShadowTree;

class TracedTables {
 public:
  enum class State : std::uint8_t { kTraced, kUnsync };
  struct Use {
    ShadowTree* tree = nullptr;
    unsigned level = 1;  // The guest's.
    VirtualAddress base;
    std::uint32_t entries = 0;
  };
  struct Table {
    State state = State::kTraced;
    unsigned writes = 0;  // Since something was derived from it.
    std::vector<Use> uses;

    [[nodiscard]] bool is_leaf() const;  // In all its uses.
    Use* find(const ShadowTree& tree, unsigned level, VirtualAddress base);
  };

  // `end`: one past the highest guest frame that can be written.
  explicit TracedTables(Gfn end) : traced_(end.value()) {}

  // Asked by every write of the guest's kernel.
  [[nodiscard]] bool is_traced(Gfn frame) const { return frame.value() < traced_.size() && traced_[frame.value()]; }

  [[nodiscard]] Table* find(Gfn frame);
  // Makes it a table without uses, traced.
  // Requires: it is none.
  Table& add(Gfn frame);
  void set_state(Gfn frame, State state);
  // It is no table any more.
  // Requires: it has no uses.
  void remove(Gfn frame);

  [[nodiscard]] const std::map<Gfn, Table>& all() const { return tables_; }
  [[nodiscard]] const std::set<Gfn>& unsync() const { return unsync_; }

 private:
  friend struct ShadowCorruptor;

  void flag(Gfn frame, bool traced);

  SparseArray<bool> traced_;  // By frame.
  std::map<Gfn, Table> tables_;
  std::set<Gfn> unsync_;
};

}  // namespace pagoda::hv
