// The scenarios that ship tell the stories that their descriptions promise.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <variant>

#include "pagoda/sim/baseline.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::sim {
namespace {

Scenario shipped(std::string_view name) {
  auto scenario = load_scenario(std::string(PAGODA_SOURCE_DIR) + "/scenarios/" + std::string(name));
  EXPECT_TRUE(scenario) << scenario.error().message;
  return scenario ? std::move(*scenario) : Scenario{};
}

RunResult run_of(const Scenario& scenario) {
  auto run = run_scenario(scenario, {});
  EXPECT_TRUE(run) << run.error().message;
  return run ? std::move(*run) : RunResult{};
}

Duration made_others_wait(const RunResult& run) {
  Duration sum;
  for (const PolicyAccount& account : run.policy->accounts) sum += account.made_others_wait;
  return sum;
}

const PolicyAccount& account_of(const RunResult& run, std::string_view vm) {
  const auto at = std::ranges::find(run.vms, vm, &VmResult::name);
  return run.policy->accounts.at(static_cast<std::size_t>(at - run.vms.begin()));
}

TEST(ShippedStories, ANoisyNeighbourPaysForItselfUnderSharesAndOthersPayUnderALoopWithoutThem) {
  Scenario scenario = shipped("noisy-neighbour.toml");
  const auto under = [&](std::string_view policy) {
    scenario.policy->name = policy;
    scenario.policy->options = {};
    return run_of(scenario);
  };
  const RunResult loop = under("mom");
  const RunResult shares = under("esx");
  const RunResult ours = under("pagoda");
  EXPECT_GT(made_others_wait(loop), 100_ms);
  EXPECT_LT(made_others_wait(shares), made_others_wait(loop) / 10);
  EXPECT_LT(made_others_wait(ours), made_others_wait(loop) / 3);
  EXPECT_GT(account_of(ours, "loud").waited, account_of(loop, "loud").waited);
  for (const RunResult* const run : {&loop, &shares, &ours})
    for (const VmResult& vm : run->vms) EXPECT_FALSE(vm.lost) << vm.name;
}

TEST(ShippedStories, AnIdleTaxMovesWhatIsIdle) {
  Scenario scenario = shipped("idle-tax.toml");
  const auto held = [&](double tax) {
    scenario.policy->options.idle_tax = tax;
    const RunResult run = run_of(scenario);
    return std::pair(run.vms.at(0).end.memory.active, run.vms.at(1).end.memory.active);
  };
  const auto [idle_untaxed, busy_untaxed] = held(0);
  const auto [idle, busy] = held(0.75);
  EXPECT_LT(idle, idle_untaxed);
  EXPECT_GT(busy, busy_untaxed);
  EXPECT_GT(busy, idle * 3 / 2);
}

TEST(ShippedStories, ABootStormEndsWithAllMachinesBooted) {
  const RunResult run = run_of(shipped("boot-storm.toml"));
  EXPECT_EQ(run.vms.size(), 20U);
  for (const ProcessResult& process : run.processes) EXPECT_NE(process.finished, kNever) << process.vm;
  EXPECT_LT(run.policy->in_state[static_cast<std::size_t>(policy::FreeState::kHigh)], run.end - Time{});
}

TEST(ShippedStories, MemoryFollowsTheWorkOfFiveMachinesWithoutPaging) {
  const RunResult run = run_of(shipped("five-machines.toml"));
  EXPECT_EQ(run.policy->told.back().state, policy::FreeState::kHigh);
  EXPECT_LT(run.policy->in_state[static_cast<std::size_t>(policy::FreeState::kHigh)], run.end - Time{});
  const auto booted = std::ranges::lower_bound(run.samples, Time{} + 30_s, {}, &Sample::time);
  for (auto sample = booted; sample != run.samples.end(); ++sample)
    for (const VmSample& vm : sample->vms) EXPECT_LT(vm.memory.page_file, pages_of(1_MiB));
  // From 270 s on only the last one works, and from 390 s on others do.
  const auto held_by_sql = [&](Time at) {
    return std::prev(std::ranges::upper_bound(run.samples, at, {}, &Sample::time))->vms.back().memory.in_memory();
  };
  EXPECT_GT(held_by_sql(Time{} + 389_s), held_by_sql(Time{} + 509_s) * 3 / 2);
}

TEST(ShippedStories, PagingTakesOverWhereABalloonDies) {
  const RunResult run = run_of(shipped("balloon-dies.toml"));
  const PolicyAccount& dead = account_of(run, "dead");
  EXPECT_GT(dead.taken_by_paging, pages_of(4_MiB));
  const auto first = std::ranges::find_if(run.policy->told, [](const PolicyRound& round) {
    return std::ranges::any_of(round.decisions, [](const policy::Decision& decision) {
      return decision.machine == policy::MachineId(0) && !decision.page_out.is_zero();
    });
  });
  ASSERT_NE(first, run.policy->told.end());
  EXPECT_GE(first->time, Time{} + 50_s);
}

TEST(ShippedStories, ClonesShareWithinADomainAndNotWithout) {
  Scenario scenario = shipped("clones.toml");
  const auto saved = [&] {
    const RunResult run = run_of(scenario);
    return std::ranges::max(run.samples, {}, &Sample::shared_saved).shared_saved;
  };
  const PageCount together = saved();
  for (VmConfig& vm : scenario.vms) vm.domain.reset();
  EXPECT_GT(together, saved() * 2);
}

// Saves in all; when it had saved 16 MiB; and what went to the host's page files.
struct Saved {
  PageCount by_scan;
  PageCount by_template;
  Time soon = kNever;
  std::uint64_t paged_out = 0;
};
Saved saved_in(const Scenario& scenario) {
  const RunResult run = run_of(scenario);
  Saved saved{.paged_out = run.counters.page_file_pages_written};
  for (const Sample& sample : run.samples) {
    saved.by_scan = std::max(saved.by_scan, sample.shared_saved);
    saved.by_template = std::max(saved.by_template, sample.template_saved);
    if (sample.shared_saved + sample.template_saved >= pages_of(16_MiB)) saved.soon = std::min(saved.soon, sample.time);
  }
  return saved;
}

TEST(ShippedStories, ATemplateSavesFromTheFirstReadOnWhatAScanFindsLater) {
  const Scenario scenario = shipped("clones.toml");
  Scenario scan = scenario;
  Scenario knowledge = scenario;
  knowledge.sharing.reset();
  for (VmConfig& vm : knowledge.vms) vm.is_shared = false;
  for (VmConfig& vm : scan.vms) {
    for (ProcessConfig& process : vm.processes)
      if (auto* const image = std::get_if<ImageProgramConfig>(&process.program)) image->from_template.reset();
  }
  const Saved by_scan = saved_in(scan);
  const Saved by_knowledge = saved_in(knowledge);
  const Saved by_both = saved_in(scenario);
  const PageCount of_three = pages_of(128_MiB) * 3;  // The template, of which four machines have one copy.
  EXPECT_EQ(by_scan.by_template, 0_pages);
  EXPECT_LT(by_scan.by_scan, of_three * 3 / 4);
  EXPECT_EQ(by_knowledge.by_template, of_three);
  EXPECT_EQ(by_knowledge.by_scan, 0_pages);
  EXPECT_LT(by_knowledge.soon - Time{}, (by_scan.soon - Time{}) / 2);
  EXPECT_EQ(by_both.by_template, of_three);
  EXPECT_GT(by_both.by_scan, pages_of(16_MiB));
  EXPECT_GT(by_scan.paged_out, 0U);
  EXPECT_EQ(by_both.paged_out, 0U);
}

TEST(ShippedStories, ABalloonCuresDoublePaging) {
  const RunResult uncured = run_of(shipped("double-paging.toml"));
  const RunResult cured = run_of(shipped("double-paging-balloon.toml"));
  EXPECT_LT(baseline_of(cured).double_paged, baseline_of(uncured).double_paged / 5);
  EXPECT_LT(cured.end - Time{}, (uncured.end - Time{}) / 10 * 7);
}

}  // namespace
}  // namespace pagoda::sim
