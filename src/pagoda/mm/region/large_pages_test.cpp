// Large pages: frames in a row, mapped when reserved, and everything that they refuse.
#include "pagoda/mm/region/large_pages.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using testing::TestMachine;

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}

class LargePagesTest : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  static constexpr PageCount kFrames{8192};

  LargePagesTest() : t_({.frames = kFrames, .paging = GetParam(), .processors = 2}) {}

  [[nodiscard]] ByteCount large() { return large_page_size(t_.core().mode); }
  [[nodiscard]] PageCount pages() { return pages_of(large()); }
  Result<VpnRange> try_reserve(std::uint64_t count, Protection protection = Protection::kReadWrite) {
    return t_.space().reserve(
        t_.cpu(),
        {.size = large() * count, .protection = protection, .commit = MemCommit::kYes, .type = VadType::kLargePages});
  }
  VirtualAddress reserve(std::uint64_t count) {
    const auto range = try_reserve(count);
    EXPECT_TRUE(range);
    return VirtualAddress(range->first);
  }
  [[nodiscard]] Pfn first_frame(VirtualAddress va) {
    const LockGuard guard(t_.space().lock);
    const PhysicalAddress entry = t_.space().tables().find_large(t_.cpu(), va.vpn());
    const RawPte raw = t_.core().load(t_.cpu(), entry);
    return PageTables::is_large(raw, PageTables::kLargeLevel) ? t_.core().codec.frame(raw) : kNoPfn;
  }
  [[nodiscard]] PageCount charged() { return t_.manager().commit().charged; }

  TestMachine t_;
};

