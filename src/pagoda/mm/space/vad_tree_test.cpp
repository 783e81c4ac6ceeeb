#include "pagoda/mm/space/vad_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "pagoda/base/random.h"

namespace pagoda::mm {

// Reaches into trees, to break them and to count steps.
struct VadTreePeer {
  static Vad*& root(VadTree& tree) { return tree.root_; }
  static Vad*& last(VadTree& tree) { return tree.last_; }
  static Vad*& hint(VadTree& tree) { return tree.hint_; }
  static Vad*& free_nodes(VadTree& tree) { return tree.free_; }
  static std::size_t& size(VadTree& tree) { return tree.size_; }
  static PageCount& pages(VadTree& tree) { return tree.pages_; }
  static std::size_t capacity(const VadTree& tree) { return tree.capacity_; }
  static Vad*& child(Vad& vad, unsigned side) { return vad.child_[side]; }
  static Vad*& parent(Vad& vad) { return vad.parent_; }
  static void set_balance(Vad& vad, int balance) { vad.set_balance(balance); }
  static void set_gap(Vad& vad, std::uint64_t pages) { vad.set_gap(pages); }
  static std::uint64_t& side_gap(Vad& vad, unsigned side) { return vad.side_gap_[side]; }

  static unsigned height(const Vad* vad) {
    return vad == nullptr ? 0 : 1 + std::max(height(vad->child_[0]), height(vad->child_[1]));
  }
  static unsigned height(const VadTree& tree) { return height(tree.root_); }
  static std::size_t steps_up(const VadTree& tree, PageCount size, VpnRange limits, PageCount alignment) {
    std::size_t visited = 0;
    static_cast<void>(tree.search_up(size, limits, alignment, &visited));
    return visited;
  }
  static std::size_t steps_down(const VadTree& tree, PageCount size, VpnRange limits, PageCount alignment) {
    std::size_t visited = 0;
    static_cast<void>(tree.search_down(size, limits, alignment, &visited));
    return visited;
  }
};

namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

VpnRange range(std::uint64_t first, std::uint64_t count) { return {Vpn(first), PageCount(count)}; }

Vad vad_at(std::uint64_t first, std::uint64_t count) {
  Vad vad;
  vad.range = range(first, count);
  return vad;
}

std::vector<std::string> findings(const VadTree& tree) {
  std::vector<std::string> all;
  tree.check([&](const char* id, const std::string& text) { all.push_back(std::string(id) + ": " + text); });
  return all;
}

// --- Against a model ---

// A tree beside a map that does the same; the first disagreement stays in `error`. Operations that make no sense (a
// range that is taken, a page where nothing is) do nothing, so that any part of a failing sequence can be left out.
class Model {
 public:
  void insert(std::uint64_t first, std::uint64_t count) {
    const bool free = is_free(first, first + count);
    expect(tree_.overlaps(range(first, count)) == !free, "overlaps");
    if (!free) return;
    Vad vad = vad_at(first, count);
    vad.commit_charge = PageCount(count);
    Vad& added = tree_.insert(vad);
    expect(added.range == vad.range && added.commit_charge == vad.commit_charge, "insert");
    by_end_[first + count] = {first, &added};
    check();
  }
  void erase(std::uint64_t page) {
    const auto at = containing(page);
    if (at == by_end_.end()) return;
    tree_.erase(*at->second.vad);
    by_end_.erase(at);
    check();
  }
  // Cuts pages off both ends of what contains the page, as far as one is left.
  void shrink(std::uint64_t page, std::uint64_t from_start, std::uint64_t from_end) {
    const auto at = containing(page);
    if (at == by_end_.end()) return;
    const Region region = at->second;
    const std::uint64_t first = std::min(region.first + from_start, at->first - 1);
    const std::uint64_t end = std::max(first + 1, at->first - std::min(from_end, at->first));
    tree_.shrink(*region.vad, range(first, end - first));
    by_end_.erase(at);
    by_end_[end] = {first, region.vad};
    check();
  }
  void find(std::uint64_t page) {
    const auto at = containing(page);
    expect(tree_.find(Vpn(page)) == (at == by_end_.end() ? nullptr : at->second.vad), "find");
    const auto after = by_end_.upper_bound(page);
    expect(tree_.first_ending_after(Vpn(page)) == (after == by_end_.end() ? nullptr : after->second.vad),
           "first_ending_after");
  }
  void place(std::uint64_t size, std::uint64_t first, std::uint64_t count, std::uint64_t alignment) {
    const PageCount pages(size);
    const VpnRange limits = range(first, count);
    Vpn lowest = VadTree::kNoVpn;
    Vpn highest = VadTree::kNoVpn;
    for (std::uint64_t start = (first + alignment - 1) / alignment * alignment; start + size <= first + count;
         start += alignment) {
      if (!is_free(start, start + size)) continue;
      if (lowest == VadTree::kNoVpn) lowest = Vpn(start);
      highest = Vpn(start);
    }
    expect(tree_.find_lowest(pages, limits, PageCount(alignment)) == lowest, "find_lowest: " + to_string(lowest));
    expect(tree_.find_highest(pages, limits, PageCount(alignment)) == highest, "find_highest: " + to_string(highest));
  }

  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  struct Region {
    std::uint64_t first;
    Vad* vad;
  };
  using Map = std::map<std::uint64_t, Region>;  // By end.

