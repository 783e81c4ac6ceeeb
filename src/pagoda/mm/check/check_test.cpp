// A healthy manager is clean, whatever state its pages are in.
#include "pagoda/mm/check/check.h"

#include <gtest/gtest.h>

#include <tuple>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;
using Hardware = std::tuple<machine::PteFormat, machine::TlbRefill, machine::TlbGeometry>;

constexpr Protection kGuarded = with_modifier(Protection::kReadWrite, kProtectionGuard);

class CheckHealthy : public ::testing::TestWithParam<Hardware> {
 protected:
  TestMachineConfig config() const {
    const auto [paging, refill, tlb] = GetParam();
    return {.paging = paging, .refill = refill, .tlb = tlb};
  }
};

INSTANTIATE_TEST_SUITE_P(
    AllHardware, CheckHealthy,
    ::testing::Combine(::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                         machine::PteFormat::kAmd64),
                       ::testing::Values(machine::TlbRefill::kHardware, machine::TlbRefill::kSoftware),
                       ::testing::Values(machine::TlbGeometry::kLarge, machine::TlbGeometry::kRealistic)),
    [](const ::testing::TestParamInfo<Hardware>& test) {
      return std::string(machine::paging_mode(std::get<0>(test.param)).name) +
             (std::get<1>(test.param) == machine::TlbRefill::kHardware ? "Hardware" : "Software") +
             (std::get<2>(test.param) == machine::TlbGeometry::kLarge ? "Large" : "Realistic");
    });

TEST_P(CheckHealthy, Fresh) {
  TestMachine t(config());
  EXPECT_EQ(t.check(), "");
}

TEST_P(CheckHealthy, AfterFaults) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(PageCount(8));
  const VirtualAddress code = t.commit(PageCount(2), Protection::kExecuteReadWrite);
  t.fill(base, PageCount(4));
  ASSERT_TRUE(t.get(base, 5));
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.touch(code, machine::Access::kExecute), Status::kSuccess);
  EXPECT_EQ(t.put(base, 5, 1), Status::kSuccess);  // Read first, so clean until now.
  EXPECT_EQ(t.put(base, 8, 1), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CheckHealthy, PagesOnEveryList) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(PageCount(60));
  t.fill(base, PageCount(40));
  t.push_out();
  EXPECT_EQ(t.check(), "");
  t.manager().zero_page_thread().run(t.cpu());
  ASSERT_EQ(t.differences(base, PageCount(20)), 0U);
  EXPECT_EQ(t.check(), "");
  t.page_out();
  EXPECT_EQ(t.check(), "");
  ASSERT_EQ(t.put(base, 50, 1), Status::kSuccess);
  t.space().empty_working_set(t.cpu());
  EXPECT_GT(t.count(PageState::kStandby), 0_pages);
  EXPECT_GT(t.count(PageState::kModified), 0_pages);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(base, PageCount(40)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CheckHealthy, TransfersUnderWay) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(PageCount(32));
  t.fill(base, PageCount(16));
  t.push_out();
  t.fill(VirtualAddress(base + bytes_of(PageCount(16))), PageCount(8));
  t.space().empty_working_set(t.cpu());
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  t.cpu().set_waiting(Processor::Waiting::kYields);
  ASSERT_EQ(t.touch(base), Status::kPending);
  ASSERT_NE(t.cpu().take_blocked_until(), Time{});
  t.cpu().set_waiting(Processor::Waiting::kAdvancesClock);
  EXPECT_EQ(t.check(), "");
  // Written to, protected and removed while it happens.
  ASSERT_EQ(t.put(base, 16, 7), Status::kSuccess);
  ASSERT_TRUE(t.get(base, 17));
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kReadOnly));
  ASSERT_TRUE(t.space().protect(t.cpu(), TestMachine::page(base, 17), kPageSize, Protection::kNoAccess));
  ASSERT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(base, 1), kPageSize));
  ASSERT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(base, 18), bytes_of(PageCount(2))));
  EXPECT_EQ(t.check(), "");
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(t.check(), "");
  t.finish_io();
  EXPECT_EQ(t.check(), "");
}

