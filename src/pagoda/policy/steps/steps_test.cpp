// Ours keep their promises under every step; peers show the faults that are known of them.
#include "pagoda/policy/steps/steps.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pagoda::policy {
namespace {

StepResult run(std::string_view policy, std::string_view step, const PolicyOptions& options = {}) {
  for (const Step& one : steps())
    if (one.name == step) return run_step(*find_policy(policy), options, one);
  ADD_FAILURE() << "there is no step " << step;
  return {};
}

class DefaultUnder : public ::testing::TestWithParam<std::string_view> {};
INSTANTIATE_TEST_SUITE_P(Steps, DefaultUnder, ::testing::Values("demand", "idle", "shrink", "dead", "liar"),
                         [](const auto& step) { return std::string(step.param); });

TEST_P(DefaultUnder, ReachesItsGoalHoldsFloorsAndDoesNotCycle) {
  for (const StatesPreset states : {StatesPreset::kEsx2002, StatesPreset::kEsx6}) {
    const StepResult result = run("pagoda", GetParam(), {.states = states});
    EXPECT_TRUE(result.reaches_goal()) << name(states) << ": ends at " << result.least_free;
    EXPECT_LE(result.settles.value_or(1e9), 60) << name(states);
    EXPECT_TRUE(result.floors_hold);
    EXPECT_FALSE(result.cycles()) << result.turns;
    EXPECT_EQ(result.gave_and_got, 0U);
    EXPECT_LE(result.worst_stall, 0.01) << "somebody pays for ever";
  }
}

TEST(Steps, TheDefaultNoticesADeadBalloonWithinFiveSeconds) {
  const StepResult result = run("pagoda", "dead");
  ASSERT_TRUE(result.dead_noticed);
  EXPECT_LE(*result.dead_noticed, 6);  // It is asked in the first second.
}

TEST(Steps, EsxReachesItsGoalAndDoesNotCycle) {
  for (const Step& step : steps()) {
    const StepResult result = run("esx", step.name);
    EXPECT_TRUE(result.reaches_goal()) << step.name;
    EXPECT_TRUE(result.floors_hold) << step.name;
    EXPECT_FALSE(result.cycles()) << step.name;
  }
}

// overcommit-facts.md 5.10: it never reaches its own 15 %, and does not look at what balloons do.
TEST(Steps, HypemanDoesNotReachItsOwnGoal) {
  for (const std::string_view step : {"demand", "idle", "shrink", "dead"}) {
    const StepResult result = run("hypeman", step);
    EXPECT_FALSE(result.reaches_goal()) << step;
    EXPECT_LT(result.most_free, 0.12) << step;
    EXPECT_FALSE(result.dead_noticed);
  }
}

// virtualization.md 8.2: the guest's pressure only orders the list.
TEST(Steps, ProxmoxReachesItsGoalWhileAMachineThrashes) {
  const StepResult result = run("proxmox", "demand");
  EXPECT_TRUE(result.reaches_goal());
  EXPECT_GT(result.worst_stall, 0.5);
}

// Each machine answers to the whole of what the host lacks, so that eight of them take it eight times and give it back.
TEST(Steps, BalanceAvailableCyclesWithMoreThanOneMachine) { EXPECT_TRUE(run("crosvm_available", "demand").cycles()); }

TEST(Steps, WhoDoesNotLookAtTheHostLeavesItToPageByItself) {
  for (const std::string_view policy : {"none", "paging", "vm0", "wsl_drop", "report_only", "kubevirt_ksm"}) {
    const StepResult result = run(policy, "demand");
    EXPECT_FALSE(result.goal) << policy;
    EXPECT_LT(result.least_free, 0.02) << policy;
  }
}

// "The crying child gets the milk" (virtualization.md 7.3): one machine wants more than the host has, for ever. How much of
// their time the others wait meanwhile, on average.
double others_wait_under(std::string_view policy_name) {
  std::vector<PlantMachine> machines(4);
  for (std::size_t i = 0; i < machines.size(); ++i) {
    machines[i].promise = {.machine = static_cast<MachineId>(i),
                           .maximum = i == 0 ? pages_of(16_GiB) : pages_of(4_GiB),
                           .minimum = pages_of(512_MiB)};
    machines[i].demand = {.used = pages_of(2_GiB), .active = pages_of(1536_MiB), .cache = pages_of(1_GiB)};
  }
  Plant plant(pages_of(16_GiB), machines, false);
  const std::unique_ptr<Policy> policy = find_policy(policy_name)->make({});
  Decisions decisions;
  double waits = 0;
  constexpr int kSeconds = 900;
  constexpr int kCounted = 600;
  for (int second = 0; second < kSeconds; ++second) {
    if (second == 100) plant.set_demand(0, {.used = pages_of(14_GiB), .active = pages_of(13_GiB), .cache = {}});
    plant.run_second();
    const Measures measures = plant.measure();
    policy->decide(measures, decisions);
    plant.act(decisions);
    if (second < kSeconds - kCounted) continue;
    for (const VmMeasure& vm : measures.machines.subspan(1)) waits += vm.stall.value_or(0) / (3 * kCounted);
  }
  return waits;
}

TEST(Steps, TheCryingChildPaysForItselfUnderTheDefaultAndNotOnAPlainHost) {
  EXPECT_LT(others_wait_under("pagoda"), 0.005);
  EXPECT_LT(others_wait_under("esx"), 0.005);
  EXPECT_GT(others_wait_under("paging"), 0.05);
}

TEST(Steps, EveryPolicyRunsAStepTheSameTwice) {
  for (const PolicyEntry& entry : policies()) {
    const StepResult one = run(entry.name, "dead");
    const StepResult other = run(entry.name, "dead");
    EXPECT_EQ(one.least_free, other.least_free) << entry.name;
    EXPECT_EQ(one.turns, other.turns) << entry.name;
    EXPECT_EQ(one.swapped_in_mib, other.swapped_in_mib) << entry.name;
  }
}

}  // namespace
}  // namespace pagoda::policy