  Map::iterator containing(std::uint64_t page) {
    const auto at = by_end_.upper_bound(page);
    return at == by_end_.end() || at->second.first > page ? by_end_.end() : at;
  }
  [[nodiscard]] bool is_free(std::uint64_t first, std::uint64_t end) const {
    const auto at = by_end_.upper_bound(first);
    return at == by_end_.end() || at->second.first >= end;
  }
  void expect(bool holds, const std::string& what) {
    if (!holds && error_.empty()) error_ = what;
  }
  void check() {
    tree_.check([this](const char* id, const std::string& text) { expect(false, std::string(id) + ": " + text); });
    expect(tree_.size() == by_end_.size(), "size");
    const Vad* vad = tree_.first();
    const Vad* before = nullptr;
    for (const auto& [end, region] : by_end_) {
      expect(vad == region.vad && VadTree::previous(vad) == before, "order");
      if (!error_.empty()) return;
      expect(vad->range == range(region.first, end - region.first), "range");
      before = vad;
      vad = VadTree::next(vad);
    }
    expect(vad == nullptr, "order at the end");
  }

  VadTree tree_;
  Map by_end_;
  std::string error_;
};

// One call of the model. Prints as C++ that can be pasted into a test.
struct Operation {
  enum class Kind : std::uint8_t { kInsert, kErase, kShrink, kFind, kPlace };
  Kind kind;
  std::array<std::uint64_t, 4> arguments;

  void run(Model& m) const {
    const auto [a, b, c, d] = arguments;
    switch (kind) {
      case Kind::kInsert:
        return m.insert(a, b);
      case Kind::kErase:
        return m.erase(a);
      case Kind::kShrink:
        return m.shrink(a, b, c);
      case Kind::kFind:
        return m.find(a);
      case Kind::kPlace:
        return m.place(a, b, c, d);
    }
  }
  friend std::ostream& operator<<(std::ostream& out, const Operation& operation) {
    const auto [a, b, c, d] = operation.arguments;
    switch (operation.kind) {
      case Kind::kInsert:
        return out << "m.insert(" << a << ", " << b << ");";
      case Kind::kErase:
        return out << "m.erase(" << a << ");";
      case Kind::kShrink:
        return out << "m.shrink(" << a << ", " << b << ", " << c << ");";
      case Kind::kFind:
        return out << "m.find(" << a << ");";
      case Kind::kPlace:
        return out << "m.place(" << a << ", " << b << ", " << c << ", " << d << ");";
    }
    return out;
  }
};

struct Sequence {
  std::vector<Operation> operations;

