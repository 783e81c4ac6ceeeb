#include "pagoda/mm/backing/driver_frames.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pagoda/mm/backing/last_resort.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {
namespace {

class DriverFramesTest : public ::testing::Test {
 protected:
  DriverFrames& drivers() { return t_.manager().driver_frames(); }
  std::vector<Pfn> take(PageCount most) { return drivers().allocate(t_.cpu(), most).value_or(std::vector<Pfn>{}); }
  TestMachine t_;
};

TEST_F(DriverFramesTest, AreNonpageableAndChargedUntilTheyAreFreed) {
  const auto commit = t_.manager().commit().charged;
  const auto resident = t_.manager().resident().charged;
  const std::vector<Pfn> frames = take(PageCount(40));
  ASSERT_EQ(frames.size(), 40U);
  EXPECT_EQ(drivers().count(), PageCount(40));
  EXPECT_EQ(t_.manager().frame_counts().drivers, PageCount(40));
  EXPECT_EQ(t_.manager().commit().charged, commit + PageCount(40));
  EXPECT_EQ(t_.manager().resident().charged, resident + PageCount(40));
  for (const Pfn frame : frames) EXPECT_EQ(t_.core().pfns.entry(frame).nonpaged, 1U);
  EXPECT_EQ(t_.check(), "");
  drivers().free(frames);
  EXPECT_EQ(drivers().count(), 0_pages);
  EXPECT_EQ(t_.manager().commit().charged, commit);
  EXPECT_EQ(t_.manager().resident().charged, resident);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(DriverFramesTest, LeaveWhatFaultsNeedAndTrimNothing) {
  const VirtualAddress base = t_.commit(PageCount(150));
  t_.fill(base, PageCount(150));
  const PageCount resident = t_.resident();
  const std::vector<Pfn> first = take(PageCount(256));
  EXPECT_EQ(t_.available(), t_.core().left_by_drivers());
  EXPECT_FALSE(drivers().allocate(t_.cpu(), 1_pages).has_value());
  EXPECT_GT(t_.manager().balance_set_manager().due(t_.cpu().now()), t_.cpu().now()) << "memory is not short";
  EXPECT_EQ(t_.resident(), resident);
  // Who wants more sees to it that there is more.
  t_.manager().balance_set_manager().trim(t_.cpu(), t_.core().left_by_drivers() + PageCount(20));
  EXPECT_TRUE(t_.manager().flush_modified(t_.cpu()));
  const std::vector<Pfn> second = take(PageCount(20));
  EXPECT_EQ(second.size(), 20U);
  EXPECT_EQ(t_.differences(base, PageCount(150)), 0U);
  EXPECT_EQ(t_.check(), "");
  drivers().free(first);
  drivers().free(second);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(DriverFramesTest, NeverTakeWhatMustChangeHands) {
  std::vector<Pfn> all;
  for (;;) {
    const std::vector<Pfn> more = take(PageCount(64));
    if (more.empty()) break;
    all.insert(all.end(), more.begin(), more.end());
    t_.manager().balance_set_manager().trim(t_.cpu(), PageCount(64));
    EXPECT_TRUE(t_.manager().flush_modified(t_.cpu()));
  }
  EXPECT_EQ(t_.check(), "");
  // What is committed still is: each page is brought in and written out again.
  const VirtualAddress base = t_.commit(PageCount(60));
  t_.fill(base, PageCount(60));
  EXPECT_EQ(t_.differences(base, PageCount(60)), 0U);
  EXPECT_EQ(t_.check(), "");
  drivers().free(all);
}

// --- The last resort ---

// A driver that gives back a few frames at a time.
class Giver final : public LastResort {
 public:
  Giver(DriverFrames& frames, std::vector<Pfn> held) : frames_(frames), held_(std::move(held)) {}
  ~Giver() override { frames_.free(held_); }
  bool release(machine::Processor& /*cpu*/) override {
    ++asked_;
    if (held_.empty()) return false;
    const std::size_t count = std::min<std::size_t>(held_.size(), 8);
    frames_.free(std::span(held_).last(count));
    held_.resize(held_.size() - count);
    return true;
  }
  [[nodiscard]] unsigned asked() const { return asked_; }
  [[nodiscard]] std::size_t held() const { return held_.size(); }

 private:
  DriverFrames& frames_;
  std::vector<Pfn> held_;
  unsigned asked_ = 0;
};

class LastResortTest : public ::testing::Test {
 protected:
  LastResortTest() { t_.manager().set_last_resort(&giver_); }
  ~LastResortTest() override { t_.manager().set_last_resort(nullptr); }

  TestMachine t_{{.paging_files = {}}};
  Giver giver_{t_.manager().driver_frames(), *t_.manager().driver_frames().allocate(t_.cpu(), PageCount(120))};
};

TEST_F(LastResortTest, IsNotAskedWhileThereIsMemory) {
  const VirtualAddress base = t_.commit(PageCount(60));
  t_.fill(base, PageCount(60));
  EXPECT_EQ(giver_.asked(), 0U);
}

TEST_F(LastResortTest, MakesRoomInTheCommitLimit) {
  const PageCount room = t_.manager().commit().limit - t_.manager().commit().charged;
  const auto region = t_.space().reserve(t_.cpu(), {.size = bytes_of(room + PageCount(20)), .commit = MemCommit::kYes});
  ASSERT_TRUE(region.has_value());
  EXPECT_GT(giver_.asked(), 0U);
  EXPECT_GT(giver_.held(), 0U) << "no more than was needed";
  const VirtualAddress base(region->first);
  t_.fill(base, region->count);
  EXPECT_EQ(t_.differences(base, region->count), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(LastResortTest, MakesRoomForAFirstTouchThatCommits) {
  const auto region = t_.space().reserve(t_.cpu(), {.size = bytes_of(PageCount(150)), .on_touch = OnTouch::kCommit});
  ASSERT_TRUE(region.has_value());
  t_.fill(VirtualAddress(region->first), region->count);
  EXPECT_GT(giver_.asked(), 0U);
  EXPECT_EQ(t_.differences(VirtualAddress(region->first), region->count), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(LastResortTest, IsNotAskedForAddresses) {
  // No region has so many.
  EXPECT_FALSE(t_.space().reserve(t_.cpu(), {.size = ByteCount(std::uint64_t{1} << 50)}).has_value());
  EXPECT_EQ(giver_.asked(), 0U);
}

TEST_F(LastResortTest, RefusesAsBeforeWhenItHasNothingLeft) {
  const auto region =
      t_.space().reserve(t_.cpu(), {.size = bytes_of(t_.manager().commit().limit), .commit = MemCommit::kYes});
  ASSERT_FALSE(region.has_value());
  EXPECT_EQ(region.error(), Status::kCommitmentLimit);
  EXPECT_EQ(giver_.held(), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(LastResortTest, IsNotAskedForWhatCouldNeverBePromised) {
  const PageCount limit = t_.manager().commit().limit;
  const auto region = t_.space().reserve(t_.cpu(), {.size = bytes_of(limit + 1_pages), .commit = MemCommit::kYes});
  ASSERT_FALSE(region.has_value());
  EXPECT_EQ(region.error(), Status::kCommitmentLimit);
  EXPECT_EQ(giver_.asked(), 0U);
}

}  // namespace
}  // namespace pagoda::mm::testing
