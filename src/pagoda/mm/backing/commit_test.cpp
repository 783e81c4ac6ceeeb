#include "pagoda/mm/backing/commit.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "pagoda/machine/sim/sim_machine.h"

namespace pagoda::mm {
namespace {

class CommitLedgerTest : public ::testing::Test {
 protected:
  void add_file(PageCount minimum, PageCount maximum) {
    auto file = *disk_->sim_disk().create("p");
    ASSERT_TRUE(file->resize(bytes_of(minimum)));
    ASSERT_TRUE(files_.add(std::make_unique<PagingFile>("p", std::move(file), minimum, maximum)));
  }
  Status charge(std::uint64_t pages) {
    const auto result = ledger_.charge(PageCount(pages));
    return result ? Status::kSuccess : result.error();
  }

  std::unique_ptr<machine::SimMachine> disk_ = *machine::SimMachine::create({.disks = {{}}});
  BackingSet backings_;
  PagingFiles files_{backings_};
  CommitLedger ledger_{PageCount(100), files_};
};

// reference/nt.md section 8: usable RAM and the paging files' current size.
TEST_F(CommitLedgerTest, TheLimitIsFramesAndSlots) {
  EXPECT_EQ(ledger_.limit(), 100_pages);
  add_file(PageCount(50), PageCount(50));
  EXPECT_EQ(ledger_.limit(), 149_pages);  // Slot 0 is never used.
  EXPECT_EQ(files_[0].allocate(PageCount(1)).count, 1_pages);
  files_[0].retire(PageFileSlot(1));
  EXPECT_EQ(ledger_.limit(), 148_pages);
  EXPECT_EQ(ledger_.usable_frames(), 100_pages);
}

TEST_F(CommitLedgerTest, ChargesUpToTheLimitAndNotAPageMore) {
  EXPECT_EQ(charge(99), Status::kSuccess);
  EXPECT_EQ(charge(1), Status::kSuccess);
  EXPECT_EQ(charge(1), Status::kCommitmentLimit);
  EXPECT_EQ(ledger_.charged(), 100_pages);
  EXPECT_EQ(ledger_.refusals(), 1U);
  ledger_.give_back(PageCount(40));
  EXPECT_EQ(charge(41), Status::kCommitmentLimit);
  EXPECT_EQ(charge(40), Status::kSuccess);
  EXPECT_EQ(ledger_.peak(), 100_pages);
  ledger_.give_back(PageCount(100));
  EXPECT_EQ(ledger_.charged(), 0_pages);
  EXPECT_EQ(ledger_.peak(), 100_pages);
}

TEST_F(CommitLedgerTest, GrowsThePagingFileBeforeItRefuses) {
  add_file(PageCount(256), PageCount(600));
  EXPECT_EQ(charge(355), Status::kSuccess);
  EXPECT_EQ(files_[0].size(), 256_pages);
  EXPECT_EQ(charge(1), Status::kSuccess);
  EXPECT_EQ(files_[0].size(), 512_pages);
  EXPECT_EQ(charge(343), Status::kSuccess);
  EXPECT_EQ(files_[0].size(), 600_pages);
  EXPECT_EQ(ledger_.charged(), ledger_.limit());
  EXPECT_EQ(charge(1), Status::kCommitmentLimit);
}

TEST_F(CommitLedgerTest, GrowsSeveralFilesForOneCharge) {
  add_file(PageCount(10), PageCount(20));
  add_file(PageCount(10), PageCount(20));
  EXPECT_EQ(charge(100 + 19 + 19), Status::kSuccess);
  EXPECT_EQ(charge(1), Status::kCommitmentLimit);
}

TEST_F(CommitLedgerTest, ARefusalChargesNothing) {
  EXPECT_EQ(charge(60), Status::kSuccess);
  EXPECT_EQ(charge(41), Status::kCommitmentLimit);
  EXPECT_EQ(ledger_.charged(), 60_pages);
  EXPECT_EQ(ledger_.peak(), 60_pages);
  EXPECT_EQ(charge(40), Status::kSuccess);
}

TEST_F(CommitLedgerTest, AWildCountIsRefusedAndDoesNotWrap) {
  add_file(PageCount(10), PageCount(20));
  EXPECT_EQ(charge(50), Status::kSuccess);
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t wild : {kMost, kMost - 49, kMost - 50, kMost / 2 + 1})
    EXPECT_EQ(charge(wild), Status::kCommitmentLimit) << wild;
  EXPECT_EQ(ledger_.charged(), 50_pages);
}

// Slots that went bad may leave less than was promised.
TEST_F(CommitLedgerTest, NothingCanBeChargedForEvenWhenTooMuchIsPromised) {
  add_file(PageCount(3), PageCount(3));
  EXPECT_EQ(charge(102), Status::kSuccess);
  EXPECT_EQ(files_[0].allocate(PageCount(1)).count, 1_pages);
  files_[0].retire(PageFileSlot(1));
  EXPECT_LT(ledger_.limit(), ledger_.charged());
  EXPECT_EQ(charge(0), Status::kSuccess);
  EXPECT_EQ(charge(1), Status::kCommitmentLimit);
  EXPECT_EQ(charge(std::numeric_limits<std::uint64_t>::max()), Status::kCommitmentLimit);
}

TEST_F(CommitLedgerTest, GrowthMakesUpForSlotsThatWentBad) {
  add_file(PageCount(400), PageCount(2000));
  EXPECT_EQ(charge(499), Status::kSuccess);
  EXPECT_EQ(files_[0].allocate(PageCount(300)).count, 300_pages);
  for (std::uint32_t slot = 1; slot <= 300; ++slot) files_[0].retire(PageFileSlot(slot));
  EXPECT_EQ(charge(1), Status::kSuccess);  // 301 pages more than the limit, which is more than one step.
  EXPECT_LE(ledger_.charged(), ledger_.limit());
}

}  // namespace
}  // namespace pagoda::mm
