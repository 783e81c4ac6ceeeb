// ESX's states: what is done in which, exactly (reference/virtualization.md 1.2, row 9 of section 9).
#include <gtest/gtest.h>

#include "pagoda/policy/free_states.h"
#include "pagoda/policy/pages.h"
#include "pagoda/policy/testing/measured.h"

namespace pagoda::policy {
namespace {

constexpr PageCount kHost = pages_of(16_GiB);

Rounds four_machines(std::string_view what, unsigned per_mille, const PolicyOptions& options = {}) {
  Rounds rounds("esx", kHost, options);
  for (std::uint32_t i = 0; i < 4; ++i) {
    rounds.machines.push_back(machine(i));
    rounds.machines.back().granted = kHost * (1000 - per_mille) / 4000;
    rounds.machines.back().active = rounds.machines.back().granted;
  }
  rounds.machines[0].active = 0_pages;
  if (what == "no balloon") rounds.machines[0].balloon.reset();
  rounds.host().free = kHost * per_mille / 1000;
  return rounds;
}

TEST(EsxPolicy, ReclaimsNothingInHigh) {
  Rounds rounds = four_machines("", 41);
  for (const Decision& decision : rounds.run().machines) {
    EXPECT_EQ(decision.balloon, 0_pages);
    EXPECT_EQ(decision.page_out, 0_pages);
    EXPECT_EQ(decision.execution, Execution::kRun);
  }
}

TEST(EsxPolicy, BalloonsInSoftAndPagesOnlyWhereThereIsNoBalloon) {
  Rounds rounds = four_machines("", 39);
  rounds.run();
  EXPECT_GT(rounds.of(0).balloon, 0_pages);
  EXPECT_EQ(rounds.of(0).page_out, 0_pages);
  Rounds without = four_machines("no balloon", 39);
  without.run();
  EXPECT_EQ(without.of(0).balloon, 0_pages);
  EXPECT_GT(without.of(0).page_out, 0_pages);
}

TEST(EsxPolicy, PagesInHardAndBlocksInLowAlone) {
  Rounds hard = four_machines("", 19);
  hard.run();
  EXPECT_EQ(hard.of(0).page_out, kHost * 981 / 4000 - hard.of(0).target);  // All that is above the target.
  EXPECT_EQ(hard.of(0).execution, Execution::kRun);
  Rounds low = four_machines("", 9);
  low.run();
  EXPECT_EQ(low.of(0).execution, Execution::kBlock);
  EXPECT_GT(low.of(0).page_out, 0_pages);
  EXPECT_EQ(low.of(1).execution, Execution::kRun) << "it is at its target";
}

// In every state but high the targets would bring free memory above high again.
TEST(EsxPolicy, TargetsLeaveMoreThanHighFree) {
  for (const unsigned per_mille : {39U, 19U, 9U}) {
    Rounds rounds = four_machines("", per_mille);
    PageCount targets;
    for (const Decision& decision : rounds.run().machines) targets += decision.target;
    EXPECT_GE(kHost - targets, esx2002_thresholds(kHost).high) << per_mille;
  }
}

// Mem.CtlMaxPercent 65: what a balloon may not take is paged, in soft already.
TEST(EsxPolicy, ABalloonIsAtMostSixtyFivePercentOfItsMachine) {
  Rounds rounds("esx", kHost);
  rounds.machines.push_back(machine(0));
  rounds.machines[0].minimum = 0_pages;
  rounds.machines[0].shares = 1;
  for (std::uint32_t i = 1; i < 4; ++i) rounds.machines.push_back(machine(i));
  for (std::size_t i = 1; i < 4; ++i) {
    rounds.machines[i].maximum = pages_of(12_GiB);
    rounds.machines[i].shares = 100'000;
    rounds.machines[i].active = rounds.machines[i].maximum;
  }
  rounds.machines[0].active = 0_pages;
  rounds.host().free = kHost * 39 / 1000;
  rounds.run();
  EXPECT_EQ(rounds.of(0).balloon, part_of(pages_of(4_GiB), 0.65));
  EXPECT_GT(rounds.of(0).page_out, 0_pages);
}

TEST(EsxPolicy, TargetsAreMadeAgainEveryFifteenSecondsAndWhenTheStateChanges) {
  Rounds rounds = four_machines("", 39);
  const PageCount first = rounds.decide().machines[0].target;
  rounds.machines[0].active = rounds.machines[0].granted;
  rounds.host().now += 14_s;
  EXPECT_EQ(rounds.decide().machines[0].target, first);
  rounds.host().now += 1_s;
  const PageCount second = rounds.decide().machines[0].target;
  EXPECT_GT(second, first);
  rounds.machines[0].active = 0_pages;
  rounds.host().now += 1_s;
  rounds.host().free = kHost * 19 / 1000;
  EXPECT_LT(rounds.decide().machines[0].target, second);
}

// "Recompute on: admin change, VM added or removed" (virtualization.md 1.2).
TEST(EsxPolicy, TargetsAreMadeAgainWhenAnAdministratorChangesAMachine) {
  Rounds rounds = four_machines("", 39);
  const PageCount first = rounds.decide().machines[0].target;
  rounds.host().now += 1_s;
  rounds.machines[0].shares = 10'000;
  const PageCount second = rounds.decide().machines[0].target;
  EXPECT_GT(second, first);
  rounds.host().now += 1_s;
  rounds.machines[0].shares = 1;
  rounds.machines[0].minimum = pages_of(3_GiB);
  EXPECT_EQ(rounds.decide().machines[0].target, pages_of(3_GiB));
  rounds.host().now += 1_s;
  rounds.machines[3] = machine(9);  // Another, which has no target yet.
  EXPECT_GT(rounds.decide().machines[3].target, pages_of(2_GiB));
}

// ESXi 6 compresses before it swaps, a tenth of a machine's memory at most; between clear and soft it takes nothing.
TEST(EsxPolicy, Esx6CompressesInHardAndTakesNothingInClear) {
  const FreeThresholds limits = esx6_thresholds(kHost);
  Rounds rounds = four_machines("", 100, {.states = StatesPreset::kEsx6});
  rounds.host().free = *limits.clear - 1_pages;
  for (const Decision& decision : rounds.run().machines) {
    EXPECT_EQ(decision.balloon, 0_pages);
    EXPECT_EQ(decision.page_out, 0_pages);
  }
  rounds.host().free = limits.hard - 1_pages;
  rounds.machines[0].compressed = part_of(pages_of(4_GiB), 0.10) - 50_pages;
  rounds.run();
  EXPECT_EQ(rounds.of(0).compress, 50_pages);
  EXPECT_GT(rounds.of(0).page_out, 0_pages);
}

TEST(EsxPolicy, WithoutATaxActivityDoesNotCount) {
  Rounds taxed = four_machines("", 39);
  taxed.run();
  EXPECT_LT(taxed.of(0).target, taxed.of(1).target);
  Rounds untaxed = four_machines("", 39, {.idle_tax = 0.0});
  untaxed.run();
  EXPECT_LE(excess(untaxed.of(1).target, untaxed.of(0).target), 1_pages);
}

}  // namespace
}  // namespace pagoda::policy
