#include "pagoda/mm/threads/zero_page_thread.h"

#include <gtest/gtest.h>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

// Leaves `pages` frames free, with bytes in them.
void leave_free(TestMachine& t, PageCount pages) {
  const VirtualAddress base = t.commit(pages);
  t.fill(base, pages);
  ASSERT_TRUE(t.space().decommit(t.cpu(), base, bytes_of(pages)));
}

// reference/nt.md section 3: woken at 8 free pages.
TEST(ZeroPageThread, WakesWhenEnoughPagesAreFree) {
  testing::TestMachineConfig config;
  config.tunables.zero_wake = PageCount(20);
  TestMachine t(config);
  SystemThread& thread = t.manager().zero_page_thread();
  EXPECT_EQ(thread.due(t.cpu().now()), kNever);
  leave_free(t, PageCount(10));
  ASSERT_LT(t.count(PageState::kFree), 20_pages);
  EXPECT_EQ(thread.due(t.cpu().now()), kNever);
  leave_free(t, PageCount(30));
  ASSERT_GE(t.count(PageState::kFree), 20_pages);
  EXPECT_EQ(thread.due(t.cpu().now()), t.cpu().now());
  EXPECT_EQ(Tunables{}.zero_wake, 8_pages);
}

TEST(ZeroPageThread, ZeroesFreePagesAndCountsThem) {
  TestMachine t;
  leave_free(t, PageCount(20));
  const PageCount free = t.count(PageState::kFree);
  const PageCount zeroed = t.count(PageState::kZeroed);
  const PageCount available = t.available();
  const Time before = t.cpu().now();
  t.manager().zero_page_thread().run(t.cpu());
  EXPECT_EQ(t.count(PageState::kFree), 0_pages);
  EXPECT_EQ(t.count(PageState::kZeroed), zeroed + free);
  EXPECT_EQ(t.available(), available);
  EXPECT_EQ(t.manager().counters().pages_zeroed_by_thread, free.value());
  EXPECT_GT(t.cpu().now(), before);
  EXPECT_EQ(t.manager().zero_page_thread().due(t.cpu().now()), kNever);
  EXPECT_EQ(t.check(), "");  // That they hold zeros: [PF7].

  const std::uint64_t in_fault = t.manager().counters().pages_zeroed_in_fault;
  const VirtualAddress base = t.commit(PageCount(10));
  for (std::uint64_t page = 0; page < 10; ++page) EXPECT_EQ(t.get(base, page), 0U);
  EXPECT_EQ(t.manager().counters().pages_zeroed_in_fault, in_fault);
}

TEST(ZeroPageThread, LooksUpAfterABatch) {
  testing::TestMachineConfig config;
  config.tunables.zero_batch = PageCount(5);
  TestMachine t(config);
  leave_free(t, PageCount(20));
  const PageCount free = t.count(PageState::kFree);
  t.manager().zero_page_thread().run(t.cpu());
  EXPECT_EQ(t.count(PageState::kFree), free - 5_pages);
  EXPECT_EQ(t.check(), "");
}

TEST(ZeroPageThread, WithoutItTheFaultZeroes) {
  testing::TestMachineConfig config{.frames = PageCount(64)};
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(40));
  for (int round = 0; round < 4; ++round) {
    t.fill(base, PageCount(40));
    ASSERT_TRUE(t.space().decommit(t.cpu(), base, bytes_of(PageCount(40))));
    ASSERT_TRUE(t.space().commit(t.cpu(), base, bytes_of(PageCount(40)), Protection::kReadWrite));
  }
  EXPECT_GT(t.manager().counters().pages_zeroed_in_fault, 0U);
  for (std::uint64_t page = 0; page < 40; ++page) EXPECT_EQ(t.get(base, page), 0U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
