// Equal pages become one: what is merged, what is not, and that a merged page is a page like any other.
#include "pagoda/mm/combine/combiner.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

#include "pagoda/mm/testing/combiner_test_base.h"

namespace pagoda::mm {
namespace {

class CombinerTest : public testing::CombinerTest {};

TEST_P(CombinerTest, EqualPagesBecomeOneUntilOneIsWritten) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = t.commit(PageCount(10));
  for (unsigned i = 0; i < 10; ++i) t.must_put(base, i, 7);
  const PageCount available = t.available();
  scan();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(shared(), 1_pages);
  EXPECT_EQ(saved(), 9_pages);
  EXPECT_GE(t.available(), available + 8_pages) << "all but one, and a page of clone entries";
  EXPECT_EQ(t.entry(base).share_count, 10U);
  for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(*t.get(base, i), 7U);
  const std::uint64_t copies = t.faults(FaultKind::kCopyOnWrite);
  t.must_put(base, 3, 8);
  EXPECT_EQ(t.faults(FaultKind::kCopyOnWrite), copies + 1);
  for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(*t.get(base, i), i == 3 ? 8U : 7U);
  EXPECT_EQ(saved(), 8_pages);
  EXPECT_EQ(t.check(), "");
  t.must_put(base, 3, 7);  // Equal again.
  scan();
  EXPECT_EQ(saved(), 9_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerTest, AMergedPageIsPagedOutOnceAndComesBackShared) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, std::vector<std::uint64_t>(10, 7));
  scan();
  t.push_out();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.slots_used(), 1_pages);
  EXPECT_EQ(saved(), 9_pages);
  const std::uint64_t hard = t.faults(FaultKind::kPageFile);
  const std::uint64_t shared_faults = t.faults(FaultKind::kShared);
  for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(*t.get(base, i), 7U);
  EXPECT_EQ(t.faults(FaultKind::kPageFile), hard + 1);
  EXPECT_EQ(t.faults(FaultKind::kShared), shared_faults + 9);
  EXPECT_EQ(t.entry(base).share_count, 10U);
  EXPECT_EQ(t.check(), "");
  // What is equal to it joins it.
  t.must_put(base, 2, 1);
  t.must_put(base, 2, 7);
  scan();
  EXPECT_EQ(saved(), 9_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerTest, WhatIsOutIsNotBroughtInToMerge) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, std::vector<std::uint64_t>(4, 7));
  scan();
  t.push_out();
  const VirtualAddress more = fill(t.space(), 0, {7, 7});
  const std::uint64_t reads = t.manager().counters().page_file_reads;
  scan();
  EXPECT_EQ(t.manager().counters().page_file_reads, reads);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(*t.get(base, 0), 7U);
  scan();
  EXPECT_EQ(t.frame(more), t.frame(base));
  EXPECT_EQ(saved(), 5_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerTest, TheLastOneLeftTakesThePageBackWithoutACopy) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7, 7});
  scan();
  const Pfn frame = t.frame(base);
  t.must_put(base, 1, 8);
  t.must_put(base, 2, 9);
  EXPECT_EQ(shared(), 1_pages);
  const std::uint64_t copies = t.faults(FaultKind::kCopyOnWrite);
  t.must_put(base, 0, 10);
  EXPECT_EQ(t.faults(FaultKind::kCopyOnWrite), copies);
  EXPECT_EQ(t.frame(base), frame);
  EXPECT_EQ(shared(), 0_pages);
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerTest, PagesOfZerosBecomeDemandZero) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 0, 0, 0});
  const PageCount available = t.available();
  scan();
  EXPECT_EQ(t.available(), available + 3_pages);
  EXPECT_EQ(t.kind(base + kPageSize), PteKind::kDemandZero);
  EXPECT_EQ(t.manager().counters().sharing_zeros, 3U);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(*t.get(base, 2), 0U);
  t.must_put(base, 1, 5);
  EXPECT_EQ(*t.get(base, 1), 5U);
  EXPECT_EQ(*t.get(base, 0), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerTest, PagesOfDifferentRightsNeverMeet) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7, 7, 7});
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize * 2, Protection::kReadOnly));
  for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(*t.get(base, i), 7U);
  scan();
  EXPECT_EQ(t.frame(base), t.frame(base + kPageSize));
  EXPECT_EQ(t.frame(base + kPageSize * 2), t.frame(base + kPageSize * 3));
  EXPECT_NE(t.frame(base), t.frame(base + kPageSize * 2));
  EXPECT_EQ(t.put(base, 0, 1), Status::kAccessViolation);
  t.must_put(base, 2, 1);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize * 2, Protection::kReadWrite));
  t.must_put(base, 0, 3);
  EXPECT_EQ(*t.get(base, 1), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerTest, WhatSomebodyHoldsStaysAsItIs) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7, 7, 7, 7});
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base, kPageSize, LockKind::kInMemory));
  const Pfn pinned = t.frame(base + kPageSize);
  t.manager().pin(pinned);
  ASSERT_TRUE(t.space().reset(t.cpu(), base + kPageSize * 2, kPageSize));
  const Pfn locked = t.frame(base);
  scan(3);
  EXPECT_EQ(t.frame(base), locked);
  EXPECT_EQ(t.frame(base + kPageSize), pinned);
  EXPECT_EQ(t.entry(base + kPageSize * 2).reset, 1);
  EXPECT_EQ(t.frame(base + kPageSize * 3), t.frame(base + kPageSize * 4));
  EXPECT_EQ(saved(), 1_pages);
  EXPECT_GT(t.manager().counters().sharing_put_off, 0U);
  t.manager().unpin(pinned, PteCodec::Dirty::kYes);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().unlock_pages(t.cpu(), base, kPageSize, LockKind::kInMemory));
  t.must_put(base, 2, 7);  // Wanted again.
  scan(3);
  EXPECT_EQ(saved(), 4_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerTest, ViewsAreNotLookedAt) {
  ASSERT_TRUE(combiner().allow(t.space()));
  Section& section = **t.manager().sections().create(t.cpu(), {.size = 64_KiB, .protection = Protection::kReadWrite});
  const VirtualAddress view(t.space().map_view(t.cpu(), section, {})->first);
  for (unsigned i = 0; i < 4; ++i) t.must_put(view, i, 7);
  const VirtualAddress base = fill(t.space(), 0, {7});
  scan(3);
  EXPECT_EQ(t.manager().counters().sharing_scanned, 3U) << "the one private page";
  EXPECT_EQ(saved(), 0_pages);
  EXPECT_EQ(*t.get(view, 1), 7U);
  EXPECT_EQ(*t.get(base, 0), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerTest, AStaleHintIsDroppedAndNothingIsMerged) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7});
  scan(1);
  EXPECT_EQ(combiner().statistics().hints, 1_pages);
  t.must_put(base, 0, 8);
  const VirtualAddress more = fill(t.space(), 0, {7});
  scan(3);
  EXPECT_EQ(saved(), 0_pages);
  EXPECT_EQ(*t.get(base, 0), 8U);
  EXPECT_EQ(*t.get(more, 0), 7U);
  EXPECT_EQ(t.check(), "");
  // One that nobody meets goes with the passes.
  for (unsigned round = 0; round < 20; ++round) {
    t.must_put(base, 0, 100 + round);
    scan(1);
  }
  EXPECT_LE(combiner().statistics().hints, 5_pages);
}

