#include "pagoda/mm/pfn/page_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace pagoda::mm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PageListsTest : public ::testing::Test {
 protected:
  // From head to tail, by number; then compared with the walk from tail to head.
  std::vector<std::uint32_t> walk(PageState state, PagePriority priority = 0) {
    std::vector<std::uint32_t> forward;
    std::vector<std::uint32_t> backward;
    const PageLists::Head& head = lists_.head(state, priority);
    for (std::uint32_t at = head.flink; at != kNoPfn.value(); at = entries_[at].flink) forward.push_back(at);
    for (std::uint32_t at = head.blink; at != kNoPfn.value(); at = entries_[at].blink)
      backward.insert(backward.begin(), at);
    EXPECT_EQ(forward, backward);
    EXPECT_EQ(forward.size(), head.count);
    return forward;
  }
  void insert(std::uint32_t page, PageState state, PageLists::End end = PageLists::End::kTail,
              PagePriority priority = 0) {
    entries_[page].priority = priority & 7;
    lists_.insert(Pfn(page), state, end);
  }

  SparseArray<PfnEntry> entries_{16};
  PageLists lists_{entries_};
};

TEST_F(PageListsTest, BeginsEmpty) {
  for (std::size_t state = 0; state < kPageStates; ++state) EXPECT_THAT(walk(static_cast<PageState>(state)), IsEmpty());
  EXPECT_EQ(lists_.oldest_standby(), kNoPfn);
}

TEST_F(PageListsTest, PagesStandInTheOrderInWhichTheyCame) {
  insert(3, PageState::kFree);
  insert(1, PageState::kFree);
  insert(2, PageState::kFree);
  EXPECT_THAT(walk(PageState::kFree), ElementsAre(3, 1, 2));
  EXPECT_EQ(lists_.count(PageState::kFree), PageCount(3));
  EXPECT_EQ(entries_[1].state, PageState::kFree);
}

TEST_F(PageListsTest, TheHeadIsAnEndToo) {
  insert(3, PageState::kZeroed, PageLists::End::kHead);
  insert(1, PageState::kZeroed, PageLists::End::kHead);
  insert(2, PageState::kZeroed);
  EXPECT_THAT(walk(PageState::kZeroed), ElementsAre(1, 3, 2));
}

TEST_F(PageListsTest, UnlinkWorksAtEitherEndAndInTheMiddle) {
  for (std::uint32_t page = 1; page <= 5; ++page) insert(page, PageState::kModified);
  lists_.unlink(Pfn(3));
  EXPECT_THAT(walk(PageState::kModified), ElementsAre(1, 2, 4, 5));
  lists_.unlink(Pfn(1));
  EXPECT_THAT(walk(PageState::kModified), ElementsAre(2, 4, 5));
  lists_.unlink(Pfn(5));
  EXPECT_THAT(walk(PageState::kModified), ElementsAre(2, 4));
  lists_.unlink(Pfn(2));
  lists_.unlink(Pfn(4));
  EXPECT_THAT(walk(PageState::kModified), IsEmpty());
  insert(3, PageState::kModified);
  EXPECT_THAT(walk(PageState::kModified), ElementsAre(3));
}

TEST_F(PageListsTest, ListsOfOtherStatesAreApart) {
  insert(1, PageState::kFree);
  insert(2, PageState::kZeroed);
  insert(3, PageState::kBad);
  insert(4, PageState::kModifiedNoWrite);
  insert(5, PageState::kModified);
  EXPECT_THAT(walk(PageState::kFree), ElementsAre(1));
  EXPECT_THAT(walk(PageState::kZeroed), ElementsAre(2));
  EXPECT_THAT(walk(PageState::kBad), ElementsAre(3));
  EXPECT_THAT(walk(PageState::kModifiedNoWrite), ElementsAre(4));
  EXPECT_THAT(walk(PageState::kModified), ElementsAre(5));
}

// reference/nt.md section 3: eight standby lists, repurposed lowest first.
TEST_F(PageListsTest, StandbyHasAListForEachPriority) {
  for (PagePriority priority = 0; priority < kPagePriorities; ++priority)
    insert(8U + priority, PageState::kStandby, PageLists::End::kTail, priority);
  for (PagePriority priority = 0; priority < kPagePriorities; ++priority) {
    EXPECT_THAT(walk(PageState::kStandby, priority), ElementsAre(8U + priority));
    EXPECT_EQ(lists_.standby_count(priority), PageCount(1));
  }
  EXPECT_EQ(lists_.count(PageState::kStandby), PageCount(8));
}

TEST_F(PageListsTest, TheOldestStandbyPageIsTheFirstOfTheLowestPriority) {
  insert(1, PageState::kStandby, PageLists::End::kTail, 7);
  insert(2, PageState::kStandby, PageLists::End::kTail, 5);
  insert(3, PageState::kStandby, PageLists::End::kTail, 5);
  EXPECT_EQ(lists_.oldest_standby(), Pfn(2));
  insert(4, PageState::kStandby, PageLists::End::kTail, 0);
  EXPECT_EQ(lists_.oldest_standby(), Pfn(4));
  lists_.unlink(Pfn(4));
  lists_.unlink(Pfn(2));
  lists_.unlink(Pfn(3));
  EXPECT_EQ(lists_.oldest_standby(), Pfn(1));
}

TEST_F(PageListsTest, PriorityOrdersStandbyAlone) {
  insert(1, PageState::kFree, PageLists::End::kTail, 7);
  insert(2, PageState::kFree, PageLists::End::kTail, 0);
  EXPECT_THAT(walk(PageState::kFree), ElementsAre(1, 2));
}

}  // namespace
}  // namespace pagoda::mm
