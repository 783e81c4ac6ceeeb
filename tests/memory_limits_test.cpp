// memory_max and swap_max in whole runs: they hold all the time, and a machine that cannot be kept to them goes, alone.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "tests/checked_run.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::HasSubstr;

std::string machine(std::string_view name, std::string_view used, std::string_view keys) {
  return fmt::format(
      "[[vm]]\nname = '{}'\nmemory = '12MiB'\nbacking = 'deferred'\n{}\n"
      "[[vm.process]]\nname = 'p'\nprogram = {{ kind = 'demand', length = '4s', period = '1s', "
      "steps = [{{ at = '0s', used = '1MiB', active = '1MiB' }}, {{ at = '1s', used = '{}', active = '2MiB' }}] }}\n",
      name, keys, used);
}

std::string host(std::string_view memory, std::string_view page_file) {
  std::string text = fmt::format(
      "[host]\nmemory = '{}'\nprocessors = 2\npolicy = {{ name = 'paging' }}\n"
      "[[disk]]\nname = 'd'\ncapacity = '64MiB'\nstore = 'memory'\n",
      memory);
  if (!page_file.empty())
    text += fmt::format("[[page_file]]\ndisk = 'd'\nminimum = '{0}'\nmaximum = '{0}'\n", page_file);
  return text;
}

// The most that each limit was used, of the first machine, while it ran.
struct Watched {
  RunResult run;
  PageCount in_memory;
  PageCount outside;
};

Watched watch(const std::string& text) {
  Watched watched;
  CheckedRun run(text);
  run.on_progress = [&](Simulation& simulation) {
    Guest& guest = *simulation.guests().front();
    if (!guest.is_running() || guest.is_lost()) return;
    const hv::GuestMemory::Census census = guest.partition().memory().census();
    watched.in_memory = std::max(watched.in_memory, census.active);
    watched.outside =
        std::max(watched.outside, census.modified + census.standby + census.compressed + census.page_file);
  };
  watched.run = run.go();
  return watched;
}

TEST(MemoryLimits, MemoryMaxIsAllThatAMachineHasInMemory) {
  const Watched free = watch(host("32MiB", "32MiB") + machine("m", "6MiB", ""));
  EXPECT_GT(free.in_memory, pages_of(6_MiB));
  const Watched limited = watch(host("32MiB", "32MiB") + machine("m", "6MiB", "limits = { memory_max = '2MiB' }"));
  EXPECT_LE(limited.in_memory, pages_of(2_MiB));
  EXPECT_LE(limited.run.vms[0].peak_working_set, pages_of(2_MiB));
  EXPECT_GT(limited.outside, pages_of(4_MiB));
  EXPECT_FALSE(limited.run.vms[0].lost);
  EXPECT_TRUE(limited.run.incidents.empty());
}

// cgroup v2, memory.max: "If a cgroup's memory usage reaches this limit and can't be reduced, the OOM killer is invoked".
TEST(MemoryLimits, WithoutAPlaceToPageOutToTheMachineGoesAndNoOther) {
  for (const std::string_view page_file : {"", "1MiB"}) {
    const Watched watched = watch(host("32MiB", page_file) + machine("m", "6MiB", "limits = { memory_max = '2MiB' }") +
                                  machine("other", "6MiB", ""));
    ASSERT_TRUE(watched.run.vms[0].lost) << page_file;
    EXPECT_FALSE(watched.run.vms[1].lost);
    EXPECT_NE(watched.run.processes[1].finished, kNever);
    ASSERT_EQ(watched.run.incidents.size(), 1U);
    EXPECT_EQ(watched.run.incidents[0].vm, "m");
    EXPECT_EQ(
        watched.run.incidents[0].text,
        "it was lost: its memory_max of 2 MiB is reached, and no page file of the host has a slot left for a page "
        "of it: the out-of-memory killer took it");
  }
}

TEST(MemoryLimits, BothTogetherAreTheMostThatAMachineMayHave) {
  const std::string_view limits = "limits = { memory_max = '2MiB', swap_max = '3MiB' }";
  const Watched fits = watch(host("32MiB", "32MiB") + machine("m", "3MiB", limits));
  EXPECT_FALSE(fits.run.vms[0].lost);
  EXPECT_LE(fits.in_memory, pages_of(2_MiB));
  EXPECT_LE(fits.outside, pages_of(3_MiB));
  EXPECT_GT(fits.outside, 0_pages);
  const Watched grows = watch(host("32MiB", "32MiB") + machine("m", "6MiB", limits));
  ASSERT_TRUE(grows.run.vms[0].lost);
  EXPECT_EQ(grows.run.vms[0].lost->why,
            "its memory_max of 2 MiB is reached, and its swap_max of 3 MiB: the out-of-memory killer took it");
  EXPECT_LE(grows.in_memory, pages_of(2_MiB));
  EXPECT_LE(grows.outside, pages_of(3_MiB));
}

