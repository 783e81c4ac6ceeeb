#include "pagoda/base/range.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <concepts>
#include <set>

#include "pagoda/base/units.h"

namespace pagoda {
namespace {

TEST(Range, IsHalfOpen) {
  const VpnRange range{Vpn(16), 4_pages};
  EXPECT_EQ(range.end(), Vpn(20));
  EXPECT_EQ(range.last(), Vpn(19));
  EXPECT_FALSE(range.contains(Vpn(15)));
  EXPECT_TRUE(range.contains(Vpn(16)));
  EXPECT_TRUE(range.contains(Vpn(19)));
  EXPECT_FALSE(range.contains(Vpn(20)));
  EXPECT_FALSE(range.empty());
  EXPECT_TRUE((VpnRange{Vpn(16), 0_pages}).empty());
  EXPECT_FALSE((VpnRange{Vpn(16), 0_pages}).contains(Vpn(16)));
}

TEST(Range, MeasuresInTheDistanceOfItsPlaces) {
  static_assert(std::same_as<PfnRange::Distance, PageCount> && std::same_as<SlotRange::Distance, PageCount>);
  static_assert(std::same_as<VirtualRange::Distance, ByteCount>);
  static_assert(std::same_as<Range<std::size_t>::Distance, std::size_t>);
  static_assert(!std::equality_comparable_with<VpnRange, PfnRange>);
  EXPECT_EQ(VirtualRange::between(VirtualAddress(0x1000), VirtualAddress(0x3000)).count, 8_KiB);
}

TEST(Range, ReachesTheHighestPlace) {
  const VirtualRange top{VirtualAddress(0xFFFF'FFFF'FFFF'F000), 4_KiB};
  EXPECT_EQ(top.last(), VirtualAddress(0xFFFF'FFFF'FFFF'FFFF));
  EXPECT_TRUE(top.contains(VirtualAddress(0xFFFF'FFFF'FFFF'FFFF)));
  EXPECT_FALSE(top.contains(VirtualAddress(0)));
  EXPECT_TRUE(top.contains(VirtualRange{VirtualAddress(0xFFFF'FFFF'FFFF'FF00), 256_B}));
  EXPECT_FALSE(top.contains(VirtualRange{VirtualAddress(0xFFFF'FFFF'FFFF'FF00), 257_B}));
}

TEST(Range, ContainsAnEmptyOneWhereItsPlaceIs) {
  const PfnRange range{Pfn(4), 2_pages};
  EXPECT_TRUE(range.contains(PfnRange{Pfn(4), 0_pages}));
  EXPECT_TRUE(range.contains(PfnRange{Pfn(6), 0_pages}));
  EXPECT_FALSE(range.contains(PfnRange{Pfn(7), 0_pages}));
  EXPECT_FALSE(range.contains(PfnRange{Pfn(3), 0_pages}));
}

TEST(Range, LosesAHole) {
  const VpnRange range{Vpn(10), 10_pages};
  const auto [below, above] = range.without({Vpn(12), 3_pages});
  EXPECT_EQ(below, (VpnRange{Vpn(10), 2_pages}));
  EXPECT_EQ(above, (VpnRange{Vpn(15), 5_pages}));
  EXPECT_TRUE(range.without(range)[0].empty());
  EXPECT_TRUE(range.without(range)[1].empty());
}

TEST(Range, OrdersByPlaceThenLength) {
  EXPECT_LT((VpnRange{Vpn(1), 9_pages}), (VpnRange{Vpn(2), 1_pages}));
  EXPECT_LT((VpnRange{Vpn(2), 1_pages}), (VpnRange{Vpn(2), 2_pages}));
}

TEST(Range, PrintsBothEnds) {
  EXPECT_EQ(to_string(VpnRange{Vpn(16), 4_pages}), "[vpn:0x10, vpn:0x14)");
  EXPECT_EQ(to_string(VirtualRange{VirtualAddress(0x1000), 4_KiB}), "[va:0x1000, va:0x2000)");
}

// The model: a set of numbers.
using Numbers = Range<std::size_t>;
std::set<std::size_t> members(Numbers range) {
  std::set<std::size_t> all;
  for (std::size_t i = 0; i < range.count; ++i) all.insert(range.first + i);
  return all;
}

RC_GTEST_PROP(Range, IsASetOfPlaces, ()) {
  const auto some = [] { return Numbers{*rc::gen::inRange<std::size_t>(0, 12), *rc::gen::inRange<std::size_t>(0, 9)}; };
  const Numbers a = some();
  const Numbers b = some();
  const auto place = *rc::gen::inRange<std::size_t>(0, 24);
  const std::set<std::size_t> in_a = members(a);
  const std::set<std::size_t> in_b = members(b);
  std::set<std::size_t> both;
  for (const std::size_t i : in_a)
    if (in_b.contains(i)) both.insert(i);

  RC_ASSERT(a.contains(place) == in_a.contains(place));
  RC_ASSERT(members(a.intersection(b)) == both);
  RC_ASSERT(a.overlaps(b) == !both.empty());
  if (!b.empty()) RC_ASSERT(a.contains(b) == (both == in_b));
  std::set<std::size_t> below;
  std::set<std::size_t> rest;
  for (const std::size_t i : in_a) (i < place ? below : rest).insert(i);
  RC_ASSERT(members(a.before(place)) == below);
  RC_ASSERT(members(a.from(place)) == rest);
  if (a.contains(b)) {
    std::set<std::size_t> left = members(a.without(b)[0]);
    left.merge(members(a.without(b)[1]));
    left.merge(members(b));
    RC_ASSERT(left == in_a);
  }
}

#if PAGODA_DCHECKS
TEST(RangeDeathTest, MisuseDies) {
  EXPECT_DEATH(static_cast<void>((VpnRange{Vpn(1), 0_pages}).last()), "check failed");
  EXPECT_DEATH(static_cast<void>((VpnRange{Vpn(1), 2_pages}).without({Vpn(2), 2_pages})), "check failed");
  EXPECT_DEATH(static_cast<void>(VpnRange::between(Vpn(2), Vpn(1))), "check failed");
}
#endif

}  // namespace
}  // namespace pagoda
