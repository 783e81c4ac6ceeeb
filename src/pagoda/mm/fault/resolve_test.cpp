// Faults on small scripts: what each kind does, and exact counts.
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using testing::TestMachine;
using testing::TestMachineConfig;

// Exactly these faults happened, and no others.
void expect_faults(TestMachine& t, const std::map<FaultKind, std::uint64_t>& expected) {
  for (std::size_t kind = 0; kind < kFaultKinds; ++kind) {
    const auto found = expected.find(static_cast<FaultKind>(kind));
    EXPECT_EQ(t.faults(static_cast<FaultKind>(kind)), found == expected.end() ? 0 : found->second)
        << name(static_cast<FaultKind>(kind));
  }
}

TEST(Fault, DemandZeroGivesAZeroedPageOnce) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(2));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(t.get(base, 0), 0U);
  t.must_put(base, 1, 7);
  EXPECT_EQ(t.get(base, 1), 7U);
  expect_faults(t, {{FaultKind::kDemandZero, 2}});
  EXPECT_EQ(t.check(), "");
}

TEST(Fault, AReadThenAWriteIsDemandZeroThenFirstWrite) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  EXPECT_EQ(t.get(base, 0), 0U);
  t.must_put(base, 0, 7);
  t.must_put(base, 0, 8);
  expect_faults(t, {{FaultKind::kDemandZero, 1}, {FaultKind::kFirstWrite, 1}});
  EXPECT_EQ(t.check(), "");
}

TEST(Fault, AccessViolationsChangeNothing) {
  TestMachine t;
  const VirtualAddress reserved = t.reserve(PageCount(1));
  const VirtualAddress read_only = t.commit(PageCount(1), Protection::kReadOnly);
  const VirtualAddress no_access = t.commit(PageCount(1), Protection::kNoAccess);
  const PageCount available = t.available();
  EXPECT_EQ(t.touch(VirtualAddress(std::uint64_t{0})), Status::kAccessViolation);
  EXPECT_EQ(t.touch(VirtualAddress(std::uint64_t{0x7FFFFFEFFFF})), Status::kAccessViolation);
  EXPECT_EQ(t.touch(VirtualAddress(std::uint64_t{0x7FFFFFF0000})), Status::kAccessViolation);
  EXPECT_EQ(t.touch(reserved), Status::kAccessViolation);
  EXPECT_EQ(t.touch(no_access), Status::kAccessViolation);
  EXPECT_EQ(t.put(read_only, 0, 1), Status::kAccessViolation);
  EXPECT_EQ(t.touch(read_only, Access::kExecute), Status::kAccessViolation);
  expect_faults(t, {{FaultKind::kAccessViolation, 7}});
  EXPECT_EQ(t.available(), available);
  EXPECT_EQ(t.check(), "");
}

TEST(Fault, ASoftFaultFindsThePageOnItsList) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(2));
  t.fill(base, PageCount(2));
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(t.get(base, 0), 1U);  // From modified.
  t.page_out();
  EXPECT_EQ(t.get(base, 1), 2U);  // From standby.
  expect_faults(t,
                {{FaultKind::kDemandZero, 2}, {FaultKind::kTransitionModified, 1}, {FaultKind::kTransitionStandby, 1}});
  EXPECT_EQ(t.manager().counters().page_file_reads, 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(Fault, AHardFaultIsCountedOnceAndTakesTheDisksTime) {
  TestMachineConfig config;
  config.tunables.read_cluster = 1;
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(2));
  t.fill(base, PageCount(2));
  t.push_out();
  const Time before = t.cpu().now();
  EXPECT_EQ(t.get(base, 1), 2U);
  expect_faults(t, {{FaultKind::kDemandZero, 2}, {FaultKind::kPageFile, 1}});
  EXPECT_EQ(t.manager().counters().page_file_reads, 1U);
  EXPECT_EQ(t.manager().counters().page_file_pages_read, 1U);
  EXPECT_GE(t.cpu().now() - before, 65_us);  // The disk's latency.
  EXPECT_LT(t.cpu().now() - before, 200_us);
  EXPECT_EQ(t.check(), "");
}