TEST_P(CombinerTest, WriteWatchKnowsAPageThatWasWrittenBeforeItWasMerged) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const auto region = t.space().reserve({.size = kPageSize * 4,
                                         .protection = Protection::kReadWrite,
                                         .commit = MemCommit::kYes,
                                         .type = VadType::kWriteWatch});
  ASSERT_TRUE(region);
  const VirtualAddress base(region->first);
  for (unsigned i = 0; i < 3; ++i) t.must_put(base, i, i == 2 ? 0 : 7);
  scan();
  EXPECT_EQ(saved(), 1_pages);
  std::array<VirtualAddress, 8> written{};
  const auto watched = [&] {
    return *t.space().get_write_watch(t.cpu(), base, kPageSize * 4, written, ProcessSpace::WatchReset::kYes);
  };
  EXPECT_EQ(watched(), 3U);
  scan();
  EXPECT_EQ(watched(), 0U) << "to merge is not to write";
  t.must_put(base, 1, 8);
  EXPECT_EQ(watched(), 1U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerTest, ToBeLookedAtIsNoAccess) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7, 7});
  for (unsigned i = 0; i < 2; ++i) {
    const std::uint32_t slot = t.entry(base + bytes_of(PageCount(i))).ws_index;
    const LockGuard guard(t.space().lock);
    EXPECT_TRUE(t.space().test_and_clear_accessed(t.cpu(), t.space().working_set()[slot]));
  }
  scan();
  EXPECT_EQ(saved(), 2_pages);
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(PteCodec::is_accessed(t.pte(base + bytes_of(PageCount(i)))), i == 2) << i;
  EXPECT_EQ(t.check(), "");
}

// Hears what is taken away.
class Observer final : public SecondaryMmu {
 public:
  void invalidate(VpnRange pages) override {
    for (Vpn page = pages.first; page < pages.end(); ++page) seen.insert(page);
  }
  bool test_and_clear_accessed(Vpn) override { return false; }
  std::set<Vpn> seen;
};

TEST_P(CombinerTest, ObserversForgetWhatIsMergedPublishedOrForgotten) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7, 0, 9});
  Observer observer;
  t.space().add_observer(observer);
  scan();
  t.space().remove_observer(observer);
  EXPECT_TRUE(observer.seen.contains(base.vpn()));
  EXPECT_TRUE(observer.seen.contains((base + kPageSize).vpn()));
  EXPECT_TRUE(observer.seen.contains((base + kPageSize * 2).vpn()));
  EXPECT_FALSE(observer.seen.contains((base + kPageSize * 3).vpn())) << "a hint protects nothing";
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombinerTest, ManyPagesLeadToOneAndEachComesBack) {
  ASSERT_TRUE(combiner().allow(t.space()));
  std::vector<std::uint64_t> words;
  for (unsigned i = 0; i < 200; ++i) words.push_back(1 + i % 7);
  const VirtualAddress base = fill(t.space(), 0, words);
  scan(3);
  EXPECT_EQ(shared(), 7_pages);
  EXPECT_EQ(saved(), PageCount(193));
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().decommit(t.cpu(), base, kPageSize * 100));
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(saved(), PageCount(93));
  ASSERT_TRUE(t.space().release(t.cpu(), base, {}));
  EXPECT_EQ(shared(), 0_pages);
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  EXPECT_EQ(t.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, CombinerTest, testing::all_modes(), testing::name_of_mode);

}  // namespace
}  // namespace pagoda::mm
