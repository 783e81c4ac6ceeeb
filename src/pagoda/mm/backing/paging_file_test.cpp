#include "pagoda/mm/backing/paging_file.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

class PagingFileTest : public ::testing::Test {
 protected:
  std::unique_ptr<PagingFile> make(PageCount minimum, PageCount maximum) {
    auto file = *disk_->sim_disk().create("p");
    EXPECT_TRUE(file->resize(bytes_of(minimum)));
    return std::make_unique<PagingFile>("p", std::move(file), minimum, maximum);
  }
  static void expect_run(SlotRange run, std::uint32_t first, std::uint64_t count) {
    EXPECT_EQ(run.first, PageFileSlot(first));
    EXPECT_EQ(run.count, PageCount(count));
  }

  // The disk has room for 3000 pages.
  std::unique_ptr<machine::SimMachine> disk_ =
      *machine::SimMachine::create({.disks = {{.capacity = bytes_of(PageCount(3000))}}});
};

TEST_F(PagingFileTest, SlotZeroIsNeverGivenOut) {
  const auto file = make(PageCount(10), PageCount(10));
  EXPECT_EQ(file->size(), 10_pages);
  EXPECT_EQ(file->usable(), 9_pages);
  EXPECT_EQ(file->free(), 9_pages);
  EXPECT_EQ(file->used(), 0_pages);
  expect_run(file->allocate(PageCount(1)), 1, 1);
}

TEST_F(PagingFileTest, GivesConsecutiveRuns) {
  const auto file = make(PageCount(64), PageCount(64));
  expect_run(file->allocate(PageCount(16)), 1, 16);
  expect_run(file->allocate(PageCount(16)), 17, 16);
  EXPECT_EQ(file->used(), 32_pages);
  EXPECT_EQ(file->peak_used(), 32_pages);
  file->free(PageFileSlot(3));
  EXPECT_EQ(file->used(), 31_pages);
  EXPECT_EQ(file->peak_used(), 32_pages);
  // The hint goes on upward; the hole comes when the search wraps.
  expect_run(file->allocate(PageCount(1)), 33, 1);
}

TEST_F(PagingFileTest, AFragmentedFileGivesTheLongestRunThereIs) {
  const auto file = make(PageCount(32), PageCount(32));
  expect_run(file->allocate(PageCount(31)), 1, 31);
  for (const std::uint32_t slot : {4U, 8U, 9U, 10U, 20U}) file->free(PageFileSlot(slot));
  expect_run(file->allocate(PageCount(16)), 8, 3);
  EXPECT_EQ(file->free(), 2_pages);
}

TEST_F(PagingFileTest, AFullFileGivesNothing) {
  const auto file = make(PageCount(4), PageCount(4));
  expect_run(file->allocate(PageCount(16)), 1, 3);
  EXPECT_EQ(file->allocate(PageCount(1)).count, 0_pages);
  EXPECT_EQ(file->free(), 0_pages);
  file->free(PageFileSlot(2));
  expect_run(file->allocate(PageCount(16)), 2, 1);
}

TEST_F(PagingFileTest, GrowsToItsMaximumAndNoFurther) {
  const auto file = make(PageCount(256), PageCount(700));
  EXPECT_EQ(file->grow(PageCount(1)), pages_of(1_MiB));  // A step at least.
  EXPECT_EQ(file->size(), 512_pages);
  EXPECT_EQ(file->file().size(), bytes_of(PageCount(512)));
  EXPECT_EQ(file->usable(), 511_pages);
  EXPECT_EQ(file->grow(PageCount(1000)), 188_pages);
  EXPECT_EQ(file->size(), 700_pages);
  EXPECT_EQ(file->grow(PageCount(1)), 0_pages);
}

