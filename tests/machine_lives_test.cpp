// Virtual machines that start and stop while the host runs.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "tests/checked_run.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string host(std::string_view memory, unsigned processors, const std::string& machines) {
  return fmt::format(
      "[host]\nmemory = '{}'\nprocessors = {}\n[[disk]]\nname = 'd'\ncapacity = '256MiB'\nstore = 'memory'\n"
      "[[page_file]]\ndisk = 'd'\nminimum = '16MiB'\n{}[run]\nuntil = '200ms'\n",
      memory, processors, machines);
}

// Uses 1 MiB for as long as the run goes on.
std::string machine(std::string_view name, std::string_view keys, std::string_view memory = "4MiB") {
  return fmt::format(
      "[[vm]]\nname = '{}'\nmemory = '{}'\n{}\n[[vm.disk]]\nname = 'vd'\ncapacity = '16MiB'\nstore = 'memory'\n"
      "[[vm.page_file]]\ndisk = 'vd'\nminimum = '2MiB'\n[[vm.process]]\nname = 'p'\nprogram = {{ kind = 'demand', "
      "length = '1s', period = '10ms', steps = [ {{ at = '0s', used = '1MiB', active = '256KiB' }} ] }}\n",
      name, memory, keys);
}

const Sample& at(const RunResult& run, Duration time) {
  return *std::ranges::find_if(run.samples, [&](const Sample& sample) { return sample.time >= Time{} + time; });
}

TEST(MachineLives, AMachineRunsFromItsStartToItsStop) {
  for (const unsigned processors : {1U, 2U}) {
    CheckedRun run(host("16MiB", processors, machine("a", "") + machine("b", "start = '50ms'\nstop = '120ms'")));
    const RunResult& result = run.go();
    EXPECT_THAT(lines(result.incidents), IsEmpty());
    ASSERT_EQ(result.vms.size(), 2U);
    const VmResult& b = result.vms[1];
    EXPECT_EQ(b.started, Time{} + 50_ms);
    EXPECT_GE(b.ended, Time{} + 120_ms);
    EXPECT_LT(b.ended, Time{} + 121_ms);
    EXPECT_EQ(result.vms[0].started, Time{});
    EXPECT_EQ(result.vms[0].ended, kNever);
    // In between it has memory, and not before or after; what it did stays told.
    const auto memory = [&](Duration time) { return at(result, time).vms[1].memory.in_memory(); };
    EXPECT_EQ(memory(49_ms), 0_pages);
    EXPECT_GT(memory(100_ms), pages_of(1_MiB));
    EXPECT_EQ(memory(150_ms), 0_pages);
    EXPECT_EQ(at(result, 49_ms).processes[1].working_set, 0_pages);
    EXPECT_EQ(at(result, 100_ms).processes[1].working_set, pages_of(1_MiB));
    EXPECT_EQ(at(result, 150_ms).processes[1].working_set, 0_pages);
    EXPECT_GT(result.processes[1].operations, 256U);
    EXPECT_EQ(result.processes[1].finished, kNever);
    EXPECT_GT(b.end.counters.dispatches, 0U);
    EXPECT_GT(b.busy, 0_ns);
    // The host has everything back.
    const auto free = [&](Duration time) {
      const FrameCensus& frames = at(result, time).frames;
      return frames.free + frames.zeroed;
    };
    EXPECT_GE(free(150_ms) + 64_pages, free(49_ms));
    EXPECT_LT(free(100_ms) + 256_pages, free(49_ms));
  }
}

TEST(MachineLives, TheSameSeedIsTheSameRun) {
  const std::string text =
      host("8MiB", 2, machine("a", "copies = 4\nevery = '20ms'\nstop = '100ms'") + machine("b", "start = '1ms'"));
  CheckedRun first(text);
  CheckedRun second(text);
  EXPECT_EQ(first.go().state_hash, second.go().state_hash);
}

