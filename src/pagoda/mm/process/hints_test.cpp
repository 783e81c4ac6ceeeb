
#include <gtest/gtest.h>

#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;

VpnRange pages_at(VirtualAddress base, std::uint64_t first, std::uint64_t count) {
  return {TestMachine::page(base, first).vpn(), PageCount(count)};
}

TEST(ColdHint, TakesThePagesOutOfTheWorkingSetAndForgetsZeros) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(8));
  for (std::uint64_t page = 0; page < 8; ++page) t.must_put(base, page, page % 2);
  const PageCount zeroed = t.count(PageState::kZeroed);
  EXPECT_EQ(t.space().trim_range(t.cpu(), pages_at(base, 2, 4)), 4_pages);
  EXPECT_EQ(t.resident(), 4_pages);
  EXPECT_EQ(t.count(PageState::kModified), 2_pages);
  EXPECT_EQ(t.count(PageState::kZeroed), zeroed + 2_pages);
  EXPECT_EQ(t.manager().counters().zero_pages_found, 2U);
  EXPECT_EQ(t.manager().counters().zero_pages_by_hint, 2U);
  EXPECT_EQ(t.space().trim_range(t.cpu(), pages_at(base, 2, 4)), 0_pages);
  for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(t.get(base, page), page % 2);
  EXPECT_EQ(t.check(), "");
}

TEST(ColdHint, LeavesLockedPagesAndWhatIsNotThere) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base, kPageSize, LockKind::kInWorkingSet));
  EXPECT_EQ(t.space().trim_range(t.cpu(), {Vpn(1), PageCount(1 << 20)}), 3_pages);
  EXPECT_EQ(t.resident(), 1_pages);
  EXPECT_EQ(t.check(), "");
}

TEST(HotHint, BringsPagesInFromWhereverTheyAre) {
  TestMachineConfig config;
  config.tunables.compression_budget = PageCount(2);
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(40));
  t.fill(base, PageCount(30));
  t.push_out();
  EXPECT_EQ(t.space().make_resident(t.cpu(), pages_at(base, 0, 40)), 40_pages);
  EXPECT_EQ(t.resident(), 40_pages);
  const std::uint64_t faults = t.faults();
  EXPECT_EQ(t.differences(base, PageCount(30)), 0U);
  EXPECT_EQ(t.faults(), faults);
  EXPECT_EQ(t.check(), "");
}

TEST(HotHint, StopsWhereMemoryIsShortAndSkipsWhatCannotBeRead) {
  TestMachineConfig config;
  config.frames = PageCount(128);
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(200));
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kNoAccess));
  ASSERT_TRUE(
      t.space().protect(t.cpu(), base + kPageSize, kPageSize, with_modifier(Protection::kReadWrite, kProtectionGuard)));
  const auto resident = t.space().make_resident(t.cpu(), pages_at(base, 0, 200));
  ASSERT_TRUE(resident);
  EXPECT_GT(*resident, PageCount(60));
  EXPECT_LT(*resident, PageCount(120));
  EXPECT_GE(t.available(), t.core().tunables.minimum_free);
  EXPECT_EQ(t.faults(FaultKind::kGuard), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(HotHint, WaitsAsItsProcessorDoes) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  t.fill(base, PageCount(1));
  t.push_out();
  t.cpu().set_waiting(Processor::Waiting::kYields);
  EXPECT_EQ(t.space().make_resident(t.cpu(), pages_at(base, 0, 1)).error(), Status::kPending);
  t.cpu().set_waiting(Processor::Waiting::kAdvancesClock);
  t.cpu().advance_to(t.cpu().take_blocked_until());
  EXPECT_EQ(t.space().make_resident(t.cpu(), pages_at(base, 0, 1)), 1_pages);
  EXPECT_EQ(t.check(), "");
}

TEST(Prefetch, ReadsWhatIsOnADiskAloneAndLeavesTheWorkingSetAsItIs) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(40));
  t.fill(base, PageCount(30));
  t.push_out();
  t.must_touch(base);
  ASSERT_TRUE(t.space().prefetch(t.cpu(), pages_at(base, 0, 40)));
  EXPECT_EQ(t.resident(), 1_pages);
  EXPECT_EQ(t.kind(TestMachine::page(base, 35)), PteKind::kZero);  // Never touched: nothing to read.
  EXPECT_EQ(t.check(), "");
  const std::uint64_t reads = t.faults(FaultKind::kPageFile);
  EXPECT_EQ(t.differences(base, PageCount(30)), 0U);
  EXPECT_EQ(t.faults(FaultKind::kPageFile), reads);
  EXPECT_EQ(t.check(), "");
}

