// Runs of frames: where they are taken from, and what stays available.
#include <gtest/gtest.h>

#include <set>
#include <string>
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

  explicit ContiguousTest(PageCount frames = PageCount(256)) : t_({.frames = frames}) {}

  TestMachine t_;
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

// Of 8 blocks of a large page, which has 512 frames; all frames are in use.
class BlocksTest : public ContiguousTest {
 protected:
  static constexpr std::uint64_t kBlock = 512;

  BlocksTest() : ContiguousTest(PageCount(8 * kBlock)) {
    const LockGuard guard(pfns().lock);
    while (auto taken = pfns().take(t_.cpu(), Contents::kAny)) {
      pfns().make_nonpaged(taken->frame);
      nonpaged_.insert(taken->frame);
    }
  }
  // The checker knows no owner of so many nonpaged frames: halfway, what it says of blocks.
  bool are_blocks_sound() { return t_.check().find("PF13") == std::string::npos; }
  void TearDown() override {
    free(0, pfns().frames().value());
    EXPECT_EQ(t_.check(), "");
  }
  void free(std::uint64_t first, std::uint64_t count) {
    const LockGuard guard(pfns().lock);
    for (std::uint64_t number = first; number < first + count; ++number) {
      const Pfn frame(static_cast<std::uint32_t>(number));
      if (nonpaged_.erase(frame) > 0) pfns().free_nonpaged(frame);
    }
  }
  // Takes the run and keeps it; the first frame's number, or 0.
  std::uint64_t taken_run(std::uint64_t blocks, std::uint64_t alignment) {
    const auto run = take(blocks * kBlock, alignment * kBlock);
    if (!run) return 0;
    const LockGuard guard(pfns().lock);
    for (std::uint64_t i = 0; i < blocks * kBlock; ++i) {
      pfns().make_nonpaged(run->frame + PageCount(i));
      nonpaged_.insert(run->frame + PageCount(i));
    }
    return run->frame.value();
  }
  std::uint64_t taken_below(std::uint64_t end) {
    const LockGuard guard(pfns().lock);
    const auto taken = pfns().take_below(t_.cpu(), Pfn(static_cast<std::uint32_t>(end)));
    if (!taken) return 0;
    pfns().make_nonpaged(taken->frame);
    nonpaged_.insert(taken->frame);
    return taken->frame.value();
  }

 private:
  std::set<Pfn> nonpaged_;
};

TEST_F(BlocksTest, TheFirstWholeOneIsTaken) {
  EXPECT_EQ(taken_run(1, 1), 0U);
  free(kBlock + 1, 2 * kBlock - 2);  // All but a frame at each end of two blocks.
  EXPECT_EQ(taken_run(1, 1), 0U);
  free(5 * kBlock, kBlock);
  free(3 * kBlock, kBlock);
  EXPECT_TRUE(are_blocks_sound());
  EXPECT_EQ(taken_run(1, 1), 3 * kBlock);
  free(2 * kBlock, kBlock);
  EXPECT_EQ(taken_run(1, 1), 2 * kBlock);
  EXPECT_EQ(taken_run(1, 1), 5 * kBlock);
  EXPECT_EQ(taken_run(1, 1), 0U);
  EXPECT_TRUE(are_blocks_sound());
}

TEST_F(BlocksTest, SeveralInARowBeginWhereTheirAlignmentSays) {
  free(1 * kBlock, 2 * kBlock);
  EXPECT_EQ(taken_run(2, 2), 0U);
  free(3 * kBlock, 2 * kBlock);
  EXPECT_EQ(taken_run(2, 2), 2 * kBlock);
  EXPECT_EQ(taken_run(2, 1), 0U);
  free(6 * kBlock, 2 * kBlock);
  EXPECT_EQ(taken_run(2, 1), 6 * kBlock);
  EXPECT_EQ(taken_run(1, 1), 1 * kBlock);
  EXPECT_TRUE(are_blocks_sound());
}

TEST_F(BlocksTest, AFrameBelowAnotherIsFoundInAnyState) {
  EXPECT_EQ(taken_below(2 * kBlock), 0U);
  free(5 * kBlock, 10);
  EXPECT_EQ(taken_below(5 * kBlock), 0U);
  EXPECT_EQ(taken_below(5 * kBlock + 1), 5 * kBlock);
  EXPECT_EQ(taken_below(5 * kBlock + 1), 0U);
  EXPECT_EQ(taken_below(6 * kBlock), 5 * kBlock + 1);
  EXPECT_TRUE(are_blocks_sound());
}

// Standby only where nothing else of the block is there, and its page is still where its owner finds it afterwards.
TEST(TakeBelow, TakesStandbyPagesLast) {
  TestMachine t({.frames = PageCount(256)});
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  t.page_out();
  PfnDatabase& pfns = t.core().pfns;
  std::vector<Pfn> taken;
  {
    const LockGuard guard(pfns.lock);
    while (!pfns.available().is_zero()) taken.push_back(pfns.take_below(t.cpu(), Pfn(256))->frame);
    EXPECT_FALSE(pfns.take_below(t.cpu(), Pfn(256)));
    EXPECT_EQ(pfns.repurposed(), 4U);
    for (const Pfn frame : taken) pfns.give_back(frame, Contents::kAny);
  }
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
