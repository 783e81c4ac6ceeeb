#include "pagoda/mm/space/vad_tree.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <new>

namespace pagoda::mm {

namespace {

constexpr unsigned kLower = 0;
constexpr unsigned kUpper = 1;
constexpr std::uint64_t kGranularity = kAllocationGranularity / kPageBytes;  // Pages.
// Gaps have 56 bits; no address space has pages with higher numbers.
constexpr Vpn kEndOfPages{std::uint64_t{1} << (64 - kPageShift)};

// Nodes are allocated in blocks that double the tree, up to one large page of the host: in a big tree most of a look-up
// is TLB and cache misses (measured on an EPYC guest among 10^6 VADs: with large pages it takes a quarter less).
constexpr std::size_t kLargePageBytes = 2 * 1024 * 1024;
constexpr std::size_t kFirstBlock = 16;  // Nodes.
constexpr std::size_t kLargeBlock = kLargePageBytes / sizeof(Vad);

constexpr std::uint64_t align_up(std::uint64_t page, std::uint64_t alignment) {
  return (page + alignment - 1) & ~(alignment - 1);
}
constexpr std::uint64_t align_down(std::uint64_t page, std::uint64_t alignment) { return page & ~(alignment - 1); }

// Free pages from `lower`, rounded up to 64 KB, to `upper`.
constexpr std::uint64_t gap_between(std::uint64_t lower, std::uint64_t upper) {
  const std::uint64_t begin = align_up(lower, kGranularity);
  return upper > begin ? upper - begin : 0;
}

constexpr int sign_of(unsigned side) { return side == kUpper ? 1 : -1; }

}  // namespace

// --- Looking up ---

Vad* VadTree::find_slowly(Vpn page) {
  Vad* best = nullptr;  // The last VAD that begins at or before the page. Found without a branch that depends on data.
  for (Vad* node = root_; node != nullptr;) {
    const bool up = node->range.first <= page;
    best = up ? node : best;
    node = node->child_[up ? kUpper : kLower];
  }
  if (best == nullptr || best->range.end() <= page) return nullptr;
  return hint_ = best;
}

Vad* VadTree::first_ending_after(Vpn page) const {
  Vad* best = nullptr;
  for (Vad* node = root_; node != nullptr;) {
    const bool down = node->range.end() > page;
    best = down ? node : best;
    node = node->child_[down ? kLower : kUpper];
  }
  return best;
}

Vad* VadTree::first() const {
  Vad* node = root_;
  while (node != nullptr && node->child_[kLower] != nullptr) node = node->child_[kLower];
  return node;
}

namespace {

// The neighbour of `node` on a side: the nearest node below it on that side, else the first ancestor that lies there.
template <class Child, class Parent>
Vad* neighbour(const Vad* node, unsigned side, Child child, Parent parent) {
  if (Vad* below = child(node, side); below != nullptr) {
    while (child(below, 1 - side) != nullptr) below = child(below, 1 - side);
    return below;
  }
  Vad* above = parent(node);
  while (above != nullptr && child(above, side) == node) {
    node = above;
    above = parent(node);
  }
  return above;
}

}  // namespace

Vad* VadTree::next(const Vad* vad) {
  return neighbour(
      vad, kUpper, [](const Vad* n, unsigned side) { return n->child_[side]; },
      [](const Vad* n) { return n->parent_; });
}

Vad* VadTree::previous(const Vad* vad) {
  return neighbour(
      vad, kLower, [](const Vad* n, unsigned side) { return n->child_[side]; },
      [](const Vad* n) { return n->parent_; });
}

bool VadTree::overlaps(VpnRange range) const {
  if (range.empty()) return false;
  const Vad* vad = first_ending_after(range.first);
  return vad != nullptr && vad->range.first < range.end();
}

// --- Changing ---

Vad& VadTree::insert(const Vad& vad) {
  PAGODA_CHECK(!vad.range.empty());
  PAGODA_CHECK_LE(vad.range.end(), kEndOfPages);
  Vad* parent = nullptr;
  unsigned side = kLower;
  std::array<Vad*, 2> around{};  // The VADs before and after.
  for (Vad* node = root_; node != nullptr; node = node->child_[side]) {
    parent = node;
    side = node->range.first < vad.range.first ? kUpper : kLower;
    around[1 - side] = node;
  }
  Vad* const before = around[kLower];
  Vad* const after = around[kUpper];
  PAGODA_CHECK(before == nullptr || before->range.end() <= vad.range.first);
  PAGODA_CHECK(after == nullptr || vad.range.end() <= after->range.first);

  Vad& node = allocate(vad);
  node.parent_ = parent;
  (parent == nullptr ? root_ : parent->child_[side]) = &node;
  ++size_;
  pages_ += vad.range.count;
  node.set_gap(gap_between(before == nullptr ? 0 : before->range.end().value(), node.range.first.value()));
  if (after == nullptr) {
    last_ = &node;
  } else {
    after->set_gap(gap_between(node.range.end().value(), after->range.first.value()));
  }
  refresh_gaps(&node, after);
  rebalance_after_insert(node);
  return node;
}

void VadTree::erase(Vad& vad) {
  Vad* const after = next(&vad);
  if (hint_ == &vad) hint_ = nullptr;
  if (last_ == &vad) last_ = previous(&vad);
  if (after != nullptr) {
    // `gap()` leads back to the end of the VAD before: exactly, or to within the same 64 KB if it is 0.
    after->set_gap(gap_between(vad.range.first.value() - vad.gap(), after->range.first.value()));
  }

  // The lowest place whose subtree lost height, and the side that did.
  Vad* above = vad.parent_;
  unsigned side = above != nullptr && above->child_[kUpper] == &vad ? kUpper : kLower;
  if (vad.child_[kLower] != nullptr && vad.child_[kUpper] != nullptr) {
    // `after` is the lowest node of the upper side; it takes this node's place.
    PAGODA_CHECK(after != nullptr);
    if (after->parent_ == &vad) {
      above = after;
      side = kUpper;
    } else {
      above = after->parent_;
      side = kLower;
      replace(*after, after->child_[kUpper]);
      above->side_gap_[kLower] = after->side_gap_[kUpper];
      after->child_[kUpper] = vad.child_[kUpper];
      after->child_[kUpper]->parent_ = after;
      after->side_gap_[kUpper] = vad.side_gap_[kUpper];  // Refreshed below.
    }
    after->child_[kLower] = vad.child_[kLower];
    after->child_[kLower]->parent_ = after;
    after->side_gap_[kLower] = vad.side_gap_[kLower];
    after->set_balance(vad.balance());
    replace(vad, after);
    refresh_gaps(above, after);
  } else {
    Vad* const below = vad.child_[kLower] != nullptr ? vad.child_[kLower] : vad.child_[kUpper];
    replace(vad, below);
    if (above != nullptr && below == nullptr) above->side_gap_[side] = 0;
    // `after` is `below` itself or lies above.
    refresh_gaps(below != nullptr ? below : above, after);
  }
  rebalance_after_erase(above, side);
  --size_;
  pages_ -= vad.range.count;
  vad.parent_ = free_;
  free_ = &vad;
}

void VadTree::shrink(Vad& vad, VpnRange range) {
  PAGODA_CHECK(!range.empty() && range.first >= vad.range.first && range.end() <= vad.range.end());
  vad.set_gap(gap_between(vad.range.first.value() - vad.gap(), range.first.value()));
  pages_ -= vad.range.count - range.count;
  vad.range = range;
  refresh_gaps(&vad, nullptr);
  if (Vad* after = next(&vad); after != nullptr) {
    after->set_gap(gap_between(range.end().value(), after->range.first.value()));
    refresh_gaps(after, nullptr);
  }
}

Vad& VadTree::allocate(const Vad& vad) {
  Vad* node = free_;
  if (node != nullptr) {
    free_ = node->parent_;
    *node = vad;
  } else {
    if (unused_count_ == 0) add_block();
    --unused_count_;
    node = std::construct_at(unused_++, vad);
  }
  node->set_balance(0);
  node->side_gap_ = {};
  node->child_ = {};
  return *node;
}

void VadTree::add_block() {
  const std::size_t count = std::clamp(capacity_, kFirstBlock, kLargeBlock);
  const bool large = count == kLargeBlock;
  void* const memory = std::aligned_alloc(large ? kLargePageBytes : alignof(Vad), count * sizeof(Vad));
  if (memory == nullptr) throw std::bad_alloc();
  if (large) madvise(memory, count * sizeof(Vad), MADV_HUGEPAGE);
  unused_ = static_cast<Vad*>(memory);
  unused_count_ = count;
  capacity_ += count;
  blocks_.emplace_back(unused_);
}

void VadTree::replace(const Vad& node, Vad* by) {
  Vad* const parent = node.parent_;
  if (parent == nullptr) {
    root_ = by;
  } else {
    parent->child_[parent->child_[kUpper] == &node ? kUpper : kLower] = by;
  }
  if (by != nullptr) by->parent_ = parent;
}

void VadTree::refresh_gaps(const Vad* node, const Vad* through) {
  if (node == nullptr) return;
  bool passed = through == nullptr;
  for (Vad* parent = node->parent_; parent != nullptr; node = parent, parent = node->parent_) {
    passed = passed || node == through;
    const std::uint64_t largest = node->largest_gap();
    std::uint64_t& known = parent->side_gap_[parent->child_[kUpper] == node ? kUpper : kLower];
    if (known == largest && passed) return;
    known = largest;
  }
}

void VadTree::rotate(Vad& top, unsigned down) {
  const unsigned up = 1 - down;
  Vad& riser = *top.child_[up];
  replace(top, &riser);
  top.child_[up] = riser.child_[down];
  top.side_gap_[up] = riser.side_gap_[down];
  if (top.child_[up] != nullptr) top.child_[up]->parent_ = &top;
  riser.child_[down] = &top;
  riser.side_gap_[down] = top.largest_gap();
  top.parent_ = &riser;
}

Vad& VadTree::rebalance(Vad& top) {
  const unsigned heavy = top.balance() > 0 ? kUpper : kLower;
  const int sign = sign_of(heavy);
  Vad& child = *top.child_[heavy];
  if (child.balance() == -sign) {
    Vad& grandchild = *child.child_[1 - heavy];
    rotate(child, heavy);
    rotate(top, 1 - heavy);
    top.set_balance(grandchild.balance() == sign ? -sign : 0);
    child.set_balance(grandchild.balance() == -sign ? sign : 0);
    grandchild.set_balance(0);
    return grandchild;
  }
  rotate(top, 1 - heavy);
  const bool was_even = child.balance() == 0;  // Only after an erase: the height stays.
  top.set_balance(was_even ? sign : 0);
  child.set_balance(was_even ? -sign : 0);
  return child;
}

void VadTree::rebalance_after_insert(Vad& leaf) {
  const Vad* node = &leaf;
  for (Vad* parent = leaf.parent_; parent != nullptr; node = parent, parent = parent->parent_) {
    parent->set_balance(parent->balance() + sign_of(parent->child_[kUpper] == node ? kUpper : kLower));
    if (parent->balance() == 0) return;
    if (parent->balance() == 2 || parent->balance() == -2) {
      rebalance(*parent);
      return;
    }
  }
}

void VadTree::rebalance_after_erase(Vad* above, unsigned side) {
  while (above != nullptr) {
    above->set_balance(above->balance() - sign_of(side));
    if (above->balance() == 1 || above->balance() == -1) return;
    const Vad* top = above->balance() == 0 ? above : &rebalance(*above);
    if (top->balance() != 0) return;
    above = top->parent_;
    if (above != nullptr) side = above->child_[kUpper] == top ? kUpper : kLower;
  }
}

// --- Free space ---

Vpn VadTree::find_lowest(PageCount size, VpnRange limits, PageCount alignment) const {
  return search_up(size, limits, alignment, nullptr);
}

Vpn VadTree::find_highest(PageCount size, VpnRange limits, PageCount alignment) const {
  return search_down(size, limits, alignment, nullptr);
}

Vpn VadTree::search_up(PageCount size, VpnRange limits, PageCount alignment, std::size_t* visited) const {
  PAGODA_DCHECK(!size.is_zero() && std::has_single_bit(alignment.value()) && alignment.value() >= kGranularity);
  if (size > limits.count) return kNoVpn;
  const std::uint64_t need = size.value();
  const std::uint64_t low = limits.first.value();
  const std::uint64_t last_start = limits.end().value() - need;
  const auto visit = [visited] {
    if (visited != nullptr) ++*visited;
  };
  const auto start_in = [&](std::uint64_t gap) { return align_up(std::max(gap, low), alignment.value()); };

  // The lowest node above `low` with a gap that is long enough before it or on its upper side.
  const Vad* node = nullptr;
  for (const Vad* n = root_; n != nullptr;) {
    visit();
    unsigned side = kUpper;
    if (n->range.first.value() > low) {
      if (n->gap() >= need || n->side_gap_[kUpper] >= need) node = n;
      side = kLower;
    }
    n = n->side_gap_[side] >= need ? n->child_[side] : nullptr;
  }
  // From gap to gap, upward. With 64 KB alignment only a gap that `low` cuts fails, and then the one at the end of
  // `limits`.
  while (node != nullptr) {
    visit();
    if (node->gap() >= need) {
      const std::uint64_t upper = node->range.first.value();
      const std::uint64_t start = start_in(upper - node->gap());
      if (start > last_start) return kNoVpn;
      if (start + need <= upper) return Vpn(start);
    }
    if (node->side_gap_[kUpper] >= need) {
      node = node->child_[kUpper];
      for (; node->side_gap_[kLower] >= need; node = node->child_[kLower]) visit();
      continue;
    }
    const Vad* from = nullptr;
    do {
      visit();
      from = node;
      node = node->parent_;
    } while (node != nullptr &&
             (from == node->child_[kUpper] || (node->gap() < need && node->side_gap_[kUpper] < need)));
  }
  const std::uint64_t start = start_in(last_ == nullptr ? 0 : last_->range.end().value());
  return start <= last_start ? Vpn(start) : kNoVpn;
}

Vpn VadTree::search_down(PageCount size, VpnRange limits, PageCount alignment, std::size_t* visited) const {
  PAGODA_DCHECK(!size.is_zero() && std::has_single_bit(alignment.value()) && alignment.value() >= kGranularity);
  if (size > limits.count) return kNoVpn;
  const std::uint64_t need = size.value();
  const std::uint64_t low = limits.first.value();
  const std::uint64_t end = limits.end().value();
  const auto visit = [visited] {
    if (visited != nullptr) ++*visited;
  };

  const std::uint64_t start_at_end = align_down(end - need, alignment.value());
  if (start_at_end < low) return kNoVpn;
  if (last_ == nullptr || start_at_end >= last_->range.end().value()) return Vpn(start_at_end);

  // The highest node with a gap that is long enough below `end`, before it or on its lower side.
  const Vad* node = nullptr;
  for (const Vad* n = root_; n != nullptr;) {
    visit();
    unsigned side = kLower;
    if (n->range.first.value() - n->gap() + need <= end) {
      if (n->gap() >= need || n->side_gap_[kLower] >= need) node = n;
      side = kUpper;
    }
    n = n->side_gap_[side] >= need ? n->child_[side] : nullptr;
  }
  while (node != nullptr) {
    visit();
    if (node->gap() >= need) {
      const std::uint64_t upper = std::min(node->range.first.value(), end);
      const std::uint64_t start = align_down(upper - need, alignment.value());
      if (upper < need || start < low) return kNoVpn;
      if (start >= node->range.first.value() - node->gap()) return Vpn(start);
    }
    if (node->side_gap_[kLower] >= need) {
      node = node->child_[kLower];
      for (; node->side_gap_[kUpper] >= need; node = node->child_[kUpper]) visit();
      continue;
    }
    const Vad* from = nullptr;
    do {
      visit();
      from = node;
      node = node->parent_;
    } while (node != nullptr &&
             (from == node->child_[kLower] || (node->gap() < need && node->side_gap_[kLower] < need)));
  }
  return kNoVpn;
}

// --- The checker ---

struct VadTree::Checker {
  // An AVL tree of 2^52 nodes is no deeper: 1.44 * log2(n).
  static constexpr unsigned kMaxDepth = 76;

