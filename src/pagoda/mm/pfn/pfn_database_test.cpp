#include "pagoda/mm/pfn/pfn_database.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pagoda/mm/testing/corruptor.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using testing::TestMachine;
using testing::TestMachineConfig;

// What the event table of reference/nt.md section 3 says of a frame.
struct Expected {
  PageState state;
  unsigned reference_count;
  unsigned share_count;  // Where the frame is active; else not looked at.
  bool modified = false;
  bool reading = false;
  bool writing = false;
  bool has_slot = false;
};

void expect(TestMachine& t, VirtualAddress va, const Expected& e, const std::string& event) {
  ASSERT_NE(t.frame(va), kNoPfn) << event;
  const PfnEntry& entry = t.entry(va);
  EXPECT_EQ(name(entry.state), name(e.state)) << event;
  EXPECT_EQ(entry.reference_count, e.reference_count) << event;
  if (e.state == PageState::kActive) {
    EXPECT_EQ(entry.share_count, e.share_count) << event;
  }
  EXPECT_EQ(entry.modified != 0, e.modified) << event;
  EXPECT_EQ(entry.read_in_progress != 0, e.reading) << event;
  EXPECT_EQ(entry.write_in_progress != 0, e.writing) << event;
  EXPECT_EQ(t.core().codec.has_slot(entry.original_pte), e.has_slot) << event;
  EXPECT_EQ(t.check(), "") << event;
}

// Valid and transition entries of the page's table, plus one.
std::uint32_t table_share(TestMachine& t, VirtualAddress va) {
  const LockGuard guard(t.space().lock);
  return t.core().pfns.entry(t.space().tables().find(t.cpu(), va.vpn()).pfn()).share_count;
}

TEST(PfnDatabase, DemandZeroMakesAFrameActive) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(2));
  ASSERT_EQ(t.touch(base), Status::kSuccess);
  expect(t, base, {.state = PageState::kActive, .reference_count = 1, .share_count = 1}, "read");
  ASSERT_EQ(t.put(base, 1, 7), Status::kSuccess);
  expect(t, base + kPageSize, {.state = PageState::kActive, .reference_count = 1, .share_count = 1, .modified = true},
         "write");
  EXPECT_EQ(table_share(t, base), 3U);
}

TEST(PfnDatabase, TheLastUnmapSortsByContents) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(2));
  t.must_touch(base);
  t.must_put(base, 1, 7);
  t.space().empty_working_set(t.cpu());
  expect(t, base, {.state = PageState::kStandby, .reference_count = 0, .share_count = 0}, "clean");
  expect(t, base + kPageSize, {.state = PageState::kModified, .reference_count = 0, .share_count = 0, .modified = true},
         "dirty");
  EXPECT_EQ(table_share(t, base), 3U);  // Transition entries count as valid ones do.
}

TEST(PfnDatabase, AWriteHoldsThePageAndLeavesItOnStandby) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  t.must_put(base, 0, 7);
  t.space().empty_working_set(t.cpu());
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  expect(t, base,
         {.state = PageState::kTransition, .reference_count = 1, .share_count = 0, .writing = true, .has_slot = true},
         "write started");
  t.finish_io();
  expect(t, base, {.state = PageState::kStandby, .reference_count = 0, .share_count = 0, .has_slot = true},
         "write done");
}

TEST(PfnDatabase, APageDirtiedDuringAWriteLosesTheSlotAndStaysModified) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  t.must_put(base, 0, 7);
  t.space().empty_working_set(t.cpu());
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  t.must_put(base, 0, 8);
  expect(t, base,
         {.state = PageState::kActive, .reference_count = 2, .share_count = 1, .modified = true, .writing = true},
         "dirtied");
  EXPECT_EQ(t.slots_used(), 1_pages) << "the transfer's";
  EXPECT_EQ(t.check(), "");
  t.space().empty_working_set(t.cpu());
  expect(t, base,
         {.state = PageState::kTransition, .reference_count = 1, .share_count = 0, .modified = true, .writing = true},
         "trimmed while it is being written");
  t.finish_io();
  expect(t, base, {.state = PageState::kModified, .reference_count = 0, .share_count = 0, .modified = true},
         "write done");
  EXPECT_EQ(t.get(base, 0), 8U);
}

TEST(PfnDatabase, ASoftFaultDuringAWriteKeepsThePageCleanAndItsSlot) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  t.must_put(base, 0, 7);
  t.space().empty_working_set(t.cpu());
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_EQ(t.get(base, 0), 7U);
  EXPECT_EQ(t.faults(FaultKind::kTransitionModified), 1U);
  expect(t, base,
         {.state = PageState::kActive, .reference_count = 2, .share_count = 1, .writing = true, .has_slot = true},
         "read while it is being written");
  t.finish_io();
  expect(t, base, {.state = PageState::kActive, .reference_count = 1, .share_count = 1, .has_slot = true},
         "write done");
}

