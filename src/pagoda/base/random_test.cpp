#include "pagoda/base/random.h"

#include <gtest/gtest.h>

#include <array>

namespace pagoda {
namespace {

// From the reference implementations of SplitMix64 and xoshiro256** (prng.di.unimi.it).
TEST(Random, MatchesTheReferenceImplementation) {
  EXPECT_EQ(Random::mix(0x9E3779B97F4A7C15), 0xE220A8397B1DCDAFU);
  Random zero(0);
  for (const std::uint64_t word : {0x99EC5F36CB75F2B4U, 0xBF6E1F784956452AU, 0x1A5F849D4933E6E0U, 0x6AA594F1262D2D2CU})
    EXPECT_EQ(zero.next(), word);
  Random other(42);
  for (const std::uint64_t word : {0x15780B2E0C2EC716U, 0x6104D9866D113A7EU, 0xAE17533239E499A1U, 0xECB8AD4703B360A1U})
    EXPECT_EQ(other.next(), word);
}

TEST(Random, BelowStaysBelowAndReachesAll) {
  Random random(1);
  std::array<int, 7> seen{};
  for (int i = 0; i < 7000; ++i) {
    const std::uint64_t number = random.below(7);
    ASSERT_LT(number, 7U);
    ++seen[number];
  }
  // 1000 expected; the standard deviation is 29.
  for (const int count : seen) EXPECT_NEAR(count, 1000, 150);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.below(1), 0U);
  for (int i = 0; i < 100; ++i) EXPECT_LT(random.below(~std::uint64_t{0}), ~std::uint64_t{0});
}

TEST(Random, UnitIsHalfOpen) {
  Random random(2);
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double number = random.unit();
    ASSERT_GE(number, 0.0);
    ASSERT_LT(number, 1.0);
    sum += number;
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
}

TEST(Random, ChanceKeepsItsRate) {
  Random random(3);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) hits += random.chance(0.1) ? 1 : 0;
  EXPECT_NEAR(hits, 1000, 150);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(random.chance(0));
    EXPECT_TRUE(random.chance(1));
  }
}

}  // namespace
}  // namespace pagoda