  struct Subtree {
    int height = 0;
    std::uint64_t gap = 0;
  };

  const VadTree& tree;
  const std::function<void(const char*, const std::string&)>& finding;
  const Vad* before = nullptr;
  std::size_t seen = 0;
  std::uint64_t pages = 0;
  bool saw_hint = false;
  bool gave_up = false;

  static std::string text_of(const Vad& vad) {
    return "VAD " + to_string(vad.range.first) + " of " + to_string(vad.range.count);
  }

  Subtree walk(const Vad* node, const Vad* parent, unsigned depth) {
    if (node == nullptr || gave_up) return {};
    if (depth > kMaxDepth || seen > tree.size_) {
      finding("VT4", text_of(*node) + ": more nodes hang here than the " + std::to_string(tree.size_) +
                         " counted, or links run in circles");
      gave_up = true;
      return {};
    }
    ++seen;
    pages += node->range.count.value();
    saw_hint = saw_hint || node == tree.hint_;
    if (node->parent_ != parent) {
      finding("VT4", text_of(*node) + " does not link to the parent below which it hangs, " +
                         (parent == nullptr ? "none" : text_of(*parent)));
    }
    const Subtree lower = walk(node->child_[kLower], node, depth + 1);
    check_range(*node);
    before = node;
    const Subtree upper = walk(node->child_[kUpper], node, depth + 1);
    if (gave_up) return {};
    if (const int balance = upper.height - lower.height; node->balance() != balance || balance > 1 || balance < -1) {
      finding("VT2", text_of(*node) + " has balance " + std::to_string(node->balance()) + " over heights " +
                         std::to_string(lower.height) + " and " + std::to_string(upper.height));
    }
    if (node->side_gap_[kLower] != lower.gap || node->side_gap_[kUpper] != upper.gap) {
      finding("VT3", text_of(*node) + " knows gaps of " + std::to_string(node->side_gap_[kLower]) + " and " +
                         std::to_string(node->side_gap_[kUpper]) + " pages below it, the nodes there say " +
                         std::to_string(lower.gap) + " and " + std::to_string(upper.gap));
    }
    return {std::max(lower.height, upper.height) + 1, std::max({lower.gap, node->gap(), upper.gap})};
  }