TEST(PfnDatabase, ASoftFaultMakesAListedPageActive) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(2));
  t.must_touch(base);
  t.must_put(base, 1, 7);
  t.space().empty_working_set(t.cpu());
  const Pfn clean = t.frame(base);
  const Pfn dirty = t.frame(base + kPageSize);
  t.must_touch(base);
  t.must_touch(base + kPageSize);
  EXPECT_EQ(t.frame(base), clean);
  EXPECT_EQ(t.frame(base + kPageSize), dirty);
  expect(t, base, {.state = PageState::kActive, .reference_count = 1, .share_count = 1}, "from standby");
  expect(t, base + kPageSize, {.state = PageState::kActive, .reference_count = 1, .share_count = 1, .modified = true},
         "from modified");
  EXPECT_EQ(t.faults(FaultKind::kTransitionStandby), 1U);
  EXPECT_EQ(t.faults(FaultKind::kTransitionModified), 1U);
}

TEST(PfnDatabase, AReadHoldsThePageUntilItsBytesAreThere) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(2));
  t.fill(base, PageCount(2));
  t.push_out();
  EXPECT_EQ(table_share(t, base), 1U);
  t.cpu().set_waiting(Processor::Waiting::kYields);
  ASSERT_EQ(t.touch(base), Status::kPending);
  const Expected reading{
      .state = PageState::kTransition, .reference_count = 1, .share_count = 0, .reading = true, .has_slot = true};
  expect(t, base, reading, "read started");
  expect(t, base + kPageSize, reading, "its neighbour");
  EXPECT_EQ(table_share(t, base), 3U);
  EXPECT_EQ(t.entry(base).awaited, 1U);
  EXPECT_EQ(t.entry(base + kPageSize).awaited, 0U);

  const Time done = t.cpu().take_blocked_until();
  EXPECT_EQ(Time(t.entry(base).io_completes), done);
  t.cpu().advance_to(done);
  t.manager().complete_io(t.cpu());
  const Expected standby{.state = PageState::kStandby, .reference_count = 0, .share_count = 0, .has_slot = true};
  expect(t, base, standby, "read done");
  expect(t, base + kPageSize, standby, "its neighbour");
  ASSERT_EQ(t.touch(base), Status::kSuccess);
  expect(t, base, {.state = PageState::kActive, .reference_count = 1, .share_count = 1, .has_slot = true},
         "the faulter came back");
}

TEST(PfnDatabase, RemovalDuringAReadFreesTheFrameAtItsEnd) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  t.fill(base, PageCount(1));
  t.push_out();
  t.cpu().set_waiting(Processor::Waiting::kYields);
  ASSERT_EQ(t.touch(base), Status::kPending);
  const Pfn frame = t.frame(base);
  ASSERT_TRUE(t.space().decommit(t.cpu(), base, kPageSize));
  EXPECT_EQ(t.core().pfns.entry(frame).deleted, 1U);
  EXPECT_EQ(t.core().pfns.entry(frame).state, PageState::kTransition);
  EXPECT_EQ(t.slots_used(), 1_pages) << "the transfer's";
  EXPECT_EQ(t.check(), "");
  t.finish_io();
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.core().pfns.entry(frame).state, PageState::kFree);
  EXPECT_EQ(t.check(), "");
}

TEST(PfnDatabase, RemovalDuringAWriteFreesTheFrameAtItsEnd) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  t.fill(base, PageCount(1));
  t.space().empty_working_set(t.cpu());
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  const Pfn frame = t.frame(base);
  ASSERT_TRUE(t.space().release(t.cpu(), base, ByteCount(0)));
  EXPECT_EQ(t.core().pfns.entry(frame).deleted, 1U);
  EXPECT_EQ(t.slots_used(), 1_pages) << "the transfer's";
  EXPECT_EQ(t.check(), "");
  t.finish_io();
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.core().pfns.entry(frame).state, PageState::kFree);
  EXPECT_EQ(t.check(), "");
}

TEST(PfnDatabase, RemovalFreesFromEveryList) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(3));
  t.must_touch(base);
  t.must_put(base, 1, 7);
  t.space().empty_working_set(t.cpu());
  t.must_put(base, 2, 7);
  for (std::uint64_t page = 0; page < 3; ++page) {
    const Pfn frame = t.frame(TestMachine::page(base, page));
    ASSERT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(base, page), kPageSize));
    EXPECT_EQ(t.core().pfns.entry(frame).state, PageState::kFree) << page;
    EXPECT_EQ(t.core().pfns.entry(frame).original_pte, 0U) << page;
  }
  EXPECT_EQ(t.check(), "");
}