TEST(Prefetch, LeavesWhatIsInMemoryOrCannotBeRead) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(8));
  t.push_out();
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kNoAccess));
  ASSERT_TRUE(t.space().prefetch(t.cpu(), pages_at(base, 0, 1)));
  EXPECT_EQ(t.kind(base), PteKind::kPageFile);
  ASSERT_TRUE(t.space().prefetch(t.cpu(), pages_at(base, 1, 1)));
  EXPECT_EQ(t.kind(base + kPageSize), PteKind::kTransition);
  const std::uint64_t faults = t.faults();
  ASSERT_TRUE(t.space().prefetch(t.cpu(), pages_at(base, 1, 1)));
  ASSERT_TRUE(t.space().prefetch(t.cpu(), {Vpn(1), PageCount(16)}));  // No region.
  EXPECT_EQ(t.faults(), faults);
  EXPECT_EQ(t.check(), "");
}

TEST(ColdDiscard, ForgetsPagesWhereverTheyAreAndKeepsTheirPromise) {
  TestMachineConfig config;
  config.tunables.compression_budget = PageCount(1);
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(80));
  t.fill(base, PageCount(60));
  t.push_out();  // Some in the store, some in the paging file.
  for (std::uint64_t page = 0; page < 20; ++page) t.must_touch(TestMachine::page(base, page));
  t.fill(TestMachine::page(base, 10), PageCount(5), 100);
  t.page_out();
  t.fill(base, PageCount(10));
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kReadOnly));
  const PageCount commit = t.manager().commit().charged;
  ASSERT_TRUE(t.space().discard(t.cpu(), pages_at(base, 0, 80)));
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.manager().commit().charged, commit);
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.manager().frame_counts().compression_store, 0_pages);
  EXPECT_EQ(t.resident(), 0_pages);
  for (std::uint64_t page = 0; page < 80; ++page) EXPECT_EQ(t.get(base, page), 0U) << page;
  EXPECT_EQ(t.put(base, 0, 1), Status::kAccessViolation);
  EXPECT_EQ(t.put(base, 1, 1), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
}

TEST(ColdDiscard, LeavesTheOtherSideOfAForkAlone) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(8));
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  ASSERT_TRUE(t.space().discard(t.cpu(), pages_at(base, 0, 8)));
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.get(base, 3), 0U);
  t.manager().attach(t.cpu(), child);
  EXPECT_EQ(t.differences(base, PageCount(8)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(ColdDiscard, NeedsPrivateOrdinaryMemory) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(16));
  EXPECT_EQ(t.space().discard(t.cpu(), pages_at(base, 8, 16)).error(), Status::kConflictingAddresses);
  auto section = t.manager().sections().create(t.cpu(), {.size = bytes_of(PageCount(4))});
  const auto view = t.space().map_view(t.cpu(), **section, {.protection = Protection::kReadWrite});
  EXPECT_EQ(t.space().discard(t.cpu(), *view).error(), Status::kConflictingAddresses);
  ASSERT_TRUE(t.space().secure(t.cpu(), base, kPageSize, Protection::kReadWrite));
  EXPECT_EQ(t.space().discard(t.cpu(), pages_at(base, 0, 2)).error(), Status::kInvalidPageProtection);
  EXPECT_EQ(t.check(), "");
}

// --- Memory that is promised when it is touched ---

VirtualAddress on_touch(TestMachine& t, PageCount pages) {
  return VirtualAddress(t.space().reserve({.size = bytes_of(pages), .on_touch = OnTouch::kCommit})->first);
}

TEST(CommitOnTouch, ChargesEachPageOnceAndGivesBackWhatIsDiscarded) {
  TestMachine t;
  const VirtualAddress base = on_touch(t, PageCount(64));
  const auto charged = [&] { return t.space().statistics().commit; };
  EXPECT_EQ(charged(), 0_pages);
  t.fill(base, PageCount(10));
  EXPECT_EQ(t.get(base, 20), 0U);
  EXPECT_EQ(charged(), 11_pages);
  t.push_out();
  EXPECT_EQ(t.differences(base, PageCount(10)), 0U);
  EXPECT_EQ(charged(), 11_pages);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().discard(t.cpu(), pages_at(base, 5, 30)));
  EXPECT_EQ(charged(), 5_pages);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.get(base, 7), 0U);
  EXPECT_EQ(charged(), 6_pages);
  EXPECT_EQ(t.space().query(t.cpu(), TestMachine::page(base, 30))->state, MemoryState::kReserved);
  ASSERT_TRUE(t.space().release(t.cpu(), base, ByteCount(0)));
  EXPECT_EQ(charged(), 0_pages);
  EXPECT_EQ(t.check(), "");
}