TEST(Fault, AFirstWriteFreesTheSlot) {
  TestMachineConfig config;
  config.tunables.read_cluster = 1;
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(2));
  t.fill(base, PageCount(2));
  t.push_out();
  EXPECT_EQ(t.slots_used(), 2_pages);
  EXPECT_EQ(t.get(base, 0), 1U);
  EXPECT_EQ(t.slots_used(), 2_pages);  // Reading keeps it: the page is clean.
  EXPECT_EQ(t.entry(base).modified, 0U);
  t.must_put(base, 0, 9);
  EXPECT_EQ(t.slots_used(), 1_pages);
  t.must_put(base, 1, 9);  // A write that has to read first frees it as well.
  EXPECT_EQ(t.slots_used(), 0_pages);
  expect_faults(t, {{FaultKind::kDemandZero, 2}, {FaultKind::kPageFile, 2}, {FaultKind::kFirstWrite, 1}});
  EXPECT_EQ(t.check(), "");
}

TEST(Fault, ACleanPageIsTakenAwayWithoutAWrite) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  t.push_out();
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
  const std::uint64_t writes = t.manager().counters().page_file_writes;
  t.push_out();
  EXPECT_EQ(t.manager().counters().page_file_writes, writes);
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
  EXPECT_EQ(t.check(), "");
}

// --- Clusters ---

TEST(PageFileFault, ReadsNeighboursWithConsecutiveSlotsToStandby) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(12));
  t.fill(base, PageCount(12));
  t.push_out();
  EXPECT_EQ(t.get(base, 2), 3U);
  // Forward first: pages 2 to 9 are the eight of one cluster.
  EXPECT_EQ(t.manager().counters().page_file_reads, 1U);
  EXPECT_EQ(t.manager().counters().page_file_pages_read, 8U);
  EXPECT_EQ(t.kind(TestMachine::page(base, 1)), PteKind::kPageFile);
  EXPECT_EQ(t.kind(TestMachine::page(base, 10)), PteKind::kPageFile);
  for (std::uint64_t page = 3; page < 10; ++page)
    EXPECT_EQ(t.state(TestMachine::page(base, page)), PageState::kStandby) << page;
  EXPECT_EQ(t.resident(), 1_pages);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(TestMachine::page(base, 2), PageCount(8), 3), 0U);
  expect_faults(t, {{FaultKind::kDemandZero, 12}, {FaultKind::kPageFile, 1}, {FaultKind::kTransitionStandby, 7}});
}

TEST(PageFileFault, ExtendsBackwardWhereForwardEnds) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(12));
  t.fill(base, PageCount(12));
  t.push_out();
  EXPECT_EQ(t.get(base, 10), 11U);
  EXPECT_EQ(t.manager().counters().page_file_pages_read, 8U);
  EXPECT_EQ(t.kind(TestMachine::page(base, 3)), PteKind::kPageFile);
  for (const std::uint64_t page : {4U, 5U, 6U, 7U, 8U, 9U, 11U})
    EXPECT_EQ(t.kind(TestMachine::page(base, page)), PteKind::kTransition) << page;
  EXPECT_EQ(t.check(), "");
}

TEST(PageFileFault, StopsWhereSlotsDoNotFollow) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(6));
  t.fill(base, PageCount(6));
  t.page_out();
  t.must_put(base, 3, 4);  // Dirty again: it will get another slot.
  t.push_out();
  EXPECT_EQ(t.get(base, 1), 2U);
  EXPECT_EQ(t.manager().counters().page_file_pages_read, 3U);  // 0, 1 and 2.
  EXPECT_EQ(t.kind(TestMachine::page(base, 3)), PteKind::kPageFile);
  EXPECT_EQ(t.differences(base, PageCount(6)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(PageFileFault, ReadsThePageAloneWhenMemoryIsShort) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(8));
  t.push_out();
  std::vector<Pfn> held;
  {
    const LockGuard guard(t.core().pfns.lock);
    while (t.core().pfns.available() > 12_pages) held.push_back(t.core().pfns.take(t.cpu(), Contents::kAny)->frame);
  }
  EXPECT_EQ(t.get(base, 0), 1U);
  EXPECT_EQ(t.manager().counters().page_file_pages_read, 1U);
  {
    const LockGuard guard(t.core().pfns.lock);
    for (const Pfn frame : held) t.core().pfns.give_back(frame, Contents::kAny);
  }
  EXPECT_EQ(t.check(), "");
}

