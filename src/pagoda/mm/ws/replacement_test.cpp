#include "pagoda/mm/ws/replacement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;
using Maximum = WorkingSet::Limits::Maximum;

TestMachineConfig config_with_maximum(std::uint64_t maximum, Maximum kind) {
  return {.limits = WorkingSet::Limits{.minimum = PageCount(2), .maximum = PageCount(maximum), .kind = kind}};
}

bool is_resident(TestMachine& t, VirtualAddress base, std::uint64_t page) {
  return t.kind(TestMachine::page(base, page)) == PteKind::kValid;
}

TEST(Replacement, AHardMaximumHoldsWhileMemoryIsPlentiful) {
  TestMachine t(config_with_maximum(10, Maximum::kHard));
  const VirtualAddress base = t.commit(PageCount(40));
  t.fill(base, PageCount(40));
  EXPECT_EQ(t.resident(), 10_pages);
  EXPECT_EQ(t.space().statistics().peak_working_set, 10_pages);
  EXPECT_EQ(t.manager().counters().pages_replaced, 30U);
  EXPECT_EQ(t.differences(base, PageCount(40)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(Replacement, ASoftMaximumHoldsOnlyWhileMemoryIsShort) {
  TestMachine t(config_with_maximum(10, Maximum::kSoft));
  const VirtualAddress base = t.commit(PageCount(40));
  t.fill(base, PageCount(40));
  EXPECT_EQ(t.resident(), 40_pages);
  EXPECT_EQ(t.manager().counters().pages_replaced, 0U);
  std::vector<Pfn> held;
  {
    const LockGuard guard(t.core().pfns.lock);
    while (t.core().pfns.available() >= t.core().tunables.plenty_free)
      held.push_back(t.core().pfns.take(t.cpu(), Contents::kAny)->frame);
  }
  const VirtualAddress more = t.commit(PageCount(3));
  t.fill(more, PageCount(3));
  EXPECT_EQ(t.resident(), 40_pages);
  EXPECT_EQ(t.manager().counters().pages_replaced, 3U);
  const LockGuard guard(t.core().pfns.lock);
  for (const Pfn frame : held) t.core().pfns.give_back(frame, Contents::kAny);
}

// The clock: a page that was not used since the hand came by leaves first.
TEST(Replacement, TheClockSparesWhatIsInUse) {
  TestMachine t(config_with_maximum(4, Maximum::kHard));
  const VirtualAddress base = t.commit(PageCount(10));
  for (std::uint64_t page = 0; page < 4; ++page) t.must_touch(TestMachine::page(base, page));
  // All are in use: the first round clears them, the second takes the first.
  t.must_touch(TestMachine::page(base, 4));
  EXPECT_FALSE(is_resident(t, base, 0));
  for (std::uint64_t page = 1; page <= 4; ++page) EXPECT_TRUE(is_resident(t, base, page)) << page;
  // Page 1 is used again, 2 and 3 are not; the hand is at 1.
  t.must_touch(TestMachine::page(base, 1));
  t.must_touch(TestMachine::page(base, 5));
  EXPECT_TRUE(is_resident(t, base, 1));
  EXPECT_FALSE(is_resident(t, base, 2));
  t.must_touch(TestMachine::page(base, 6));
  EXPECT_FALSE(is_resident(t, base, 3));
  EXPECT_TRUE(is_resident(t, base, 1));
  EXPECT_EQ(t.check(), "");
}

TEST(Replacement, LockedPagesAreNoVictims) {
  TestMachine t(config_with_maximum(14, Maximum::kHard));
  ASSERT_TRUE(
      t.space().set_limits(t.cpu(), {.minimum = PageCount(14), .maximum = PageCount(14), .kind = Maximum::kHard}));
  const VirtualAddress base = t.commit(PageCount(40));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base, bytes_of(PageCount(6)), LockKind::kInWorkingSet));
  t.fill(base, PageCount(40));
  for (std::uint64_t page = 0; page < 6; ++page) EXPECT_TRUE(is_resident(t, base, page)) << page;
  EXPECT_EQ(t.resident(), 14_pages);
  EXPECT_EQ(t.check(), "");
}

TEST(Replacement, WithoutAVictimTheWorkingSetGrows) {
  TestMachine t(config_with_maximum(40, Maximum::kHard));
  ASSERT_TRUE(
      t.space().set_limits(t.cpu(), {.minimum = PageCount(12), .maximum = PageCount(12), .kind = Maximum::kHard}));
  const VirtualAddress base = t.commit(PageCount(8));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base, bytes_of(PageCount(4)), LockKind::kInWorkingSet));
  ASSERT_TRUE(
      t.space().set_limits(t.cpu(), {.minimum = PageCount(12), .maximum = PageCount(12), .kind = Maximum::kHard}));
  {
    // A maximum that is all locked: no API lets it come so far.
    const LockGuard guard(t.space().lock);
    t.space().working_set().set_limits({.minimum = PageCount(4), .maximum = PageCount(4), .kind = Maximum::kHard});
  }
  t.must_touch(TestMachine::page(base, 5));
  EXPECT_EQ(t.resident(), 5_pages);
  t.must_touch(TestMachine::page(base, 6));
  EXPECT_EQ(t.resident(), 5_pages);  // Now there is one.
  EXPECT_EQ(t.check(), "");
}

TEST(Replacement, AgingCountsPassesSinceTheLastUse) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(2));
  t.fill(base, PageCount(2));
  const auto age = [&](std::uint64_t page) {
    const std::uint32_t slot = t.entry(TestMachine::page(base, page)).ws_index;
    const LockGuard guard(t.space().lock);
    return t.space().working_set()[slot].age();
  };
  const auto pass = [&] {
    const LockGuard guard(t.space().lock);
    age_working_set(t.space(), t.cpu());
  };
  pass();
  EXPECT_EQ(age(0), 0U);
  for (unsigned passes = 1; passes <= 5; ++passes) {
    t.must_touch(base);  // The TLB forgot it, or this would not be seen.
    pass();
    EXPECT_EQ(age(0), 0U) << passes;
    EXPECT_EQ(age(1), std::min(passes, Wsle::kOldest)) << passes;
  }
  EXPECT_EQ(t.check(), "");
}

TEST(Replacement, TrimTakesOldPagesAndSparesThoseUsedSince) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(6));
  t.fill(base, PageCount(6));
  const LockGuard guard(t.space().lock);
  for (int pass = 0; pass < 3; ++pass) age_working_set(t.space(), t.cpu());
  // Two passes without use; then page 3 is used.
  ASSERT_TRUE(t.cpu().load<std::uint64_t>(TestMachine::page(base, 3)));
  EXPECT_EQ(trim_working_set(t.space(), t.cpu(), PageCount(10), PageCount(0), 3), 0_pages);
  EXPECT_EQ(trim_working_set(t.space(), t.cpu(), PageCount(2), PageCount(0), 2), 2_pages);
  EXPECT_EQ(trim_working_set(t.space(), t.cpu(), PageCount(10), PageCount(2), 2), 2_pages);
  EXPECT_EQ(t.space().working_set().size(), 2_pages);
  EXPECT_EQ(trim_working_set(t.space(), t.cpu(), PageCount(10), PageCount(0), 1), 1_pages);
  EXPECT_EQ(t.space().working_set().size(), 1_pages);  // Page 3.
  EXPECT_EQ(trim_working_set(t.space(), t.cpu(), PageCount(10), PageCount(0), 0), 1_pages);
}

}  // namespace
}  // namespace pagoda::mm
