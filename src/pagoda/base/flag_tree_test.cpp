#include "pagoda/base/flag_tree.h"

#include <gtest/gtest.h>

#include <vector>

#include "pagoda/base/random.h"

namespace pagoda {
namespace {

TEST(FlagTree, FindsWhatIsNotSetAcrossLevels) {
  constexpr std::size_t kSize = 64 * 64 * 64 + 7;  // Four levels, the last words of which are not full.
  FlagTree tree(kSize);
  EXPECT_EQ(tree.next_clear(0), 0U);
  EXPECT_EQ(tree.next_clear(kSize - 1), kSize - 1);
  EXPECT_EQ(tree.next_clear(kSize), kSize);
  for (std::size_t flag = 0; flag < kSize; ++flag) tree.set(flag);
  EXPECT_EQ(tree.next_clear(0), kSize);
  for (const std::size_t flag : {std::size_t{0}, std::size_t{63}, std::size_t{64}, std::size_t{4095}, std::size_t{4096},
                                 std::size_t{262'143}, kSize - 1}) {
    tree.clear(flag);
    EXPECT_FALSE(tree.test(flag));
    EXPECT_EQ(tree.next_clear(0), flag);
    EXPECT_EQ(tree.next_clear(flag), flag);
    EXPECT_EQ(tree.next_clear(flag + 1), kSize);
    tree.set(flag);
    EXPECT_EQ(tree.next_clear(0), kSize);
  }
}

TEST(FlagTree, AgreesWithAVectorUnderRandomUse) {
  Random random(3);
  for (const std::size_t size : {1U, 63U, 64U, 65U, 4096U, 4097U, 10'000U}) {
    FlagTree tree(size);
    std::vector<bool> model(size);
    // Mostly set, so that searches go far.
    for (std::size_t flag = 0; flag < size; ++flag) {
      tree.set(flag);
      model[flag] = true;
    }
    for (int step = 0; step < 2000; ++step) {
      const auto flag = static_cast<std::size_t>(random.below(size));
      if (random.chance(0.7)) {
        tree.set(flag);
        model[flag] = true;
      } else {
        tree.clear(flag);
        model[flag] = false;
      }
      const auto from = static_cast<std::size_t>(random.below(size + 1));
      std::size_t expected = from;
      while (expected < size && model[expected]) ++expected;
      ASSERT_EQ(tree.next_clear(from), expected) << size << " from " << from;
    }
  }
}

}  // namespace
}  // namespace pagoda
