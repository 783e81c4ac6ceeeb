// The loops of 2024 to 2026 as they were published, their weaknesses included.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/policy/pages.h"
#include "pagoda/policy/testing/measured.h"

namespace pagoda::policy {
namespace {

Rounds one_machine(std::string_view policy, PageCount total, PageCount free) {
  Rounds rounds(policy, total);
  rounds.machines.push_back(machine(0));
  rounds.host().free = free;
  return rounds;
}

PageCount limit(const Rounds& rounds, std::size_t i = 0) { return rounds.of(i).target; }

// --- hypeman: overcommit-facts.md 5.10 ---

// The model of the reference: 64 GiB, 16 machines of 4 GiB, whatever a balloon takes is available at once. Least and most
// of the host that is available in the last minutes, in percent.
std::pair<double, double> hypeman_ends_at(double start) {
  Rounds rounds("hypeman", pages_of(64_GiB));
  for (std::uint32_t i = 0; i < 16; ++i) rounds.machines.push_back(machine(i));
  std::pair<double, double> ends{100, 0};
  for (int round = 0; round < 1'000; ++round) {
    PageCount free = part_of(pages_of(64_GiB), start);
    for (const VmMeasure& vm : rounds.machines) free += vm.balloon->actual;
    rounds.host().free = free;
    rounds.run();
    if (round < 800) continue;
    const double percent = 100 * share_of(free, pages_of(64_GiB));
    ends = {std::min(ends.first, percent), std::max(ends.second, percent)};
  }
  return ends;
}

TEST(Hypeman, SettlesAtHalfOfItsDeficitOrCyclesAndNeverReachesItsGoal) {
  const auto from2 = hypeman_ends_at(0.02);
  EXPECT_NEAR(from2.first, 8.2, 0.3);  // "Stays 8.2 %".
  EXPECT_NEAR(from2.second, 8.2, 0.3);
  const auto from5 = hypeman_ends_at(0.05);
  EXPECT_NEAR(from5.first, 8.7, 0.4);  // "Cycles 8.7 ... 11.2 %".
  EXPECT_NEAR(from5.second, 11.2, 0.4);
  const auto from8 = hypeman_ends_at(0.08);
  EXPECT_NEAR(from8.first, 8.7, 0.7);  // "Cycles 8.7 ... 14.3 %".
  EXPECT_NEAR(from8.second, 14.3, 0.4);
}

TEST(Hypeman, MovesBy256MebibytesAndNotWithinFiveSeconds) {
  Rounds rounds = one_machine("hypeman", pages_of(64_GiB), pages_of(1_GiB));
  rounds.run();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB) - pages_of(256_MiB));
  rounds.run();
  EXPECT_EQ(rounds.of(0).reason.why, Why::kSettling);
  rounds.run();
  EXPECT_EQ(rounds.of(0).reason.why, Why::kSettling);
  rounds.run();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB) - pages_of(512_MiB));
  for (int i = 0; i < 100; ++i) {
    rounds.host().free = pages_of(1_GiB);
    rounds.run();
  }
  EXPECT_EQ(limit(rounds), pages_of(2_GiB));  // Its floor: half of the machine.
}

TEST(Hypeman, AnyStallOfTheHostIsPressure) {
  Rounds rounds = one_machine("hypeman", pages_of(64_GiB), pages_of(7_GiB));
  rounds.run();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB));  // 10.9 % is more than 10.
  rounds.host().stall = 0.0001;
  rounds.run();
  EXPECT_LT(limit(rounds), pages_of(4_GiB));
}

// --- ChromeOS: overcommit-facts.md 5.3, 5.4 ---

TEST(CrosvmAvailable, OneMachineAndItsHostMeetHalfWay) {
  Rounds rounds = one_machine("crosvm_available", pages_of(16_GiB), pages_of(1_GiB));
  for (int i = 0; i < 100; ++i) {
    const PageCount inside = excess(pages_of(3_GiB), rounds.machines[0].balloon->actual);
    rounds.machines[0].guest->free = inside;
    rounds.machines[0].guest->caches = 0_pages;
    rounds.host().free = pages_of(1_GiB) + rounds.machines[0].balloon->actual;
    rounds.run();
  }
  const double apart = real(*rounds.machines[0].guest->free) - real(rounds.host().free);
  EXPECT_LT(std::abs(apart), real(pages_of(150_MiB)));
}

