// Limits of a working set, emptying it, locking pages in it.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;
using enum LockKind;

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}

TestMachineConfig config_with_minimum(std::uint64_t minimum) {
  return {.limits = WorkingSet::Limits{.minimum = PageCount(minimum), .maximum = PageCount(100)}};
}

// reference/nt.md section 9.
TEST(Limits, RefusesWhatCannotBe) {
  TestMachine t;
  const auto set = [&](std::uint64_t minimum, std::uint64_t maximum) {
    return status_of(t.space().set_limits(t.cpu(), {.minimum = PageCount(minimum), .maximum = PageCount(maximum)}));
  };
  EXPECT_EQ(set(11, 10), Status::kBadWorkingSetLimit);
  EXPECT_EQ(set(300, 200), Status::kBadWorkingSetLimit);
  // 256 frames; 16 of them kept back, 8 for faults, and a root.
  EXPECT_EQ(set(232, 300), Status::kInsufficientResources);
  EXPECT_EQ(set(231, 300), Status::kSuccess);
  EXPECT_EQ(set(10, 10), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
}

TEST(Limits, ALowerMaximumTrimsAtOnce) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(30));
  t.fill(base, PageCount(30));
  ASSERT_TRUE(t.space().set_limits(t.cpu(), {.minimum = PageCount(5), .maximum = PageCount(12)}));
  EXPECT_EQ(t.resident(), 12_pages);
  EXPECT_EQ(t.count(PageState::kModified), 18_pages);
  EXPECT_EQ(t.differences(base, PageCount(30)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(Limits, EmptyTakesAllButLockedPages) {
  TestMachine t(config_with_minimum(20));
  const VirtualAddress base = t.commit(PageCount(10));
  t.fill(base, PageCount(10));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), TestMachine::page(base, 4), kPageSize, kInWorkingSet));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), TestMachine::page(base, 6), kPageSize, kInMemory));
  EXPECT_EQ(t.space().empty_working_set(t.cpu()), 8_pages);
  EXPECT_EQ(t.resident(), 2_pages);
  EXPECT_EQ(t.kind(TestMachine::page(base, 4)), PteKind::kValid);
  EXPECT_EQ(t.kind(TestMachine::page(base, 6)), PteKind::kValid);
  EXPECT_EQ(t.space().empty_working_set(t.cpu()), 0_pages);
  EXPECT_EQ(t.check(), "");
}

// reference/nt.md 7.5, the rows that this API has, in their order.
TEST(LockPages, RefusesInNtsOrder) {
  TestMachine t(config_with_minimum(12));
  const VirtualAddress base = t.commit(PageCount(8));
  const VirtualAddress reserved = t.reserve(PageCount(1));
  const VirtualAddress no_access = t.commit(PageCount(32), Protection::kNoAccess);
  const VirtualAddress guarded = t.commit(PageCount(2), with_modifier(Protection::kReadWrite, kProtectionGuard));
  struct Row {
    std::string mistake;
    VirtualAddress base;
    ByteCount size;
    Status expected;
  };
  const std::vector<Row> rows{
      {"size 0", base, 0_B, Status::kInvalidParameter},
      {"wraps", base, ByteCount(~std::uint64_t{0}), Status::kInvalidParameter},
      {"out of reach", VirtualAddress(std::uint64_t{0x7FFFFFE0000}), 1_B, Status::kInvalidParameter},
      {"no region", base + 64_KiB * 100, 1_B, Status::kAccessViolation},
      {"leaves the region", base, 128_KiB, Status::kAccessViolation},
      {"not committed", reserved, 1_B, Status::kAccessViolation},
      {"no access, and too many", no_access, 128_KiB, Status::kAccessViolation},
      {"more than the minimum less 8", base, 20_KiB, Status::kWorkingSetQuota},
      {"a guard page", guarded, 8_KiB, Status::kGuardPageViolation},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(status_of(t.space().lock_pages(t.cpu(), row.base, row.size, kInWorkingSet)), row.expected) << row.mistake;
    const LockGuard guard(t.space().lock);
    EXPECT_EQ(t.space().working_set().locked(), 0_pages) << row.mistake;
  }
  // The guard of the first page was consumed, the second's not.
  EXPECT_EQ(t.touch(guarded), Status::kSuccess);
  EXPECT_EQ(t.touch(guarded + kPageSize), Status::kGuardPageViolation);
  EXPECT_EQ(t.check(), "");
}

TEST(LockPages, TheQuotaIsTheMinimumLessEightAndCountsEachPageOnce) {
  TestMachine t(config_with_minimum(12));
  const VirtualAddress base = t.commit(PageCount(8));
  EXPECT_EQ(status_of(t.space().lock_pages(t.cpu(), base, 16_KiB, kInWorkingSet)), Status::kSuccess);
  EXPECT_EQ(status_of(t.space().lock_pages(t.cpu(), base, 16_KiB, kInMemory)), Status::kSuccess);
  EXPECT_EQ(status_of(t.space().lock_pages(t.cpu(), base, 16_KiB, kInMemory)), Status::kWasLocked);
  EXPECT_EQ(status_of(t.space().lock_pages(t.cpu(), base + 16_KiB, 4_KiB, kInMemory)), Status::kWorkingSetQuota);
  EXPECT_EQ(status_of(t.space().set_limits(t.cpu(), {.minimum = PageCount(11), .maximum = PageCount(50)})),
            Status::kBadWorkingSetLimit);
  EXPECT_EQ(t.check(), "");
}

