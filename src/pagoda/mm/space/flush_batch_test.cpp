#include "pagoda/mm/space/flush_batch.h"

#include <gtest/gtest.h>

#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::StaleRun;
using testing::TestMachine;

// Pages of a space that the test unmaps by hand, as free_pages does.
class Flush : public ::testing::Test {
 protected:
  static constexpr PageCount kPages{64};
  static constexpr std::size_t kRoom = 8;

  void SetUp() override {
    base_ = t_.commit(kPages);
    t_.fill(base_, kPages);
    t_.hooks().after_shoot_down = [this](const machine::CachedSpace&, std::span<const StaleRun> runs) {
      shot_down_.emplace_back(runs.begin(), runs.end());
    };
  }
  // Makes the page's entry demand zero.
  FlushBatch::Change unmap(std::uint64_t page) PAGODA_REQUIRES(t_.space().lock) {
    const Vpn at = TestMachine::page(base_, page).vpn();
    PageTables& tables = t_.space().tables();
    const PhysicalAddress pte = tables.find(t_.cpu(), at);
    const RawPte was = t_.core().load(t_.cpu(), pte);
    t_.space().working_set().erase(t_.space().working_set_slot(at, was));
    tables.store(t_.cpu(), pte, t_.core().codec.demand_zero(Protection::kReadWrite));
    return {.page = at, .pte = pte, .was = was};
  }
  [[nodiscard]] PageCount pages_shot_down() const {
    PageCount pages;
    for (const auto& runs : shot_down_)
      for (const StaleRun& run : runs) pages += run.pages.count;
    return pages;
  }

  TestMachine t_;
  VirtualAddress base_;
  std::vector<std::vector<StaleRun>> shot_down_;
};

TEST_F(Flush, FramesAreFreeAfterTheShootDownAndNotBefore) {
  const PageCount before = t_.available();
  {
    const LockGuard guard(t_.space().lock);
    FlushBatchOf<kRoom> batch(t_.space(), t_.cpu());
    for (std::uint64_t page = 0; page < kRoom; ++page) batch.add(unmap(page), release_freed);
    EXPECT_TRUE(shot_down_.empty());
    EXPECT_EQ(t_.available(), before);
    t_.hooks().after_shoot_down = [&](const machine::CachedSpace&, std::span<const StaleRun>) {
      EXPECT_EQ(t_.available(), before);
      shot_down_.emplace_back();
    };
    batch.flush();
  }
  EXPECT_EQ(shot_down_.size(), 1U);
  EXPECT_EQ(t_.available(), before + PageCount(kRoom));
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Flush, AFullBatchIsFlushedOnTheWay) {
  {
    const LockGuard guard(t_.space().lock);
    FlushBatchOf<kRoom> batch(t_.space(), t_.cpu());
    for (std::uint64_t page = 0; page < 3 * kRoom; ++page) batch.add(unmap(2 * page), release_freed);
    EXPECT_EQ(shot_down_.size(), 2U);
    batch.flush();
    batch.flush();  // There is nothing.
  }
  EXPECT_EQ(shot_down_.size(), 3U);
  EXPECT_EQ(pages_shot_down(), PageCount(3 * kRoom));
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Flush, PagesInARowWithFramesInARowAreOneRun) {
  std::vector<StaleRun> expected;
  {
    const LockGuard guard(t_.space().lock);
    FlushBatchOf<kRoom> batch(t_.space(), t_.cpu());
    for (const std::uint64_t page : {3U, 4U, 9U, 5U}) {
      const FlushBatch::Change change = unmap(page);
      const Pfn frame = t_.core().codec.frame(change.was);
      if (!expected.empty() && expected.back().pages.end() == change.page &&
          expected.back().first + expected.back().pages.count == frame) {
        ++expected.back().pages.count;
      } else {
        expected.push_back({{change.page, 1_pages}, frame});
      }
      batch.add(change, release_freed);
    }
    batch.add_unaccessed(TestMachine::page(base_, 6).vpn());  // Of a frame that nobody names.
    expected.push_back({{TestMachine::page(base_, 6).vpn(), 1_pages}, kNoPfn});
    batch.flush();
  }
  ASSERT_EQ(shot_down_.size(), 1U);
  ASSERT_EQ(shot_down_[0].size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(shot_down_[0][i].pages, expected[i].pages);
    EXPECT_EQ(shot_down_[0][i].first, expected[i].first);
  }
  EXPECT_EQ(t_.check(), "");
}

class Observer final : public SecondaryMmu {
 public:
  void invalidate(VpnRange pages) override { told.push_back(pages); }
  bool test_and_clear_accessed(Vpn /*page*/) override { return false; }

  std::vector<VpnRange> told;
};

TEST_F(Flush, ObserversHearOfEntriesAndNotOfAccessedBits) {
  Observer observer;
  t_.space().add_observer(observer);
  {
    const LockGuard guard(t_.space().lock);
    FlushBatchOf<kRoom> batch(t_.space(), t_.cpu());
    batch.add_unaccessed(TestMachine::page(base_, 1).vpn());
    batch.add(unmap(5), release_freed);
    EXPECT_TRUE(observer.told.empty());
    batch.flush();
  }
  EXPECT_EQ(observer.told, (std::vector{VpnRange{TestMachine::page(base_, 5).vpn(), 1_pages}}));
  EXPECT_EQ(pages_shot_down(), 2_pages);
  t_.space().remove_observer(observer);
}

// A table that was made for nothing.
TEST_F(Flush, TablesAreFreeAfterAShootDownAlthoughNoPageWasMapped) {
  const VirtualAddress reserved(t_.space().reserve({.size = 1_GiB})->first);
  const auto tables = [&] { return t_.manager().frame_counts().page_tables; };
  const PageCount before = tables();
  {
    const LockGuard guard(t_.space().lock);
    ASSERT_TRUE(t_.space().tables().make(t_.cpu(), reserved.vpn() + PageCount(100'000)));
    t_.hooks().after_shoot_down = [&](const machine::CachedSpace&, std::span<const StaleRun> runs) {
      EXPECT_GT(tables(), before);
      EXPECT_EQ(runs.size(), 1U);
      shot_down_.emplace_back();
    };
    t_.space().free_empty_tables(t_.cpu(), reserved.vpn() + PageCount(100'000));
    EXPECT_EQ(shot_down_.size(), 1U);
    // There is none any more.
    t_.space().free_empty_tables(t_.cpu(), reserved.vpn() + PageCount(100'000));
    EXPECT_EQ(shot_down_.size(), 1U);
  }
  EXPECT_EQ(tables(), before);
  EXPECT_EQ(t_.check(), "");
}

// All tables that are missing, or none.
TEST_F(Flush, TablesThatCannotBeMadeLeaveNothingToFree) {
  const VirtualAddress reserved(t_.space().reserve({.size = ByteCount(std::uint64_t{1} << 40)})->first);
  const PageCount before = t_.manager().frame_counts().page_tables;
  t_.while_only(1_pages, [&] {
    const LockGuard guard(t_.space().lock);
    EXPECT_EQ(t_.space().tables().make(t_.cpu(), reserved.vpn() + PageCount(100'000'000)).error(), Status::kNoMemory);
  });
  EXPECT_TRUE(shot_down_.empty());
  EXPECT_EQ(t_.manager().frame_counts().page_tables, before);
  EXPECT_EQ(t_.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
