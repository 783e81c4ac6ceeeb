// The chances that were published for ESX's hashes (reference virtualization.md 1.5).
#include "bench/birthday.h"

#include <gtest/gtest.h>

namespace pagoda::bench {
namespace {

TEST(Birthday, TwentyThreePeopleShareADayMoreLikelyThanNot) {
  // 365 days are between 2^8 and 2^9.
  EXPECT_GT(collision_chance(23, 8), 0.5);
  EXPECT_LT(collision_chance(23, 9), 0.5);
}

TEST(Birthday, OnePageMeetsNobodyAndTwoMeetOnceInAllHashes) {
  EXPECT_EQ(collision_chance(1, 8), 0.0);
  EXPECT_NEAR(collision_chance(2, 8), 1.0 / 256, 1e-5);
}

TEST(Birthday, SixtyFourBitsAreEnoughForSixtyFourGigabytes) {
  EXPECT_LT(collision_chance(0x1.0p24, 64), 0.0001);
  EXPECT_GT(collision_chance(0x1.0p24, 64), 0.0);
  EXPECT_NEAR(collision_chance(0x1.2d6p32, 64), 0.5, 0.01) << "even chances only near 2^32 pages";
}

TEST(Birthday, NeverMoreThanCertain) { EXPECT_EQ(collision_chance(1e12, 8), 1.0); }

}  // namespace
}  // namespace pagoda::bench
