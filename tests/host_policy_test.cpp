// Whole simulations under memory policies: what they decide is done, nobody loses a byte, and the run says who paid.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "pagoda/mm/combine/combiner.h"
#include "pagoda/policy/policy.h"
#include "tests/checked_run.h"

namespace pagoda::sim::testing {
namespace {

// Two machines of 8 MiB on a host of 10: "still" uses a part of its memory now and then, "busy" all that it has, from
// 5 s on.
std::string scenario(std::string_view policy, std::string_view balloon = "balloon = {}", std::string_view more = "",
                     std::string_view memory = "10MiB") {
  const auto machine = [&](std::string_view name, std::string_view steps) {
    return fmt::format(
        "[[vm]]\nname = '{0}'\nmemory = '8MiB'\nallocation = {{ minimum = '1MiB' }}\n{1}\n"
        "[[vm.disk]]\nname = 'vd'\ncapacity = '32MiB'\nstore = 'memory'\n"
        "[[vm.page_file]]\ndisk = 'vd'\nminimum = '16MiB'\n"
        "[[vm.process]]\nname = 'p'\nprogram = {{ kind = 'demand', length = '30s', period = '2s', steps = [{2}] }}\n",
        name, balloon, steps);
  };
  return fmt::format(
      "[host]\nmemory = '{}'\nprocessors = 2\npolicy = {{ {}, sampling = '2s' }}\n"
      "[[disk]]\nname = 'd'\ncapacity = '64MiB'\nstore = 'memory'\n[[page_file]]\ndisk = 'd'\nminimum = '32MiB'\n"
      "{}{}{}",
      memory, policy, machine("still", "{ at = '0s', used = '5MiB', active = '1MiB' }"),
      machine("busy", "{ at = '0s', used = '1MiB', active = '1MiB' }, { at = '5s', used = '6MiB', active = '5MiB' }"),
      more);
}

class HostPolicies : public ::testing::TestWithParam<std::string_view> {};

// A host with ten machines that come and go, one with a pinned memory, one without a driver.
TEST_P(HostPolicies, DecideWhileMachinesComeAndGoAndNobodyLosesAByte) {
  std::string more =
      "[[vm]]\nname = 'pinned'\nmemory = '2MiB'\nbacking = 'pinned'\nballoon = { driver = 'absent' }\n"
      "[[vm.process]]\nname = 'p'\nprogram = { kind = 'uniform', memory = '512KiB', operations = 2000 }\n"
      "[[vm]]\nname = 'late'\nmemory = '2MiB'\ncopies = 3\nstart = '4s'\nevery = '3s'\nstop = '12s'\nballoon = {}\n"
      "[[vm.process]]\nname = 'p'\nprogram = { kind = 'demand', length = '10s', period = '2s', "
      "steps = [{ at = '0s', used = '1MiB', active = '512KiB' }] }\n";
  CheckedRun run(scenario(fmt::format("name = '{}'", GetParam()), "balloon = { rate = '1MiB' }", more));
  const RunResult& result = run.go();
  ASSERT_TRUE(result.policy);
  EXPECT_EQ(result.policy->name, GetParam());
  EXPECT_EQ(result.policy->rounds > 0, result.end > Time{} + result.policy->period);
  EXPECT_EQ(result.policy->accounts.size(), result.vms.size());
  Duration in_states;
  for (const Duration time : result.policy->in_state) in_states += time;
  EXPECT_EQ(in_states, result.end - Time{});
}

std::vector<std::string_view> all_policies() {
  std::vector<std::string_view> names;
  for (const policy::PolicyEntry& entry : policy::policies()) names.push_back(entry.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, HostPolicies, ::testing::ValuesIn(all_policies()),
                         [](const auto& name) { return std::string(name.param); });

RunResult run_of(const std::string& text) { return CheckedRun(text).go(); }

bool any_decision(const PolicyResult& policy, auto holds) {
  return std::ranges::any_of(policy.told,
                             [&](const PolicyRound& round) { return std::ranges::any_of(round.decisions, holds); });
}

TEST(HostPolicy, TakesByBalloonWhatIsIdle) {
  const RunResult run = run_of(scenario("name = 'pagoda'"));
  const PolicyAccount& still = run.policy->accounts[0];
  EXPECT_GT(still.asked_by_balloon, 100_pages);
  EXPECT_GT(run.vms[0].end.memory.ballooned, 100_pages);
  EXPECT_TRUE(any_decision(*run.policy, [](const policy::Decision& decision) {
    return decision.machine == policy::MachineId(0) && decision.target < decision.previous &&
           decision.reason.why == policy::Why::kPrice;
  }));
}

TEST(HostPolicy, PagesWhereThereIsNoBalloon) {
  const RunResult run = run_of(scenario("name = 'esx'", ""));
  EXPECT_GT(run.policy->accounts[0].taken_by_paging + run.policy->accounts[1].taken_by_paging, 100_pages);
  EXPECT_EQ(run.policy->accounts[0].asked_by_balloon, 0_pages);
  EXPECT_GT(run.counters.page_file_pages_written, 0U);
}

TEST(HostPolicy, APlainHostDecidesNothing) {
  const RunResult run = run_of(scenario("name = 'paging'"));
  EXPECT_EQ(run.policy->decisions, 0U);
  for (const PolicyAccount& account : run.policy->accounts) {
    EXPECT_EQ(account.asked_by_balloon, 0_pages);
    EXPECT_EQ(account.taken_by_paging, 0_pages);
  }
}

TEST(HostPolicy, SharesSayWhoKeepsItsMemory) {
  const auto held = [](std::uint64_t shares) {
    std::string text = scenario("name = 'esx', idle_tax = 0.0");
    text += fmt::format("[[event]]\nat = '1s'\nvm = 'busy'\nshares = {}\n", shares);
    return run_of(text).policy->accounts[1].held;
  };
  EXPECT_GT(held(8000), held(200) + 50_pages);
}

TEST(HostPolicy, AMinimumHoldsFromTheEventOnThatSetsIt) {
  std::string text = scenario("name = 'pagoda'");
  text += "[[event]]\nat = '2s'\nvm = 'still'\nminimum = '8MiB'\n";
  const RunResult run = run_of(text);
  EXPECT_EQ(run.policy->accounts[0].minimum, pages_of(8_MiB));
  EXPECT_EQ(run.policy->accounts[0].asked_by_balloon, 0_pages);
}

TEST(HostPolicy, ADriverThatDiesIsNoticedAndItsMachineIsPaged) {
  std::string text = scenario("name = 'pagoda'");
  text += "[[event]]\nat = '4s'\nvm = 'still'\nloses_driver = true\n";
  const RunResult run = run_of(text);
  EXPECT_TRUE(any_decision(*run.policy, [](const policy::Decision& decision) {
    return decision.machine == policy::MachineId(0) && !decision.page_out.is_zero();
  }));
}

// Memory goes faster than a balloon can bring it: the host is low, and the machine that takes it does not run on.
TEST(HostPolicy, HoldsWhoeverTakesTheLastOfMemory) {
  std::string text = scenario("name = 'esx', period = '1ms'");
  const std::size_t busy = text.rfind("program = ");
  text.replace(busy, text.find('\n', busy) - busy,
               "program = { kind = 'uniform', memory = '7MiB', operations = 30000 }");
  const RunResult run = run_of(text);
  EXPECT_GT(run.policy->in_state[static_cast<std::size_t>(policy::FreeState::kLow)], 0_s);
  Duration held;
  for (const PolicyRound& round : run.policy->told) {
    for (const policy::Decision& decision : round.decisions) {
      if (decision.execution != policy::Execution::kBlock) continue;
      EXPECT_EQ(round.state, policy::FreeState::kLow);
      held += run.policy->period;
    }
  }
  EXPECT_GT(run.policy->accounts[1].blocked, 0_s);
  EXPECT_EQ(run.policy->accounts[0].blocked + run.policy->accounts[1].blocked, held);
  EXPECT_GE(run.vms[1].waited, run.policy->accounts[1].blocked);
}

TEST(HostPolicy, ADiskThatSlowsMakesMachinesWaitLonger) {
  const std::string text = scenario("name = 'paging'", "");
  const auto waited = [](const RunResult& run) {
    return run.policy->accounts[0].waited + run.policy->accounts[1].waited;
  };
  const RunResult slow = run_of(text + "[[event]]\nat = '5s'\ndisk = 'd'\nslower = 50\n");
  EXPECT_GT(waited(slow), waited(run_of(text)) * 2);
}

// Memory that is promised by touch, and more of it wanted than there is: the largest machine goes, and the other ends.
TEST(HostPolicy, APlainHostKillsTheLargestMachineWhenNothingIsLeftToPromise) {
  const auto machine = [](std::string_view name, std::string_view steps) {
    return fmt::format(
        "[[vm]]\nname = '{}'\nmemory = '16MiB'\nbacking = 'deferred'\n"
        "[[vm.process]]\nname = 'p'\nprogram = {{ kind = 'demand', length = '40s', period = '4s', steps = [{}] }}\n",
        name, steps);
  };
  std::string grows = "{ at = '0s', used = '4MiB', active = '1MiB' }";
  for (int step = 1; step <= 30; ++step)
    grows += fmt::format(", {{ at = '{}s', used = '{}KiB', active = '1MiB' }}", step, 4096 + 256 * step);
  const std::string text =
      "[host]\nmemory = '10MiB'\nprocessors = 2\npolicy = { name = 'paging', period = '1s' }\n"
      "[[disk]]\nname = 'd'\ncapacity = '64MiB'\nstore = 'memory'\n[[page_file]]\ndisk = 'd'\nminimum = '4MiB'\n"
      "maximum = '4MiB'\n" +
      machine("small", "{ at = '0s', used = '3MiB', active = '1MiB' }") + machine("grows", grows);
  const RunResult run = run_of(text);
  ASSERT_TRUE(run.vms[1].lost);
  EXPECT_THAT(run.vms[1].lost->why, ::testing::HasSubstr("out-of-memory killer"));
  EXPECT_FALSE(run.vms[0].lost);
  EXPECT_NE(run.processes[0].finished, kNever);
  ASSERT_EQ(run.incidents.size(), 1U);
  EXPECT_EQ(run.incidents[0].vm, "grows");
}

// KubeVirt's loop looks for equal pages while the host is short, and not while it is not.
TEST(HostPolicy, SteersHowFastEqualPagesAreLookedFor) {
  const auto rate = [](std::string_view memory) {
    std::string text = scenario("name = 'kubevirt_ksm', period = '1s'", "", "", memory);
    text.replace(text.find("processors"), 0, "sharing = { rate = 5, vm_rate = 5 }\n");
    CheckedRun run(text);
    run.go();
    return run.simulation->manager().combiner().scan_rate().in_all;
  };
  EXPECT_GT(rate("10MiB"), 50_pages);
  EXPECT_EQ(rate("64MiB"), 0_pages);
}

TEST(HostPolicy, GuestsReportFreeMemoryWhereThePolicyNeedsIt) {
  const auto reported = [](std::string_view policy, std::string_view balloon) {
    const RunResult run = run_of(scenario(fmt::format("name = '{}'", policy), balloon));
    return run.vms[0].end.counters.reported_pages;
  };
  EXPECT_GT(reported("report_only", "guest = 'plain'\nballoon = {}"), 0U);
  EXPECT_EQ(reported("none", "guest = 'plain'\nballoon = {}"), 0U);
  EXPECT_EQ(reported("report_only", "guest = 'plain'\nballoon = { report_free = false }"), 0U);
  EXPECT_EQ(reported("report_only", "guest = 'plain'\nballoon = { driver = 'absent' }"), 0U);
  EXPECT_EQ(reported("report_only", "guest = 'windows'\nballoon = {}"), 0U) << "it gives hints";
}

TEST(HostPolicy, ARunIsTheSameTwice) {
  const std::string text = scenario("name = 'pagoda'");
  const RunResult first = run_of(text);
  const RunResult second = run_of(text);
  EXPECT_EQ(first.state_hash, second.state_hash);
  EXPECT_EQ(first.policy->decisions, second.policy->decisions);
  EXPECT_EQ(first.policy->charges.size(), second.policy->charges.size());
}

}  // namespace
}  // namespace pagoda::sim::testing