  [[nodiscard]] std::string run() const {
    Model m;
    for (const Operation& operation : operations) {
      operation.run(m);
      if (!m.error().empty()) break;
    }
    return m.error();
  }
  friend std::ostream& operator<<(std::ostream& out, const Sequence& sequence) {
    out << "Model m;\n";
    for (const Operation& operation : sequence.operations) out << operation << "\n";
    return out << "EXPECT_EQ(m.error(), \"\");\n";
  }
};

constexpr std::uint64_t kSpace =
    1024;  // Pages of the address space in which the models work: small, so that things collide.

// From five numbers, which may be as random as they like.
Operation operation_from(std::uint64_t kind, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d) {
  const std::uint64_t page = a % kSpace;
  switch (kind % 10) {
    case 0:
    case 1:
    case 2:
    case 3: {
      // Most begin on 64 KB borders, as reservations do; the rest is what is left of partial releases.
      const std::uint64_t first = d % 4 == 0 ? page : page / 16 * 16;
      return {Operation::Kind::kInsert, {first, 1 + b % (c % 4 == 0 ? 100 : 20)}};
    }
    case 4:
    case 5:
      return {Operation::Kind::kErase, {page}};
    case 6:
      return {Operation::Kind::kShrink, {page, b % 20, c % 20}};
    case 7:
      return {Operation::Kind::kFind, {page}};
    default:
      return {Operation::Kind::kPlace,
              {1 + b % (c % 4 == 0 ? 150 : 33), page, c % 8 == 0 ? 2 * kSpace : 1 + c % (kSpace - page),
               std::uint64_t{16} << (d % 2 == 0 ? 0 : d / 2 % 4)}};
  }
}

}  // namespace
}  // namespace pagoda::mm

template <>
struct rc::Arbitrary<pagoda::mm::Sequence> {
  static rc::Gen<pagoda::mm::Sequence> arbitrary() {
    using pagoda::mm::Operation;
    const auto number = rc::gen::inRange<std::uint64_t>(0, 1U << 20);
    const auto operation =
        rc::gen::map(rc::gen::tuple(rc::gen::inRange<std::uint64_t>(0, 10), number, number, number, number),
                     [](const auto& n) { return std::apply(pagoda::mm::operation_from, n); });
    return rc::gen::map(rc::gen::scale(3.0, rc::gen::container<std::vector<Operation>>(operation)),
                        [](std::vector<Operation> operations) { return pagoda::mm::Sequence{std::move(operations)}; });
  }
};

namespace pagoda::mm {
namespace {

RC_GTEST_PROP(VadTree, AgreesWithAMap, (const Sequence& sequence)) { RC_ASSERT(sequence.run() == ""); }

TEST(VadTree, AgreesWithAMapFor100000Operations) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Random random(seed);
    Sequence sequence;
    for (int i = 0; i < 2000; ++i) {
      sequence.operations.push_back(
          operation_from(random.next(), random.next(), random.next(), random.next(), random.next()));
    }
    ASSERT_EQ(sequence.run(), "") << sequence;
  }
}

// --- Cases by hand ---

TEST(VadTree, EmptyTreeHasNothingAndAllSpace) {
  VadTree tree;
  EXPECT_EQ(tree.find(Vpn(0x10)), nullptr);
  EXPECT_EQ(tree.first(), nullptr);
  EXPECT_EQ(tree.first_ending_after(Vpn(0)), nullptr);
  EXPECT_FALSE(tree.overlaps(range(0, 100)));
  EXPECT_EQ(tree.find_lowest(16_pages, range(0x10, 0x7FFE0), 16_pages), Vpn(0x10));
  EXPECT_EQ(tree.find_highest(16_pages, range(0x10, 0x7FFD0), 16_pages), Vpn(0x7FFD0));
  EXPECT_EQ(tree.find_lowest(17_pages, range(0x10, 16), 16_pages), VadTree::kNoVpn);
  EXPECT_THAT(findings(tree), IsEmpty());
}

TEST(VadTree, PlacesUpwardInTheFirstGapThatFits) {
  VadTree tree;
  tree.insert(vad_at(0x10, 16));
  tree.insert(vad_at(0x40, 16));
  tree.insert(vad_at(0x80, 16));
  const VpnRange limits = range(0x10, 0x1000);
  EXPECT_EQ(tree.find_lowest(16_pages, limits, 16_pages), Vpn(0x20));
  EXPECT_EQ(tree.find_lowest(0x21_pages, limits, 16_pages), Vpn(0x50));
  EXPECT_EQ(tree.find_lowest(0x31_pages, limits, 16_pages), Vpn(0x90));
  EXPECT_EQ(tree.find_highest(0x20_pages, range(0x10, 0x80), 16_pages), Vpn(0x60));
  EXPECT_EQ(tree.find_highest(0x20_pages, range(0x10, 0x6F), 16_pages), Vpn(0x50));
}