INSTANTIATE_TEST_SUITE_P(AllModes, LargePagesTest,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<machine::PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(LargePagesTest, RefusesInNtsOrder) {
  struct Row {
    const char* mistake;
    ReserveRequest request;
    Status status;
  };
  const VirtualAddress aligned(large().value() * 4);
  const Protection guarded = with_modifier(Protection::kReadWrite, kProtectionGuard);
  const auto request = [](std::optional<VirtualAddress> base, ByteCount size, Protection protection,
                          MemCommit commit = MemCommit::kYes) {
    return ReserveRequest{
        .base = base, .size = size, .protection = protection, .commit = commit, .type = VadType::kLargePages};
  };
  const std::vector<Row> rows{
      {"not committed", request(aligned + 64_KiB, 64_KiB, Protection::kWriteCopy, MemCommit::kNo),
       Status::kInvalidParameter5},
      {"write-copy", request(aligned + 64_KiB, 64_KiB, Protection::kWriteCopy), Status::kInvalidPageProtection},
      {"guard", request(aligned + 64_KiB, 64_KiB, guarded), Status::kInvalidPageProtection},
      {"no access", request(aligned + 64_KiB, 64_KiB, Protection::kNoAccess), Status::kInvalidPageProtection},
      {"base between", request(aligned + 64_KiB, 64_KiB, Protection::kReadWrite), Status::kInvalidParameter2},
      {"size between", request(aligned, 64_KiB, Protection::kReadWrite), Status::kInvalidParameter4},
      {"no size", request(aligned, 0_B, Protection::kReadWrite), Status::kInvalidParameter4},
  };
  const PageCount before = charged();
  for (const Row& row : rows)
    EXPECT_EQ(status_of(t_.space().reserve(t_.cpu(), row.request)), row.status) << row.mistake;
  EXPECT_EQ(status_of(t_.space().reserve(request(aligned, large(), Protection::kReadWrite))),
            Status::kInvalidParameter5)
      << "without a processor";
  EXPECT_EQ(charged(), before);
  ASSERT_TRUE(t_.space().reserve(t_.cpu(), request(aligned, large(), Protection::kReadWrite)));
  EXPECT_EQ(status_of(t_.space().reserve(t_.cpu(), request(aligned, large(), Protection::kReadWrite))),
            Status::kConflictingAddresses);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(LargePagesTest, AreThereAtOnceZeroedInARowAndOutsideTheWorkingSet) {
  // What the frames held before.
  const VirtualAddress old = t_.commit(PageCount(2000));
  t_.fill(old, PageCount(2000));
  ASSERT_TRUE(t_.space().release(t_.cpu(), old, 0_B));
  const PageCount available = t_.available();
  const VirtualAddress base = reserve(2);
  EXPECT_EQ(base.value() % large().value(), 0U);
  EXPECT_EQ(first_frame(base).value() % pages().value(), 0U);
  EXPECT_LE(t_.available() + pages() * 2, available);
  const std::uint64_t faults = t_.faults();
  for (std::uint64_t page = 0; page < pages().value() * 2; page += 97) {
    EXPECT_EQ(t_.get(base, page), 0U);
    t_.must_put(base, page, page + 1);
    EXPECT_EQ(t_.get(base, page, 1), page + 1);
  }
  EXPECT_EQ(t_.faults(), faults);
  EXPECT_EQ(t_.resident(), 0_pages);
  t_.page_out();
  EXPECT_EQ(t_.get(base, 97), 98U);
  EXPECT_EQ(t_.faults(), faults) << "nonpageable";
  EXPECT_EQ(t_.check(), "");
}

TEST_P(LargePagesTest, QueryTellsOneCommittedRegion) {
  const VirtualAddress base = reserve(2);
  const auto info = t_.space().query(t_.cpu(), base + 12_KiB);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->allocation_base, base);
  EXPECT_EQ(info->size, large() * 2 - 12_KiB);
  EXPECT_EQ(info->state, MemoryState::kCommitted);
  EXPECT_EQ(info->protection, Protection::kReadWrite);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(LargePagesTest, ProtectTakesTheWholeRegion) {
  const VirtualAddress base = reserve(2);
  t_.must_put(base, 5, 1);
  t_.must_put(base, 5, 1, 1);
  const auto protect = [&](ByteCount size, Protection protection) {
    return t_.space().protect(t_.cpu(), base, size, protection);
  };
  EXPECT_EQ(status_of(protect(large(), Protection::kReadOnly)), Status::kConflictingAddresses);
  EXPECT_EQ(status_of(protect(large() * 2, Protection::kNoAccess)), Status::kInvalidPageProtection);
  EXPECT_EQ(t_.put(base, 5, 2), Status::kSuccess);
  EXPECT_EQ(protect(large() * 2, Protection::kReadOnly), Protection::kReadWrite);
  EXPECT_EQ(t_.put(base, 5, 3), Status::kAccessViolation);
  EXPECT_EQ(t_.put(base, 5, 3, 1), Status::kAccessViolation);
  EXPECT_EQ(t_.get(base, 5), 2U);
  EXPECT_EQ(t_.space().query(t_.cpu(), base)->protection, Protection::kReadOnly);
  EXPECT_EQ(t_.space().query(t_.cpu(), base)->allocation_protection, Protection::kReadWrite);
  EXPECT_EQ(t_.touch(base, Access::kExecute),
            t_.core().mode.has_no_execute ? Status::kAccessViolation : Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(protect(large() * 2, Protection::kExecuteReadWrite), Protection::kReadOnly);
  EXPECT_EQ(t_.put(base, 5, 4), Status::kSuccess);
  EXPECT_EQ(t_.touch(base, Access::kExecute), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(LargePagesTest, CannotBeCommittedDecommittedLockedOrReleasedInPart) {
  const VirtualAddress base = reserve(2);
  ProcessSpace& space = t_.space();
  EXPECT_EQ(status_of(space.commit(t_.cpu(), base, 4_KiB, Protection::kReadWrite)), Status::kConflictingAddresses);
  EXPECT_EQ(status_of(space.decommit(t_.cpu(), base, large())), Status::kMemoryNotAllocated);
  EXPECT_EQ(status_of(space.decommit(t_.cpu(), base, 0_B)), Status::kMemoryNotAllocated);
  EXPECT_EQ(status_of(space.decommit(t_.cpu(), base + large(), 0_B)), Status::kFreeVmNotAtBase);
  EXPECT_EQ(status_of(space.decommit(t_.cpu(), base, large() * 2 + 1_B)), Status::kUnableToFreeVm);
  EXPECT_EQ(status_of(space.release(t_.cpu(), base, large())), Status::kFreeVmNotAtBase);
  for (const LockKind kind : {LockKind::kInWorkingSet, LockKind::kInMemory}) {
    EXPECT_EQ(status_of(space.lock_pages(t_.cpu(), base, 4_KiB, kind)), Status::kIncompatibleFileMap);
    EXPECT_EQ(status_of(space.unlock_pages(t_.cpu(), base, 4_KiB, kind)), Status::kNotLocked);
  }
  EXPECT_EQ(t_.put(base, 1, 1), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(LargePagesTest, CannotBeSecuredOrReset) {
  const VirtualAddress base = reserve(1);
  EXPECT_EQ(status_of(t_.space().secure(t_.cpu(), base, 4_KiB, Protection::kReadOnly)), Status::kAccessViolation);
  EXPECT_EQ(status_of(t_.space().reset(t_.cpu(), base, 4_KiB)), Status::kConflictingAddresses);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(LargePagesTest, ReplaceAPlaceholderOrLeaveIt) {
  const std::uint64_t many = kFrames / pages();
  const auto placeholder = t_.space().reserve({.base = VirtualAddress(large().value() * 4),
                                               .size = large() * many,
                                               .protection = Protection::kNoAccess,
                                               .placeholder = Placeholder::kReserve});
  ASSERT_TRUE(placeholder);
  const VirtualAddress base(placeholder->first);
  const auto replace = [&](std::uint64_t count) {
    return status_of(t_.space().reserve(t_.cpu(), {.base = base,
                                                   .size = large() * count,
                                                   .commit = MemCommit::kYes,
                                                   .type = VadType::kLargePages,
                                                   .placeholder = Placeholder::kReplace}));
  };
  const PageCount before = charged();
  EXPECT_EQ(replace(1), Status::kConflictingAddresses) << "not all of it";
  EXPECT_EQ(replace(many), Status::kInsufficientResources);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t_.check(), "");
  ASSERT_TRUE(t_.space().release(t_.cpu(), base, large(), ReleaseMode::kPreservePlaceholder)) << "split";
  EXPECT_EQ(replace(1), Status::kSuccess);
  t_.must_put(base, 7, 7);
  EXPECT_EQ(t_.check(), "");
  ASSERT_TRUE(t_.space().release(t_.cpu(), base, large(), ReleaseMode::kPreservePlaceholder));
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t_.get(base, 7).error(), Status::kAccessViolation);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(LargePagesTest, ReleaseGivesEverythingBack) {
  const PageCount before = charged();
  const PageCount available = t_.available();
  const VirtualAddress base = reserve(3);
  EXPECT_GE(charged(), before + pages() * 3);
  t_.must_put(base, 1, 1);
  t_.must_put(base, 1, 1, 1);
  EXPECT_EQ(t_.check(), "");
  ASSERT_TRUE(t_.space().release(t_.cpu(), base, 0_B));
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t_.available(), available);
  EXPECT_EQ(t_.put(base, 1, 1), Status::kAccessViolation);
  EXPECT_EQ(t_.put(base, 1, 1, 1), Status::kAccessViolation);
  EXPECT_EQ(t_.check(), "");
  // Small pages take their place.
  const auto small = t_.space().reserve({.base = base, .size = large(), .commit = MemCommit::kYes});
  ASSERT_TRUE(small);
  EXPECT_EQ(t_.get(base, 1), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(LargePagesTest, ADyingSpaceGivesThemBack) {
  const PageCount before = charged();
  ProcessSpace& other = t_.add_space();
  ASSERT_TRUE(other.reserve(
      t_.cpu(),
      {.size = large(), .protection = Protection::kReadOnly, .commit = MemCommit::kYes, .type = VadType::kLargePages}));
  EXPECT_EQ(t_.check(), "");
  t_.manager().destroy_space(t_.cpu(), other);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(LargePagesTest, TooManyChangeNothing) {
  const PageCount before = charged();
  const PageCount available = t_.available();
  const std::uint64_t most = kFrames / pages();
  EXPECT_EQ(status_of(try_reserve(most)), Status::kInsufficientResources);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t_.available(), available);
  EXPECT_EQ(status_of(try_reserve(100)), Status::kCommitmentLimit);
  EXPECT_EQ(t_.check(), "");
  // Rows are found again among frames that others used, some on standby.
  constexpr PageCount kOld{512};
  const VirtualAddress old = t_.commit(kOld);
  t_.fill(old, kOld);
  t_.page_out();
  const VirtualAddress base = reserve(most - 2);
  for (std::uint64_t i = 0; i < most - 2; ++i) EXPECT_EQ(t_.get(base, i * pages().value() + 3), 0U);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.differences(old, kOld), 0U);
  t_.finish_io();
  EXPECT_EQ(t_.check(), "");
}

// One frame in each row is somebody's: there are enough frames, and no row.
TEST_P(LargePagesTest, NeedsFramesInARow) {
  std::vector<Pfn> held;
  {
    const LockGuard guard(t_.core().pfns.lock);
    while (t_.core().pfns.available() > PageCount(64))
      held.push_back(t_.core().pfns.take(t_.cpu(), Contents::kAny)->frame);
    std::erase_if(held, [&](Pfn frame) {
      t_.core().pfns.lock.assert_held();
      if (frame.value() % pages().value() == 5) return false;
      t_.core().pfns.give_back(frame, Contents::kAny);
      return true;
    });
  }
  EXPECT_GT(t_.available(), pages() * 4);
  EXPECT_EQ(status_of(try_reserve(1)), Status::kInsufficientResources);
  {
    const LockGuard guard(t_.core().pfns.lock);
    for (const Pfn frame : held) t_.core().pfns.give_back(frame, Contents::kAny);
  }
  EXPECT_EQ(status_of(try_reserve(1)), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
}

// A realistic TLB keeps pieces of large pages; software may have to fill it.
TEST(LargePages, WorkWithEveryTlb) {
  for (const machine::TlbRefill refill : {machine::TlbRefill::kHardware, machine::TlbRefill::kSoftware}) {
    TestMachine t({.frames = PageCount(2048), .refill = refill, .tlb = machine::TlbGeometry::kRealistic});
    const auto range =
        t.space().reserve(t.cpu(), {.size = 2_MiB, .commit = MemCommit::kYes, .type = VadType::kLargePages});
    ASSERT_TRUE(range);
    const VirtualAddress base(range->first);
    t.fill(base, PageCount(512));
    EXPECT_EQ(t.check(), "");
    ASSERT_TRUE(t.space().protect(t.cpu(), base, 2_MiB, Protection::kReadOnly));
    EXPECT_EQ(t.put(base, 300, 1), Status::kAccessViolation);
    EXPECT_EQ(t.differences(base, PageCount(512)), 0U);
    EXPECT_EQ(t.check(), "");
    ASSERT_TRUE(t.space().release(t.cpu(), base, 0_B));
    EXPECT_EQ(t.get(base, 300).error(), Status::kAccessViolation);
    EXPECT_EQ(t.check(), "");
  }
}

}  // namespace
}  // namespace pagoda::mm
