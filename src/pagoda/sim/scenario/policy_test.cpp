// [host.policy], [vm.allocation], [vm.limits] and [[event]].
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "pagoda/sim/testing/small_scenario.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string under(std::string_view policy) {
  return replaced(std::string(kSmall), "processors = 1", fmt::format("policy = {}", policy));
}
std::string with_event(std::string_view event, std::string_view vm = "") {
  return with_vm(vm) + fmt::format("[[event]]\n{}\n", event);
}

Scenario good(const std::string& text) {
  auto scenario = parse_scenario(text, "s.toml");
  EXPECT_TRUE(scenario) << scenario.error().message;
  return scenario ? std::move(*scenario) : Scenario{};
}

TEST(ScenarioPolicy, ThereIsNoneWithoutItsSection) { EXPECT_FALSE(good(std::string(kSmall)).policy); }

TEST(ScenarioPolicy, TheDefaultIsPagodaWithItsOwnKnobs) {
  const Scenario scenario = good(under("{}"));
  ASSERT_TRUE(scenario.policy);
  EXPECT_EQ(scenario.policy->name, "pagoda");
  EXPECT_EQ(scenario.policy->sampling, 30_s);
  EXPECT_FALSE(scenario.policy->options.period);
  EXPECT_FALSE(scenario.policy->options.states);
  EXPECT_FALSE(scenario.policy->options.idle_tax);
  EXPECT_FALSE(scenario.policy->options.acceptable_stall);
}

TEST(ScenarioPolicy, ReadsEveryKey) {
  const Scenario scenario =
      good(under("{ name = 'pagoda', period = '2s', states = 'esx6', idle_tax = 0.5, sampling = '7s', scale = 256, "
                 "acceptable_stall = 0.25 }"));
  const policy::PolicyOptions& options = scenario.policy->options;
  EXPECT_EQ(options.period, 2_s);
  EXPECT_EQ(options.states, policy::StatesPreset::kEsx6);
  EXPECT_EQ(options.idle_tax, 0.5);
  EXPECT_EQ(scenario.policy->sampling, 7_s);
  EXPECT_EQ(scenario.policy->scale, 256U);
  EXPECT_EQ(options.acceptable_stall, 0.25);
  EXPECT_EQ(good(under("{ states = 'esx2002' }")).policy->options.states, policy::StatesPreset::kEsx2002);
}

TEST(ScenarioPolicy, KnowsEveryPolicyAndRefusesOthersAndWhatTheyDoNotTake) {
  for (const policy::PolicyEntry& entry : policy::policies())
    EXPECT_EQ(good(under(fmt::format("{{ name = '{}' }}", entry.name))).policy->name, entry.name);
  EXPECT_THAT(refusal(under("{ name = 'nobody' }")), AllOf(HasSubstr("host.policy.name"), HasSubstr("pagoda, none")));
  EXPECT_THAT(refusal(under("{ name = 'none', idle_tax = 0.5 }")), HasSubstr("host.policy.idle_tax"));
  EXPECT_THAT(refusal(under("{ name = 'none', states = 'esx6' }")), HasSubstr("host.policy.states"));
  EXPECT_THAT(refusal(under("{ period = '0s' }")), HasSubstr("host.policy.period"));
  EXPECT_THAT(refusal(under("{ idle_tax = 1.0 }")), HasSubstr("host.policy.idle_tax"));
  EXPECT_THAT(refusal(under("{ acceptable_stall = 0.0 }")), HasSubstr("host.policy.acceptable_stall"));
}

std::string limited(std::string_view limits, std::string_view policy = "paging",
                    std::string_view backing = "deferred") {
  return replaced(with_vm(fmt::format("backing = '{}'\nlimits = {{ {} }}", backing, limits)), "processors = 1",
                  fmt::format("policy = {{ name = '{}' }}", policy));
}

TEST(ScenarioLimits, AreReadAsTheyAreWritten) {
  const LimitsConfig none = good(limited("")).vms[0].limits;
  EXPECT_FALSE(none.memory_max || none.swap_max);
  EXPECT_EQ(none.oom_adjust, 0);
  const LimitsConfig set = good(limited("memory_max = '1MiB', swap_max = '0B', oom_adjust = -1000")).vms[0].limits;
  EXPECT_EQ(set.memory_max, pages_of(1_MiB));
  EXPECT_EQ(set.swap_max, 0_pages);
  EXPECT_EQ(set.oom_adjust, -1000);
  EXPECT_EQ(good(limited("oom_adjust = 1000")).vms[0].limits.oom_adjust, 1000);
  EXPECT_EQ(good(limited("memory_max = '2MiB'")).vms[0].limits.memory_max, pages_of(2_MiB));
}

TEST(ScenarioLimits, AreAPlainLinuxHostsForDeferredBacking) {
  for (const std::string_view limit : {"memory_max = '1MiB'", "swap_max = '1MiB'", "oom_adjust = 1"}) {
    const std::string key = "vm.limits." + std::string(limit.substr(0, limit.find(' ')));
    for (const std::string& bad : {limited(limit, "pagoda"), limited(limit, "paging", "va"),
                                   with_vm(fmt::format("backing = 'deferred'\nlimits = {{ {} }}", limit))})
      EXPECT_THAT(refusal(bad), AllOf(HasSubstr(key), HasSubstr("paging"), HasSubstr("deferred")));
  }
}

