#include "pagoda/base/sparse_array.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>

#include "pagoda/base/units.h"

namespace pagoda {
namespace {

// What this process has resident (proc(5): /proc/self/statm, second field, in pages).
ByteCount resident() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t pages = 0;
  statm >> size >> pages;
  return bytes_of(PageCount(pages));
}

TEST(SparseArray, OneTebibyteCostsWhatIsTouched) {
  const ByteCount before = resident();
  constexpr std::size_t kWords = (1_TiB).value() / sizeof(std::uint64_t);
  SparseArray<std::uint64_t> words(kWords);
  EXPECT_EQ(words.size(), kWords);
  for (std::size_t i = 0; i < kWords; i += kWords / 64) words[i] = i;
  words[kWords - 1] = 7;
  // Each touch may bring a huge page of 2 MiB.
  EXPECT_LT(resident().value(), (before + 256_MiB).value());
  for (std::size_t i = 0; i < kWords; i += kWords / 64) EXPECT_EQ(words[i], i);
  EXPECT_EQ(words[kWords - 1], 7U);
}

TEST(SparseArray, BeginsAsZeros) {
  const SparseArray<std::uint32_t> numbers(10'000);
  for (std::size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], 0U);
}

TEST(SparseArray, MovesItsMemory) {
  SparseArray<int> first(100);
  first[5] = 55;
  const int* const place = &first[5];
  SparseArray<int> second(std::move(first));
  EXPECT_EQ(&second[5], place);
  EXPECT_EQ(second[5], 55);
  EXPECT_EQ(second.size(), 100U);
  EXPECT_EQ(first.size(), 0U);  // NOLINT(bugprone-use-after-move): what is left is an empty array.
}

TEST(SparseArray, MayBeEmpty) {
  const SparseArray<int> none(0);
  EXPECT_EQ(none.size(), 0U);
}

#if PAGODA_DCHECKS
TEST(SparseArrayDeathTest, IndexOutOfRangeDies) {
  SparseArray<int> numbers(10);
  EXPECT_DEATH(numbers[10] = 1, "check failed");
}
#endif

}  // namespace
}  // namespace pagoda