TEST(LockPages, SomeLockedAlreadyIsASuccess) {
  TestMachine t(config_with_minimum(20));
  const VirtualAddress base = t.commit(PageCount(4));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base + kPageSize, kPageSize, kInWorkingSet));
  EXPECT_EQ(status_of(t.space().lock_pages(t.cpu(), base, 16_KiB, kInWorkingSet)), Status::kWasLocked);
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(t.resident(), 4_pages);
  // No nesting: one unlock ends it.
  EXPECT_TRUE(t.space().unlock_pages(t.cpu(), base, 16_KiB, kInWorkingSet));
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(t.resident(), 0_pages);
  EXPECT_EQ(t.check(), "");
}

TEST(LockPages, UnlockChangesNothingUnlessAllAreLockedThatWay) {
  TestMachine t(config_with_minimum(20));
  const VirtualAddress base = t.commit(PageCount(4));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base, 8_KiB, kInWorkingSet));
  EXPECT_EQ(status_of(t.space().unlock_pages(t.cpu(), base, 12_KiB, kInWorkingSet)), Status::kNotLocked);
  EXPECT_EQ(status_of(t.space().unlock_pages(t.cpu(), base, 8_KiB, kInMemory)), Status::kNotLocked);
  EXPECT_EQ(status_of(t.space().unlock_pages(t.cpu(), base, 0_B, kInMemory)), Status::kInvalidParameter);
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(t.resident(), 2_pages);
  EXPECT_TRUE(t.space().unlock_pages(t.cpu(), base, 8_KiB, kInWorkingSet));
  EXPECT_EQ(status_of(t.space().unlock_pages(t.cpu(), base, 8_KiB, kInWorkingSet)), Status::kNotLocked);
  EXPECT_EQ(t.check(), "");
}

// Microsoft's VirtualUnlock: unlocking what is not locked takes it out of the working set.
TEST(LockPages, UnlockOfPagesThatAreNotLockedTakesThemOutOfTheWorkingSet) {
  TestMachine t(config_with_minimum(20));
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(6));  // Two were never touched.
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), TestMachine::page(base, 1), kPageSize, kInWorkingSet));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), TestMachine::page(base, 3), kPageSize, kInMemory));
  EXPECT_EQ(status_of(t.space().unlock_pages(t.cpu(), base, 32_KiB, kInWorkingSet)), Status::kNotLocked);
  EXPECT_EQ(t.resident(), 2_pages);  // However a page is locked, it stays.
  EXPECT_EQ(t.kind(TestMachine::page(base, 1)), PteKind::kValid);
  EXPECT_EQ(t.kind(TestMachine::page(base, 3)), PteKind::kValid);
  EXPECT_EQ(t.count(PageState::kModified), 4_pages);
  EXPECT_EQ(t.differences(base, PageCount(6)), 0U);
  EXPECT_TRUE(t.space().unlock_pages(t.cpu(), TestMachine::page(base, 1), kPageSize, kInWorkingSet));
  EXPECT_EQ(t.check(), "");
}

TEST(LockPages, BringsPagesInFromThePagingFile) {
  TestMachine t(config_with_minimum(20));
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  t.push_out();
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base, 16_KiB, kInMemory));
  EXPECT_EQ(t.resident(), 4_pages);
  const std::uint64_t faults = t.faults();
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
  EXPECT_EQ(t.faults(), faults);
  EXPECT_EQ(t.check(), "");
}

TEST(LockPages, AFailedReadLocksNothing) {
  TestMachineConfig config = config_with_minimum(20);
  config.tunables.read_cluster = 1;
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  t.push_out();
  t.injection().fail_operation = t.injection().operations() + 3;
  EXPECT_EQ(status_of(t.space().lock_pages(t.cpu(), base, 16_KiB, kInMemory)), Status::kInPageError);
  {
    const LockGuard guard(t.space().lock);
    EXPECT_EQ(t.space().working_set().locked(), 0_pages);
  }
  EXPECT_EQ(status_of(t.space().lock_pages(t.cpu(), base, 16_KiB, kInMemory)), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
}

TEST(LockPages, WhatWaitsHasLockedNothingAndSucceedsWhenRepeated) {
  TestMachineConfig config = config_with_minimum(12);
  config.tunables.read_cluster = 1;
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  t.push_out();
  t.cpu().set_waiting(Processor::Waiting::kYields);
  int waits = 0;
  Status status = Status::kPending;
  for (; waits < 10; ++waits) {
    status = status_of(t.space().lock_pages(t.cpu(), base, 16_KiB, kInMemory));
    if (status != Status::kPending) break;
    t.cpu().advance_to(t.cpu().take_blocked_until());
  }
  EXPECT_EQ(status, Status::kSuccess);
  EXPECT_EQ(waits, 4);
  EXPECT_EQ(t.check(), "");
}

TEST(LockPages, LockedPagesSurviveEveryShortage) {
  TestMachineConfig config = config_with_minimum(20);
  config.frames = PageCount(80);
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(200));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base, bytes_of(PageCount(12)), kInWorkingSet));
  t.fill(base, PageCount(200));
  for (std::uint64_t page = 0; page < 12; ++page)
    EXPECT_EQ(t.kind(TestMachine::page(base, page)), PteKind::kValid) << page;
  EXPECT_EQ(t.differences(base, PageCount(200)), 0U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