TEST(ScenarioLimits, AreRefusedWhereTheyMakeNoSense) {
  constexpr std::pair<std::string_view, std::string_view> kBad[] = {
      {"oom_adjust = -1001", "oom_adjust: must be a whole number from -1000 to 1000"},
      {"oom_adjust = 1001", "oom_adjust: must be a whole number"},
      {"oom_adjust = 1.5", "oom_adjust: must be a whole number"},
      {"memory_max = '3MiB'", "memory_max: is more than the machine's memory, 2 MiB"},
      {"memory_max = '64KiB'", "memory_max: is less than the minimum of the machine, 200 KiB"},
      {"memory_max = '300KiB' }\nallocation = { minimum = '1MiB'",
       "memory_max: is less than the minimum of the machine"},
      {"memory_max = '1MiB' }\nworking_set = { maximum = '1MiB'",
       "memory_max: is the maximum of the machine's working set"},
      {"memory_max = '1MB'", "memory_max"},
      {"swap_max = 'lots'", "swap_max"},
      {"swap_max = '1KiB'", "swap_max"},
  };
  for (const auto& [limits, message] : kBad)
    EXPECT_THAT(refusal(limited(limits)), HasSubstr(fmt::format("vm.limits.{}", message))) << limits;
}

TEST(ScenarioAllocation, HasSharesAndMayHaveAMinimum) {
  const Scenario plain = good(with_vm(""));
  EXPECT_EQ(plain.vms[0].allocation.shares, 1000U);
  EXPECT_FALSE(plain.vms[0].allocation.minimum);
  const Scenario set = good(with_vm("allocation = { shares = 20, minimum = '2MiB' }"));
  EXPECT_EQ(set.vms[0].allocation.shares, 20U);
  EXPECT_EQ(set.vms[0].allocation.minimum, pages_of(2_MiB));
  EXPECT_THAT(refusal(with_vm("allocation = { shares = 0 }")), HasSubstr("vm.allocation.shares"));
  EXPECT_THAT(refusal(with_vm("allocation = { minimum = '4MiB' }")),
              AllOf(HasSubstr("vm.allocation.minimum"), HasSubstr("maximum")));
}

TEST(ScenarioEvents, ChangeSharesMinimaAndDisks) {
  const Scenario scenario =
      good(with_event("at = '3s'\nvm = 'v'\nshares = 7\nminimum = '1MiB'\n"
                      "[[event]]\nat = '4s'\ndisk = 'ssd'\nslower = 10"));
  ASSERT_EQ(scenario.events.size(), 2U);
  EXPECT_EQ(scenario.events[0].at, Time{} + 3_s);
  EXPECT_EQ(scenario.events[0].vm, 0U);
  EXPECT_EQ(scenario.events[0].shares, 7U);
  EXPECT_EQ(scenario.events[0].minimum, pages_of(1_MiB));
  EXPECT_FALSE(scenario.events[0].disk);
  EXPECT_EQ(scenario.events[1].disk, 0U);
  EXPECT_EQ(scenario.events[1].slower, 10U);
}

TEST(ScenarioEvents, StartAndStopMachinesAndKillDrivers) {
  const Scenario scenario =
      good(with_event("at = '3s'\nvm = 'v'\nstarts = true\n"
                      "[[event]]\nat = '5s'\nvm = 'v'\nstops = true\n"
                      "[[event]]\nat = '4s'\nvm = 'v'\nloses_driver = true",
                      "balloon = {}"));
  EXPECT_EQ(scenario.vms[0].start, Time{} + 3_s);
  EXPECT_EQ(scenario.vms[0].stop, Time{} + 5_s);
  EXPECT_EQ(scenario.vms[0].balloon->driver, BalloonConfig::Driver::kDies);
  EXPECT_EQ(scenario.vms[0].balloon->settings.dies, Time{} + 4_s);
  EXPECT_TRUE(scenario.events.empty());
}

TEST(ScenarioEvents, ThatMakeNoSenseAreRefused) {
  const std::pair<std::string, std::string_view> cases[] = {
      {with_event("vm = 'v'"), "event.at"},
      {with_event("at = '1s'"), "event.vm"},
      {with_event("at = '1s'\nvm = 'v'\ndisk = 'ssd'"), "event.vm"},
      {with_event("at = '1s'\nvm = 'w'"), "there is no \"w\""},
      {with_event("at = '1s'\ndisk = 'x'\nslower = 2"), "there is no \"x\""},
      {with_event("at = '1s'\ndisk = 'ssd'"), "event.slower"},
      {with_event("at = '1s'\ndisk = 'ssd'\nslower = 0"), "event.slower"},
      {with_event("at = '1s'\ndisk = 'ssd'\nslower = 2\nshares = 2"), "said of a machine"},
      {with_event("at = '1s'\nvm = 'v'\nslower = 2"), "said of a disk"},
      {with_event("at = '1s'\nvm = 'v'\nshares = 0"), "event.shares"},
      {with_event("at = '1s'\nvm = 'v'\nminimum = '8MiB'"), "event.minimum"},
      {with_event("at = '1s'\nvm = 'v'\nloses_driver = true"), "event.loses_driver"},
      {with_event("at = '1s'\nvm = 'v'\nstarts = true", "start = '2s'"), "event.starts"},
      {with_event("at = '1s'\nvm = 'v'\nstops = true", "start = '2s'"), "event.stops"},
      {with_event("at = '3s'\nvm = 'v'\nstops = true", "stop = '2s'"), "event.stops"},
  };
  for (const auto& [text, part] : cases) EXPECT_THAT(refusal(text), HasSubstr(part)) << text;
}

}  // namespace
}  // namespace pagoda::sim::testing