TEST(CrosvmCache, TakesCacheOnlyWhileTheHostIsShort) {
  Rounds rounds = one_machine("crosvm_cache", pages_of(16_GiB), pages_of(100_MiB));
  rounds.run();
  EXPECT_LT(limit(rounds), pages_of(4_GiB));
  Rounds rich = one_machine("crosvm_cache", pages_of(16_GiB), pages_of(12_GiB));
  rich.run();
  EXPECT_EQ(limit(rich), pages_of(4_GiB));
}

// --- vm0: overcommit-facts.md 5.5 ---

TEST(Vm0, LeavesTwoHundredFiftySixMebibytesFreeAndThenSettles) {
  Rounds rounds = one_machine("vm0", pages_of(16_GiB), pages_of(8_GiB));
  rounds.run(false);
  EXPECT_EQ(limit(rounds), pages_of(4_GiB) - (pages_of(1_GiB) - pages_of(256_MiB)));
  // It moves: nothing is decided until it has been still for 5 s, 30 s at most.
  for (int i = 0; i < 5; ++i) {
    rounds.machines[0].balloon->actual += 1_pages;
    rounds.machines[0].balloon->moved_at = rounds.host().now;
    rounds.run(false);
    EXPECT_EQ(rounds.of(0).reason.why, Why::kSettling);
  }
  rounds.machines[0].balloon->moved_at = rounds.host().now;
  rounds.run(false);
  EXPECT_NE(rounds.of(0).reason.why, Why::kSettling);
}

TEST(Vm0, GivesEverythingBackToAGuestThatIsShort) {
  Rounds rounds = one_machine("vm0", pages_of(16_GiB), pages_of(8_GiB));
  rounds.machines[0].balloon->target = rounds.machines[0].balloon->actual = pages_of(2_GiB);
  rounds.machines[0].guest->available = pages_of(191_MiB);
  rounds.machines[0].guest->free = pages_of(100_MiB);
  rounds.run();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB));
}

// --- lima: overcommit-facts.md 5.6 ---

TEST(Lima, DescendsToAThirdAndLearnsAFloorWhereItRanOut) {
  Rounds rounds = one_machine("lima", pages_of(16_GiB), pages_of(8_GiB));
  const auto round = [&] {
    const PageCount holds = pages_of(4_GiB) - rounds.machines[0].balloon->actual;
    rounds.machines[0].guest->available = excess(holds, pages_of(512_MiB));
    rounds.run();
  };
  for (int i = 0; i < 200; ++i) round();
  EXPECT_EQ(limit(rounds), part_of(pages_of(4_GiB), 0.33));
  rounds.machines[0].guest->oom_kills = 1;
  round();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB));
  for (int i = 0; i < 300; ++i) round();
  EXPECT_NEAR(share_of(limit(rounds), pages_of(4_GiB)), 0.43, 0.001);  // Ten points above where it ran out.
  for (std::uint64_t kills = 2; kills <= 3; ++kills) {
    rounds.machines[0].guest->oom_kills = kills;
    round();
  }
  for (int i = 0; i < 100; ++i) round();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB));  // The circuit breaker.
}

TEST(Lima, GivesEverythingBackWithoutStatistics) {
  Rounds rounds = one_machine("lima", pages_of(16_GiB), pages_of(8_GiB));
  for (int i = 0; i < 20; ++i) rounds.run();
  ASSERT_LT(limit(rounds), pages_of(4_GiB));
  rounds.machines[0].guest.reset();
  rounds.run();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB));
}

// --- WSL: overcommit-facts.md 5.7 ---

