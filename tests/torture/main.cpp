// pagoda-torture: the torture of tests/threads/torture_test.cpp without an end.
//
//   pagoda-torture [FIRST_SEED [OPERATIONS_PER_SEED]]       one world a seed, until something is found; 0 operations: 1,000,000
//
// A seed makes the same world and the same programs each time; which thread is faster when is the kernel's. For interleavings that
// a seed replays: tests/interleave/.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "tests/torture/threads.h"

int main(int count, char** arguments) {
  using namespace pagoda::mm::torture;
  std::uint64_t seed = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 1;
  std::uint64_t operations = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 0;
  if (operations == 0) operations = 1'000'000;
  constexpr std::uint64_t kRounds = 10;
  for (;; ++seed) {
    const WorldConfig config = world_of_seed(seed);
    fmt::print("{}\n", describe(config));
    std::fflush(stdout);
    World world(config);
    std::string text;
    for (std::uint64_t round = 0; round < kRounds && text.empty(); ++round)
      text = run_threads(world, operations / kRounds / config.workers);
    fmt::print("{}\n", describe(world.manager().counters()));
    if (text.empty()) text = world.finish();
    if (text.empty()) continue;
    fmt::print("{}\n", text);
    return EXIT_FAILURE;
  }
}
