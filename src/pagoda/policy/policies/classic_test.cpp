// The older published loops, their weaknesses included, and what decides nothing.
#include <gtest/gtest.h>

#include <string_view>

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

// --- MOM: virtualization.md 7.2 ---

TEST(Mom, ShrinksEverybodyByFivePercentWhileTheHostIsShortAndGrowsElse) {
  Rounds rounds = one_machine("mom", pages_of(64_GiB), pages_of(6_GiB));
  rounds.machines.push_back(machine(1));
  rounds.machines[1].active = pages_of(4_GiB);  // Busy, and it gives just as much.
  rounds.run();
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(limit(rounds, i), part_of(pages_of(4_GiB), 0.95));
  rounds.host().free = pages_of(20_GiB);
  rounds.run();
  EXPECT_GT(limit(rounds), part_of(pages_of(4_GiB), 0.95));
}

TEST(Mom, LeavesUsedAndAPartOfFreeUntilTheHostIsAtFivePercent) {
  Rounds rounds = one_machine("mom", pages_of(100_GiB), pages_of(10_GiB));
  const PageCount used = pages_of(3_GiB);
  for (int i = 0; i < 100; ++i) {
    const PageCount holds = pages_of(4_GiB) - rounds.machines[0].balloon->actual;
    rounds.machines[0].guest->free = excess(holds, used);
    rounds.host().free = pages_of(10_GiB);
    rounds.run();
  }
  // Used + 10 % of what it has, to a quarter of a percent.
  EXPECT_NEAR(real(limit(rounds)), real(used) / 0.9, 0.004 * real(pages_of(4_GiB)));
  for (int i = 0; i < 100; ++i) {
    const PageCount holds = pages_of(4_GiB) - rounds.machines[0].balloon->actual;
    rounds.machines[0].guest->free = excess(holds, used);
    rounds.host().free = pages_of(1_GiB);
    rounds.run();
  }
  EXPECT_LT(limit(rounds), used);  // The guest is made to page.
}

TEST(Mom, DrivesKsmWhileTheHostIsShort) {
  Rounds rounds = one_machine("mom", pages_of(32_GiB), pages_of(1_GiB));
  EXPECT_EQ(rounds.run().sharing->pages_a_wake, 364_pages);
  for (int i = 0; i < 10; ++i) rounds.run();
  rounds.host().free = pages_of(1_GiB);
  EXPECT_EQ(rounds.run().sharing->pages_a_wake, 1'250_pages);
  EXPECT_EQ(rounds.run().sharing->sleep, 5_ms);  // 10 ms for 16 GiB.
  rounds.host().free = pages_of(30_GiB);
  EXPECT_EQ(rounds.run().sharing->pages_a_wake, 0_pages);
}

// --- Proxmox: overcommit-facts.md 5.2 ---

TEST(Proxmox, KeepsTheHostEightyPercentUsedInStepsOfAHundredMebibytes) {
  Rounds rounds = one_machine("proxmox", pages_of(32_GiB), pages_of(1_GiB));
  rounds.run();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB) - pages_of(100_MiB));
  rounds.host().free = pages_of(32_GiB) - part_of(pages_of(32_GiB), 0.8) + pages_of(10_MiB);
  const PageCount before = limit(rounds);
  rounds.run();
  EXPECT_EQ(limit(rounds), before);  // Within 10 MiB of its goal.
}

TEST(Proxmox, TakesFromThoseWithFreeMemoryFirstAndFromAllIfTheyHaveNone) {
  Rounds rounds = one_machine("proxmox", pages_of(32_GiB), pages_of(1_GiB));
  rounds.machines.push_back(machine(1));
  rounds.machines[1].guest->free = 0_pages;  // At most a quarter of its minimum: pressured.
  rounds.run();
  EXPECT_LT(limit(rounds, 0), pages_of(4_GiB));
  EXPECT_EQ(limit(rounds, 1), pages_of(4_GiB));
  rounds.machines[0].guest->free = 0_pages;
  rounds.run();
  EXPECT_LT(limit(rounds, 1), pages_of(4_GiB));  // Even those under pressure.
}

// home-assistant/operating-system#4805: a machine at its minimum thrashes for ever while the host is above its target.
TEST(Proxmox, AMachineAtItsMinimumThrashesWhileTheHostIsAboveItsTarget) {
  Rounds rounds = one_machine("proxmox", pages_of(32_GiB), pages_of(1_GiB));
  for (int i = 0; i < 100; ++i) {
    rounds.host().free = pages_of(1_GiB);
    rounds.machines[0].guest->free = 0_pages;
    rounds.machines[0].stall = 1.0;
    rounds.run();
  }
  EXPECT_EQ(limit(rounds), pages_of(512_MiB));
}

