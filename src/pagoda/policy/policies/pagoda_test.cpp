// The default: each of its promises.
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/base/testing/effort.h"
#include "pagoda/policy/guest_floor.h"
#include "pagoda/policy/pages.h"
#include "pagoda/policy/testing/measured.h"

namespace pagoda::policy {
namespace {

constexpr PageCount kHost = pages_of(16_GiB);

// Four machines on a host whose free memory is `percent`; the first is idle, the others are busy.
Rounds idle_and_busy(unsigned percent, const PolicyOptions& options = {}) {
  Rounds rounds("pagoda", kHost, options);
  for (std::uint32_t i = 0; i < 4; ++i) {
    rounds.machines.push_back(machine(i));
    rounds.machines.back().granted = kHost * (100 - percent) / 400;
    rounds.machines.back().active = rounds.machines.back().granted;
  }
  rounds.machines[0].active = 0_pages;
  rounds.host().free = kHost * percent / 100;
  return rounds;
}

TEST(PagodaPolicy, TakesNothingWhileTheHostHasEnough) {
  Rounds rounds = idle_and_busy(5);
  for (int i = 0; i < 20; ++i) {
    rounds.run();
    for (const Decision& decision : rounds.decide().machines) {
      EXPECT_EQ(decision.target, pages_of(4_GiB));
      EXPECT_EQ(decision.page_out, 0_pages);
      EXPECT_EQ(decision.execution, Execution::kRun);
    }
  }
}

TEST(PagodaPolicy, TheIdleMachineGivesAndSaysWhy) {
  Rounds rounds = idle_and_busy(3);
  rounds.run();
  EXPECT_LT(rounds.of(0).target, rounds.of(0).previous);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(rounds.of(i).target, rounds.of(i).previous);
  EXPECT_EQ(rounds.of(0).reason.why, Why::kPrice);
  EXPECT_EQ(rounds.of(0).reason.state, FreeState::kSoft);
  ASSERT_TRUE(rounds.of(0).reason.price);
  EXPECT_LT(*rounds.of(0).reason.price, 0.5);  // Idle pages cost four times as much.
  for (int i = 0; i < 10; ++i) rounds.run();
  EXPECT_GE(real(rounds.host().free), 0.066 * real(kHost) - 1);  // High, and its hysteresis.
  EXPECT_LE(real(rounds.host().free), 0.075 * real(kHost));
}

TEST(PagodaPolicy, SharesDecideAmongMachinesThatAreAlike) {
  Rounds rounds = idle_and_busy(3);
  for (VmMeasure& vm : rounds.machines) vm.active = vm.granted;
  rounds.machines[2].shares = 100;
  rounds.run();
  EXPECT_LT(rounds.of(2).target, rounds.of(2).previous);
  EXPECT_EQ(rounds.of(0).target, rounds.of(0).previous);
}

// [PG1]
TEST(PagodaPolicy, NobodyIsTakenBelowItsFloor) {
  for (const bool has_minimum : {true, false}) {
    Rounds rounds = idle_and_busy(0);
    rounds.host().total = pages_of(17_GiB);
    for (VmMeasure& vm : rounds.machines) {
      vm.active = 0_pages;
      if (!has_minimum) vm.minimum.reset();
    }
    for (int i = 0; i < 200; ++i) {
      rounds.host().free = 0_pages;  // Somebody else eats whatever is given.
      rounds.run();
      for (std::size_t j = 0; j < 4; ++j) {
        const VmMeasure& vm = rounds.machines[j];
        EXPECT_GE(rounds.of(j).target, floor_of(vm));
        EXPECT_LE(rounds.of(j).page_out, excess(vm.granted, floor_of(vm)));
      }
    }
  }
}

// [PG2]
TEST(PagodaPolicy, NobodyGivesAndGetsWithinOneTurn) {
  for (std::uint64_t seed = 1; seed <= testing::effort(30); ++seed) {
    Random random(seed);
    Rounds rounds = idle_and_busy(3);
    std::map<std::size_t, std::uint64_t> gave;
    std::map<std::size_t, std::uint64_t> got;
    for (std::uint64_t now = 100; now < 400; ++now) {
      rounds.host().free = PageCount(random.below(kHost.value() / 8));
      for (VmMeasure& vm : rounds.machines) {
        vm.stall = random.chance(0.8) ? 0 : random.unit();
        vm.active = PageCount(random.below(vm.granted.value() + 1));
        vm.guest->available = PageCount(random.below(vm.granted.value() + 1));
      }
      rounds.run();
      for (std::size_t i = 0; i < 4; ++i) {
        const bool gives = rounds.of(i).target < rounds.of(i).previous || !rounds.of(i).page_out.is_zero();
        const bool gets = rounds.of(i).target > rounds.of(i).previous;
        EXPECT_FALSE(gives && got.contains(i) && now - got[i] < 4) << "seed " << seed << " at " << now;
        EXPECT_FALSE(gets && gave.contains(i) && now - gave[i] < 4) << "seed " << seed << " at " << now;
        if (gives) gave[i] = now;
        if (gets) got[i] = now;
      }
    }
  }
}

// [PG3]
TEST(PagodaPolicy, UnknownAndOldStatisticsShrinkNobody) {
  for (int kind = 0; kind < 4; ++kind) {
    Rounds rounds = idle_and_busy(3);
    for (int i = 0; i < 30; ++i) {
      VmMeasure& idle = rounds.machines[0];
      if (kind == 0) idle.guest.reset();
      if (kind == 1) idle.guest->age = 60_s;
      if (kind == 2) idle.guest->available.reset();
      if (kind == 3) idle.guest->available = idle.maximum * 2;  // Nonsense is not known either.
      rounds.run();
      EXPECT_EQ(rounds.of(0).target, pages_of(4_GiB)) << kind;
      EXPECT_EQ(rounds.of(0).page_out, 0_pages) << kind;
    }
  }
}

TEST(PagodaPolicy, AMachineOfUnknownActivityIsNotShrunk) {
  Rounds rounds = idle_and_busy(3);
  rounds.machines[0].active.reset();
  for (int i = 0; i < 30; ++i) {
    rounds.run();
    EXPECT_EQ(rounds.of(0).target, pages_of(4_GiB));
    EXPECT_EQ(rounds.of(0).page_out, 0_pages);
  }
}

// [PG4]: within 5 s (overcommit-facts.md 9), and its machine is paged meanwhile.
TEST(PagodaPolicy, ABalloonThatDoesNotMoveIsDeadWithinATurnAndItsMachineIsPaged) {
  Rounds rounds = idle_and_busy(3);
  int rounds_until = 0;
  while (rounds_until < 20 && rounds.run(false).machines[0].reason.why != Why::kDeadBalloon) ++rounds_until;
  EXPECT_LE(rounds_until, 5);
  EXPECT_GT(rounds.of(0).page_out, 0_pages);
  EXPECT_EQ(rounds.of(0).balloon, 0_pages);  // It is asked for nothing more.
  // It comes alive: it is asked again.
  rounds.machines[0].balloon = BalloonMeasure{.target = 0_pages, .actual = 100_pages, .moved_at = rounds.host().now};
  rounds.run();
  EXPECT_NE(rounds.of(0).reason.why, Why::kDeadBalloon);
}

TEST(PagodaPolicy, AMachineWithoutABalloonIsPagedAndNeverAsked) {
  Rounds rounds = idle_and_busy(3);
  rounds.machines[0].balloon.reset();
  rounds.machines[0].guest.reset();
  rounds.run();
  EXPECT_EQ(rounds.of(0).reason.why, Why::kNoBalloon);
  EXPECT_GT(rounds.of(0).page_out, 0_pages);
  EXPECT_LE(rounds.of(0).page_out, pages_of(4_GiB) / 100);  // A little: the host is no more than short.
  EXPECT_EQ(rounds.of(0).balloon, 0_pages);
}

// [PG5]
TEST(PagodaPolicy, ABalloonUnderWayIsNotAskedForMore) {
  Rounds rounds = idle_and_busy(3);
  rounds.run(false);
  const PageCount asked = rounds.of(0).balloon;
  ASSERT_GT(asked, 0_pages);
  rounds.machines[0].balloon->actual = asked / 2;
  rounds.run(false);
  EXPECT_EQ(rounds.of(0).balloon, asked);
  EXPECT_EQ(rounds.of(0).reason.why, Why::kSettling);
}

TEST(PagodaPolicy, WhatAnOperatorSetsIsWhereItGoesOnFrom) {
  Rounds rounds = idle_and_busy(5);
  rounds.run();
  rounds.machines[1].balloon->target = rounds.machines[1].balloon->actual = pages_of(1_GiB);
  rounds.machines[1].granted = pages_of(3_GiB);
  rounds.decide();
  EXPECT_EQ(rounds.of(1).previous, pages_of(3_GiB));
}

TEST(PagodaPolicy, AMachineThatStallsStopsGivingAsFarAsItsSharesGo) {
  Rounds rounds = idle_and_busy(3);
  for (VmMeasure& vm : rounds.machines) vm.active = 0_pages;
  rounds.machines[0].granted = pages_of(2_GiB);  // Less than its share of the host.
  rounds.machines[0].stall = 0.30;
  for (int i = 0; i < 20; ++i) {
    rounds.run();
    EXPECT_EQ(rounds.of(0).target, pages_of(4_GiB));
    EXPECT_EQ(rounds.of(0).page_out, 0_pages);
  }
}

// The crying child: stalls do not buy memory beyond what shares and activity give.
TEST(PagodaPolicy, StallsDoNotBuyMemoryBeyondShares) {
  Rounds rounds("pagoda", kHost);
  for (std::uint32_t i = 0; i < 4; ++i) {
    rounds.machines.push_back(machine(i));
    rounds.machines.back().maximum = pages_of(16_GiB);
    rounds.machines.back().granted = pages_of(2_GiB);
    rounds.machines.back().active = pages_of(2_GiB);
  }
  VmMeasure& child = rounds.machines[0];
  child.granted = pages_of(9_GiB);
  child.active = pages_of(9_GiB);
  child.stall = 1.0;
  rounds.host().free = pages_of(500_MiB);
  for (int i = 0; i < 40; ++i) {
    rounds.run();
    for (std::size_t j = 1; j < 4; ++j) EXPECT_GE(rounds.of(j).target, pages_of(2_GiB));
  }
  EXPECT_LT(rounds.machines[0].granted, pages_of(9_GiB)) << "it is the one that pays";
}

TEST(PagodaPolicy, WhoStallsGetsBackFirst) {
  Rounds rounds = idle_and_busy(5);
  for (std::size_t i = 0; i < 4; ++i) {
    rounds.machines[i].balloon->target = rounds.machines[i].balloon->actual = pages_of(2_GiB);
    rounds.machines[i].granted = pages_of(2_GiB);
  }
  rounds.host().free = kHost * 5 / 100;
  rounds.machines[3].stall = 0.5;
  rounds.run();
  EXPECT_EQ(rounds.of(3).reason.why, Why::kBackFirst);
  EXPECT_GT(rounds.of(3).target, rounds.of(3).previous);
  EXPECT_EQ(rounds.of(0).target, rounds.of(0).previous);
}

TEST(PagodaPolicy, WhatIsAcceptableIsAKnob) {
  for (const double acceptable : {0.01, 0.5}) {
    Rounds rounds = idle_and_busy(3, {.acceptable_stall = acceptable});
    rounds.machines[0].granted = pages_of(2_GiB);  // Less than its share of the host.
    rounds.machines[0].stall = 0.2;
    for (int i = 0; i < 6; ++i) rounds.run();
    EXPECT_EQ(rounds.of(0).target == pages_of(4_GiB), acceptable < 0.2) << acceptable;
  }
}

// [PG6]
TEST(PagodaPolicy, SwapInIsChargedToWhoHoldsMoreThanItsShare) {
  Rounds rounds("pagoda", kHost);
  for (std::uint32_t i = 0; i < 3; ++i) {
    rounds.machines.push_back(machine(i));
    rounds.machines.back().maximum = pages_of(16_GiB);
    rounds.machines.back().granted = pages_of(3_GiB);
    rounds.machines.back().active = pages_of(3_GiB);
  }
  rounds.machines[0].granted = pages_of(9_GiB);
  rounds.machines[0].active = pages_of(9_GiB);
  rounds.host().free = pages_of(500_MiB);
  rounds.machines[1].swapped_in = 50'000_pages;
  rounds.run();
  ASSERT_TRUE(rounds.of(0).reason.charged_to);
  EXPECT_GE(*rounds.of(0).reason.charged_to, 40'000_pages);
  EXPECT_FALSE(rounds.of(1).reason.charged_to);
}

// What the guest needs itself is never asked for, however idle the host thinks it is.
TEST(PagodaPolicy, AGuestThatIsShortIsNotAskedForMore) {
  Rounds rounds = idle_and_busy(3);
  for (int i = 0; i < 10; ++i) {
    rounds.machines[0].guest->available = pages_of(4_GiB) / 20;
    rounds.run();
    EXPECT_EQ(rounds.of(0).target, pages_of(4_GiB));
  }
}

TEST(PagodaPolicy, BlocksInLowAndOnlyMachinesAboveTheirTargets) {
  Rounds rounds = idle_and_busy(0);
  rounds.host().free = 10_pages;
  rounds.run();
  EXPECT_EQ(rounds.of(0).execution, Execution::kBlock);
  EXPECT_GT(rounds.of(0).page_out, 0_pages);
  rounds.host().free = kHost * 15 / 1000;  // Hard, not low.
  for (int i = 0; i < 3; ++i) rounds.run();
  EXPECT_EQ(rounds.of(0).execution, Execution::kRun);
}

}  // namespace
}  // namespace pagoda::policy