TEST(MachineLives, CopiesStartAndStopOneAfterTheOther) {
  CheckedRun run(host("32MiB", 2, machine("a", "copies = 3\nevery = '20ms'\nstart = '10ms'\nstop = '100ms'")));
  const RunResult& result = run.go();
  ASSERT_EQ(result.vms.size(), 3U);
  for (std::uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(result.vms[i].name, fmt::format("a-{}", i + 1));
    EXPECT_EQ(result.vms[i].started, Time{} + 10_ms + 20_ms * i);
    EXPECT_GE(result.vms[i].ended, Time{} + 100_ms + 20_ms * i);
    EXPECT_EQ(result.processes[i].vm, result.vms[i].name);
  }
}

// What the host has promised to one it cannot promise to another: later it can.
TEST(MachineLives, AMachineThatTheHostCannotPromiseItsMemoryIsAnIncidentAndNeverRuns) {
  CheckedRun run(host("16MiB", 1,
                      machine("a", "stop = '50ms'", "16MiB") + machine("b", "start = '20ms'", "16MiB") +
                          machine("c", "start = '60ms'", "16MiB")));
  const RunResult& result = run.go();
  ASSERT_EQ(result.incidents.size(), 1U);
  EXPECT_THAT(to_string(result.incidents[0]), HasSubstr("guest \"b\""));
  EXPECT_THAT(result.incidents[0].text, HasSubstr("STATUS_COMMITMENT_LIMIT"));
  EXPECT_EQ(result.vms[1].started, kNever);
  EXPECT_EQ(result.processes[1].operations, 0U);
  EXPECT_EQ(result.processes[1].finished, kNever);
  EXPECT_EQ(result.vms[2].started, Time{} + 60_ms);
  EXPECT_GT(result.processes[2].operations, 256U);
}

TEST(MachineLives, TheRunEndsWhenAllMachinesAreDone) {
  const std::string text = host("16MiB", 1, machine("a", "start = '10ms'\nstop = '30ms'"));
  CheckedRun run(text);
  EXPECT_LT(run.go().end, Time{} + 31_ms);
}

// Every read of the host's disk fails, so that it loses what it paged out of the guest.
TEST(MachineLives, WhatALostMachineHadIsTheHostsAgain) {
  CheckedRun run(
      "[host]\nmemory = '2MiB'\n[[disk]]\nname = 'd'\ncapacity = '256MiB'\nstore = 'memory'\nread_errors = 1.0\n"
      "[[page_file]]\ndisk = 'd'\nminimum = '64MiB'\n" +
      process("p", "kind = 'demand', length = '15s', steps = [ { at = '0s', used = '64KiB', active = '0B' } ]") +
      process("q", "kind = 'sequential', memory = '64KiB', operations = 10", "start = '14s'") +
      "[[vm]]\nname = 'v'\nmemory = '2MiB'\n[[vm.disk]]\nname = 'vd'\ncapacity = '64MiB'\nstore = 'memory'\n"
      "[[vm.page_file]]\ndisk = 'vd'\nminimum = '8MiB'\n[[vm.process]]\nname = 'stuck'\n"
      "program = { kind = 'uniform', memory = '4MiB', operations = 5000, writes = 1 }\n");
  const RunResult& result = run.go();
  ASSERT_TRUE(result.vms[0].lost);
  EXPECT_GE(result.vms[0].ended, result.vms[0].lost->time);
  EXPECT_LT(result.vms[0].ended, result.vms[0].lost->time + 1_ms);
  EXPECT_EQ(result.samples.back().vms[0].memory.in_memory(), 0_pages);
  const FrameCensus& frames = result.samples.back().frames;
  EXPECT_GT(frames.free + frames.zeroed, pages_of(1_MiB));
  EXPECT_GT(result.vms[0].waited, 10_s);
}

}  // namespace
}  // namespace pagoda::sim::testing
