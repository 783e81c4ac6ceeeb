// What every policy keeps, then what each one chooses. No address space, no memory: a policy sees entries and uses.
#include "pagoda/mm/ws/replacement_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace pagoda::mm {
namespace {

using Victim = Tunables::Victim;

// A working set of pages 0, 1, ... and which of them were accessed.
class Pages : public ReplacementPolicy::Uses {
 public:
  explicit Pages(std::uint64_t count, std::uint64_t seed = 1)
      : ws(PageCount(64), {.minimum = 1_pages, .maximum = PageCount(count)}, seed) {
    for (std::uint64_t page = 0; page < count; ++page) slot.push_back(ws.insert(Vpn(page), PhysicalAddress(page * 8)));
  }
  bool is_accessed(const Wsle& entry) override { return accessed.contains(entry.page().value()); }
  bool test_and_clear_accessed(Wsle& entry) override { return accessed.erase(entry.page().value()) > 0; }
  // Pages in the order in which one pass trims them.
  std::vector<std::uint64_t> trimmed(const ReplacementPolicy& policy, unsigned age) {
    std::vector<std::uint64_t> pages;
    for (ReplacementPolicy::Pass pass(ws, age); !ws.size().is_zero();) {
      const std::uint32_t next = policy.trim(ws, *this, pass);
      if (next == WorkingSet::kNoSlot) break;
      pages.push_back(ws[next].page().value());
      ws.erase(next);
    }
    return pages;
  }
  std::uint64_t replaced(const ReplacementPolicy& policy) {
    const std::uint32_t victim = policy.replace(ws, *this);
    return victim == WorkingSet::kNoSlot ? kNothing : ws[victim].page().value();
  }

