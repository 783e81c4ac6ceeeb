// A page is offered to sharing before it leaves memory, whoever takes it out: what is equal to a page that is shared, or
// hinted at, costs no transfer and no slot.
#include "pagoda/mm/combine/member_pages.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/testing/combiner_test_base.h"

namespace pagoda::mm {
namespace {

using testing::config_of_sharers;
using testing::TestMachine;
using testing::TestMachineConfig;

class OfferedPages : public testing::CombinerTest {
 protected:
  [[nodiscard]] Counters counters() { return t.manager().counters(); }
  // The pages leave the working set; those of zeros, and those that are equal to others, go.
  void trim(ProcessSpace& space, VirtualAddress base, std::uint64_t pages) {
    EXPECT_EQ(space.trim_range(t.cpu(), {base.vpn(), PageCount(pages)}), PageCount(pages));
  }
  // How many pages the modified writer had to write.
  std::uint64_t written() {
    const std::uint64_t before = counters().page_file_pages_written;
    EXPECT_TRUE(t.manager().flush_modified(t.cpu()));
    return counters().page_file_pages_written - before;
  }
};

TEST_P(OfferedPages, AnEqualOfASharedPageIsNeverWritten) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7});
  scan();
  const VirtualAddress more = fill(t.space(), 0, {7, 8, 7});
  const PageCount available = t.available();
  trim(t.space(), more, 3);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(counters().sharing_offered, 3U);
  EXPECT_EQ(counters().sharing_offers_merged, 2U);
  EXPECT_EQ(saved(), 3_pages);
  EXPECT_EQ(t.available(), available + 2_pages) << "at once: their frames are free";
  EXPECT_EQ(written(), 1U) << "what has no equal";
  EXPECT_EQ(t.slots_used(), 1_pages);
  EXPECT_EQ(t.frame(base), t.frame(base + kPageSize));
  const std::uint64_t hard = t.faults(FaultKind::kPageFile);
  EXPECT_EQ(*t.get(more, 0), 7U);
  EXPECT_EQ(*t.get(more, 1), 8U);
  EXPECT_EQ(*t.get(more, 2), 7U);
  EXPECT_EQ(t.faults(FaultKind::kPageFile), hard);
  EXPECT_EQ(t.frame(more), t.frame(base));
  t.must_put(more, 0, 9);
  EXPECT_EQ(*t.get(base, 0), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, AllEqualsOfASharedPageTakeOneSlotWhenAllLeave) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7});
  scan();
  const VirtualAddress more = fill(t.space(), 0, {7, 7, 7, 7});
  t.push_out();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(counters().page_file_pages_written, 1U);
  EXPECT_EQ(t.slots_used(), 1_pages);
  const std::uint64_t hard = t.faults(FaultKind::kPageFile);
  for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(*t.get(more, i), 7U);
  EXPECT_EQ(*t.get(base, 1), 7U);
  EXPECT_EQ(t.faults(FaultKind::kPageFile), hard + 1);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, OneThatAHintOfItsSpaceNamesIsMerged) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7});
  scan(1);
  ASSERT_EQ(combiner().statistics().hints, 1_pages);
  const VirtualAddress more = fill(t.space(), 0, {7});
  trim(t.space(), more, 1);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(counters().sharing_offers_merged, 1U);
  EXPECT_EQ(saved(), 1_pages);
  EXPECT_EQ(combiner().statistics().hints, 0_pages);
  EXPECT_EQ(written(), 0U);
  EXPECT_EQ(t.kind(base), PteKind::kValid) << "it stays where it was";
  t.must_put(base, 0, 1);
  EXPECT_EQ(*t.get(more, 0), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, OneThatAHintOfAnotherSpaceNamesIsJoinedByIt) {
  ProcessSpace& one = add_space(1, named_domain(5));
  const VirtualAddress first = fill(one, 1, {7});
  scan(1);
  ProcessSpace& two = add_space(2, named_domain(5));
  const VirtualAddress second = fill(two, 2, {7});
  EXPECT_FALSE(combiner().any_to_join());
  static_cast<void>(two.empty_working_set(t.cpu(2)));
  EXPECT_EQ(t.check(), "");
  EXPECT_TRUE(combiner().any_to_join());
  SystemThread& thread = *t.manager().system_threads()[4];
  EXPECT_EQ(thread.due(t.cpu().now()), t.cpu().now()) << "before anybody writes it";
  thread.run(t.cpu());
  EXPECT_FALSE(combiner().any_to_join());
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(saved(), 1_pages);
  EXPECT_EQ(counters().sharing_offers_merged, 1U);
  EXPECT_EQ(written(), 0U);
  EXPECT_EQ(*t.get(first, 0, 1), 7U);
  EXPECT_EQ(*t.get(second, 0, 2), 7U);
  t.must_put(second, 0, 8, 2);
  EXPECT_EQ(*t.get(first, 0, 1), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, TheBalanceSetManagerHasThemJoinedBeforeItIsDone) {
  ProcessSpace& one = add_space(1, named_domain(5));
  static_cast<void>(fill(one, 1, {7, 8, 9}));
  scan(1);
  combiner().forbid(one);
  ProcessSpace& two = add_space(2, named_domain(5));
  const VirtualAddress second = fill(two, 2, {7, 8, 10});
  ASSERT_TRUE(combiner().allow(one));
  ASSERT_TRUE(two.set_limits(t.cpu(2), {PageCount(1), PageCount(400)}));  // The one space above its minimum.
  const PageCount trimmed =
      t.manager().balance_set_manager().trim(t.cpu(), t.available() + 2_pages, BalanceSetManager::Modified::kStay);
  EXPECT_GE(trimmed, 2_pages);
  EXPECT_EQ(t.check(), "");
  EXPECT_FALSE(combiner().any_to_join());
  EXPECT_EQ(counters().sharing_offers_merged, 2U);
  EXPECT_EQ(saved(), 2_pages);
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(*t.get(second, i, 2), i < 2 ? i + 7U : 10U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, APageThatAFaultReplacesIsOfferedToo) {
  ASSERT_TRUE(combiner().allow(t.space()));
  static_cast<void>(fill(t.space(), 0, {7, 7}));
  scan();
  const std::uint64_t merged = counters().sharing_merged;
  ASSERT_TRUE(t.space().set_limits(
      t.cpu(), {.minimum = PageCount(1), .maximum = PageCount(20), .kind = WorkingSet::Limits::Maximum::kHard}));
  const VirtualAddress more = fill(t.space(), 0, std::vector<std::uint64_t>(60, 7));
  EXPECT_GT(counters().pages_replaced, 30U);
  EXPECT_GE(counters().sharing_merged, merged + counters().pages_replaced - 4);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(counters().page_file_pages_written, 1U);
  for (unsigned i = 0; i < 60; ++i) EXPECT_EQ(*t.get(more, i), 7U);
  EXPECT_EQ(t.check(), "");
}

// Each page that becomes private takes the place of one that did before, which must not be shared again.
TEST_P(OfferedPages, WhatIsMadePrivateForAChangeStaysSo) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, std::vector<std::uint64_t>(60, 7));
  scan();
  EXPECT_EQ(saved(), 59_pages);
  ASSERT_TRUE(t.space().set_limits(
      t.cpu(), {.minimum = PageCount(1), .maximum = PageCount(20), .kind = WorkingSet::Limits::Maximum::kHard}));
  const std::uint64_t replaced = counters().pages_replaced;
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize * 60, Protection::kReadOnly));
  EXPECT_GT(counters().pages_replaced, replaced + 20);
  EXPECT_EQ(saved(), 0_pages);
  EXPECT_EQ(t.check(), "");
  for (unsigned i = 0; i < 60; ++i) EXPECT_EQ(*t.get(base, i), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, WhatNeedsNoTransferIsNotLookedAt) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7});
  scan();
  const VirtualAddress clean = fill(t.space(), 0, {8, 8});
  combiner().forbid(t.space());
  t.page_out();  // They have slots.
  for (unsigned i = 0; i < 2; ++i) EXPECT_EQ(*t.get(clean, i), 8U);
  EXPECT_EQ(counters().sharing_offered, 0U) << "nor what takes no part";
  ASSERT_TRUE(combiner().allow(t.space()));
  trim(t.space(), clean, 2);
  EXPECT_EQ(counters().sharing_offered, 0U);
  const VirtualAddress zeros = fill(t.space(), 0, {0});
  trim(t.space(), zeros, 1);
  EXPECT_EQ(counters().sharing_merged, 1U);
  EXPECT_EQ(*t.get(base, 0), 7U);
  const VirtualAddress pinned = fill(t.space(), 0, {7});
  const Pfn frame = t.frame(pinned);
  t.manager().pin(frame);
  trim(t.space(), pinned, 1);
  EXPECT_EQ(t.frame(pinned), frame);
  t.manager().unpin(frame, PteCodec::Dirty::kNo);
  EXPECT_EQ(*t.get(pinned, 0), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, AnEqualThatIsOutIsNotBroughtInForIt) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7});
  scan();
  t.push_out();
  const VirtualAddress more = fill(t.space(), 0, {7});
  const std::uint64_t reads = counters().page_file_reads;
  trim(t.space(), more, 1);
  EXPECT_EQ(counters().page_file_reads, reads);
  EXPECT_EQ(written(), 1U);
  EXPECT_EQ(*t.get(more, 0), 7U);
  EXPECT_EQ(*t.get(base, 0), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, AHintThatIsStaleMergesNothing) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7});
  scan(1);
  t.must_put(base, 0, 8);
  const VirtualAddress more = fill(t.space(), 0, {7});
  trim(t.space(), more, 1);
  EXPECT_EQ(saved(), 0_pages);
  EXPECT_EQ(counters().sharing_stale_hints, 1U);
  EXPECT_EQ(combiner().statistics().hints, 0_pages);
  EXPECT_EQ(*t.get(base, 0), 8U);
  EXPECT_EQ(*t.get(more, 0), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, OfAnotherDomainMeetNobody) {
  ProcessSpace& one = add_space(1);
  ProcessSpace& two = add_space(2);
  static_cast<void>(fill(one, 1, {7, 7, 8}));
  scan(2);
  const VirtualAddress second = fill(two, 2, {7, 8});
  trim(two, second, 2);
  EXPECT_EQ(saved(), 1_pages);
  EXPECT_FALSE(combiner().any_to_join());
  EXPECT_EQ(counters().sharing_offers_merged, 0U);
  EXPECT_EQ(written(), 2U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, TakeNoFrameThatAFaultMayNeed) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 8});
  scan(1);
  const VirtualAddress more = fill(t.space(), 0, {7, 8});
  t.while_only(kFaultReserve, [&] {
    trim(t.space(), more, 2);
    EXPECT_GE(t.available(), kFaultReserve);
  });
  EXPECT_EQ(saved(), 0_pages) << "a page of clone entries would take a frame";
  EXPECT_EQ(*t.get(base, 1), 8U);
  EXPECT_EQ(*t.get(more, 0), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, WhatIsAnotherPageByThenDoesNotJoin) {
  ProcessSpace& one = add_space(1, named_domain(5));
  const VirtualAddress first = fill(one, 1, {7});
  scan(1);
  ProcessSpace& two = add_space(2, named_domain(5));
  const VirtualAddress second = fill(two, 2, {7});
  t.must_put(first, 0, 8, 1);
  trim(two, second, 1);
  t.manager().system_threads()[4]->run(t.cpu());
  EXPECT_EQ(saved(), 0_pages);
  EXPECT_EQ(counters().sharing_stale_hints, 1U);
  EXPECT_EQ(counters().sharing_false_matches, 0U);
  EXPECT_EQ(*t.get(first, 0, 1), 8U);
  EXPECT_EQ(*t.get(second, 0, 2), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(OfferedPages, WhoEndsBeforeItCouldJoinIsForgotten) {
  ProcessSpace& one = add_space(1, named_domain(5));
  static_cast<void>(fill(one, 1, {7}));
  scan(1);
  ProcessSpace& two = add_space(2, named_domain(5));
  const VirtualAddress second = fill(two, 2, {7});
  trim(two, second, 1);
  ASSERT_TRUE(combiner().any_to_join());
  t.manager().attach(t.cpu(1), t.space());
  t.manager().destroy_space(t.cpu(), one);
  // Another has its number, and the same page.
  ProcessSpace& third = add_space(1);
  const VirtualAddress its = fill(third, 1, {7});
  t.manager().system_threads()[4]->run(t.cpu());
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(counters().sharing_offers_merged, 0U);
  EXPECT_EQ(*t.get(its, 0, 1), 7U);
  EXPECT_EQ(*t.get(second, 0, 2), 7U);
  EXPECT_EQ(t.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, OfferedPages, testing::all_modes(), testing::name_of_mode);

// Reference virtualization.md section 9, row 5: a deliberately weak hash, and no wrong merge.
TEST(OfferedPagesHashes, MergeNothingThatIsNotEqualHoweverWeak) {
  constexpr unsigned kContents = 300;
  TestMachineConfig with = config_of_sharers(machine::PteFormat::kAmd64, PageCount(1024));
  with.limits = WorkingSet::Limits{PageCount(50), PageCount(900)};
  with.tunables.sharing.hash_bits = 8;
  TestMachine t(with);
  ASSERT_TRUE(t.manager().combiner().allow(t.space()));
  const VirtualAddress base = t.commit(PageCount(kContents));
  for (unsigned i = 0; i < kContents; ++i) t.must_put(base, i, Random::mix(i));
  t.manager().combiner().scan(t.cpu(), {PageCount(1000), PageCount(1000)});
  const VirtualAddress more = t.commit(PageCount(kContents));
  for (unsigned i = 0; i < kContents; ++i) t.must_put(more, i, Random::mix(i));
  static_cast<void>(t.space().trim_range(t.cpu(), {more.vpn(), PageCount(kContents)}));
  EXPECT_EQ(t.check(), "");
  EXPECT_GT(t.manager().counters().sharing_false_matches, 50U) << "256 keys for 300 contents";
  EXPECT_GT(t.manager().counters().sharing_offers_merged, 100U);
  for (unsigned i = 0; i < kContents; ++i) {
    ASSERT_EQ(*t.get(base, i), Random::mix(i));
    ASSERT_EQ(*t.get(more, i), Random::mix(i));
  }
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