TEST(CommitOnTouch, WithoutChargeTheTouchFailsAndMayBeRepeated) {
  TestMachineConfig config;
  config.paging_files = {};
  config.frames = PageCount(128);
  TestMachine t(config);
  const VirtualAddress base = on_touch(t, PageCount(200));
  std::uint64_t pages = 0;
  while (t.put(base, pages, pages) == Status::kSuccess) ++pages;
  EXPECT_EQ(t.put(base, pages, pages), Status::kCommitmentLimit);
  EXPECT_EQ(t.manager().commit().charged, t.manager().commit().limit);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().discard(t.cpu(), pages_at(base, 0, 1)));
  EXPECT_EQ(t.put(base, pages, pages), Status::kSuccess);
  EXPECT_EQ(t.get(base, 0).error(), Status::kCommitmentLimit);
  for (std::uint64_t page = 1; page <= pages; ++page) EXPECT_EQ(t.get(base, page), page);
  EXPECT_EQ(t.check(), "");
}

TEST(CommitOnTouch, IsForOrdinaryMemoryOfSomeUse) {
  TestMachine t;
  const auto with = [&](const ReserveRequest& request) { return t.space().reserve(request).error(); };
  const ByteCount size = 64_KiB;
  EXPECT_EQ(with({.size = size, .commit = MemCommit::kYes, .on_touch = OnTouch::kCommit}), Status::kInvalidParameter5);
  EXPECT_EQ(with({.size = size, .on_touch = OnTouch::kCommit, .type = VadType::kAwe}), Status::kInvalidParameter5);
  EXPECT_EQ(with({.size = size, .protection = Protection::kNoAccess, .on_touch = OnTouch::kCommit}),
            Status::kInvalidPageProtection);
  EXPECT_EQ(t.check(), "");
}

TEST(CommitOnTouch, AForkTakesWhatWasTouched) {
  TestMachine t;
  const VirtualAddress base = on_touch(t, PageCount(16));
  t.fill(base, PageCount(4));
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  EXPECT_EQ(child.statistics().commit, 4_pages);
  t.manager().attach(t.cpu(), child);
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
  t.must_put(base, 9, 9);
  EXPECT_EQ(child.statistics().commit, 5_pages);
  EXPECT_EQ(t.check(), "");
}

// --- Anyone may leave ---

TestMachineConfig with_random_victims(std::uint64_t seed) {
  TestMachineConfig config;
  config.tunables.victim = Tunables::Victim::kRandom;
  config.tunables.victim_seed = seed;
  config.limits =
      WorkingSet::Limits{.minimum = PageCount(4), .maximum = PageCount(32), .kind = WorkingSet::Limits::Maximum::kHard};
  return config;
}

// Which of the first 32 pages are left after 16 more.
std::vector<std::uint64_t> survivors(const TestMachineConfig& config) {
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(48));
  t.fill(base, PageCount(48));
  std::vector<std::uint64_t> left;
  for (std::uint64_t page = 0; page < 32; ++page)
    if (t.kind(TestMachine::page(base, page)) == PteKind::kValid) left.push_back(page);
  EXPECT_EQ(t.resident(), PageCount(32));
  EXPECT_EQ(t.check(), "");
  return left;
}

TEST(RandomVictim, FollowsTheSeedAndNotTheOrderOfUse) {
  EXPECT_EQ(survivors(with_random_victims(1)), survivors(with_random_victims(1)));
  EXPECT_NE(survivors(with_random_victims(1)), survivors(with_random_victims(2)));
  TestMachineConfig clock = with_random_victims(1);
  clock.tunables.victim = Tunables::Victim::kClock;
  EXPECT_EQ(survivors(clock).size(), 16U);
  EXPECT_NE(survivors(with_random_victims(1)), survivors(clock));
}

TEST(RandomVictim, IsNeverLocked) {
  TestMachine t(with_random_victims(3));
  const VirtualAddress base = t.commit(PageCount(200));
  ASSERT_TRUE(t.space().set_limits(t.cpu(), {.minimum = PageCount(16), .maximum = PageCount(16)}));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base, bytes_of(PageCount(8)), LockKind::kInWorkingSet));
  t.fill(base, PageCount(200));
  for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(t.kind(TestMachine::page(base, page)), PteKind::kValid);
  EXPECT_EQ(t.space().empty_working_set(t.cpu()), t.space().statistics().peak_working_set - 8_pages);
  EXPECT_EQ(t.resident(), 8_pages);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
