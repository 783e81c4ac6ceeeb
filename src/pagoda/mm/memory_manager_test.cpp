#include "pagoda/mm/memory_manager.h"

#include <gtest/gtest.h>

#include <array>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}

TEST(MemoryManager, NeedsAMachineOfSomeSize) {
  const auto small = *machine::SimMachine::create({.frames = kSmallestMachine - 1_pages});
  EXPECT_EQ(status_of(MemoryManager::create(*small, {})), Status::kInsufficientResources);
  const auto enough = *machine::SimMachine::create({.frames = kSmallestMachine});
  EXPECT_EQ(status_of(MemoryManager::create(*enough, {})), Status::kSuccess);
}

// reference/nt.md section 8, in its order.
TEST(MemoryManager, RefusesPagingFilesInNtsOrder) {
  TestMachineConfig config{.disks = {{.capacity = 64_MiB}}};
  config.paging_files.clear();
  TestMachine t(config);
  const auto add = [&](ByteCount minimum, ByteCount maximum, unsigned disk = 0) {
    return status_of(t.manager().add_paging_file({.disk = disk, .minimum = minimum, .maximum = maximum}));
  };
  EXPECT_EQ(add(1_MiB - 1_B, 0_B), Status::kInvalidParameter2);
  EXPECT_EQ(add(2_MiB, 1_MiB), Status::kInvalidParameter3);
  EXPECT_EQ(add(1_MiB, 16_TiB), Status::kInvalidParameter3);
  EXPECT_EQ(add(1_MiB, 1_MiB, 1), Status::kInvalidParameter1);
  EXPECT_EQ(add(65_MiB, 65_MiB), Status::kDiskFull);
  const PageCount limit = t.manager().commit().limit;
  for (int file = 0; file < 16; ++file) EXPECT_EQ(add(1_MiB, 2_MiB), Status::kSuccess);
  EXPECT_EQ(t.manager().commit().limit, limit + 255_pages * 16);
  EXPECT_EQ(add(1_MiB, 2_MiB), Status::kTooManyPagingFiles);
  EXPECT_EQ(t.check(), "");
}

TEST(MemoryManager, X86NamesAtMostAMillionSlots) {
  TestMachineConfig config{.paging = machine::PteFormat::kX86};
  config.paging_files.clear();
  TestMachine t(config);
  EXPECT_EQ(status_of(t.manager().add_paging_file({.minimum = 1_MiB, .maximum = 4_GiB})), Status::kInvalidParameter3);
  EXPECT_EQ(status_of(t.manager().add_paging_file({.minimum = 1_MiB, .maximum = 4_GiB - 4_KiB})), Status::kSuccess);
}

TEST(MemoryManager, ASpaceCostsItsRootAndGivesEverythingBack) {
  TestMachine t;
  const FrameCounts before = t.manager().frame_counts();
  const PageCount charged = t.manager().commit().charged;
  ProcessSpace& space = t.add_space();
  EXPECT_EQ(t.manager().commit().charged, charged + 1_pages);
  EXPECT_EQ(t.manager().frame_counts().page_tables, before.page_tables + 1_pages);
  t.manager().attach(t.cpu(), space);
  const VirtualAddress base(space.reserve({.size = 1_MiB, .commit = MemCommit::kYes})->first);
  for (std::uint64_t page = 0; page < 100; ++page) t.must_put(base, page, page);
  space.empty_working_set(t.cpu());
  EXPECT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  const std::uint64_t faults = t.manager().counters().faults[0];
  t.manager().detach(t.cpu());
  t.manager().destroy_space(t.cpu(), space);
  EXPECT_EQ(t.check(), "") << "with a write of its pages under way";
  t.finish_io();
  const FrameCounts after = t.manager().frame_counts();
  EXPECT_EQ(after.active, before.active);
  EXPECT_EQ(after.page_tables, before.page_tables);
  EXPECT_EQ(after.free + after.zeroed, before.free + before.zeroed);
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.manager().counters().faults[0], faults) << "the faults of the dead still count";
  EXPECT_EQ(t.check(), "");
}

TEST(MemoryManager, SpacesDoNotSeeEachOther) {
  TestMachine t;
  ProcessSpace& other = t.add_space();
  const VirtualAddress base = t.commit(PageCount(1));
  t.must_put(base, 0, 1);
  t.manager().attach(t.cpu(), other);
  EXPECT_EQ(t.touch(base), Status::kAccessViolation);
  ASSERT_TRUE(other.reserve({.base = base, .size = kPageSize, .commit = MemCommit::kYes}));
  EXPECT_EQ(t.get(base, 0), 0U);
  t.must_put(base, 0, 2);
  t.manager().attach(t.cpu(), t.space());
  EXPECT_EQ(t.get(base, 0), 1U);
  EXPECT_EQ(t.check(), "");
}