TEST(VadTree, PlacesInWhatAPartialReleaseLeaves) {
  VadTree tree;
  Vad& first = tree.insert(vad_at(0x10, 16));
  tree.insert(vad_at(0x20, 16));
  const VpnRange limits = range(0x10, 0x20);
  EXPECT_EQ(tree.find_lowest(1_pages, limits, 16_pages), VadTree::kNoVpn);
  tree.shrink(first, range(0x15, 5));  // Free: 0x10-0x14, and 0x1A-0x1F, where nothing may begin.
  EXPECT_EQ(tree.find_lowest(5_pages, limits, 16_pages), Vpn(0x10));
  EXPECT_EQ(tree.find_highest(5_pages, limits, 16_pages), Vpn(0x10));
  EXPECT_EQ(tree.find_lowest(6_pages, limits, 16_pages), VadTree::kNoVpn);
}

TEST(VadTree, PlacesAlignedEvenIfTheFirstLongGapsAreNot) {
  VadTree tree;
  // Gaps of 0x1E0 pages, each of which begins 16 pages after a multiple of 0x200.
  for (std::uint64_t i = 0; i < 8; ++i) tree.insert(vad_at(0x200 * i + 0x1F0, 32));
  EXPECT_EQ(tree.find_lowest(0x1E0_pages, range(0x10, 0x2000), 0x10_pages), Vpn(0x10));
  EXPECT_EQ(tree.find_lowest(0x1E0_pages, range(0x20, 0x2000), 0x10_pages), Vpn(0x210));
  EXPECT_EQ(tree.find_lowest(0x1E0_pages, range(0x10, 0x2000), 0x200_pages), Vpn(0x1200));
  EXPECT_EQ(tree.find_lowest(0x1E0_pages, range(0x10, 0x1000), 0x200_pages), VadTree::kNoVpn);
  EXPECT_EQ(tree.find_highest(0x1E0_pages, range(0x10, 0x1000), 0x200_pages), VadTree::kNoVpn);
  EXPECT_EQ(tree.find_lowest(0xE0_pages, range(0x10, 0x1000), 0x100_pages), Vpn(0x100));
  EXPECT_EQ(tree.find_highest(0xE0_pages, range(0x10, 0x0FF0), 0x100_pages), Vpn(0xF00));
}

TEST(VadTree, ReferencesStayGoodUntilErase) {
  VadTree tree;
  std::vector<Vad*> vads;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    vads.push_back(&tree.insert(vad_at(i * 16, 16)));
    vads.back()->commit_charge = PageCount(i);
  }
  for (std::size_t i = 0; i < 1000; i += 2) tree.erase(*vads[i]);
  for (std::size_t i = 1; i < 1000; i += 2) {
    EXPECT_EQ(vads[i]->range, range(i * 16, 16));
    EXPECT_EQ(vads[i]->commit_charge, PageCount(i));
    EXPECT_EQ(tree.find(Vpn(i * 16 + 5)), vads[i]);
  }
}

TEST(VadTree, UsesErasedNodesAgain) {
  VadTree tree;
  for (std::uint64_t i = 0; i < 100; ++i) tree.insert(vad_at(i * 16, 16));
  const std::size_t capacity = VadTreePeer::capacity(tree);
  for (std::uint64_t i = 0; i < 10000; ++i) {
    tree.erase(*tree.find(Vpn(i * 7 % 100 * 16)));
    tree.insert(vad_at(i * 7 % 100 * 16, 16));
  }
  EXPECT_EQ(VadTreePeer::capacity(tree), capacity);
  EXPECT_THAT(findings(tree), IsEmpty());
}

TEST(VadTree, ForgetsTheHintWithItsVad) {
  VadTree tree;
  tree.insert(vad_at(0x10, 16));
  Vad* const found = tree.find(Vpn(0x12));
  tree.erase(*found);
  EXPECT_EQ(tree.find(Vpn(0x12)), nullptr);
}

