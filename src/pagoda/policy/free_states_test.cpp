#include "pagoda/policy/free_states.h"

#include <gtest/gtest.h>

#include <vector>

#include "pagoda/base/random.h"

namespace pagoda::policy {
namespace {

// reference/virtualization.md 1.2: 6, 4, 2, 1 %.
TEST(FreeStates, Esx2002ThresholdsAreExactToThePage) {
  const FreeThresholds limits = esx2002_thresholds(100'000_pages);
  EXPECT_EQ(limits.high, 6'000_pages);
  EXPECT_EQ(limits.clear, std::nullopt);
  EXPECT_EQ(limits.soft, 4'000_pages);
  EXPECT_EQ(limits.hard, 2'000_pages);
  EXPECT_EQ(limits.low, 1'000_pages);
  // Rounded up: a host of 1,001 pages has 60.06 pages in 6 %.
  EXPECT_EQ(esx2002_thresholds(1'001_pages).high, 61_pages);
  EXPECT_EQ(esx2002_thresholds(0_pages).high, 0_pages);
  EXPECT_EQ(esx2002_thresholds(pages_of(1_TiB)).high, PageCount((pages_of(1_TiB).value() * 6 + 99) / 100));
}

// reference/virtualization.md 1.2: minFree = 899 MB for the first 28 GB + 1 % of the rest; 400, 100, 64, 32, 16 % of it.
TEST(FreeStates, Esx6ThresholdsFollowMinFree) {
  const PageCount least = pages_of(899_MiB);
  const FreeThresholds at = esx6_thresholds(pages_of(28_GiB));
  EXPECT_EQ(at.high, least * 4);
  EXPECT_EQ(at.clear, least);
  EXPECT_EQ(at.soft, PageCount((least.value() * 64 + 99) / 100));
  EXPECT_EQ(at.hard, PageCount((least.value() * 32 + 99) / 100));
  EXPECT_EQ(at.low, PageCount((least.value() * 16 + 99) / 100));
  EXPECT_EQ(esx6_thresholds(pages_of(128_GiB)).clear, least + pages_of(1_GiB));
  // A smaller host keeps as much less in proportion, so that none needs more than it has.
  EXPECT_EQ(esx6_thresholds(pages_of(14_GiB)).clear, PageCount((least.value() + 1) / 2));
  EXPECT_LT(esx6_thresholds(pages_of(1_GiB)).high, pages_of(1_GiB));
}

TEST(FreeStates, ALowerStateIsEnteredBelowItsThresholdAndNotAtIt) {
  const FreeThresholds limits = esx2002_thresholds(10'000_pages);
  EXPECT_EQ(next_state(FreeState::kHigh, 400_pages, limits), FreeState::kHigh);
  EXPECT_EQ(next_state(FreeState::kHigh, 399_pages, limits), FreeState::kSoft);
  EXPECT_EQ(next_state(FreeState::kHigh, 200_pages, limits), FreeState::kSoft);
  EXPECT_EQ(next_state(FreeState::kHigh, 199_pages, limits), FreeState::kHard);
  EXPECT_EQ(next_state(FreeState::kSoft, 100_pages, limits), FreeState::kHard);
  EXPECT_EQ(next_state(FreeState::kSoft, 99_pages, limits), FreeState::kLow);
  EXPECT_EQ(next_state(FreeState::kHigh, 0_pages, limits), FreeState::kLow);
}

TEST(FreeStates, AHigherStateComesBackOnceItsThresholdIsClearlyExceeded) {
  const FreeThresholds limits = esx2002_thresholds(10'000_pages);
  EXPECT_EQ(next_state(FreeState::kSoft, 659_pages, limits), FreeState::kSoft);
  EXPECT_EQ(next_state(FreeState::kSoft, 660_pages, limits), FreeState::kHigh);
  EXPECT_EQ(next_state(FreeState::kHard, 439_pages, limits), FreeState::kHard);
  EXPECT_EQ(next_state(FreeState::kHard, 440_pages, limits), FreeState::kSoft);
  EXPECT_EQ(next_state(FreeState::kLow, 219_pages, limits), FreeState::kLow);
  EXPECT_EQ(next_state(FreeState::kLow, 220_pages, limits), FreeState::kHard);
  EXPECT_EQ(next_state(FreeState::kLow, 9'000_pages, limits), FreeState::kHigh);
  EXPECT_EQ(limits.goal(), 660_pages);
}

TEST(FreeStates, ClearExistsInEsx6Alone) {
  const FreeThresholds limits = esx6_thresholds(pages_of(28_GiB));
  EXPECT_EQ(next_state(FreeState::kHigh, *limits.clear - 1_pages, limits), FreeState::kClear);
  EXPECT_EQ(next_state(FreeState::kClear, limits.soft - 1_pages, limits), FreeState::kSoft);
  EXPECT_EQ(next_state(FreeState::kSoft, *limits.clear * 2, limits), FreeState::kClear);
  EXPECT_EQ(next_state(FreeState::kClear, limits.goal(), limits), FreeState::kHigh);
  const FreeThresholds old = esx2002_thresholds(10'000_pages);
  for (std::uint64_t free = 0; free < 1'000; ++free)
    for (const FreeState from : {FreeState::kHigh, FreeState::kSoft, FreeState::kHard, FreeState::kLow})
      EXPECT_NE(next_state(from, PageCount(free), old), FreeState::kClear);
}

// Free memory that moves by less than the hysteresis around any threshold changes the state once at most.
TEST(FreeStates, NoiseAroundAThresholdDoesNotFlap) {
  for (const StatesPreset preset : {StatesPreset::kEsx2002, StatesPreset::kEsx6}) {
    const FreeThresholds limits = thresholds(preset, pages_of(64_GiB));
    for (const PageCount threshold : {limits.high, limits.soft, limits.hard, limits.low}) {
      Random random(threshold.value());
      FreeState state = FreeState::kHigh;
      int changes = 0;
      for (int i = 0; i < 1'000; ++i) {
        const std::uint64_t noise = threshold.value() / 25;
        const PageCount free = threshold - PageCount(noise) + PageCount(random.below(2 * noise));
        const FreeState next = next_state(state, free, limits);
        if (i > 0 && next != state) ++changes;
        state = next;
      }
      EXPECT_LE(changes, 1) << name(preset) << " " << to_string(threshold);
    }
  }
}

TEST(FreeStates, PresetsAreFoundByTheNamesThatScenariosWrite) {
  EXPECT_EQ(find_states_preset("esx2002"), StatesPreset::kEsx2002);
  EXPECT_EQ(find_states_preset("esx6"), StatesPreset::kEsx6);
  EXPECT_EQ(find_states_preset("esx7"), std::nullopt);
}

}  // namespace
}  // namespace pagoda::policy