// --- Taking ---

// Takes frames and makes nothing of them.
std::vector<Pfn> take(TestMachine& t, Contents contents, std::size_t count) {
  const LockGuard guard(t.core().pfns.lock);
  std::vector<Pfn> frames;
  for (std::size_t i = 0; i < count; ++i) frames.push_back(t.core().pfns.take(t.cpu(), contents)->frame);
  return frames;
}
void give_back(TestMachine& t, const std::vector<Pfn>& frames, Contents contents) {
  const LockGuard guard(t.core().pfns.lock);
  for (const Pfn frame : frames) t.core().pfns.give_back(frame, contents);
}

// Takes every frame that there is.
std::vector<Pfn> use_up(TestMachine& t) {
  std::vector<Pfn> frames;
  for (;;) {
    const LockGuard guard(t.core().pfns.lock);
    const auto taken = t.core().pfns.take(t.cpu(), Contents::kAny);
    if (!taken) return frames;
    frames.push_back(taken->frame);
  }
}

TEST(PfnDatabase, TakePrefersWhatMatchesThenTheOther) {
  TestMachine t;
  const std::vector<Pfn> all = use_up(t);
  EXPECT_EQ(t.available(), 0_pages);
  give_back(t, {all[0]}, Contents::kZeroed);
  give_back(t, {all[1]}, Contents::kAny);
  EXPECT_EQ(take(t, Contents::kAny, 1), std::vector{all[1]});
  give_back(t, {all[1]}, Contents::kAny);
  EXPECT_EQ(take(t, Contents::kZeroed, 1), std::vector{all[0]});
  // What does not match is better than nothing, and says so.
  {
    const LockGuard guard(t.core().pfns.lock);
    const auto taken = t.core().pfns.take(t.cpu(), Contents::kZeroed);
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->frame, all[1]);
    EXPECT_FALSE(taken->zeroed);
  }
  give_back(t, {all[0]}, Contents::kZeroed);
  const LockGuard guard(t.core().pfns.lock);
  const auto taken = t.core().pfns.take(t.cpu(), Contents::kAny);
  ASSERT_TRUE(taken);
  EXPECT_TRUE(taken->zeroed);
  EXPECT_EQ(t.core().pfns.take(t.cpu(), Contents::kAny).error(), Status::kNoMemory);
}

TEST(PfnDatabase, FramesNeverUsedAreZeroedAndComeLast) {
  TestMachine t;
  const Pfn next = [&] {
    const LockGuard guard(t.core().pfns.lock);
    return t.core().pfns.never_used();
  }();
  const PageCount zeroed = t.count(PageState::kZeroed);
  const std::vector<Pfn> first = take(t, Contents::kZeroed, 1);
  EXPECT_EQ(first, std::vector{next});
  EXPECT_EQ(t.count(PageState::kZeroed), zeroed - 1_pages);
  give_back(t, first, Contents::kZeroed);
  EXPECT_EQ(take(t, Contents::kZeroed, 1), first);
  EXPECT_EQ(take(t, Contents::kZeroed, 1), std::vector{next + 1_pages});
}

TEST(PfnDatabase, ZeroedFramesComeBackLastInFirstOutAndFreeOnesInOrder) {
  TestMachine t;
  const std::vector<Pfn> all = use_up(t);
  give_back(t, {all[0], all[1]}, Contents::kZeroed);
  give_back(t, {all[2], all[3]}, Contents::kAny);
  EXPECT_EQ(take(t, Contents::kZeroed, 2), (std::vector{all[1], all[0]}));
  EXPECT_EQ(take(t, Contents::kAny, 2), (std::vector{all[2], all[3]}));
}

TEST(PfnDatabase, TakeRepurposesTheOldestStandbyPageOfTheLowestPriority) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  // Written one by one, so that they are listed in the order 2, 0, 3, 1; page 3 is worth less.
  for (const std::uint64_t page : {2U, 0U, 3U, 1U}) {
    const auto old = t.space().protect(t.cpu(), TestMachine::page(base, page), kPageSize, Protection::kNoAccess);
    ASSERT_TRUE(old);
    ASSERT_TRUE(t.space().protect(t.cpu(), TestMachine::page(base, page), kPageSize, Protection::kReadWrite));
    if (page == 3)
      Corruptor::entry(t.core(), t.frame(TestMachine::page(base, page))).priority =
          1;  // Modified pages are not ordered by it.
    ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
    t.finish_io();
  }
  ASSERT_EQ(t.count(PageState::kStandby), 4_pages);
  std::vector<Pfn> expected;
  for (const std::uint64_t page : {3U, 2U, 0U, 1U}) expected.push_back(t.frame(TestMachine::page(base, page)));

  std::vector<Pfn> others;
  while (t.available() > t.count(PageState::kStandby)) others.push_back(take(t, Contents::kAny, 1).front());
  std::vector<Pfn> taken;
  for (const std::uint64_t page : {3U, 2U, 0U, 1U}) {
    const VirtualAddress va = TestMachine::page(base, page);
    const RawPte original = t.entry(va).original_pte;
    const std::uint32_t share = table_share(t, va);
    taken.push_back(take(t, Contents::kAny, 1).front());
    EXPECT_EQ(t.pte(va), original) << page;
    EXPECT_EQ(t.kind(va), PteKind::kPageFile) << page;
    EXPECT_EQ(table_share(t, va), share - 1) << page;
  }
  EXPECT_EQ(taken, expected);
  give_back(t, others, Contents::kAny);
  give_back(t, taken, Contents::kAny);
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
  EXPECT_EQ(t.manager().counters().pages_repurposed, 4U);
  EXPECT_EQ(t.check(), "");
}

