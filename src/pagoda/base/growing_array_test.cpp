#include "pagoda/base/growing_array.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

namespace pagoda {
namespace {

TEST(GrowingArray, BeginsWithNothing) {
  const GrowingArray<std::uint64_t> words;
  EXPECT_EQ(words.capacity(), 0U);
}

TEST(GrowingArray, ElementsBeginAsZeroAndKeepTheirPlace) {
  GrowingArray<std::uint64_t> words;
  std::vector<const std::uint64_t*> places;
  while (words.capacity() < 10'000) {
    const std::size_t before = words.capacity();
    ASSERT_TRUE(words.grow());
    ASSERT_GT(words.capacity(), before);
    EXPECT_LE(words.capacity(), 3 * before + 64);
    for (std::size_t i = before; i < words.capacity(); ++i) {
      ASSERT_EQ(words[i], 0U) << i;
      words[i] = i + 1;
      places.push_back(&words[i]);
    }
  }
  for (std::size_t i = 0; i < words.capacity(); ++i) {
    ASSERT_EQ(words[i], i + 1);
    ASSERT_EQ(&words[i], places[i]);
  }
}

// 16 TiB an element: more than there are addresses for, after the first two chunks at the latest.
TEST(GrowingArray, SaysWhenThereIsNoMemoryForMore) {
  GrowingArray<std::array<std::byte, std::size_t{1} << 44>> huge;
  bool grown = true;
  for (int i = 0; i < 2 && grown; ++i) ASSERT_NO_THROW(grown = huge.grow());
  EXPECT_FALSE(grown);
}

}  // namespace
}  // namespace pagoda