TEST(Wsl, DropsTheCacheOnceAfterTwoIdleMinutes) {
  Rounds rounds = one_machine("wsl_drop", pages_of(16_GiB), pages_of(8_GiB));
  rounds.machines[0].busy = 0.01;
  int drops = 0;
  for (int i = 0; i < 30; ++i) {
    rounds.run();
    if (i < 12) {
      EXPECT_EQ(rounds.of(0).reclaim_cache, 0_pages) << i;
    }
    drops += rounds.of(0).reclaim_cache.is_zero() ? 0 : 1;
  }
  EXPECT_EQ(drops, 1);
  rounds.machines[0].busy = 0.5;
  rounds.run();
  rounds.machines[0].busy = 0.01;
  for (int i = 0; i < 13; ++i) rounds.run();
  EXPECT_EQ(rounds.of(0).reclaim_cache, pages_of(1_GiB));
}

TEST(Wsl, GradualTakesStepsUntil128MebibytesAreLeft) {
  Rounds rounds = one_machine("wsl_gradual", pages_of(16_GiB), pages_of(8_GiB));
  rounds.machines[0].busy = 0.01;
  for (int i = 0; i < 12; ++i) rounds.run();
  std::vector<PageCount> steps;
  for (int i = 0; i < 10; ++i) {
    rounds.run();
    steps.push_back(rounds.of(0).reclaim_cache);
    PageCount& caches = *rounds.machines[0].guest->caches;
    caches = excess(caches, steps.back());
  }
  EXPECT_EQ(steps[0], pages_of(256_MiB));
  EXPECT_EQ(std::ranges::count(steps, pages_of(256_MiB)), 4);
  EXPECT_EQ(steps.back(), 0_pages);
}

// --- the others ---

// AOSP: 10, 30, 50 %.
TEST(Avf, TakesByHowLittleTheOwnerMattersWhileTheHostIsShort) {
  Rounds rounds = one_machine("avf", pages_of(16_GiB), pages_of(8_GiB));
  rounds.run();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB));
  rounds.host().free = pages_of(100_MiB);
  rounds.run();
  EXPECT_EQ(rounds.of(0).balloon, part_of(pages_of(4_GiB), 0.10));
  rounds.machines[0].busy = 0;
  rounds.host().free = pages_of(100_MiB);
  rounds.run();
  EXPECT_EQ(rounds.of(0).balloon, part_of(pages_of(4_GiB), 0.30));
  for (int i = 0; i < 13; ++i) {
    rounds.host().free = pages_of(100_MiB);
    rounds.run();
  }
  EXPECT_EQ(rounds.of(0).balloon, part_of(pages_of(4_GiB), 0.50));
}

// overcommit-facts.md 5.1.
TEST(KubevirtKsm, StepsUpWhileShortAndStopsBelowSixtyFour) {
  Rounds rounds = one_machine("kubevirt_ksm", pages_of(32_GiB), pages_of(16_GiB));
  EXPECT_EQ(rounds.run().sharing->pages_a_wake, 0_pages);
  rounds.host().free = pages_of(4_GiB);
  EXPECT_EQ(rounds.run().sharing->pages_a_wake, 100_pages);
  EXPECT_EQ(rounds.run().sharing->pages_a_wake, 400_pages);
  for (int i = 0; i < 5; ++i) rounds.run();
  EXPECT_EQ(rounds.run().sharing->pages_a_wake, 1'250_pages);
  EXPECT_EQ(rounds.run().sharing->sleep, Duration(57'142'857));  // 100 ms * 16 / 28.
  rounds.host().free = pages_of(16_GiB);
  int rounds_until_off = 0;
  while (!rounds.run().sharing->pages_a_wake.is_zero()) ++rounds_until_off;
  EXPECT_EQ(rounds_until_off, 23);  // 1250, 50 fewer each, down to 100.
}

TEST(ReportOnly, NeverInflatesWhileAMachineRuns) {
  Rounds rounds = one_machine("report_only", pages_of(16_GiB), 0_pages);
  rounds.machines[0].balloon->target = pages_of(1_GiB);
  rounds.run();
  EXPECT_EQ(rounds.of(0).balloon, 0_pages);
  EXPECT_TRUE(find_policy("report_only")->needs_reporting);
}

}  // namespace
}  // namespace pagoda::policy
