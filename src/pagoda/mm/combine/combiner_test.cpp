// Equal pages become one: what is merged, what is not, and that a merged page is a page like any other.
#include "pagoda/mm/combine/combiner.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;

constexpr WorkingSet::Limits kLimits{PageCount(50), PageCount(400)};

TestMachineConfig config(machine::PteFormat paging, PageCount frames = PageCount(512)) {
  return {
      .frames = frames, .paging = paging, .processors = 3, .limits = WorkingSet::Limits{PageCount(50), PageCount(400)}};
}

class CombinerTest : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  CombinerTest() : CombinerTest(config(GetParam())) {}
  explicit CombinerTest(const TestMachineConfig& config) : t(config) {}

  Combiner& combiner() { return t.manager().combiner(); }
  // Everything is looked at so many times.
  void scan(int passes = 2) {
    for (int pass = 0; pass < passes; ++pass) combiner().scan(t.cpu(), {PageCount(100'000), PageCount(100'000)});
  }
  PageCount shared() { return combiner().statistics().shared; }
  PageCount saved() { return combiner().statistics().saved; }
  // A space of the domain on the processor, which takes part.
  ProcessSpace& add_space(unsigned processor, std::optional<SharingDomain> domain = std::nullopt) {
    ProcessSpace& space = **t.manager().create_space(t.cpu(), {.limits = kLimits, .domain = domain});
    t.manager().attach(t.cpu(processor), space);
    EXPECT_TRUE(combiner().allow(space));
    return space;
  }
  // Memory of a space, each page with a word in it.
  VirtualAddress fill(ProcessSpace& space, unsigned processor, const std::vector<std::uint64_t>& words) {
    const VirtualAddress base = commit(space, words.size());
    for (std::size_t i = 0; i < words.size(); ++i) t.must_put(base, i, words[i], processor);
    return base;
  }
  static VirtualAddress commit(ProcessSpace& space, std::uint64_t pages) {
    return VirtualAddress(
        space
            .reserve(
                {.size = bytes_of(PageCount(pages)), .protection = Protection::kReadWrite, .commit = MemCommit::kYes})
            ->first);
  }

  TestMachine t;
};

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