TEST_F(PagingFileTest, SlotsThatItGrewByCanBeUsed) {
  const auto file = make(PageCount(4), PageCount(100));
  expect_run(file->allocate(PageCount(3)), 1, 3);
  EXPECT_EQ(file->grow(PageCount(96)), 96_pages);
  expect_run(file->allocate(PageCount(10)), 4, 10);
}

TEST_F(PagingFileTest, ANearlyFullDiskGivesWhatIsNeeded) {
  const auto file = make(PageCount(2900), PageCount(10'000));
  EXPECT_EQ(file->grow(PageCount(90)), 90_pages);  // Not the whole step of 256.
  EXPECT_EQ(file->size(), 2990_pages);
  EXPECT_GT(file->grow(PageCount(11)), 0_pages);  // Less than was asked for is better than nothing.
  EXPECT_LE(file->size(), 3000_pages);
}

TEST_F(PagingFileTest, AFullDiskLetsItNotGrow) {
  const auto file = make(PageCount(3000), PageCount(10'000));
  EXPECT_EQ(file->grow(PageCount(1)), 0_pages);
  EXPECT_EQ(file->size(), 3000_pages);
}

TEST_F(PagingFileTest, ARetiredSlotIsNeverGivenOutAgain) {
  const auto file = make(PageCount(4), PageCount(4));
  expect_run(file->allocate(PageCount(3)), 1, 3);
  file->retire(PageFileSlot(2));
  EXPECT_EQ(file->retired(), 1_pages);
  EXPECT_EQ(file->usable(), 2_pages);
  EXPECT_EQ(file->used(), 2_pages);
  file->free(PageFileSlot(1));
  file->free(PageFileSlot(3));
  EXPECT_EQ(file->used(), 0_pages);
  expect_run(file->allocate(PageCount(1)), 1, 1);
  expect_run(file->allocate(PageCount(1)), 3, 1);
  EXPECT_EQ(file->allocate(PageCount(1)).count, 0_pages);
}

class PagingFilesTest : public PagingFileTest {
 protected:
  BackingSet backings_;
  PagingFiles files_{backings_};
};

TEST_F(PagingFilesTest, TakesFromTheFileWithTheMostRoom) {
  EXPECT_EQ(files_.allocate(PageCount(1)).count, 0_pages);  // None at all.
  ASSERT_TRUE(files_.add(make(PageCount(10), PageCount(10))));
  ASSERT_TRUE(files_.add(make(PageCount(20), PageCount(20))));
  EXPECT_EQ(files_.allocate(PageCount(12)).file, 1U);
  EXPECT_EQ(files_.allocate(PageCount(1)).file, 0U);
  EXPECT_EQ(files_.usable(), 28_pages);
  EXPECT_EQ(files_.used(), 13_pages);
  EXPECT_EQ(files_.free_slots(), 15_pages);
  backings_.free(1, PageFileSlot(5));
  EXPECT_EQ(files_.used(), 12_pages);
}

TEST_F(PagingFilesTest, GrowsOneAfterTheOther) {
  ASSERT_TRUE(files_.add(make(PageCount(10), PageCount(30))));
  ASSERT_TRUE(files_.add(make(PageCount(10), PageCount(1000))));
  EXPECT_EQ(files_.grow(PageCount(5)), 20_pages);  // All of the first.
  EXPECT_EQ(files_[1].size(), 10_pages);
  EXPECT_EQ(files_.grow(PageCount(5)), pages_of(1_MiB));
  EXPECT_EQ(files_[1].size(), 266_pages);
}

TEST_F(PagingFilesTest, ThereAreAtMostSixteen) {
  for (std::size_t i = 0; i < PagingFiles::kMaxFiles; ++i) ASSERT_TRUE(files_.add(make(PageCount(2), PageCount(2))));
  const auto one_more = files_.add(make(PageCount(2), PageCount(2)));
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error(), Status::kTooManyPagingFiles);
  EXPECT_EQ(files_.size(), 16U);
}

}  // namespace
}  // namespace pagoda::mm
