#include "pagoda/mm/threads/balance_set_manager.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pagoda/mm/testing/test_machine.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;

constexpr WorkingSet::Limits kSmall{.minimum = PageCount(10), .maximum = PageCount(200)};

// A second space with its own pages, on the second processor.
struct TwoSpaces {
  explicit TwoSpaces(std::uint64_t pages_of_first, std::uint64_t pages_of_second)
      : t({.processors = 2, .limits = kSmall}), second(t.add_space(kSmall)) {
    first_base = t.commit(PageCount(pages_of_first));
    t.fill(first_base, PageCount(pages_of_first));
    t.manager().attach(t.cpu(1), second);
    second_base = VirtualAddress(
        second.reserve({.size = bytes_of(PageCount(pages_of_second)), .commit = MemCommit::kYes})->first);
    for (std::uint64_t i = 0; i < pages_of_second; ++i) t.must_put(second_base, i, i + 1, 1);
  }
  static void age(ProcessSpace& space, machine::SimProcessor& cpu, int passes) {
    const LockGuard guard(space.lock);
    for (int i = 0; i < passes; ++i) age_working_set(space, cpu);
  }
  PageCount trim(std::uint64_t more) {
    return t.manager().balance_set_manager().trim(t.cpu(), t.available() + PageCount(more));
  }

  TestMachine t;
  ProcessSpace& second;
  VirtualAddress first_base;
  VirtualAddress second_base;
};

TEST(BalanceSetManager, TakesFromWhoIsFurthestAboveItsMinimum) {
  TwoSpaces s(30, 60);
  EXPECT_EQ(s.trim(20), 20_pages);
  EXPECT_EQ(s.t.space().statistics().working_set, 30_pages);
  EXPECT_EQ(s.second.statistics().working_set, 40_pages);
  EXPECT_EQ(s.t.manager().counters().pages_trimmed, 20U);
  EXPECT_EQ(s.t.check(), "");
}

// Who has nothing to trim is on no list, and comes back with the first page that may go.
TEST(BalanceSetManager, WalksWhoHasSomethingToTrim) {
  using Trimmable = WorkingSet::Trimmable;
  TwoSpaces s(30, 5);
  const TrimCandidates& to_trim = s.t.manager().spaces().to_trim;
  EXPECT_EQ(to_trim.listed(s.t.space()), Trimmable::kAboveMinimum);
  EXPECT_EQ(to_trim.listed(s.second), Trimmable::kBelowMinimum);
  EXPECT_EQ(to_trim.listed(s.t.add_space(kSmall)), Trimmable::kNothing);
  EXPECT_EQ(s.trim(100), 20_pages);
  EXPECT_EQ(s.trim(100), 15_pages);  // Both spaces' last pages.
  EXPECT_EQ(to_trim.listed(s.t.space()), Trimmable::kNothing);
  EXPECT_EQ(to_trim.listed(s.second), Trimmable::kNothing);
  EXPECT_EQ(s.trim(100), 0_pages);
  s.t.must_put(s.second_base, 0, 1, 1);
  EXPECT_EQ(to_trim.listed(s.second), Trimmable::kBelowMinimum);
  ASSERT_TRUE(s.second.lock_pages(s.t.cpu(), s.second_base, kPageSize, LockKind::kInWorkingSet));
  EXPECT_EQ(s.trim(100), 0_pages);
  EXPECT_EQ(to_trim.listed(s.second), Trimmable::kNothing);
  ASSERT_TRUE(s.second.unlock_pages(s.t.cpu(), s.second_base, kPageSize, LockKind::kInWorkingSet));
  EXPECT_EQ(to_trim.listed(s.second), Trimmable::kBelowMinimum);
  EXPECT_EQ(s.trim(100), 1_pages);
  EXPECT_EQ(s.t.check(), "");
}

TEST(BalanceSetManager, TakesTheOldestFirstOfAllSpaces) {
  TwoSpaces s(30, 60);
  TwoSpaces::age(s.t.space(), s.t.cpu(), 3);  // The smaller one's are old, and the larger one's in use.
  EXPECT_EQ(s.trim(15), 15_pages);
  EXPECT_EQ(s.t.space().statistics().working_set, 15_pages);
  EXPECT_EQ(s.second.statistics().working_set, 60_pages);
  EXPECT_EQ(s.t.check(), "");
}

TEST(BalanceSetManager, NoSpaceFallsBelowItsMinimumWhileOthersHaveMore) {
  TwoSpaces s(30, 40);
  EXPECT_EQ(s.trim(60), 50_pages);
  EXPECT_EQ(s.t.space().statistics().working_set, 10_pages);
  EXPECT_EQ(s.second.statistics().working_set, 10_pages);
  EXPECT_EQ(s.t.check(), "");
}

TEST(BalanceSetManager, BelowTheMinimumOnlyWhenNothingElseIsLeft) {
  TwoSpaces s(10, 10);
  // Nothing is above its minimum. The modified pages count as coming: twelve leave for twelve.
  EXPECT_EQ(s.trim(12), 12_pages);
  EXPECT_EQ(s.t.space().statistics().working_set + s.second.statistics().working_set, 8_pages);
  EXPECT_EQ(s.t.check(), "");
}

TEST(BalanceSetManager, StopsAtItsGoal) {
  TwoSpaces s(30, 60);
  EXPECT_EQ(s.trim(0), 0_pages);
  EXPECT_EQ(s.trim(5), 5_pages);
  EXPECT_EQ(s.trim(5), 0_pages) << "what is modified is on its way already";
  EXPECT_EQ(s.t.check(), "");
}

TEST(BalanceSetManager, AgesOnceAPeriod) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  t.fill(base, PageCount(1));
  BalanceSetManager& manager = t.manager().balance_set_manager();
  const auto age = [&] {
    const std::uint32_t slot = t.entry(base).ws_index;
    const LockGuard guard(t.space().lock);
    return t.space().working_set()[slot].age();
  };
  EXPECT_EQ(manager.due(t.cpu().now()), Time{} + 1_s);
  manager.run(t.cpu());
  EXPECT_EQ(age(), 0U);
  for (unsigned pass = 0; pass < 6; ++pass) {
    t.cpu().advance_to(manager.due(t.cpu().now()));
    manager.run(t.cpu());
    manager.run(t.cpu());                             // Once is enough.
    EXPECT_EQ(age(), std::min(pass, Wsle::kOldest));  // The first pass sees the use.
  }
  EXPECT_EQ(t.resident(), 1_pages) << "nothing is short";
  EXPECT_EQ(t.check(), "");
}

TEST(BalanceSetManager, IsDueAtOnceAndTrimsWhenMemoryIsShort) {
  TestMachine t({.frames = PageCount(128), .limits = kSmall});
  const VirtualAddress base = t.commit(PageCount(120));
  std::uint64_t touched = 0;
  while (t.available() >= t.core().tunables.minimum_free) t.must_put(base, touched++, 1);
  BalanceSetManager& manager = t.manager().balance_set_manager();
  EXPECT_EQ(manager.due(t.cpu().now()), t.cpu().now());
  manager.run(t.cpu());
  EXPECT_GE(t.available() + t.count(PageState::kModified), t.core().tunables.plenty_free);
  EXPECT_LT(t.resident().value(), touched);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
