// Who shares with whom.
#include <gtest/gtest.h>

#include "pagoda/mm/testing/combiner_test_base.h"

namespace pagoda::mm {
namespace {

class CombinerDomains : public testing::CombinerTest {};

TEST_P(CombinerDomains, ASpaceIsADomainOfItsOwn) {
  ASSERT_TRUE(combiner().allow(t.space()));
  ProcessSpace& other = add_space(1);
  const VirtualAddress mine = fill(t.space(), 0, {7, 7, 8});
  const VirtualAddress its = fill(other, 1, {7, 7, 8});
  scan(4);
  EXPECT_EQ(shared(), 2_pages);
  EXPECT_EQ(saved(), 2_pages) << "within each, none across";
  EXPECT_EQ(t.check(), "");
  t.must_put(mine, 0, 1, 0);
  EXPECT_EQ(*t.get(its, 0, 1), 7U);
}

TEST_P(CombinerDomains, SpacesOfANamedDomainShareWithEachOtherAndNobodyElse) {
  ProcessSpace& one = add_space(1, named_domain(5));
  ProcessSpace& two = add_space(2, named_domain(5));
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress first = fill(one, 1, {7, 8, 9});
  const VirtualAddress second = fill(two, 2, {7, 8, 10});
  const VirtualAddress outside = fill(t.space(), 0, {7, 8});
  scan(3);
  EXPECT_EQ(shared(), 2_pages);
  EXPECT_EQ(saved(), 2_pages);
  EXPECT_EQ(t.check(), "");
  t.must_put(first, 0, 70, 1);
  EXPECT_EQ(*t.get(second, 0, 2), 7U);
  EXPECT_EQ(*t.get(outside, 0, 0), 7U);
  EXPECT_EQ(*t.get(second, 1, 2), 8U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerDomains, ADomainIsNamedBeforeAnythingIsShared) {
  ASSERT_TRUE(combiner().allow(t.space(), named_domain(3)));
  EXPECT_EQ(t.space().sharing_domain(), named_domain(3));
  ASSERT_TRUE(combiner().allow(t.space(), named_domain(3))) << "again";
  EXPECT_EQ(combiner().allow(t.space(), named_domain(4)).error(), Status::kInvalidParameter);
  ProcessSpace& other = **t.manager().create_space(t.cpu(), {.limits = testing::kSharersLimits});
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), other);
  EXPECT_EQ(combiner().allow(other, named_domain(3)).error(), Status::kInvalidParameter) << "its fork is in another";
  EXPECT_EQ(combiner().allow(child, named_domain(3)).error(), Status::kInvalidParameter);
  EXPECT_TRUE(combiner().allow(child));
  EXPECT_EQ(child.sharing_domain(), other.sharing_domain());
  const VirtualAddress base = fill(t.space(), 0, {7});
  ProcessSpace& friendly = add_space(1, named_domain(3));
  static_cast<void>(fill(friendly, 1, {7}));
  scan(3);
  EXPECT_EQ(saved(), 1_pages);
  EXPECT_EQ(*t.get(base, 0), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerDomains, WhoEndsOrNoLongerTakesPartLeavesNothingBehind) {
  const PageCount available = t.available();
  ProcessSpace& one = add_space(1, named_domain(5));
  ProcessSpace& two = add_space(2, named_domain(5));
  const VirtualAddress first = fill(one, 1, {7, 8, 9, 11});
  static_cast<void>(fill(two, 2, {7, 8, 10, 12}));
  scan(3);
  EXPECT_EQ(combiner().statistics().hints, 4_pages);
  t.manager().attach(t.cpu(2), t.space());
  t.manager().destroy_space(t.cpu(), two);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(combiner().statistics().hints, 2_pages);
  EXPECT_EQ(saved(), 0_pages);
  combiner().forbid(one);
  EXPECT_FALSE(combiner().is_allowed(one));
  const std::uint64_t scanned = t.manager().counters().sharing_scanned;
  scan();
  EXPECT_EQ(t.manager().counters().sharing_scanned, scanned);
  EXPECT_EQ(*t.get(first, 0, 1), 7U);
  t.manager().attach(t.cpu(1), t.space());
  t.manager().destroy_space(t.cpu(), one);
  EXPECT_EQ(combiner().statistics().hints, 0_pages);
  EXPECT_EQ(shared(), 0_pages);
  EXPECT_EQ(t.available(), available);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerDomains, AForksChildIsInItsParentsDomainAndWhatAForkSharesMeetsEquals) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 8, 9});
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  t.manager().attach(t.cpu(1), child);
  EXPECT_EQ(child.sharing_domain(), t.space().sharing_domain());
  EXPECT_TRUE(combiner().is_allowed(child));
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(*t.get(base, i, 1), i + 7);
  const VirtualAddress more = fill(t.space(), 0, {8, 9, 7});
  const VirtualAddress its = fill(child, 1, {9, 9});
  scan(4);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(shared(), 3_pages);
  EXPECT_EQ(saved(), 8_pages) << "11 pages of three contents";
  for (unsigned i = 0; i < 3; ++i) {
    EXPECT_EQ(*t.get(base, i, 0), i + 7);
    EXPECT_EQ(*t.get(base, i, 1), i + 7);
  }
  t.must_put(base, 0, 1, 1);
  EXPECT_EQ(*t.get(base, 0, 0), 7U);
  EXPECT_EQ(*t.get(more, 2, 0), 7U);
  EXPECT_EQ(*t.get(its, 0, 1), 9U);
  EXPECT_EQ(t.check(), "");
  t.manager().attach(t.cpu(1), t.space());
  t.manager().destroy_space(t.cpu(), child);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(saved(), 3_pages);
}

INSTANTIATE_TEST_SUITE_P(Modes, CombinerDomains, testing::all_modes(), testing::name_of_mode);

}  // namespace
}  // namespace pagoda::mm
