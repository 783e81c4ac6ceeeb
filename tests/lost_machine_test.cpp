// A virtual machine that its host cannot feed: when it is lost, who waits till then, and what is told of it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/checked_run.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::HasSubstr;

// A host that is too small, and whose disk fails every read: what it paged out of a guest is lost.
std::string losing(unsigned processors, const std::string& rest) {
  return fmt::format(
             "[host]\nmemory = '2MiB'\nprocessors = {0}\n[[disk]]\nname = 'd'\ncapacity = '256MiB'\nstore = 'memory'\n"
             "read_errors = 1.0\n[[page_file]]\ndisk = 'd'\nminimum = '64MiB'\n"
             "[[vm]]\nname = 'v'\nmemory = '2MiB'\nprocessors = {0}\n[[vm.disk]]\nname = 'vd'\ncapacity = '64MiB'\n"
             "store = 'memory'\n[[vm.page_file]]\ndisk = 'vd'\nminimum = '8MiB'\n",
             processors) +
         rest;
}

const std::string kStuck =
    "[[vm.process]]\nname = 'stuck'\nprogram = { kind = 'uniform', memory = '4MiB', operations = 5000, writes = 1 }\n";

TEST(LostMachine, AVirtualMachineThatTheHostLosesEndsAlone) {
  // Every read of the host's disk fails: what was paged out is lost.
  CheckedRun run(losing(1, kStuck + process("p", "kind = 'uniform', memory = '64KiB', operations = 2000")));
  const RunResult& result = run.go();
  ASSERT_FALSE(result.incidents.empty());
  const Incident& incident = result.incidents.back();
  EXPECT_EQ(incident.vm, "v");
  EXPECT_THAT(incident.text, HasSubstr("it was lost: the host cannot bring in guest memory"));
  EXPECT_EQ(result.processes[0].operations, 2000U);
  EXPECT_EQ(result.processes[1].finished, kNever);
}

// The host tries for a while before it gives a guest up: that time passes for everybody, and for the guest in waiting.
TEST(LostMachine, TheTimeOfAGuestThatIsLostIsInTheClockAndTheSamples) {
  for (const unsigned processors : {1U, 2U}) {
    SCOPED_TRACE(processors);
    CheckedRun run(losing(processors, kStuck + "[[vm.process]]\nname = 'later'\nstart = '1000s'\n"
                                               "program = { kind = 'uniform', memory = '64KiB', operations = 10 }\n"));
    const RunResult& result = run.go();
    ASSERT_TRUE(result.vms[0].lost);
    const Time lost = result.vms[0].lost->time;
    EXPECT_THAT(result.vms[0].lost->why, HasSubstr("the host cannot bring in guest memory"));
    EXPECT_GT(lost, Time{} + 10_s);
    EXPECT_EQ(result.incidents.back().time, lost);
    EXPECT_GE(result.end, lost);
    EXPECT_LT(result.end, lost + 1_ms);
    EXPECT_EQ(result.samples.back().time, result.end);
    // All but the first moments was waiting, and it grew with the time.
    const ProcessResult& stuck = result.processes[0];
    EXPECT_GT(stuck.wait_time, 10_s);
    EXPECT_LT(stuck.wait_time, lost - Time{});
    EXPECT_LT(stuck.cpu_time, 1_s);
    EXPECT_GT(result.vms[0].waited, 10_s);
    const Sample& middle = result.samples[result.samples.size() / 2];
    EXPECT_GT(middle.processes[0].wait_time, 0_ns);
    EXPECT_LE(middle.processes[0].wait_time, middle.time - Time{});
    EXPECT_GT(middle.vms[0].waited, 0_ns);
    EXPECT_LE(middle.vms[0].waited, (middle.time - Time{}) * processors);
  }
}

// The end of the run comes first: then the guest is still waiting, and not lost.
TEST(LostMachine, ARunThatEndsBeforeItsGuestIsLostCountsWhatItWaitedTillThen) {
  CheckedRun run("[run]\nuntil = '1s'\n" + losing(1, kStuck));
  const RunResult& result = run.go();
  EXPECT_FALSE(result.vms[0].lost);
  EXPECT_EQ(result.end, Time{} + 1_s);
  EXPECT_GT(result.vms[0].waited, 500_ms);
  EXPECT_LE(result.vms[0].waited, 1_s);
  for (const ProcessResult& process : result.processes) EXPECT_LE(process.wait_time, 1_s);
}

// Whatever it wants: its memory is promised at the first touch, and the host has promised all that it can.
TEST(LostMachine, AGuestThatTheHostMayNotPromiseMore) {
  CheckedRun run(
      "[host]\nmemory = '4MiB'\n[[vm]]\nname = 'v'\nmemory = '8MiB'\nbacking = 'deferred'\n[[vm.process]]\nname = 'p'\n"
      "program = { kind = 'sequential', memory = '6MiB', operations = 5000, writes = 1 }\n");
  const RunResult& result = run.go();
  ASSERT_TRUE(result.vms[0].lost);
  EXPECT_THAT(result.vms[0].lost->why, HasSubstr("STATUS_COMMITMENT_LIMIT"));
  EXPECT_GE(result.end, result.vms[0].lost->time);
  EXPECT_GT(result.processes[0].wait_time, 9_s);
}

}  // namespace
}  // namespace pagoda::sim::testing