TEST_P(CombinerTest, ASpaceIsADomainOfItsOwn) {
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

TEST_P(CombinerTest, SpacesOfANamedDomainShareWithEachOtherAndNobodyElse) {
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

TEST_P(CombinerTest, ADomainIsNamedBeforeAnythingIsShared) {
  ASSERT_TRUE(combiner().allow(t.space(), named_domain(3)));
  EXPECT_EQ(t.space().sharing_domain(), named_domain(3));
  ASSERT_TRUE(combiner().allow(t.space(), named_domain(3))) << "again";
  EXPECT_EQ(combiner().allow(t.space(), named_domain(4)).error(), Status::kInvalidParameter);
  ProcessSpace& other = **t.manager().create_space(t.cpu(), {.limits = kLimits});
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

TEST_P(CombinerTest, WhoEndsOrNoLongerTakesPartLeavesNothingBehind) {
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

TEST_P(CombinerTest, AForksChildIsInItsParentsDomainAndWhatAForkSharesMeetsEquals) {
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

TEST_P(CombinerTest, TheThreadKeepsToItsRates) {
  SystemThread& thread = *t.manager().system_threads()[4];
  EXPECT_EQ(thread.name(), "combine thread");
  EXPECT_EQ(thread.due(t.cpu().now()), kNever) << "nobody takes part";
  ASSERT_TRUE(combiner().allow(t.space()));
  std::vector<std::uint64_t> words;
  for (unsigned i = 0; i < 300; ++i) words.push_back(i + 1);
  static_cast<void>(fill(t.space(), 0, words));
  const Time start = t.cpu().now();
  while (t.cpu().now() < start + 1_s) {
    const Time due = thread.due(t.cpu().now());
    t.cpu().advance_to(due);
    thread.run(t.cpu());
  }
  const std::uint64_t scanned = t.manager().counters().sharing_scanned;
  EXPECT_LE(scanned, 1024U + 103U) << "ShareRateMax: reference overcommit-facts.md 1.2";
  EXPECT_GE(scanned, 900U);
}

// Only one kind of PTE differs between modes here.
class CombinerOptions : public CombinerTest {};

TEST_P(CombinerOptions, OneSharedPageOfZeros) {
  TestMachineConfig with = config(GetParam());
  with.tunables.sharing.zeros = SharingTunables::Zeros::kOnePage;
  TestMachine machine(with);
  Combiner& combine = machine.manager().combiner();
  ASSERT_TRUE(combine.allow(machine.space()));
  const VirtualAddress base = machine.commit(PageCount(8));
  for (unsigned i = 0; i < 8; ++i) machine.must_put(base, i, 0);
  for (int pass = 0; pass < 2; ++pass) combine.scan(machine.cpu(), {PageCount(1000), PageCount(1000)});
  EXPECT_EQ(combine.statistics().shared, 1_pages);
  EXPECT_EQ(combine.statistics().saved, 7_pages);
  machine.must_put(base, 3, 1);
  EXPECT_EQ(*machine.get(base, 4), 0U);
  EXPECT_EQ(machine.check(), "");
}

TEST_P(CombinerOptions, AFullTableTakesNoMoreAndFindsWhatItHas) {
  TestMachineConfig with = config(GetParam());
  with.tunables.sharing.table_entries = PageCount(4);
  TestMachine machine(with);
  Combiner& combine = machine.manager().combiner();
  ASSERT_TRUE(combine.allow(machine.space()));
  const VirtualAddress base = machine.commit(PageCount(40));
  for (unsigned i = 0; i < 40; ++i) machine.must_put(base, i, i % 20 + 1);
  for (int pass = 0; pass < 3; ++pass) combine.scan(machine.cpu(), {PageCount(1000), PageCount(1000)});
  EXPECT_GT(machine.manager().counters().sharing_table_full, 0U);
  EXPECT_GT(combine.statistics().saved, 0_pages);
  EXPECT_LE(combine.statistics().saved, 4_pages);
  for (unsigned i = 0; i < 40; ++i) EXPECT_EQ(*machine.get(base, i), i % 20 + 1);
  EXPECT_EQ(machine.check(), "");
}

TEST_P(CombinerOptions, WithoutHintsAPageIsMadeReadOnlyAtOnce) {
  TestMachineConfig with = config(GetParam());
  with.tunables.sharing.hints = SharingTunables::Hints::kNo;
  TestMachine machine(with);
  Combiner& combine = machine.manager().combiner();
  ASSERT_TRUE(combine.allow(machine.space()));
  const VirtualAddress base = machine.commit(PageCount(8));
  for (unsigned i = 0; i < 8; ++i) machine.must_put(base, i, i < 5 ? 7 : 10 + i);
  combine.scan(machine.cpu(), {PageCount(1000), PageCount(1000)});
  EXPECT_EQ(combine.statistics().hints, 0_pages);
  EXPECT_EQ(combine.statistics().shared, 4_pages);
  EXPECT_EQ(combine.statistics().saved, 4_pages) << "in one pass";
  EXPECT_EQ(machine.check(), "");
  const std::uint64_t first_writes = machine.faults(FaultKind::kFirstWrite);
  machine.must_put(base, 6, 60);
  EXPECT_EQ(machine.faults(FaultKind::kFirstWrite), first_writes + 1);
  EXPECT_EQ(machine.check(), "");
}

// Reference virtualization.md 6.2 and section 9, row 5: a deliberately weak hash, and no wrong merge.
class CombinerHashes : public ::testing::TestWithParam<unsigned> {};

TEST_P(CombinerHashes, MergeNothingThatIsNotEqualHoweverWeak) {
  constexpr unsigned kContents = 700;  // Two pages of each.
  TestMachineConfig with = config(machine::PteFormat::kAmd64, PageCount(2048));
  with.limits = WorkingSet::Limits{PageCount(50), PageCount(2000)};
  with.tunables.sharing.hash_bits = GetParam();
  TestMachine machine(with);
  Combiner& combine = machine.manager().combiner();
  ASSERT_TRUE(combine.allow(machine.space()));
  const VirtualAddress base = machine.commit(PageCount(2 * kContents));
  for (unsigned i = 0; i < 2 * kContents; ++i) machine.must_put(base, i, Random::mix(i % kContents + 1));
  for (int pass = 0; pass < 4; ++pass) {
    combine.scan(machine.cpu(), {PageCount(10'000), PageCount(10'000)});
    ASSERT_EQ(machine.check(), "");
  }
  for (unsigned i = 0; i < 2 * kContents; ++i) ASSERT_EQ(*machine.get(base, i), Random::mix(i % kContents + 1));
  const Counters counters = machine.manager().counters();
  EXPECT_LE(combine.statistics().saved, PageCount(kContents));
  EXPECT_EQ(combine.statistics().saved.value(), counters.sharing_merged);
  if (GetParam() == 8) {
    EXPECT_GT(counters.sharing_false_matches, 500U) << "256 keys for 700 contents";
  } else if (GetParam() == 16) {
    EXPECT_GT(counters.sharing_false_matches, 0U) << "four collisions are likely";
  }
  if (GetParam() >= 24) {
    EXPECT_EQ(combine.statistics().saved, PageCount(kContents));
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, CombinerHashes, ::testing::Values(8U, 16U, 24U, 64U));

INSTANTIATE_TEST_SUITE_P(Modes, CombinerTest,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& mode) { return std::string(machine::paging_mode(mode.param).name); });
INSTANTIATE_TEST_SUITE_P(Modes, CombinerOptions,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& mode) { return std::string(machine::paging_mode(mode.param).name); });

}  // namespace
}  // namespace pagoda::mm
