#include "pagoda/mm/threads/modified_writer.h"

#include <gtest/gtest.h>

#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;

PageFileSlot slot(TestMachine& t, VirtualAddress base, std::uint64_t page) {
  return t.core().codec.slot(t.entry(TestMachine::page(base, page)).original_pte);
}

// Makes pages modified, in this order on the list.
VirtualAddress modify(TestMachine& t, PageCount pages, const std::vector<std::uint64_t>& order) {
  const VirtualAddress base = t.commit(pages);
  t.fill(base, pages);
  for (const std::uint64_t page : order) {
    PAGODA_CHECK(t.space().protect(t.cpu(), TestMachine::page(base, page), kPageSize, Protection::kNoAccess));
    PAGODA_CHECK(t.space().protect(t.cpu(), TestMachine::page(base, page), kPageSize, Protection::kReadWrite));
  }
  return base;
}

TEST(ModifiedWriter, SlotsFollowAddressesAndNotTheOrderOfTheList) {
  TestMachine t;
  const VirtualAddress base = modify(t, PageCount(6), {3, 0, 5, 1, 4, 2});
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_EQ(t.manager().counters().page_file_writes, 1U);
  EXPECT_EQ(t.manager().counters().page_file_pages_written, 6U);
  for (std::uint64_t page = 1; page < 6; ++page)
    EXPECT_EQ(slot(t, base, page), slot(t, base, 0) + PageCount(page)) << page;
  EXPECT_FALSE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_EQ(t.check(), "");
}

TEST(ModifiedWriter, TheHeadGoesFirstWithItsNeighboursThenTheNextHead) {
  TestMachine t;
  const VirtualAddress base = modify(t, PageCount(9), {7, 1, 2, 8});
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_EQ(t.manager().counters().page_file_writes, 1U);
  const PageFileSlot first = slot(t, base, 7);
  EXPECT_EQ(slot(t, base, 8), first + 1_pages);
  EXPECT_EQ(slot(t, base, 1), first + 2_pages);
  EXPECT_EQ(slot(t, base, 2), first + 3_pages);
  EXPECT_EQ(t.count(PageState::kModified), 0_pages);
  EXPECT_EQ(t.check(), "");
}

// reference/nt.md section 3: 16 pages, 64 KB.
TEST(ModifiedWriter, AClusterHasSixteenPagesAtMost) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(40));
  t.fill(base, PageCount(40));
  t.space().empty_working_set(t.cpu());
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_EQ(t.manager().counters().page_file_pages_written, 16U);
  EXPECT_EQ(t.count(PageState::kModified), 24_pages);
  EXPECT_TRUE(t.manager().flush_modified(t.cpu()));
  EXPECT_EQ(t.manager().counters().page_file_writes, 3U);
  EXPECT_EQ(t.check(), "");
}

TEST(ModifiedWriter, ACrowdedFileShortensTheCluster) {
  TestMachineConfig config;
  config.paging_files = {{.minimum = 1_MiB, .maximum = 1_MiB}};
  TestMachine t(config);
  {
    const LockGuard guard(t.core().pfns.lock);
    // Every slot but 5, 6 and 7 belongs to another page.
    EXPECT_EQ(t.core().paging_files[0].allocate(PageCount(255)).count, 255_pages);
    for (const std::uint32_t free : {5U, 6U, 7U}) t.core().paging_files[0].free(PageFileSlot(free));
  }
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(8));
  t.space().empty_working_set(t.cpu());
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_EQ(t.manager().counters().page_file_pages_written, 3U);
  EXPECT_EQ(slot(t, base, 0), PageFileSlot(5));
  // Full: pages stay modified, nothing is discarded (reference/nt.md section 8).
  EXPECT_FALSE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_EQ(t.count(PageState::kModified), 5_pages);
  EXPECT_EQ(t.manager().modified_writer().due(t.cpu().now()), kNever);
  t.finish_io();
  EXPECT_EQ(t.differences(base, PageCount(8)), 0U);
}

TEST(ModifiedWriter, IsDueWhenTooManyPagesAreModified) {
  TestMachine t;
  ModifiedWriter& writer = t.manager().modified_writer();
  EXPECT_EQ(writer.due(t.cpu().now()), kNever);
  const VirtualAddress base = t.commit(PageCount(17));
  t.fill(base, PageCount(17));
  for (std::uint64_t page = 0; page < 16; ++page)
    ASSERT_TRUE(t.space().protect(t.cpu(), TestMachine::page(base, page), kPageSize, Protection::kNoAccess));
  EXPECT_EQ(t.count(PageState::kModified), t.core().tunables.modified_maximum);
  EXPECT_EQ(writer.due(t.cpu().now()), kNever);
  ASSERT_TRUE(t.space().protect(t.cpu(), TestMachine::page(base, 16), kPageSize, Protection::kNoAccess));
  EXPECT_EQ(writer.due(t.cpu().now()), t.cpu().now());
  writer.run(t.cpu());
  EXPECT_LE(t.count(PageState::kModified), t.core().tunables.modified_maximum);
  EXPECT_EQ(writer.due(t.cpu().now()), kNever);
  EXPECT_EQ(t.check(), "");
}

TEST(ModifiedWriter, AfterAFailureItWaitsBeforeItTriesAgain) {
  TestMachine t;
  ModifiedWriter& writer = t.manager().modified_writer();
  const VirtualAddress base = t.commit(PageCount(40));
  t.fill(base, PageCount(40));
  t.space().empty_working_set(t.cpu());
  t.injection().write_error_rate = 1;
  writer.run(t.cpu());
  const std::uint64_t tried = t.manager().counters().page_file_writes;
  EXPECT_EQ(tried, 1U);
  const Time due = writer.due(t.cpu().now());
  EXPECT_GT(due, t.cpu().now());
  ASSERT_NE(due, kNever);
  writer.run(t.cpu());
  EXPECT_EQ(t.manager().counters().page_file_writes, tried);
  t.injection().write_error_rate = 0;
  t.cpu().advance_to(due);
  t.manager().complete_io(t.cpu());
  writer.run(t.cpu());
  EXPECT_GT(t.manager().counters().page_file_pages_written, 0U);
  t.finish_io();
  EXPECT_EQ(t.differences(base, PageCount(40)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(ModifiedWriter, WhatWasWrittenTogetherIsReadTogether) {
  TestMachine t;
  const VirtualAddress base = modify(t, PageCount(8), {5, 2, 7, 0, 3, 6, 1, 4});
  t.push_out();
  EXPECT_EQ(t.differences(base, PageCount(8)), 0U);
  EXPECT_EQ(t.manager().counters().page_file_reads, 1U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