  static constexpr std::uint64_t kNothing = ~std::uint64_t{0};
  WorkingSet ws;
  std::vector<std::uint32_t> slot;  // By page.
  std::set<std::uint64_t> accessed;
};

class ReplacementPolicyTest : public ::testing::TestWithParam<Victim> {
 protected:
  const ReplacementPolicy& policy_ = replacement_policy(GetParam());
};

TEST_P(ReplacementPolicyTest, AnEmptyWorkingSetHasNoVictim) {
  Pages pages(0);
  EXPECT_EQ(pages.replaced(policy_), Pages::kNothing);
  EXPECT_TRUE(pages.trimmed(policy_, 0).empty());
}

TEST_P(ReplacementPolicyTest, LockedPagesStay) {
  Pages pages(8);
  for (const std::uint64_t page : {0U, 1U, 2U, 4U, 5U, 6U, 7U}) {
    const LockKind kind = page % 2 == 0 ? LockKind::kInMemory : LockKind::kInWorkingSet;
    pages.ws.lock(pages.slot[page], kind);
    pages.accessed.insert(page);
  }
  pages.accessed.insert(3);
  EXPECT_EQ(pages.replaced(policy_), 3U);
  EXPECT_EQ(pages.trimmed(policy_, 0), std::vector<std::uint64_t>{3});
  EXPECT_EQ(pages.replaced(policy_), Pages::kNothing);
}

TEST_P(ReplacementPolicyTest, AVictimIsFoundThoughAllAreInUse) {
  Pages pages(8);
  for (std::uint64_t page = 0; page < 8; ++page) pages.accessed.insert(page);
  EXPECT_LT(pages.replaced(policy_), 8U);
}

TEST_P(ReplacementPolicyTest, WithoutAnAgeAPassTrimsEveryPageOnce) {
  Pages pages(8);
  pages.accessed = {1, 5};
  std::vector<std::uint64_t> all = pages.trimmed(policy_, 0);
  std::ranges::sort(all);
  EXPECT_EQ(all, (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST_P(ReplacementPolicyTest, TheSameHistoryChoosesTheSamePages) {
  Pages one(32, 7);
  Pages two(32, 7);
  EXPECT_EQ(one.trimmed(policy_, 0), two.trimmed(policy_, 0));
}

INSTANTIATE_TEST_SUITE_P(Policies, ReplacementPolicyTest, ::testing::Values(Victim::kClock, Victim::kRandom),
                         [](const auto& parameter) { return parameter.param == Victim::kClock ? "Clock" : "Random"; });

TEST(Clock, SparesPagesInUseOnce) {
  Pages pages(4);
  pages.accessed = {0, 1};
  EXPECT_EQ(pages.replaced(clock_policy()), 2U);
  EXPECT_TRUE(pages.accessed.empty());  // Their second chance.
  EXPECT_EQ(pages.replaced(clock_policy()), 3U);
  EXPECT_EQ(pages.replaced(clock_policy()), 0U);
}

TEST(Clock, APageInUseBecomesYoung) {
  Pages pages(2);
  pages.ws.set_age(pages.slot[0], Wsle::kOldest);
  pages.accessed = {0};
  EXPECT_EQ(pages.replaced(clock_policy()), 1U);
  EXPECT_EQ(pages.ws[pages.slot[0]].age(), 0U);
}

TEST(Clock, TrimsOldPagesThatWereNotAccessed) {
  Pages pages(6);
  for (std::uint64_t page = 0; page < 6; ++page) pages.ws.set_age(pages.slot[page], static_cast<unsigned>(page / 2));
  pages.accessed = {3};
  EXPECT_EQ(pages.trimmed(clock_policy(), 1), (std::vector<std::uint64_t>{2, 4, 5}));
  EXPECT_TRUE(pages.accessed.contains(3));  // Trimming only looks.
}

TEST(Clock, AnotherPassGoesOnWhereTheHandStopped) {
  Pages pages(6);
  ReplacementPolicy::Pass pass(pages.ws, 0);
  EXPECT_EQ(clock_policy().trim(pages.ws, pages, pass), pages.slot[0]);
  EXPECT_EQ(pass.slots, 5U);
  pass = ReplacementPolicy::Pass(pages.ws, 0);
  EXPECT_EQ(clock_policy().trim(pages.ws, pages, pass), pages.slot[1]);
}

// A pass looks no further than the last page that is old enough, and leaves the hand where a whole round would.
TEST(Clock, APassEndsWithItsLastCandidate) {
  Pages pages(6);
  static_cast<void>(pages.ws.advance_hand());
  pages.ws.set_age(pages.slot[2], 2);
  pages.ws.set_age(pages.slot[4], 3);
  pages.ws.lock(pages.slot[4], LockKind::kInMemory);
  ReplacementPolicy::Pass pass(pages.ws, 2);
  EXPECT_EQ(pass.candidates, 1U);
  EXPECT_EQ(clock_policy().trim(pages.ws, pages, pass), pages.slot[2]);
  pages.ws.erase(pages.slot[2]);
  EXPECT_EQ(pass.slots, 4U);
  EXPECT_EQ(clock_policy().trim(pages.ws, pages, pass), WorkingSet::kNoSlot);
  EXPECT_EQ(pages.ws.advance_hand(), pages.slot[1]);
}

TEST(RandomVictim, LooksAtNeitherUseNorAge) {
  Pages pages(32);
  for (std::uint64_t page = 0; page < 32; ++page) pages.accessed.insert(page);
  ReplacementPolicy::Pass pass(pages.ws, Wsle::kOldest);
  EXPECT_NE(random_victim_policy().trim(pages.ws, pages, pass), WorkingSet::kNoSlot);
  EXPECT_EQ(pages.accessed.size(), 32U);
  // Not in the order of the slots.
  const std::vector<std::uint64_t> order = pages.trimmed(random_victim_policy(), 0);
  EXPECT_EQ(order.size(), 32U);
  EXPECT_FALSE(std::ranges::is_sorted(order));
}

}  // namespace
}  // namespace pagoda::mm
