// The VADs of one address space: an AVL tree by page number, with a hint for the last one found.
//
// Each node knows the gap before it: the free pages from the end of the VAD before, rounded up to 64 KB (where an
// allocation may begin), to its own first page. It also knows the largest gap on either side below it. So first-fit
// placement, upward or downward, is O(log n) like everything else here; with an alignment above 64 KB, it tries every
// gap that is long enough until one holds the range aligned. Ranges need not begin or end on 64 KB borders: a partial
// release leaves what it leaves.
//
// Invariants (check; ids in brackets):
//   [VT1] Ranges are not empty, ascend in order and do not overlap.
//   [VT2] Heights of siblings differ by at most one, and the balance of each node says by how much.
//   [VT3] The gap before each VAD and the largest gaps on its two sides are what the ranges say.
//   [VT4] Parent links, the count, the last VAD, the hint and the list of free nodes agree with the tree.
//   [VT5] The pages of all VADs are counted.
// Locking: the lock of the address space, throughout.
// Source: reference/nt.md 5 (AVL tree with hint; first fit in 64 KB steps). Gaps in the nodes are Pagoda's: NT walks
// the tree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/mm/space/vad.h"

namespace pagoda::mm {

// From which end of the address space a gap is looked for. NT: MEM_TOP_DOWN.
enum class Direction : std::uint8_t { kBottomUp, kTopDown };

class VadTree {
 public:
  VadTree() = default;
  VadTree(const VadTree&) = delete;
  VadTree& operator=(const VadTree&) = delete;

  // The VAD that contains the page, or null. Remembers it: the next page is often in the same one.
  Vad* find(Vpn page) {
    if (hint_ != nullptr && hint_->range.contains(page)) return hint_;
    return find_slowly(page);
  }
  // The first VAD that ends after `page`, or null: the first candidate to overlap a range that begins there.
  [[nodiscard]] Vad* first_ending_after(Vpn page) const;
  [[nodiscard]] Vad* first() const;
  [[nodiscard]] Vad* last() const { return last_; }
  [[nodiscard]] static Vad* next(const Vad* vad);
  [[nodiscard]] static Vad* previous(const Vad* vad);
  [[nodiscard]] bool overlaps(VpnRange range) const;

  // Adds a range that is not empty and overlaps none. The reference stays good until `erase`.
  Vad& insert(const Vad& vad);
  void erase(Vad& vad);
  // Changes an end of a VAD in place: the new range is inside the old one and not empty.
  void shrink(Vad& vad, VpnRange range);

  // Free space: the lowest (highest) start of `size` free pages inside `limits`, on a multiple of `alignment` pages,
  // which is a power of two of at least 16 (64 KB). Nothing: kNoVpn.
  static constexpr Vpn kNoVpn{~std::uint64_t{0}};
  [[nodiscard]] Vpn find_lowest(PageCount size, VpnRange limits, PageCount alignment) const;
  [[nodiscard]] Vpn find_highest(PageCount size, VpnRange limits, PageCount alignment) const;
  [[nodiscard]] Vpn find_gap(Direction direction, PageCount size, VpnRange limits, PageCount alignment) const {
    if (size > limits.count) return kNoVpn;
    return direction == Direction::kBottomUp ? find_lowest(size, limits, alignment)
                                             : find_highest(size, limits, alignment);
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] PageCount pages() const { return pages_; }  // Of all VADs.
  // Calls `finding(rule id, text)` for every invariant that does not hold. Ends on any tree, also one whose links run
  // in circles.
  void check(const std::function<void(const char*, const std::string&)>& finding) const;

 private:
  friend struct VadTreePeer;
  friend struct Corruptor;  // Tests of mm::check.
  struct Checker;

  Vad* find_slowly(Vpn page);
  // `visited` counts the nodes that were looked at, for tests of the cost; null: not counted.
  Vpn search_up(PageCount size, VpnRange limits, PageCount alignment, std::size_t* visited) const;
  Vpn search_down(PageCount size, VpnRange limits, PageCount alignment, std::size_t* visited) const;

  Vad& allocate(const Vad& vad);
  void add_block();
  // Puts `by` (or nothing) where `node` hangs below its parent or the root.
  void replace(const Vad& node, Vad* by);
  // Carries the gaps of `node` up the tree, at least past `through` (null: nothing), until nothing changes.
  static void refresh_gaps(const Vad* node, const Vad* through);
  void rotate(Vad& top, unsigned down);  // `top` becomes the child on the side `down` of its other child.
  Vad& rebalance(Vad& top);              // Balance is -2 or +2; gives the new top.
  void rebalance_after_insert(Vad& leaf);
  void rebalance_after_erase(Vad* above, unsigned side);

  Vad* root_ = nullptr;
  Vad* last_ = nullptr;  // The VAD of the highest address.
  Vad* hint_ = nullptr;
  std::size_t size_ = 0;
  PageCount pages_;

  // Where nodes live; never moved, and not given back before the end. Those that were never used lie at the end of the
  // last block.
  struct FreeBlock {
    void operator()(Vad* nodes) const { std::free(nodes); }
  };
  std::vector<std::unique_ptr<Vad, FreeBlock>> blocks_;
  std::size_t capacity_ = 0;  // Nodes of all blocks.
  Vad* unused_ = nullptr;
  std::size_t unused_count_ = 0;
  Vad* free_ = nullptr;  // Nodes to use again, linked by parent_.
};

}  // namespace pagoda::mm
