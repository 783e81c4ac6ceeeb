// The model on which policies are tried does what a host does.
#include "pagoda/policy/steps/plant.h"

#include <gtest/gtest.h>

#include <vector>

#include "pagoda/policy/pages.h"

namespace pagoda::policy {
namespace {

constexpr Demand kQuiet{.used = pages_of(1_GiB), .active = pages_of(256_MiB), .cache = pages_of(1_GiB)};

std::vector<PlantMachine> machines(std::size_t count, BalloonKind balloon = BalloonKind::kWorks) {
  std::vector<PlantMachine> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    all[i].promise = {.machine = static_cast<MachineId>(i), .maximum = pages_of(4_GiB)};
    all[i].demand = kQuiet;
    all[i].balloon = balloon;
  }
  return all;
}

Decisions ask(std::size_t count, PageCount balloon) {
  Decisions decisions;
  decisions.machines.resize(count);
  for (Decision& decision : decisions.machines) decision.balloon = balloon;
  return decisions;
}

void run(Plant& plant, int seconds) {
  for (int i = 0; i < seconds; ++i) plant.run_second();
}

TEST(Plant, HoldsWhatWasTouchedAndKeepsItWhenItIsNoLongerUsed) {
  Plant plant(pages_of(16_GiB), machines(2), false);
  run(plant, 1);
  EXPECT_NEAR(plant.free(), real(pages_of(12_GiB)), 1);
  plant.set_demand(0, {.used = pages_of(256_MiB), .active = {}, .cache = {}});
  run(plant, 10);
  EXPECT_NEAR(plant.free(), real(pages_of(12_GiB)), 1);
  Plant reporting(pages_of(16_GiB), machines(2), true);
  run(reporting, 1);
  reporting.set_demand(0, {.used = pages_of(256_MiB), .active = {}, .cache = {}});
  run(reporting, 10);
  EXPECT_NEAR(reporting.free(), real(pages_of(13_GiB) + pages_of(768_MiB)), 1);
}

TEST(Plant, ABalloonTakesWhatIsFreeThenCacheAndGivesItBack) {
  Plant plant(pages_of(16_GiB), machines(1), false);
  plant.act(ask(1, pages_of(2_GiB)));  // What was never touched: it frees nothing.
  run(plant, 20);
  EXPECT_NEAR(plant.free(), real(pages_of(14_GiB)), 1);
  plant.act(ask(1, pages_of(3_GiB)));  // The cache.
  run(plant, 20);
  EXPECT_NEAR(plant.free(), real(pages_of(15_GiB)), 1);
  EXPECT_EQ(plant.measure().machines[0].balloon->actual, pages_of(3_GiB));
  plant.act(ask(1, 0_pages));
  run(plant, 20);
  EXPECT_NEAR(plant.free(), real(pages_of(14_GiB)), 1);
}

TEST(Plant, ABalloonThatIsDeadSlowOrLyingDoesAsItsKind) {
  Plant dead(pages_of(16_GiB), machines(1, BalloonKind::kDead), false);
  Plant slow(pages_of(16_GiB), machines(1, BalloonKind::kSlow), false);
  Plant lying(pages_of(16_GiB), machines(1, BalloonKind::kLying), false);
  for (Plant* plant : {&dead, &slow, &lying}) {
    plant->act(ask(1, pages_of(3_GiB)));
    run(*plant, 20);
  }
  EXPECT_EQ(dead.measure().machines[0].balloon->actual, 0_pages);
  const PageCount moved = slow.measure().machines[0].balloon->actual;
  EXPECT_GT(moved, 0_pages);
  EXPECT_LT(moved, pages_of(256_MiB));
  EXPECT_EQ(lying.measure().machines[0].balloon->actual, pages_of(3_GiB));
  EXPECT_LE(lying.free(), real(pages_of(13_GiB)));  // It says that it gave, and the host has nothing of it.
  EXPECT_EQ(lying.measure().machines[0].guest->available, pages_of(1_GiB));
  Plant none(pages_of(16_GiB), machines(1, BalloonKind::kNone), false);
  run(none, 1);
  EXPECT_FALSE(none.measure().machines[0].balloon);
  EXPECT_FALSE(none.measure().machines[0].guest);
}

TEST(Plant, AStarvedGuestWaitsAndRunsOut) {
  std::vector<PlantMachine> one = machines(1);
  one[0].demand = {.used = pages_of(3_GiB), .active = pages_of(3_GiB), .cache = {}};
  Plant plant(pages_of(16_GiB), one, false);
  run(plant, 1);
  EXPECT_EQ(plant.worst_stall(), 0);
  plant.act(ask(1, pages_of(3584_MiB)));
  run(plant, 200);
  EXPECT_GT(plant.worst_stall(), 0.5);
  EXPECT_GT(plant.measure().machines[0].guest->oom_kills.value(), 0U);
}

TEST(Plant, PagingTakesIdlePagesFirstAndActiveOnesComeBack) {
  Plant plant(pages_of(16_GiB), machines(1), false);
  run(plant, 1);
  Decisions decisions = ask(1, 0_pages);
  decisions.machines[0].page_out = pages_of(512_MiB);
  plant.act(decisions);
  EXPECT_NEAR(plant.free(), real(pages_of(14_GiB) + pages_of(512_MiB)), 1);
  run(plant, 30);
  EXPECT_GT(plant.swapped_in(), 0);
  EXPECT_LT(plant.swapped_in(), 0.1 * real(pages_of(512_MiB)));
  decisions.machines[0].page_out = pages_of(2_GiB);  // Everything: what is active has to go too.
  plant.act(decisions);
  run(plant, 1);
  EXPECT_GT(plant.worst_stall(), 0.5);
}

TEST(Plant, AHostThatHasNothingLeftPagesByItself) {
  Plant plant(pages_of(8_GiB), machines(4), false);
  run(plant, 5);
  EXPECT_NEAR(plant.free(), 0.01 * real(pages_of(8_GiB)), 2);
  EXPECT_GT(plant.measure().machines[0].paged_out.value(), 0_pages);
  plant.set_total(pages_of(6_GiB));
  run(plant, 5);
  EXPECT_NEAR(plant.free(), 0.01 * real(pages_of(6_GiB)), 2);
}

TEST(Plant, AMachineThatIsBlockedDoesNothingAndWaits) {
  Plant plant(pages_of(16_GiB), machines(1), false);
  Decisions decisions = ask(1, 0_pages);
  decisions.machines[0].execution = Execution::kBlock;
  plant.act(decisions);
  plant.set_demand(0, {.used = pages_of(3_GiB), .active = pages_of(1_GiB), .cache = {}});
  run(plant, 3);
  EXPECT_EQ(plant.worst_stall(), 1);
  EXPECT_NEAR(plant.free(), real(pages_of(14_GiB)), 1);
}

TEST(Plant, CacheThatWasDroppedGrowsAgainWhileTheMachineIsBusy) {
  Plant plant(pages_of(16_GiB), machines(1), true);
  Decisions decisions = ask(1, 0_pages);
  decisions.machines[0].reclaim_cache = pages_of(1_GiB);
  plant.act(decisions);
  run(plant, 2);
  EXPECT_NEAR(plant.free(), real(pages_of(15_GiB)), 1);
  plant.set_demand(0, {.used = pages_of(1_GiB), .active = pages_of(512_MiB), .cache = pages_of(1_GiB)});
  run(plant, 300);
  EXPECT_NEAR(plant.free(), real(pages_of(14_GiB)), 1);
}

}  // namespace
}  // namespace pagoda::policy
