// mm under seeded interleavings. To replay what one of these prints, and nothing else:
//
//   PAGODA_INTERLEAVE_SEED=SEED pagoda_interleave_test --gtest_filter='*Interleavings*Scenario'
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <unistd.h>

#include "pagoda/base/testing/effort.h"
#include "tests/interleave/scenarios.h"

namespace pagoda::interleave {
namespace {

// Some faults end in a failed assertion: the seed is said before the program ends.
char running[128];  // NOLINT
void say_seed(int) {
  static_cast<void>(!write(STDERR_FILENO, running, sizeof(running)));
  std::signal(SIGABRT, SIG_DFL);
}

class Interleavings : public ::testing::TestWithParam<Scenario> {
 protected:
  // Runs seeds from `first` on; says what the first that fails finds.
  void run_seeds(std::uint64_t first, std::uint64_t count) {
    const auto before = std::signal(SIGABRT, say_seed);
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
      static_cast<void>(std::snprintf(running, sizeof(running), "in %.*s, seed %llu\n",
                                      static_cast<int>(GetParam().name.size()), GetParam().name.data(),
                                      static_cast<unsigned long long>(seed)));
      ASSERT_EQ(run(scheduler_, GetParam(), seed), "") << running;
    }
    std::signal(SIGABRT, before);
  }

  Scheduler scheduler_;
};

INSTANTIATE_TEST_SUITE_P(Scenarios, Interleavings, ::testing::ValuesIn(scenarios().begin(), scenarios().end()),
                         [](const auto& scenario) { return std::string(scenario.param.name); });

TEST_P(Interleavings, KeepEveryPromise) {
  const char* const only = std::getenv("PAGODA_INTERLEAVE_SEED");  // NOLINT(concurrency-mt-unsafe): nothing sets it.
  if (only != nullptr) return run_seeds(std::strtoull(only, nullptr, 10), 1);
  run_seeds(1, pagoda::testing::effort(GetParam().seeds));
}

TEST_P(Interleavings, AreReplayedByTheirSeeds) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Replay first;
    Replay second;
    const std::string once = run(scheduler_, GetParam(), seed, first);
    EXPECT_EQ(run(scheduler_, GetParam(), seed, second), once);
    EXPECT_EQ(first, second) << seed;
  }
}

}  // namespace
}  // namespace pagoda::interleave