TEST_P(CheckHealthy, FailedTransfers) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(PageCount(32));
  t.fill(base, PageCount(24));
  t.space().empty_working_set(t.cpu());
  for (const std::uint64_t ahead : {1U, 2U}) {  // A cluster, then one page alone: its slot is given up.
    t.injection().fail_operation = t.injection().operations() + ahead;
    t.manager().modified_writer().write_cluster(t.cpu());
    t.manager().modified_writer().write_cluster(t.cpu());
    EXPECT_EQ(t.check(), "");
    t.finish_io();
    EXPECT_EQ(t.check(), "");
  }
  t.injection().fail_operation.reset();
  t.push_out();
  t.injection().read_error_rate = 1;
  EXPECT_EQ(t.touch(base), Status::kInPageError);
  EXPECT_EQ(t.check(), "");
  t.injection().read_error_rate = 0;
  EXPECT_EQ(t.differences(base, PageCount(24)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CheckHealthy, GuardsAndNoAccess) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(PageCount(16));
  t.fill(base, PageCount(8));
  for (const std::uint64_t page : {0U, 2U, 9U}) {
    ASSERT_TRUE(t.space().protect(t.cpu(), TestMachine::page(base, page), kPageSize, kGuarded));
    ASSERT_TRUE(t.space().protect(t.cpu(), TestMachine::page(base, page + 1), kPageSize, Protection::kNoAccess));
  }
  EXPECT_EQ(t.check(), "");
  t.page_out();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.touch(base), Status::kGuardPageViolation);
  EXPECT_EQ(t.touch(TestMachine::page(base, 9)), Status::kGuardPageViolation);
  EXPECT_EQ(t.touch(TestMachine::page(base, 1)), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  ASSERT_TRUE(t.space().protect(t.cpu(), base, bytes_of(PageCount(16)), Protection::kReadOnly));
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(base, PageCount(8)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CheckHealthy, DecommittedHoles) {
  TestMachine t(config());
  const VirtualAddress whole = t.commit(PageCount(16));
  const VirtualAddress pieces = t.reserve(PageCount(16));
  t.fill(whole, PageCount(12));
  ASSERT_TRUE(t.space().commit(t.cpu(), TestMachine::page(pieces, 4), bytes_of(PageCount(8)), Protection::kReadWrite));
  t.fill(TestMachine::page(pieces, 4), PageCount(4));
  t.push_out();
  ASSERT_EQ(t.put(whole, 3, 1), Status::kSuccess);
  ASSERT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(whole, 2), bytes_of(PageCount(12))));
  ASSERT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(pieces, 2), bytes_of(PageCount(4))));
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().commit(t.cpu(), TestMachine::page(whole, 3), bytes_of(PageCount(2)), Protection::kReadOnly));
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().decommit(t.cpu(), whole, 0_B));
  ASSERT_TRUE(t.space().decommit(t.cpu(), pieces, 0_B));
  EXPECT_EQ(t.check(), "");
}

// Regions that share page tables with the region that is split, on either side or on both.
TEST_P(CheckHealthy, PartialReleases) {
  TestMachine t(config());
  constexpr PageCount kRegion{32};
  std::vector<VirtualAddress> regions;
  for (int i = 0; i < 5; ++i) regions.push_back(t.commit(kRegion));
  for (const VirtualAddress region : regions) t.fill(region, kRegion / 2);
  const auto release = [&](VirtualAddress base, std::uint64_t first, std::uint64_t count) {
    EXPECT_TRUE(t.space().release(t.cpu(), TestMachine::page(base, first), bytes_of(PageCount(count))));
    EXPECT_EQ(t.check(), "");
  };
  release(regions[1], 10, 4);   // Two rests.
  release(regions[2], 24, 8);   // The upper end.
  release(regions[3], 0, 8);    // The lower end.
  release(regions[1], 14, 18);  // All of a rest.
  release(regions[0], 0, 32);
  const std::uint64_t per_table = t.core().mode.entries(1);
  const auto large = t.space().reserve({.size = bytes_of(PageCount(per_table * 4)), .commit = MemCommit::kNo});
  ASSERT_TRUE(large);
  for (const std::uint64_t table : {0U, 1U, 2U, 3U}) {
    ASSERT_TRUE(t.space().commit(t.cpu(), TestMachine::page(VirtualAddress(large->first), table * per_table),
                                 bytes_of(PageCount(2)), Protection::kReadWrite));
  }
  release(VirtualAddress(large->first), per_table - 3, per_table + 6);
  release(VirtualAddress(large->first), 0, per_table - 3);
  release(regions[4], 31, 1);
}

TEST_P(CheckHealthy, PageTablesFreed) {
  TestMachine t(config());
  const std::uint64_t per_table = t.core().mode.entries(1);
  const VirtualAddress base = t.reserve(PageCount(per_table * 3));
  for (const std::uint64_t table : {0U, 1U, 2U}) {
    ASSERT_TRUE(
        t.space().commit(t.cpu(), TestMachine::page(base, table * per_table), kPageSize, Protection::kReadWrite));
    ASSERT_EQ(t.put(base, table * per_table, table), Status::kSuccess);
  }
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(base, per_table), kPageSize));
  EXPECT_GT(t.manager().counters().page_tables_freed, 0U);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().release(t.cpu(), base, 0_B));
  EXPECT_EQ(t.check(), "");
}