  void check_range(const Vad& node) {
    if (node.range.empty()) finding("VT1", text_of(node) + " is empty");
    const std::uint64_t end_before = before == nullptr ? 0 : before->range.end().value();
    if (end_before > node.range.first.value()) {
      finding("VT1", text_of(node) + " begins before the end of the one before, " + text_of(*before));
    }
    if (const std::uint64_t gap = gap_between(end_before, node.range.first.value()); node.gap() != gap) {
      finding("VT3", text_of(node) + " has a gap of " + std::to_string(node.gap()) +
                         " pages before it, the ranges say " + std::to_string(gap));
    }
  }

  void run() {
    walk(tree.root_, nullptr, 0);
    if (gave_up) return;
    if (seen != tree.size_) {
      finding("VT4", std::to_string(seen) + " VADs in the tree, " + std::to_string(tree.size_) + " counted");
    }
    if (pages != tree.pages_.value()) {
      finding("VT5", std::to_string(pages) + " pages in all VADs, " + to_string(tree.pages_) + " counted");
    }
    if (tree.last_ != before) finding("VT4", "the last VAD is not the one of the highest address");
    if (tree.hint_ != nullptr && !saw_hint) finding("VT4", "the hint is not in the tree");
    std::size_t free_nodes = 0;
    for (const Vad* node = tree.free_; node != nullptr && free_nodes <= tree.capacity_; node = node->parent_) {
      ++free_nodes;
    }
    if (free_nodes + tree.unused_count_ + tree.size_ != tree.capacity_) {
      finding("VT4", std::to_string(free_nodes + tree.unused_count_) + " free nodes and " + std::to_string(tree.size_) +
                         " VADs are not the " + std::to_string(tree.capacity_) + " nodes that there are");
    }
  }
};

void VadTree::check(const std::function<void(const char*, const std::string&)>& finding) const {
  Checker{.tree = *this, .finding = finding}.run();
}

}  // namespace pagoda::mm