TEST(PfnDatabase, ACleanPageThatWasNeverWrittenIsDemandZeroAgain) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  t.must_touch(base);
  t.push_out();
  EXPECT_EQ(t.kind(base), PteKind::kDemandZero);
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.get(base, 0), 0U);
  EXPECT_EQ(t.faults(FaultKind::kDemandZero), 2U);
  EXPECT_EQ(t.check(), "");
}

TEST(PfnDatabase, AvailableIsZeroedFreeAndStandby) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(10));
  t.fill(base, PageCount(10));
  t.space().empty_working_set(t.cpu());
  const auto sum = [&] {
    return t.count(PageState::kZeroed) + t.count(PageState::kFree) + t.count(PageState::kStandby);
  };
  EXPECT_EQ(t.count(PageState::kModified), 10_pages);
  EXPECT_EQ(t.available(), sum());
  t.page_out();
  EXPECT_EQ(t.count(PageState::kStandby), 10_pages);
  EXPECT_EQ(t.available(), sum());
  ASSERT_TRUE(t.space().release(t.cpu(), base, ByteCount(0)));
  EXPECT_EQ(t.available(), sum());
  EXPECT_EQ(t.check(), "");
}

// A transition refuses a frame that is in no state to make it, in every build.
TEST(PfnDatabaseDeathTest, TransfersRefuseFramesOfOtherStates) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(2));
  t.must_touch(base);
  t.must_put(base, 1, 7);
  t.space().empty_working_set(t.cpu());
  PfnDatabase& pfns = t.core().pfns;
  const Pfn clean = t.frame(base);
  const Pfn dirty = t.frame(base + kPageSize);
  const RawPte slot = t.core().codec.page_file(0, PageFileSlot(1), Protection::kReadWrite);
  const LockGuard guard(pfns.lock);
  EXPECT_DEATH(pfns.begin_write(clean, slot), "modified");
  EXPECT_DEATH(pfns.begin_rewrite(dirty, slot), "modified");
  EXPECT_DEATH(pfns.written(clean, slot), "kModified");
  EXPECT_DEATH(pfns.end_write(dirty, PfnDatabase::WriteOutcome::kWritten, {}), "write_in_progress");
  EXPECT_DEATH(pfns.lose_slot(dirty), "write_in_progress");
  EXPECT_DEATH(pfns.begin_read(clean, pfns.entry(clean).pte(), slot), "is_taken");
  EXPECT_DEATH(pfns.set_awaited(clean), "read_in_progress");
  EXPECT_DEATH(pfns.end_read(clean, {}), "read_in_progress");
  EXPECT_DEATH(pfns.fail_read(t.cpu(), clean, {}), "read_in_progress");
}

TEST(PfnDatabaseDeathTest, FramesOfTheManagersOwnAreMadeOfTakenOnesAlone) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1));
  t.must_put(base, 0, 7);
  PfnDatabase& pfns = t.core().pfns;
  const Pfn active = t.frame(base);
  const LockGuard guard(pfns.lock);
  EXPECT_DEATH(pfns.make_page_table(active, pfns.entry(active).pte()), "is_taken");
  EXPECT_DEATH(pfns.make_nonpaged(active), "is_taken");
  EXPECT_DEATH(pfns.make_awe(active, 0), "is_taken");
  EXPECT_DEATH(pfns.free_nonpaged(active), "nonpaged");
  EXPECT_DEATH(pfns.free_page_table(active), "page_table");
  EXPECT_DEATH(pfns.finish_zeroing(active), "is_taken");
  EXPECT_DEATH(pfns.set_aside(active), "kZeroed");
  EXPECT_DEATH(pfns.remove_awe(active), "awe");
}

}  // namespace
}  // namespace pagoda::mm