TEST_P(CheckHealthy, LockedPages) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(PageCount(16));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base, bytes_of(PageCount(8)), LockKind::kInWorkingSet));
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), TestMachine::page(base, 8), kPageSize, LockKind::kInMemory));
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(base, 1), kPageSize));
  ASSERT_TRUE(t.space().protect(t.cpu(), TestMachine::page(base, 2), kPageSize, Protection::kNoAccess));
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(
      t.space().unlock_pages(t.cpu(), TestMachine::page(base, 3), bytes_of(PageCount(5)), LockKind::kInWorkingSet));
  EXPECT_EQ(t.check(), "");
}

TEST_P(CheckHealthy, KernelThatIgnoresWriteProtection) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(PageCount(8));
  ASSERT_EQ(t.put(base, 0, 1), Status::kSuccess);
  t.push_out();
  ASSERT_TRUE(t.get(base, 0));
  ASSERT_TRUE(t.get(base, 1));
  t.cpu().set_walk_rules({.write_protect = false});
  for (const std::uint64_t page : {0U, 1U}) {
    ASSERT_TRUE(t.cpu().store<std::uint64_t>(TestMachine::page(base, page), 42, machine::Privilege::kKernel));
  }
  EXPECT_EQ(t.check(), "");
  ASSERT_EQ(t.put(base, 0, 43), Status::kSuccess);  // Dirty already, but not by the program.
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(t.get(base, 0), 43U);
  EXPECT_EQ(t.get(base, 1), 42U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CheckHealthy, ShortOfMemory) {
  TestMachineConfig small = config();
  small.frames = PageCount(96);
  TestMachine t(small);
  const VirtualAddress base = t.commit(PageCount(400));
  for (std::uint64_t page = 0; page < 400; page += 25) {
    t.fill(TestMachine::page(base, page), PageCount(25), page + 1);
    EXPECT_EQ(t.check(), "");
  }
  for (std::uint64_t page = 0; page < 400; page += 25) {
    EXPECT_EQ(t.differences(TestMachine::page(base, page), PageCount(25), page + 1), 0U);
    t.manager().balance_set_manager().run(t.cpu());
    EXPECT_EQ(t.check(), "");
  }
}

TEST_P(CheckHealthy, SpacesComeAndGo) {
  TestMachineConfig two = config();
  two.processors = 2;
  TestMachine t(two);
  const VirtualAddress base = t.commit(PageCount(20));
  t.fill(base, PageCount(20));
  ProcessSpace& other = t.add_space();
  t.manager().attach(t.cpu(1), other);
  const auto region = other.reserve({.size = bytes_of(PageCount(20)), .commit = MemCommit::kYes});
  ASSERT_TRUE(region);
  for (std::uint64_t page = 0; page < 20; ++page)
    ASSERT_EQ(t.put(VirtualAddress(region->first), page, page, 1), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
  other.empty_working_set(t.cpu(1));
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu(1)));
  ASSERT_TRUE(t.get(VirtualAddress(region->first), 19, 1));
  EXPECT_EQ(t.check(), "");
  t.manager().detach(t.cpu(1));
  t.manager().destroy_space(t.cpu(1), other);  // While its pages are being written.
  EXPECT_EQ(t.check(), "");
  t.finish_io();
  EXPECT_EQ(t.check(), "");
  ProcessSpace& third = t.add_space();  // Under the tag of the one that went.
  t.manager().attach(t.cpu(1), third);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(base, PageCount(20)), 0U);
}

TEST_P(CheckHealthy, NothingIsChanged) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(PageCount(32));
  t.fill(base, PageCount(20));
  t.push_out();
  EXPECT_EQ(t.differences(base, PageCount(10)), 0U);
  const auto hash = t.manager().state_hash(t.cpu());
  const auto now = t.cpu().now();
  const auto reads = t.machine().sim_disk().counts().reads;
  const auto operations = t.injection().operations();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.manager().state_hash(t.cpu()), hash);
  EXPECT_EQ(t.cpu().now(), now);
  EXPECT_EQ(t.machine().sim_disk().counts().reads, reads);
  EXPECT_EQ(t.injection().operations(), operations);
}

TEST(CheckText, OneLineForEachFinding) {
  EXPECT_EQ(to_string(std::vector<Finding>{}), "");
  EXPECT_EQ(to_string({Finding{"PL1", "a"}, Finding{"WS2", "b"}}), "PL1: a\nWS2: b\n");
}

}  // namespace
}  // namespace pagoda::mm
