// Runs of frames: where they are taken from, and what stays available.
#include <gtest/gtest.h>

#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using TakenFrame = PfnDatabase::TakenFrame;

class ContiguousTest : public ::testing::Test {
 protected:
  PfnDatabase& pfns() { return t_.core().pfns; }
  Result<TakenFrame> take(std::uint64_t count, std::uint64_t alignment, PageCount kept = {}) {
    const LockGuard guard(pfns().lock);
    return pfns().take_contiguous(t_.cpu(), PageCount(count), PageCount(alignment), kept);
  }
  void give_back(Pfn first, std::uint64_t count, Contents contents = Contents::kAny) {
    const LockGuard guard(pfns().lock);
    for (Pfn frame = first; frame < first + PageCount(count); ++frame) pfns().give_back(frame, contents);
  }
  // Every frame that was never used is used and free.
  void use_all() {
    std::vector<Pfn> frames;
    const LockGuard guard(pfns().lock);
    while (auto taken = pfns().take(t_.cpu(), Contents::kZeroed)) frames.push_back(taken->frame);
    for (const Pfn frame : frames) pfns().give_back(frame, Contents::kAny);
  }

  TestMachine t_{{.frames = PageCount(256)}};
};

TEST_F(ContiguousTest, LeavesWhatIsKeptAndNotAFrameMore) {
  const PageCount available = t_.available();
  const auto none = take(16, 1, available - PageCount(15));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), Status::kInsufficientResources);
  EXPECT_EQ(t_.available(), available);
  const auto taken = take(16, 1, available - PageCount(16));
  ASSERT_TRUE(taken);
  EXPECT_EQ(t_.available(), available - PageCount(16));
  give_back(taken->frame, 16);
  EXPECT_EQ(t_.available(), available);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(ContiguousTest, KeepsTheReserveAmongUsedFramesToo) {
  use_all();
  const PageCount available = t_.available();
  EXPECT_FALSE(take(16, 1, available - PageCount(15)));
  const auto taken = take(16, 1, available - PageCount(16));
  ASSERT_TRUE(taken);
  EXPECT_FALSE(taken->zeroed);
  EXPECT_EQ(t_.available(), available - PageCount(16));
  give_back(taken->frame, 16);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(ContiguousTest, SkippedFramesOfThoseNeverUsedStayZeroedAndAvailable) {
  const PageCount available = t_.available();
  const PageCount zeroed = t_.count(PageState::kZeroed);
  const auto taken = take(32, 32);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->frame.value() % 32, 0U);
  EXPECT_TRUE(taken->zeroed);
  EXPECT_EQ(t_.available(), available - PageCount(32));
  EXPECT_EQ(t_.count(PageState::kZeroed), zeroed - PageCount(32));
  give_back(taken->frame, 32, Contents::kZeroed);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(ContiguousTest, ARunThatIsNotAllZeroedSaysSo) {
  const auto taken = take(8, 8);
  ASSERT_TRUE(taken);
  ASSERT_TRUE(take(128, 128));  // The last frames: the next run is of used ones.
  give_back(taken->frame, 7, Contents::kZeroed);
  give_back(taken->frame + PageCount(7), 1, Contents::kAny);
  const auto mixed = take(8, 8);
  ASSERT_TRUE(mixed);
  EXPECT_EQ(mixed->frame, taken->frame);
  EXPECT_FALSE(mixed->zeroed);
  give_back(mixed->frame, 8, Contents::kZeroed);
  const auto zeroed = take(8, 8);
  ASSERT_TRUE(zeroed);
  EXPECT_EQ(zeroed->frame, taken->frame);
  EXPECT_TRUE(zeroed->zeroed);
}

TEST_F(ContiguousTest, StandbyPagesMakeRoom) {
  const VirtualAddress base = t_.commit(PageCount(16));
  t_.fill(base, PageCount(16));
  use_all();
  t_.page_out();
  ASSERT_EQ(t_.count(PageState::kStandby), 16_pages);
  std::vector<Pfn> runs;
  for (auto taken = take(4, 4); taken; taken = take(4, 4)) runs.push_back(taken->frame);
  EXPECT_GT(t_.manager().counters().pages_repurposed, 0U);
  for (const Pfn first : runs) give_back(first, 4);
  EXPECT_EQ(t_.differences(base, PageCount(16)), 0U);
  EXPECT_EQ(t_.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