class SwapMax : public ::testing::TestWithParam<std::string_view> {};

// The host has less than its machines want, so that it pages: what may not leave stays, and another machine's goes.
TEST_P(SwapMax, IsAllThatAMachineHasOutsideMemory) {
  const auto text = [](std::string_view limits) {
    return host("10MiB", "32MiB") + machine("m", "5MiB", fmt::format("{}\n{}", GetParam(), limits)) +
           machine("other", "4MiB", "") + machine("third", "4MiB", "");
  };
  const Watched free = watch(text(""));
  ASSERT_GT(free.outside, 400_pages) << "the host pages the machine";
  for (const std::string_view most : {"0B", "1MiB"}) {
    const Watched limited = watch(text(fmt::format("limits = {{ swap_max = '{}' }}", most)));
    EXPECT_LE(limited.outside, most == "0B" ? 0_pages : pages_of(1_MiB)) << most;
    EXPECT_TRUE(limited.run.incidents.empty()) << most;
    EXPECT_GT(limited.run.counters.page_file_pages_written, 0U) << most;
  }
}

// A Windows guest's cold hints would have pages leave.
INSTANTIATE_TEST_SUITE_P(Guests, SwapMax, ::testing::Values("guest = 'plain'", "guest = 'windows'"),
                         [](const auto& guest) {
                           return std::string(guest.param == "guest = 'plain'" ? "Plain" : "Windows");
                         });

TEST(MemoryLimits, WhatTheHostCannotKeepAnotherMachineGoesFor) {
  const Watched watched = watch(host("10MiB", "32MiB") + machine("m", "5MiB", "limits = { swap_max = '0B' }") +
                                machine("other", "6MiB", "limits = { swap_max = '0B', oom_adjust = 500 }"));
  EXPECT_FALSE(watched.run.vms[0].lost);
  EXPECT_TRUE(watched.run.vms[1].lost);
  EXPECT_EQ(watched.outside, 0_pages);
}

TEST(MemoryLimits, HoldInMachinesOfEveryKind) {
  for (const std::string_view kind :
       {"mmu = 'shadow'", "mmu = 'paravirtual'", "refill = 'software'", "processors = 3", "fault_cluster = '2MiB'",
        "guest = 'plain'\nballoon = { target = '4MiB', report_free = true }"}) {
    const Watched watched =
        watch(host("32MiB", "32MiB") +
              machine("m", "5MiB", fmt::format("{}\nlimits = {{ memory_max = '2MiB', swap_max = '6MiB' }}", kind)));
    EXPECT_LE(watched.in_memory, pages_of(2_MiB)) << kind;
    EXPECT_LE(watched.outside, pages_of(6_MiB)) << kind;
    EXPECT_FALSE(watched.run.vms[0].lost) << kind;
  }
}

TEST(MemoryLimits, AreNotAnotherPolicys) {
  const std::string text = host("32MiB", "32MiB") + machine("m", "6MiB", "limits = { memory_max = '2MiB' }");
  Scenario scenario = parsed(text);
  scenario.policy->name = "pagoda";  // As `pagoda run --policy pagoda` does.
  auto run = run_scenario(scenario, {.verify = true});
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_GT(run->vms[0].peak_working_set, pages_of(2_MiB));
}

// docs/scenarios.md, "[vm.limits]".
TEST(MemoryLimits, TheExampleInTheDocsDoesWhatItSays) {
  std::ifstream file(std::string(PAGODA_SOURCE_DIR) + "/docs/scenarios.md");
  const std::string docs{std::istreambuf_iterator<char>(file), {}};
  const std::size_t begin = docs.find("```toml\n", docs.find("## `[vm.limits]`")) + 8;
  const RunResult run = CheckedRun(docs.substr(begin, docs.find("```", begin) - begin)).go();
  ASSERT_EQ(run.vms.size(), 2U);
  EXPECT_FALSE(run.vms[0].lost);
  EXPECT_NE(run.processes[0].finished, kNever);
  ASSERT_TRUE(run.vms[1].lost);
  EXPECT_THAT(run.vms[1].lost->why, HasSubstr("its memory_max of 2 MiB is reached, and its swap_max of 1 MiB"));
}

TEST(MemoryLimits, ARunIsTheSameTwice) {
  const std::string text =
      host("10MiB", "32MiB") + machine("m", "5MiB", "limits = { memory_max = '3MiB', swap_max = '6MiB' }");
  EXPECT_EQ(watch(text).run.state_hash, watch(text).run.state_hash);
}

}  // namespace
}  // namespace pagoda::sim::testing
