#include "pagoda/sim/oom_killer.h"

#include <gtest/gtest.h>

#include <vector>

namespace pagoda::sim {
namespace {

OomLook look(std::uint64_t free, std::uint64_t promisable = 1000, std::uint64_t slots = 0) {
  return {.free = PageCount(free),
          .low = 10_pages,
          .high = 60_pages,
          .slots = PageCount(slots),
          .promisable = PageCount(promisable)};
}

TEST(OomKiller, LeavesAHostAloneThatHasMemory) {
  OomKiller killer;
  for (int round = 0; round < 5; ++round) EXPECT_FALSE(killer.look(look(10)));
}

TEST(OomKiller, ActsWhenMemoryStaysLowForTwoRoundsWithoutProgress) {
  OomKiller killer;
  EXPECT_FALSE(killer.look(look(9)));
  EXPECT_TRUE(killer.look(look(9)));
  EXPECT_FALSE(killer.look(look(9))) << "one machine at a time";
  EXPECT_TRUE(killer.look(look(8)));
}

TEST(OomKiller, LeavesAHostAloneThatCanPage) {
  OomKiller killer;
  for (int round = 0; round < 5; ++round) EXPECT_FALSE(killer.look(look(2, 1000, 10)));
  EXPECT_FALSE(killer.look(look(2, 1000, 9)));
  EXPECT_TRUE(killer.look(look(2, 1000, 9)));
}

TEST(OomKiller, WaitsWhileFreeMemoryGrows) {
  OomKiller killer;
  EXPECT_FALSE(killer.look(look(2)));
  EXPECT_FALSE(killer.look(look(3)));
  EXPECT_FALSE(killer.look(look(50)));
  EXPECT_FALSE(killer.look(look(5)));
}

TEST(OomKiller, ActsAtOnceWhenThereIsNothingLeftToPromise) {
  OomKiller killer;
  EXPECT_FALSE(killer.look(look(500, 60)));
  EXPECT_EQ(killer.look(look(500, 59)), "the host had hardly any memory left to promise");
}

TEST(OomKiller, ChoosesTheLargestSum) {
  const std::vector<OomCandidate> machines{{.machine = 4, .resident = 5_pages, .swapped = 0_pages, .tables = 1_pages},
                                           {.machine = 5, .resident = 2_pages, .swapped = 4_pages, .tables = 1_pages},
                                           {.machine = 6, .resident = 6_pages, .swapped = 0_pages, .tables = 1_pages}};
  EXPECT_EQ(OomKiller::choose(machines)->machine, 5U);
  EXPECT_EQ(OomKiller::choose({}), nullptr);
}

}  // namespace
}  // namespace pagoda::sim