TEST(VadTreeDeathTest, RefusesWhatOverlapsOrIsEmpty) {
  VadTree tree;
  Vad& vad = tree.insert(vad_at(0x10, 16));
  EXPECT_DEATH(tree.insert(vad_at(0x1F, 1)), "range.end");
  EXPECT_DEATH(tree.insert(vad_at(0x08, 9)), "range.first");
  EXPECT_DEATH(tree.insert(vad_at(0x40, 0)), "empty");
  EXPECT_DEATH(tree.shrink(vad, range(0x10, 17)), "range.end");
  EXPECT_DEATH(tree.shrink(vad, range(0x10, 0)), "empty");
}

// --- Cost ---

// Nodes looked at, not time. A search goes down once and, if a limit cuts the first gap, up and down once more.
TEST(VadTree, EverythingVisitsLogarithmicallyManyNodes) {
  for (unsigned bits = 6; bits <= 16; bits += 2) {
    const std::uint64_t n = std::uint64_t{1} << bits;
    const std::uint64_t slots = 2 * n;
    Random random(bits);
    VadTree tree;
    while (tree.size() < n) {
      const Vad vad = vad_at(16 * random.below(slots), 1 + random.below(16));
      if (!tree.overlaps(vad.range)) tree.insert(vad);
    }
    const double log_n = std::log2(static_cast<double>(n));
    EXPECT_LE(VadTreePeer::height(tree), 1.45 * log_n + 1);  // Adelson-Velsky and Landis 1962.
    std::size_t most = 0;
    for (int i = 0; i < 2000; ++i) {
      const std::uint64_t first = random.below(16 * slots);
      const VpnRange limits = range(first, 1 + random.below(16 * slots - first));
      const PageCount size(1 + random.below(200));
      most = std::max(most, VadTreePeer::steps_up(tree, size, limits, 16_pages));
      most = std::max(most, VadTreePeer::steps_down(tree, size, limits, 16_pages));
    }
    EXPECT_LE(static_cast<double>(most), 4 * log_n) << n;
  }
}

// The worst for a search without gaps in the nodes: all full but for one place.
TEST(VadTree, FindsTheOnlyHoleInLogarithmicallyManySteps) {
  constexpr std::uint64_t kCount = 1 << 16;
  VadTree tree;
  for (std::uint64_t i = 0; i < kCount; ++i) tree.insert(vad_at(16 * i, 16));
  Random random(1);
  for (int i = 0; i < 100; ++i) {
    const Vpn hole(16 * random.below(kCount));
    tree.erase(*tree.find(hole));
    EXPECT_EQ(tree.find_lowest(16_pages, range(0, 16 * kCount), 16_pages), hole);
    EXPECT_EQ(tree.find_highest(16_pages, range(0, 16 * kCount), 16_pages), hole);
    EXPECT_LE(VadTreePeer::steps_up(tree, 16_pages, range(0, 16 * kCount), 16_pages), 32U);
    EXPECT_LE(VadTreePeer::steps_down(tree, 16_pages, range(0, 16 * kCount), 16_pages), 32U);
    tree.insert(vad_at(hole.value(), 16));
  }
}

// --- The checker finds what is broken ---

class VadTreeCheck : public testing::Test {
 protected:
  VadTreeCheck() {
    for (std::uint64_t i = 0; i < 31; ++i) tree_.insert(vad_at(64 * i + 16, 16));
    EXPECT_THAT(findings(tree_), IsEmpty());
  }
  Vad& at(std::uint64_t i) { return *tree_.find(Vpn(64 * i + 16)); }
  Vad& root() { return *VadTreePeer::root(tree_); }
  // The ids of all findings.
  std::set<std::string> ids() {
    std::set<std::string> all;
    tree_.check([&](const char* id, const std::string& text) {
      EXPECT_NE(text, "");
      all.emplace(id);
    });
    return all;
  }

  VadTree tree_;
};

TEST_F(VadTreeCheck, Vt1FindsAnEmptyRange) {
  at(30).range.count = PageCount(0);
  EXPECT_THAT(ids(), ElementsAre("VT1", "VT5"));
}

