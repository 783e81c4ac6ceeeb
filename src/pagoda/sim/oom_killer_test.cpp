#include "pagoda/sim/oom_killer.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace pagoda::sim {
namespace {

OomLook look(std::uint64_t free, std::uint64_t slots = 0) {
  return {.free = PageCount(free), .low = 10_pages, .slots = PageCount(slots)};
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
  for (int round = 0; round < 5; ++round) EXPECT_FALSE(killer.look(look(2, 10)));
  EXPECT_FALSE(killer.look(look(2, 9)));
  EXPECT_TRUE(killer.look(look(2, 9)));
}

TEST(OomKiller, WaitsWhileFreeMemoryGrows) {
  OomKiller killer;
  EXPECT_FALSE(killer.look(look(2)));
  EXPECT_FALSE(killer.look(look(3)));
  EXPECT_FALSE(killer.look(look(50)));
  EXPECT_FALSE(killer.look(look(5)));
}

TEST(OomKiller, ChoosesTheLargestSum) {
  const std::vector<OomCandidate> machines{{.machine = 4, .resident = 5_pages, .swapped = 0_pages, .tables = 1_pages},
                                           {.machine = 5, .resident = 2_pages, .swapped = 4_pages, .tables = 1_pages},
                                           {.machine = 6, .resident = 6_pages, .swapped = 0_pages, .tables = 1_pages}};
  EXPECT_EQ(OomKiller::choose(machines, 5000_pages)->machine, 5U);
  EXPECT_EQ(OomKiller::choose({}, 5000_pages), nullptr);
}

// Linux's oom_badness: thousandths of memory and swap; OOM_SCORE_ADJ_MIN is never.
TEST(OomKiller, AnAdjustmentIsInThousandthsOfWhatTheHostHas) {
  const auto chosen = [](int first, int second) -> std::optional<std::size_t> {
    const std::vector<OomCandidate> machines{{.machine = 0, .resident = 100_pages, .adjust = first},
                                             {.machine = 1, .resident = 60_pages, .adjust = second}};
    const OomCandidate* const victim = OomKiller::choose(machines, 400_pages);
    return victim != nullptr ? std::optional(victim->machine) : std::nullopt;
  };
  EXPECT_EQ(chosen(0, 100), 0U) << "an equal: the first";
  EXPECT_EQ(chosen(0, 103), 1U);
  EXPECT_EQ(chosen(-103, 0), 1U);
  EXPECT_EQ(chosen(-999, -1000), 0U) << "a sum below zero is one";
  EXPECT_EQ(chosen(kOomNever, -999), 1U);
  EXPECT_EQ(chosen(kOomNever, kOomNever), std::nullopt);
}

}  // namespace
}  // namespace pagoda::sim