// --- Two processors ---

TEST(PageFileFault, ACollidedFaultWaitsForTheReadThatIsUnderWay) {
  TestMachineConfig config{.processors = 2};
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(2));
  t.fill(base, PageCount(2));
  t.push_out();
  for (unsigned i = 0; i < 2; ++i) t.cpu(i).set_waiting(Processor::Waiting::kYields);
  t.cpu(1).advance_to(t.cpu(0).now());

  ASSERT_EQ(t.get(base, 0, 0).error(), Status::kPending);
  ASSERT_EQ(t.get(base, 0, 1).error(), Status::kPending);
  ASSERT_EQ(t.get(base, 1, 1).error(), Status::kPending);  // A neighbour of the same transfer.
  expect_faults(t, {{FaultKind::kDemandZero, 2}, {FaultKind::kPageFile, 1}, {FaultKind::kCollided, 2}});
  EXPECT_EQ(t.manager().counters().page_file_reads, 1U);
  EXPECT_EQ(t.check(), "");
  const Time first = t.cpu(0).take_blocked_until();
  const Time second = t.cpu(1).take_blocked_until();
  EXPECT_EQ(first, second);

  // The one that collided comes back first: no fault of its own is counted for the page that was awaited.
  t.cpu(1).advance_to(second);
  EXPECT_EQ(t.get(base, 0, 1), 1U);
  t.cpu(0).advance_to(first);
  EXPECT_EQ(t.get(base, 0, 0), 1U);
  expect_faults(t, {{FaultKind::kDemandZero, 2}, {FaultKind::kPageFile, 1}, {FaultKind::kCollided, 2}});
  EXPECT_EQ(t.check(), "");
}

TEST(PageFileFault, AProcessorThatDoesNotYieldWaitsInPlace) {
  TestMachineConfig config{.processors = 2};
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(1));
  t.fill(base, PageCount(1));
  t.push_out();
  t.cpu(0).set_waiting(Processor::Waiting::kYields);
  ASSERT_EQ(t.get(base, 0, 0).error(), Status::kPending);
  const Time done = t.cpu(0).take_blocked_until();
  ASSERT_LT(t.cpu(1).now(), done);
  EXPECT_EQ(t.get(base, 0, 1), 1U);
  EXPECT_GE(t.cpu(1).now(), done);
  EXPECT_EQ(t.faults(FaultKind::kCollided), 1U);
  EXPECT_EQ(t.check(), "");
}

TEST(PageFileFault, APendingAccessLeavesNothingBehindWhenItIsGivenUp) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  t.fill(base, PageCount(1));
  t.push_out();
  t.cpu().set_waiting(Processor::Waiting::kYields);
  ASSERT_EQ(t.put(base, 0, 9), Status::kPending);
  static_cast<void>(t.cpu().take_blocked_until());
  t.finish_io();
  EXPECT_EQ(t.resident(), 0_pages);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.get(base, 0), 1U);
}

TEST(PageFileFault, SeveralPagingFilesShareTheLoad) {
  TestMachineConfig config{.frames = PageCount(96), .disks = {{.name = "a"}, {.name = "b"}}};
  config.paging_files = {{.name = "a", .disk = 0, .minimum = 1_MiB, .maximum = 1_MiB},
                         {.name = "b", .disk = 1, .minimum = 1_MiB, .maximum = 1_MiB}};
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(300));
  t.fill(base, PageCount(300));
  EXPECT_EQ(t.differences(base, PageCount(300)), 0U);
  EXPECT_GT(t.machine().sim_disk(0).counts().writes, 5U);
  EXPECT_GT(t.machine().sim_disk(1).counts().writes, 5U);
  EXPECT_GT(t.machine().sim_disk(0).counts().reads, 5U);
  EXPECT_GT(t.machine().sim_disk(1).counts().reads, 5U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
