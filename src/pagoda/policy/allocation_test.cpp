#include "pagoda/policy/allocation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/base/testing/effort.h"
#include "pagoda/policy/pages.h"

namespace pagoda::policy {
namespace {

PageCount sum_of(const std::vector<PageCount>& pages) {
  return std::accumulate(pages.begin(), pages.end(), PageCount(0));
}

Claim mebibytes(double shares, std::uint64_t active, std::uint64_t maximum) {
  return {.shares = shares,
          .minimum = {},
          .maximum = pages_of(ByteCount(maximum << 20)),
          .active = pages_of(ByteCount(active << 20))};
}

double in_mebibytes(PageCount pages) { return real(pages) / real(pages_of(1_MiB)); }

// Machines whose shares, sizes and activity have nothing to do with each other.
struct Fleet {
  std::vector<Claim> claims;
  PageCount least;
  PageCount most;
  PageCount active;
};

Fleet random_fleet(Random& random, std::size_t machines) {
  Fleet fleet;
  for (std::size_t i = 0; i < machines; ++i) {
    const std::uint64_t maximum = 1 + random.below(5'000);
    const PageCount minimum(random.chance(0.5) ? 0 : random.below(maximum));
    fleet.claims.push_back({.shares = static_cast<double>(1 + random.below(10)),
                            .minimum = minimum,
                            .maximum = PageCount(maximum),
                            .active = PageCount(random.below(maximum + 1))});
    fleet.least += minimum;
    fleet.most += PageCount(maximum);
    fleet.active += std::max(fleet.claims.back().active, minimum);
  }
  return fleet;
}

PageCount between(Random& random, PageCount least, PageCount most) {
  return least + PageCount(random.below((most - least).value() + 1));
}

double random_tax(Random& random) { return random.chance(0.2) ? 0 : 0.95 * random.unit(); }

// reference/virtualization.md 1.6: two machines of equal shares and 256 MB; the idle one has 25 MB active, the other all.
// Without a tax both get 179 MB of 358, with 75 % the busy one all of its 256 and the idle one 104 of 360.
TEST(Allocation, TheIdleTaxMovesMemoryToTheBusyMachine) {
  const std::vector<Claim> claims = {mebibytes(1, 25, 256), mebibytes(1, 256, 256)};
  const auto untaxed = allocate(claims, pages_of(358_MiB), 0);
  EXPECT_EQ(untaxed[0], pages_of(179_MiB));
  EXPECT_EQ(untaxed[1], pages_of(179_MiB));
  const auto taxed = allocate(claims, pages_of(360_MiB), 0.75);
  EXPECT_NEAR(in_mebibytes(taxed[0]), 104, 0.01);
  EXPECT_NEAR(in_mebibytes(taxed[1]), 256, 0.01);
}

// The closed form itself: P = tax A + lambda S where nobody is clamped and everybody holds what is active.
TEST(Allocation, IsTheClosedFormWhereNobodyIsClamped) {
  const std::vector<Claim> claims = {mebibytes(1, 100, 4096), mebibytes(2, 300, 4096), mebibytes(3, 50, 4096)};
  const double tax = 0.75;
  const double lambda = (2'000 - tax * 450) / 6;
  const auto given = allocate(claims, pages_of(2'000_MiB), tax);
  EXPECT_NEAR(in_mebibytes(given[0]), tax * 100 + lambda, 0.01);
  EXPECT_NEAR(in_mebibytes(given[1]), tax * 300 + 2 * lambda, 0.01);
  EXPECT_NEAR(in_mebibytes(given[2]), tax * 50 + 3 * lambda, 0.01);
  // P2 - P1 = tax (A2 - A1) for equal shares.
  const auto pair = allocate(std::vector{mebibytes(1, 100, 4096), mebibytes(1, 300, 4096)}, pages_of(1'000_MiB), tax);
  EXPECT_NEAR(in_mebibytes(pair[1]) - in_mebibytes(pair[0]), tax * 200, 0.01);
}

// Where not even active memory fits, all of it is active, and only shares count.
TEST(Allocation, SharesAloneDecideWhereActiveMemoryDoesNotFit) {
  const std::vector<Claim> claims = {mebibytes(1, 300, 1024), mebibytes(3, 400, 1024)};
  const auto given = allocate(claims, pages_of(200_MiB), 0.75);
  EXPECT_EQ(given[0], pages_of(50_MiB));
  EXPECT_EQ(given[1], pages_of(150_MiB));
}

TEST(Allocation, TheBoundsHoldAndTheSumIsWhatThereIs) {
  for (std::uint64_t seed = 1; seed <= testing::effort(300); ++seed) {
    Random random(seed);
    const Fleet fleet = random_fleet(random, 1 + random.below(40));
    const PageCount available = between(random, 0_pages, fleet.most + 100_pages);
    const auto given = allocate(fleet.claims, available, random_tax(random));
    EXPECT_EQ(sum_of(given), std::clamp(available, fleet.least, fleet.most)) << "seed " << seed;
    for (std::size_t i = 0; i < given.size(); ++i) {
      EXPECT_GE(given[i], fleet.claims[i].minimum) << "seed " << seed;
      EXPECT_LE(given[i], fleet.claims[i].maximum) << "seed " << seed;
    }
  }
}

// [AL1] to [AL4]: page-by-page revocation from the maxima ends where the closed form is.
TEST(Allocation, RevocationAgreesWithTheClosedForm) {
  for (std::uint64_t seed = 1; seed <= testing::effort(100); ++seed) {
    Random random(seed);
    const Fleet fleet = random_fleet(random, 1 + random.below(20));
    const PageCount available = between(random, fleet.least, fleet.most);
    const double tax = random_tax(random);
    const auto solved = allocate(fleet.claims, available, tax);
    std::vector<PageCount> held;
    for (const Claim& claim : fleet.claims) held.push_back(claim.maximum);
    revoke(fleet.claims, tax, fleet.most - available, held);
    EXPECT_EQ(sum_of(held), available);
    // Each stops at its own last page, so that together they are a page a machine apart at most.
    std::uint64_t apart = 0;
    for (std::size_t i = 0; i < held.size(); ++i)
      apart += std::max(excess(held[i], solved[i]), excess(solved[i], held[i])).value();
    EXPECT_LE(apart, 2 * held.size()) << "seed " << seed;
  }
}

TEST(Allocation, RevocationTakesFromTheCheapestAndStopsAtMinima) {
  std::vector<Claim> claims = {mebibytes(1, 0, 100), mebibytes(1, 100, 100)};
  claims[0].minimum = pages_of(10_MiB);
  std::vector<PageCount> held = {pages_of(100_MiB), pages_of(100_MiB)};
  revoke(claims, 0.75, pages_of(60_MiB), held);
  EXPECT_EQ(held[0], pages_of(40_MiB));  // The idle one costs four times as much a page.
  EXPECT_EQ(held[1], pages_of(100_MiB));
  revoke(claims, 0.75, pages_of(1_GiB), held);
  EXPECT_EQ(held[0], pages_of(10_MiB));
  EXPECT_EQ(held[1], 0_pages);
}

// [AL3], to the page that rounding may move.
TEST(Allocation, GrowsWithSharesWithActivityAndWithMemory) {
  for (std::uint64_t seed = 1; seed <= testing::effort(200); ++seed) {
    Random random(seed);
    Fleet fleet = random_fleet(random, 2 + random.below(10));
    const PageCount available = between(random, fleet.least, fleet.most);
    const double tax = random_tax(random);
    const std::size_t one = random.below(fleet.claims.size());
    const auto before = allocate(fleet.claims, available, tax);
    const auto more_memory = allocate(fleet.claims, available + PageCount(random.below(1'000)), tax);
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_GE(more_memory[i] + 1_pages, before[i]) << "seed " << seed;
    fleet.claims[one].shares *= 1 + random.unit();
    EXPECT_GE(allocate(fleet.claims, available, tax)[one] + 1_pages, before[one]) << "seed " << seed;
    const auto with_shares = allocate(fleet.claims, available, tax);
    fleet.claims[one].active += PageCount(random.below(1'000));
    EXPECT_GE(allocate(fleet.claims, available, tax)[one] + 1_pages, with_shares[one]) << "seed " << seed;
  }
}

// [AL4]
TEST(Allocation, TheOrderOfMachinesDoesNotMatter) {
  for (std::uint64_t seed = 1; seed <= testing::effort(200); ++seed) {
    Random random(seed);
    Fleet fleet = random_fleet(random, 2 + random.below(20));
    const PageCount available = between(random, fleet.least, fleet.most);
    const double tax = random_tax(random);
    const auto before = allocate(fleet.claims, available, tax);
    std::vector<Claim> reversed(fleet.claims.rbegin(), fleet.claims.rend());
    auto after = allocate(reversed, available, tax);
    std::ranges::reverse(after);
    // Machines that are alike may exchange a page.
    for (std::size_t i = 0; i < before.size(); ++i)
      EXPECT_LE(std::max(excess(before[i], after[i]), excess(after[i], before[i])), 1_pages) << "seed " << seed;
    EXPECT_EQ(sum_of(before), sum_of(after));
  }
}

TEST(Allocation, AThousandMachinesOfATerabyteAreExact) {
  Random random(7);
  std::vector<Claim> claims;
  for (int i = 0; i < 1'000; ++i)
    claims.push_back({.shares = static_cast<double>(1 + random.below(100'000)),
                      .minimum = pages_of(1_GiB),
                      .maximum = pages_of(1_TiB),
                      .active = PageCount(random.below(pages_of(1_TiB).value()))});
  const PageCount available = pages_of(400_TiB) + 7_pages;
  EXPECT_EQ(sum_of(allocate(claims, available, 0.75)), available);
}

TEST(Allocation, NobodyAndNothing) {
  EXPECT_TRUE(allocate({}, 100_pages, 0.75).empty());
  EXPECT_EQ(allocate(std::vector{Claim{}}, 100_pages, 0.75)[0], 0_pages);
}

}  // namespace
}  // namespace pagoda::policy
