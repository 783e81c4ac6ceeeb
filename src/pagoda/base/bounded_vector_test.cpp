#include "pagoda/base/bounded_vector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace pagoda {
namespace {

void add(BoundedVector<int>& to, int value) { to.push_back(value); }

TEST(BoundedVector, KeepsWhatIsAddedUntilItIsCleared) {
  InlineVector<int, 3> numbers;
  EXPECT_TRUE(numbers.empty());
  EXPECT_EQ(numbers.room(), 3U);
  for (const int number : {5, 6, 7}) add(numbers, number);
  EXPECT_EQ(numbers.room(), 0U);
  EXPECT_EQ(numbers.size(), 3U);
  EXPECT_TRUE(std::ranges::equal(numbers.all(), std::array{5, 6, 7}));
  numbers.back() = 8;
  EXPECT_EQ(numbers.all()[2], 8);
  numbers.clear();
  EXPECT_TRUE(numbers.empty());
  add(numbers, 9);
  EXPECT_TRUE(std::ranges::equal(numbers.all(), std::array{9}));
}

#if PAGODA_DCHECKS
TEST(BoundedVectorDeathTest, HasNoRoomForMoreThanItsMost) {
  InlineVector<int, 1> numbers;
  numbers.push_back(1);
  EXPECT_DEATH(numbers.push_back(2), "");
}
#endif

}  // namespace
}  // namespace pagoda