TEST(Proxmox, LeavesMachinesWithoutAMinimumAlone) {
  Rounds rounds = one_machine("proxmox", pages_of(32_GiB), pages_of(1_GiB));
  rounds.machines[0].minimum.reset();
  rounds.run();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB));
}

// --- Hyper-V, selfballoon: virtualization.md 4.3 ---

TEST(HyperV, GivesWhatIsCommittedAndTwentyPercent) {
  Rounds rounds = one_machine("hyperv", pages_of(32_GiB), pages_of(20_GiB));
  rounds.machines[0].guest->committed = pages_of(1_GiB);
  rounds.run();
  const double floor = real(pages_of(488_MiB));  // hv_balloon's curve at 4 GiB.
  EXPECT_NEAR(real(limit(rounds)), 1.2 * (real(pages_of(1_GiB)) + floor), 2);
}

// "The crying child gets the milk": whoever claims most has most, active or not.
TEST(HyperV, WhoeverClaimsMostGetsMost) {
  Rounds rounds = one_machine("hyperv", pages_of(5_GiB), 0_pages);
  rounds.machines.push_back(machine(1));
  for (VmMeasure& vm : rounds.machines) vm.granted = pages_of(2_GiB);
  rounds.machines[0].guest->committed = pages_of(8_GiB);
  rounds.machines[0].active = 0_pages;
  rounds.machines[1].guest->committed = pages_of(256_MiB);
  rounds.machines[1].active = pages_of(2_GiB);
  rounds.run();
  EXPECT_GT(limit(rounds, 0), limit(rounds, 1) * 3);
}

TEST(Selfballoon, GoesUpAtOnceAndDownByAnEighth) {
  Rounds rounds = one_machine("selfballoon", pages_of(32_GiB), 0_pages);
  rounds.machines[0].guest->committed = pages_of(2_GiB);
  rounds.run();
  EXPECT_EQ(limit(rounds), pages_of(4_GiB) - pages_of(2_GiB) / 8);
  for (int i = 0; i < 100; ++i) rounds.run();
  EXPECT_NEAR(real(limit(rounds)), real(pages_of(2_GiB)), 8);
  rounds.machines[0].guest->committed = pages_of(3_GiB);
  rounds.run();
  EXPECT_EQ(limit(rounds), pages_of(3_GiB));
}

// --- senpai: virtualization.md 7.2 ---

TEST(Senpai, TightensByOnePercentAnIntervalWhileNothingStalls) {
  Rounds rounds = one_machine("senpai", pages_of(32_GiB), pages_of(1_GiB));
  const double before = real(rounds.machines[0].granted);
  for (int i = 0; i < 6; ++i) rounds.run();
  EXPECT_NEAR(real(limit(rounds)), before * 0.99, 1);
  EXPECT_EQ(rounds.of(0).page_out, rounds.machines[0].granted - limit(rounds));
}

TEST(Senpai, BacksOffAtOnceByTheSquareOfTheError) {
  Rounds rounds = one_machine("senpai", pages_of(32_GiB), pages_of(1_GiB));
  rounds.machines[0].granted = pages_of(1_GiB);
  rounds.machines[0].stall = 0.1;  // 100 ms in a second, ten times the target: (10 / 20)^2.
  rounds.run();
  EXPECT_NEAR(real(limit(rounds)), real(pages_of(1_GiB)) * 1.25, 1);
  rounds.machines[0].stall = 1.0;
  rounds.run();
  EXPECT_NEAR(real(limit(rounds)), real(pages_of(1_GiB)) * 2.5, 1);  // Doubled at most.
}

TEST(Fixed, SplitsByMaximumOnceAndAgainWhenMachinesComeOrGo) {
  Rounds rounds = one_machine("fixed", pages_of(6_GiB), pages_of(1_GiB));
  rounds.machines.push_back(machine(1));
  rounds.machines[1].maximum = pages_of(8_GiB);
  rounds.run();
  EXPECT_EQ(limit(rounds, 0), pages_of(2_GiB));
  EXPECT_EQ(limit(rounds, 1), pages_of(4_GiB));
  rounds.host().total = pages_of(3_GiB);  // Never moved, whatever happens.
  rounds.run();
  EXPECT_EQ(limit(rounds, 0), pages_of(2_GiB));
  rounds.machines.pop_back();
  rounds.run();
  EXPECT_EQ(limit(rounds, 0), pages_of(3_GiB));
}

TEST(NoneAndPaging, MoveNothing) {
  for (const std::string_view policy : {"none", "paging"}) {
    Rounds rounds = one_machine(policy, pages_of(4_GiB), 0_pages);
    rounds.run();
    EXPECT_EQ(limit(rounds), pages_of(4_GiB));
    EXPECT_EQ(rounds.of(0).page_out, 0_pages);
  }
}

}  // namespace
}  // namespace pagoda::policy