TEST(MemoryManager, ATagThatIsUsedAgainBringsNoOldTranslations) {
  TestMachine t;
  ProcessSpace& first = t.add_space();
  const machine::Asid asid = first.asid();
  t.manager().attach(t.cpu(), first);
  const VirtualAddress base(first.reserve({.size = kPageSize, .commit = MemCommit::kYes})->first);
  t.must_put(base, 0, 42);
  t.manager().detach(t.cpu());
  t.manager().destroy_space(t.cpu(), first);
  ProcessSpace& second = t.add_space();
  ASSERT_EQ(second.asid(), asid);
  t.manager().attach(t.cpu(), second);
  EXPECT_EQ(t.touch(base), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
}

TEST(MemoryManager, ALimitForASpaceMustMakeSense) {
  TestMachine t;
  const auto create = [&](std::uint64_t minimum, std::uint64_t maximum) {
    return status_of(t.manager().create_space(
        t.cpu(), {.limits = WorkingSet::Limits{.minimum = PageCount(minimum), .maximum = PageCount(maximum)}}));
  };
  EXPECT_EQ(create(10, 9), Status::kBadWorkingSetLimit);
  EXPECT_EQ(create(0, 0), Status::kBadWorkingSetLimit);
  EXPECT_EQ(create(9, 9), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
}

TEST(MemoryManager, FrameCountsAddUpWithTransfersUnderWay) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(20));
  t.fill(base, PageCount(20));
  t.space().empty_working_set(t.cpu());
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  t.must_touch(base);
  const FrameCounts f = t.manager().frame_counts();
  EXPECT_EQ(f.transition, 15_pages);
  EXPECT_EQ(f.modified, 4_pages);
  EXPECT_EQ(f.active, f.page_tables + 1_pages);
  PageCount all = f.active + f.transition + f.modified + f.modified_no_write + f.free + f.zeroed + f.bad + f.system;
  for (const PageCount standby : f.standby) all += standby;
  EXPECT_EQ(all, PageCount(256));
  EXPECT_EQ(t.check(), "");
}

TEST(MemoryManager, TheSameHistoryHasTheSameHash) {
  const auto hash = [](std::uint64_t value) {
    TestMachine t({.frames = PageCount(80)});
    const VirtualAddress base = t.commit(PageCount(100));
    t.fill(base, PageCount(100), value);
    return t.manager().state_hash(t.cpu());
  };
  EXPECT_EQ(hash(1), hash(1));
  EXPECT_NE(hash(1), hash(2));
}

TEST(MemoryManager, UnderAnEventLoopAShortageYields) {
  TestMachine t({.frames = PageCount(80)});
  const VirtualAddress base = t.commit(PageCount(150));
  t.cpu().set_waiting(Processor::Waiting::kYields);
  int pending = 0;
  for (std::uint64_t page = 0; page < 150; ++page) {
    Status status = t.put(base, page, page + 1);
    for (; status == Status::kPending; status = t.put(base, page, page + 1)) {
      ++pending;
      ASSERT_TRUE(t.cpu().is_blocked());
      t.cpu().advance_to(t.cpu().take_blocked_until());
    }
    ASSERT_EQ(status, Status::kSuccess);
  }
  EXPECT_GT(pending, 0);
  EXPECT_GT(t.manager().counters().shortages, 0U);
  EXPECT_EQ(t.faults(FaultKind::kDemandZero), 150U) << "a fault that waited counts once";
  EXPECT_EQ(t.check(), "");
}

TEST(MemoryManager, FlushSaysWhetherEverythingWasWritten) {
  TestMachineConfig config;
  config.paging_files.clear();
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(3));
  EXPECT_TRUE(t.manager().flush_modified(t.cpu()));
  t.fill(base, PageCount(3));
  t.space().empty_working_set(t.cpu());
  EXPECT_FALSE(t.manager().flush_modified(t.cpu())) << "there is nowhere to write to";
  EXPECT_EQ(t.count(PageState::kModified), 3_pages);
  ASSERT_TRUE(t.manager().add_paging_file({.minimum = 1_MiB, .maximum = 1_MiB}));
  EXPECT_TRUE(t.manager().flush_modified(t.cpu()));
  EXPECT_EQ(t.differences(base, PageCount(3)), 0U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
