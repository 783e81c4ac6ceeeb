#include "pagoda/base/growing_array.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <utility>

namespace pagoda {
namespace {

TEST(GrowingArray, BeginsWithNothing) {
  const GrowingArray<std::uint64_t> words;
  EXPECT_EQ(words.capacity(), 0U);
}

// From the heap to pages of its own, and on.
TEST(GrowingArray, ElementsBeginAsZeroAndKeepTheirIndex) {
  GrowingArray<std::uint64_t> words;
  while (words.capacity() < 200'000) {
    const std::size_t before = words.capacity();
    ASSERT_TRUE(words.grow());
    ASSERT_GT(words.capacity(), before);
    EXPECT_LE(words.capacity(), 2 * before + 64);
    for (std::size_t i = 0; i < before; ++i) ASSERT_EQ(words[i], i + 1);
    for (std::size_t i = before; i < words.capacity(); ++i) {
      ASSERT_EQ(words[i], 0U) << i;
      words[i] = i + 1;
    }
  }
  const GrowingArray<std::uint64_t> moved = std::move(words);
  EXPECT_EQ(moved[199'999], 200'000U);
}

// 1 TiB an element: more than there are addresses for.
TEST(GrowingArray, SaysWhenThereIsNoMemoryForMore) {
  GrowingArray<std::array<std::byte, std::size_t{1} << 40>> huge;
  bool grown = true;
  for (int i = 0; i < 2 && grown; ++i) ASSERT_NO_THROW(grown = huge.grow());
  EXPECT_FALSE(grown);
  EXPECT_LE(huge.capacity(), 64U);
}

}  // namespace
}  // namespace pagoda