TEST_F(VadTreeCheck, Vt1FindsAnOverlap) {
  at(7).range.count = PageCount(65);
  EXPECT_THAT(ids(), Contains("VT1"));
}

TEST_F(VadTreeCheck, Vt1FindsRangesOutOfOrder) {
  std::swap(at(3).range, at(20).range);
  EXPECT_THAT(ids(), Contains("VT1"));
}

TEST_F(VadTreeCheck, Vt2FindsAWrongBalance) {
  VadTreePeer::set_balance(root(), 1);
  EXPECT_THAT(ids(), ElementsAre("VT2"));
}

TEST_F(VadTreeCheck, Vt2FindsATreeThatLeans) {
  // A chain of three to the right, its balances truthful.
  VadTree chain;
  chain.insert(vad_at(16, 16));
  Vad& second = chain.insert(vad_at(32, 16));
  Vad& third = chain.insert(vad_at(48, 16));
  Vad& first = *chain.first();
  VadTreePeer::root(chain) = &first;
  VadTreePeer::parent(first) = nullptr;
  VadTreePeer::child(first, 1) = &second;
  VadTreePeer::parent(second) = &first;
  VadTreePeer::child(second, 0) = nullptr;
  VadTreePeer::side_gap(first, 1) = 0;
  VadTreePeer::side_gap(second, 0) = 0;
  VadTreePeer::set_balance(first, 2);
  VadTreePeer::set_balance(second, 1);
  EXPECT_EQ(VadTreePeer::parent(third), &second);
  EXPECT_THAT(findings(chain), ElementsAre(StartsWith("VT2")));
}

TEST_F(VadTreeCheck, Vt3FindsAWrongGap) {
  VadTreePeer::set_gap(at(9), 32);
  EXPECT_THAT(ids(), Contains("VT3"));
}

TEST_F(VadTreeCheck, Vt3FindsAGapThatWasNotCarriedUp) {
  VadTreePeer::side_gap(root(), 0) = 0;
  EXPECT_THAT(ids(), ElementsAre("VT3"));
}

TEST_F(VadTreeCheck, Vt3FindsARangeThatWasChangedBehindItsBack) {
  at(9).range.count = PageCount(20);
  EXPECT_THAT(ids(), ElementsAre("VT3", "VT5"));
}

TEST_F(VadTreeCheck, Vt4FindsAWrongParent) {
  VadTreePeer::parent(at(0)) = &root();
  EXPECT_THAT(ids(), ElementsAre("VT4"));
}

TEST_F(VadTreeCheck, Vt4FindsAWrongCount) {
  ++VadTreePeer::size(tree_);
  EXPECT_THAT(ids(), ElementsAre("VT4"));
}

TEST_F(VadTreeCheck, Vt5FindsAWrongCountOfPages) {
  ++VadTreePeer::pages(tree_);
  EXPECT_THAT(ids(), ElementsAre("VT5"));
}

TEST_F(VadTreeCheck, Vt4FindsMoreNodesThanCounted) {
  --VadTreePeer::size(tree_);
  EXPECT_THAT(ids(), ElementsAre("VT4"));
}

TEST_F(VadTreeCheck, Vt4FindsAWrongLast) {
  VadTreePeer::last(tree_) = &at(3);
  EXPECT_THAT(ids(), ElementsAre("VT4"));
}

TEST_F(VadTreeCheck, Vt4FindsAHintThatIsNotInTheTree) {
  Vad elsewhere = vad_at(16, 16);
  VadTreePeer::hint(tree_) = &elsewhere;
  EXPECT_THAT(ids(), ElementsAre("VT4"));
}

TEST_F(VadTreeCheck, Vt4FindsALostNode) {
  tree_.erase(at(5));
  VadTreePeer::free_nodes(tree_) = nullptr;
  EXPECT_THAT(ids(), ElementsAre("VT4"));
}

TEST_F(VadTreeCheck, Vt4FindsACircleAndEnds) {
  VadTreePeer::child(at(0), 0) = &root();
  EXPECT_THAT(ids(), Contains("VT4"));
}

}  // namespace
}  // namespace pagoda::mm
