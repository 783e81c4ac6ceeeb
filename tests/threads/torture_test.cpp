// mm under torture by real threads: a thread for each processor, memory for a quarter of what they use. What is done, and what is
// checked, is in tests/torture/. To be run under ThreadSanitizer and AddressSanitizer too, with fewer operations.
#include "tests/torture/threads.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pagoda/base/testing/effort.h"
#include "pagoda/machine/shared_bytes.h"

namespace pagoda::mm::torture {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kWatched = true;
#elif defined(__has_feature)
constexpr bool kWatched = machine::kRacesAreWatched || __has_feature(address_sanitizer);
#else
constexpr bool kWatched = machine::kRacesAreWatched;
#endif

// In all, of which each world has its share: at most a minute on two cores where nothing watches. Debug builds are some times
// slower, sanitizers 20 to 50 times. As many at the effort of continuous integration (10); a larger one multiplies.
constexpr std::uint64_t kOperations = kWatched ? 200'000 : PAGODA_DCHECKS ? 2'000'000 : 20'000'000;
constexpr std::uint64_t kWorlds = 20;
constexpr std::uint64_t kRounds = 5;  // Of each world; all rest after each.

class TortureThreads : public ::testing::TestWithParam<std::uint64_t> {};

INSTANTIATE_TEST_SUITE_P(Seeds, TortureThreads, ::testing::Range<std::uint64_t>(1, kWorlds + 1));

TEST_P(TortureThreads, EveryByteIsWhatItsOwnerWrote) {
  const WorldConfig config = world_of_seed(GetParam());
  World world(config);
  const std::uint64_t each =
      kOperations * std::max<std::size_t>(1, pagoda::testing::effort() / 10) / kWorlds / kRounds / config.workers;
  for (std::uint64_t round = 0; round < kRounds; ++round) ASSERT_EQ(run_threads(world, each), "") << describe(config);
  EXPECT_EQ(world.finish(), "") << describe(config);
}

}  // namespace
}  // namespace pagoda::mm::torture
