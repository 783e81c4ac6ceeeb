#include "pagoda/mm/space/working_set.h"

#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "pagoda/base/random.h"

namespace pagoda::mm {
namespace {

constexpr WorkingSet::Limits kLimits{.minimum = PageCount(2), .maximum = PageCount(10)};

class WorkingSetTest : public ::testing::Test {
 protected:
  std::uint32_t insert(std::uint64_t page) { return ws_.insert(Vpn(page), PhysicalAddress(page * 8)); }
  WorkingSet ws_{PageCount(100), kLimits};
};

TEST_F(WorkingSetTest, KeepsThePageAndItsPte) {
  const std::uint32_t slot = insert(0x7FFFFFFEF);
  EXPECT_EQ(slot, 0U);
  const Wsle& entry = ws_[slot];
  EXPECT_TRUE(entry.is_valid());
  EXPECT_FALSE(entry.is_locked());
  EXPECT_EQ(entry.age(), 0U);
  EXPECT_EQ(entry.page(), Vpn(0x7FFFFFFEF));
  EXPECT_EQ(entry.pte(), PhysicalAddress(std::uint64_t{0x7FFFFFFEF} * 8));
  EXPECT_EQ(ws_.size(), 1_pages);
  EXPECT_EQ(ws_.insertions(), 1U);
}

TEST_F(WorkingSetTest, SlotsOfPagesThatLeftAreUsedAgainLastFirst) {
  for (std::uint64_t page = 10; page < 15; ++page) EXPECT_EQ(insert(page), page - 10);
  ws_.erase(1);
  ws_.erase(3);
  EXPECT_EQ(ws_.size(), 3_pages);
  EXPECT_EQ(ws_.first_free(), 3U);
  EXPECT_EQ(ws_.next_free(3), 1U);
  EXPECT_EQ(ws_.next_free(1), WorkingSet::kNoSlot);
  EXPECT_FALSE(ws_[3].is_valid());
  EXPECT_EQ(insert(20), 3U);
  EXPECT_EQ(insert(21), 1U);
  EXPECT_EQ(insert(22), 5U);
  EXPECT_EQ(ws_.end_slot(), 6U);
  EXPECT_EQ(ws_.peak(), 6_pages);
}

TEST_F(WorkingSetTest, TheHandGoesRoundInACircle) {
  EXPECT_EQ(ws_.advance_hand(), WorkingSet::kNoSlot);
  for (std::uint64_t page = 0; page < 3; ++page) insert(page);
  for (const std::uint32_t expected : {0U, 1U, 2U, 0U, 1U}) EXPECT_EQ(ws_.advance_hand(), expected);
  insert(3);
  for (const std::uint32_t expected : {2U, 3U, 0U}) EXPECT_EQ(ws_.advance_hand(), expected);
}

TEST_F(WorkingSetTest, AgesGoToThree) {
  const std::uint32_t slot = insert(5);
  for (const unsigned age : {3U, 1U, 2U, 0U}) {
    ws_.set_age(slot, age);
    EXPECT_EQ(ws_[slot].age(), age);
    for (unsigned other = 0; other <= Wsle::kOldest; ++other) EXPECT_EQ(ws_.of_age(other), other == age ? 1U : 0U);
    EXPECT_EQ(ws_.as_old_as(age), 1U);
    EXPECT_EQ(ws_[slot].page(), Vpn(5));
    EXPECT_TRUE(ws_[slot].is_valid());
  }
}

TEST_F(WorkingSetTest, BothKindsOfLockCountOnce) {
  const std::uint32_t slot = insert(5);
  ws_.lock(slot, LockKind::kInWorkingSet);
  ws_.lock(slot, LockKind::kInMemory);
  EXPECT_EQ(ws_.locked(), 1_pages);
  EXPECT_TRUE(ws_[slot].is_locked(LockKind::kInWorkingSet));
  EXPECT_TRUE(ws_[slot].is_locked(LockKind::kInMemory));
  ws_.unlock(slot, LockKind::kInWorkingSet);
  EXPECT_FALSE(ws_[slot].is_locked_in_ws());
  EXPECT_TRUE(ws_[slot].is_locked());
  EXPECT_EQ(ws_.locked(), 1_pages);
  ws_.unlock(slot, LockKind::kInMemory);
  EXPECT_FALSE(ws_[slot].is_locked());
  EXPECT_EQ(ws_.locked(), 0_pages);
}

TEST_F(WorkingSetTest, LockedPagesAreOfNoAge) {
  const std::uint32_t slot = insert(5);
  ws_.set_age(slot, 2);
  ws_.lock(slot, LockKind::kInWorkingSet);
  ws_.lock(slot, LockKind::kInMemory);
  EXPECT_EQ(ws_.as_old_as(0), 0U);
  ws_.set_age(slot, 3);
  EXPECT_EQ(ws_.as_old_as(0), 0U);
  ws_.unlock(slot, LockKind::kInMemory);
  EXPECT_EQ(ws_.as_old_as(0), 0U);
  ws_.unlock(slot, LockKind::kInWorkingSet);
  EXPECT_EQ(ws_.of_age(3), 1U);
  ws_.erase(slot);
  EXPECT_EQ(ws_.as_old_as(0), 0U);
}

TEST_F(WorkingSetTest, SkippingIsAdvancingSoManyTimes) {
  for (std::uint64_t page = 0; page < 5; ++page) insert(page);
  WorkingSet other(PageCount(100), kLimits);
  for (std::uint64_t page = 0; page < 5; ++page) other.insert(Vpn(page), PhysicalAddress(page * 8));
  for (std::uint32_t round = 0; round < 30; ++round) {
    const std::uint32_t slots = round * 7 % 6;
    for (std::uint32_t i = 0; i < slots; ++i) static_cast<void>(ws_.advance_hand());
    other.skip(slots);
    // New slots come next for a hand that stands behind the last one.
    if (round % 5 == 4) {
      insert(100 + round);
      other.insert(Vpn(100 + round), PhysicalAddress(0));
    }
    ASSERT_EQ(other.advance_hand(), ws_.advance_hand()) << round;
  }
}

TEST_F(WorkingSetTest, HasRoomForFourTimesTheMachine) {
  WorkingSet ws(PageCount(1), kLimits);
  EXPECT_TRUE(ws.has_slot());
  for (std::uint64_t page = 0; page < WorkingSet::kSlotsPerFrame; ++page) {
    ASSERT_TRUE(ws.has_slot());
    ws.insert(Vpn(page), PhysicalAddress(page * 8));
  }
  EXPECT_FALSE(ws.has_slot());
  EXPECT_TRUE(ws.has_room());  // A page may be replaced.
  for (std::uint32_t slot = 0; slot < WorkingSet::kSlotsPerFrame; ++slot) ws.lock(slot, LockKind::kInMemory);
  EXPECT_FALSE(ws.has_room());
  ws.erase(2);
  EXPECT_TRUE(ws.has_slot());
}

TEST_F(WorkingSetTest, AWatcherIsToldOfMoreAndLooksForLess) {
  using Trimmable = WorkingSet::Trimmable;
  class Watcher : public WorkingSet::Watcher {
   public:
    explicit Watcher(std::vector<Trimmable>& told) : told_(told) {}
    void may_be_trimmed(Trimmable what) override { told_.push_back(what); }

   private:
    std::vector<Trimmable>& told_;
  };
  std::vector<Trimmable> told;
  const std::uint32_t first = insert(0);
  ws_.watch(std::make_unique<Watcher>(told));
  EXPECT_EQ(told, (std::vector{Trimmable::kBelowMinimum}));
  insert(1);
  const std::uint32_t third = insert(2);
  EXPECT_EQ(told, (std::vector{Trimmable::kBelowMinimum, Trimmable::kAboveMinimum}));
  insert(3);
  ws_.erase(third);
  for (std::uint32_t slot = 0; slot < ws_.end_slot(); ++slot)
    if (ws_[slot].is_valid() && slot != first) ws_.erase(slot);
  ws_.lock(first, LockKind::kInMemory);
  EXPECT_EQ(told.size(), 2U);
  EXPECT_EQ(ws_.watched(), Trimmable::kAboveMinimum);
  EXPECT_EQ(ws_.trimmable(), Trimmable::kNothing);
  ws_.settle_watched();
  EXPECT_EQ(told.size(), 3U);
  ws_.unlock(first, LockKind::kInMemory);
  ws_.set_limits({.minimum = PageCount(0), .maximum = PageCount(10)});
  EXPECT_EQ(told, (std::vector{Trimmable::kBelowMinimum, Trimmable::kAboveMinimum, Trimmable::kNothing,
                               Trimmable::kBelowMinimum, Trimmable::kAboveMinimum}));
}

TEST_F(WorkingSetTest, ALockedPageThatLeavesTakesItsLockAlong) {
  const std::uint32_t slot = insert(5);
  ws_.lock(slot, LockKind::kInMemory);
  ws_.erase(slot);
  EXPECT_EQ(ws_.locked(), 0_pages);
  EXPECT_EQ(insert(6), slot);
  EXPECT_FALSE(ws_[slot].is_locked());
}

TEST_F(WorkingSetTest, AgreesWithASetUnderRandomUse) {
  Random random(1);
  std::set<std::uint32_t> used;
  for (int step = 0; step < 10'000; ++step) {
    if (used.size() < 100 && (used.empty() || random.chance(0.5))) {
      const std::uint32_t slot = insert(random.below(1000));
      EXPECT_TRUE(used.insert(slot).second);
    } else {
      auto victim = used.begin();
      std::advance(victim, static_cast<std::ptrdiff_t>(random.below(used.size())));
      ws_.erase(*victim);
      used.erase(victim);
    }
    ASSERT_EQ(ws_.size().value(), used.size());
    ASSERT_LE(ws_.end_slot(), 100U);
  }
}

// Shared pages come, get other rights, become private and go; the hash leads to the shared ones and to no others.
TEST(WorkingSetHash, AgreesWithAMapUnderRandomUse) {
  constexpr std::uint64_t kPages = 400;  // Few, so that probes are long and holes are filled.
  constexpr int kOperations = 100'000;
  WorkingSet ws(PageCount(kPages), kLimits);
  struct Mapping {
    std::uint32_t slot = 0;
    Protection protection = Protection::kNone;
  };
  std::map<std::uint64_t, Mapping> shared;
  std::vector<std::uint32_t> made_private;
  Random random(7);
  // Pages that are far from each other and in runs.
  const auto page_of = [](std::uint64_t number) { return Vpn(number % 8 + number / 8 * 0x10000); };
  for (int step = 0; step < kOperations; ++step) {
    const std::uint64_t number = random.below(kPages);
    const auto found = shared.find(number);
    if (found == shared.end()) {
      ASSERT_EQ(ws.find_shared(page_of(number)), WorkingSet::kNoSlot);
      const auto slot = ws.insert_shared(page_of(number), PhysicalAddress(number * 8), Protection::kReadOnly);
      shared[number] = {slot, Protection::kReadOnly};
    } else {
      const auto [slot, protection] = found->second;
      ASSERT_EQ(ws.find_shared(page_of(number)), slot);
      ASSERT_EQ(ws[slot].page(), page_of(number));
      ASSERT_EQ(ws[slot].protection(), protection);
      switch (random.below(4)) {
        case 0:
          ws.set_protection(slot, Protection::kWriteCopy);
          found->second.protection = Protection::kWriteCopy;
          break;
        case 1:
          ws.make_private(slot);
          ASSERT_FALSE(ws[slot].is_shared());
          made_private.push_back(slot);
          shared.erase(found);
          break;
        default:
          ws.erase(slot);
          shared.erase(found);
      }
    }
    // Private ones leave, so that slots are used again.
    if (made_private.size() > 50) {
      for (const std::uint32_t slot : made_private) ws.erase(slot);
      made_private.clear();
    }
    ASSERT_EQ(ws.size().value(), shared.size() + made_private.size());
  }
  for (std::uint64_t number = 0; number < kPages; ++number) {
    const auto found = shared.find(number);
    EXPECT_EQ(ws.find_shared(page_of(number)), found == shared.end() ? WorkingSet::kNoSlot : found->second.slot);
  }
}

}  // namespace
}  // namespace pagoda::mm
