// The out-of-memory killer in whole runs: who asks, who goes, and that the others lose nothing.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/checked_run.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string machine(std::string_view name, std::string_view steps, std::string_view more = "") {
  return fmt::format(
      "[[vm]]\nname = '{}'\nmemory = '16MiB'\nbacking = 'deferred'\n{}\n"
      "[[vm.process]]\nname = 'p'\nprogram = {{ kind = 'demand', length = '20s', period = '4s', steps = [{}] }}\n",
      name, more, steps);
}

// A host of 10 MiB with 4 MiB to page out to, whose policy looks once in 1000 s: who asks for memory asks alone.
std::string scenario(std::string_view big, std::string_view small, std::string_view processors = "2") {
  return fmt::format(
             "[host]\nmemory = '10MiB'\nprocessors = {}\npolicy = {{ name = 'paging', period = '1000s' }}\n"
             "[[disk]]\nname = 'd'\ncapacity = '64MiB'\nstore = 'memory'\n"
             "[[page_file]]\ndisk = 'd'\nminimum = '4MiB'\nmaximum = '4MiB'\n",
             processors) +
         machine("big", "{ at = '0s', used = '8MiB', active = '1MiB' }", big) +
         machine("small",
                 "{ at = '0s', used = '2MiB', active = '1MiB' }, { at = '5s', used = '7MiB', active = '1MiB' }", small);
}

RunResult run_of(const std::string& text) { return CheckedRun(text).go(); }

class OutOfMemory : public ::testing::TestWithParam<std::string_view> {};

TEST_P(OutOfMemory, WhoFindsNoChargeGoesOnAndTheLargestGoes) {
  const RunResult run = run_of(scenario("", "", GetParam()));
  ASSERT_TRUE(run.vms[0].lost);
  EXPECT_FALSE(run.vms[1].lost);
  EXPECT_GE(run.vms[0].lost->time, Time{} + 5_s);
  EXPECT_NE(run.processes[1].finished, kNever) << "the touch went on";
  ASSERT_EQ(run.incidents.size(), 1U);
  EXPECT_EQ(run.incidents[0].vm, "big");
  EXPECT_THAT(run.incidents[0].text,
              AllOf(HasSubstr("it was lost: vm \"small\" touched memory that the host had nothing left for"),
                    HasSubstr("the out-of-memory killer took it"), Not(HasSubstr("adjusted"))));
}

// One processor of the host: the victim waits for it while the other asks.
INSTANTIATE_TEST_SUITE_P(Processors, OutOfMemory, ::testing::Values("1", "2", "4"));

TEST(OutOfMemory, WhoAsksGoesIfItHoldsMost) {
  const RunResult run = run_of(scenario("limits = { oom_adjust = -900 }", ""));
  EXPECT_FALSE(run.vms[0].lost);
  ASSERT_TRUE(run.vms[1].lost);
  EXPECT_NE(run.processes[0].finished, kNever);
  ASSERT_EQ(run.incidents.size(), 1U);
  EXPECT_THAT(run.incidents[0].text, HasSubstr("it was lost: it touched memory that the host had nothing left for"));
}

TEST(OutOfMemory, AnAdjustmentSaysWhoGoes) {
  const RunResult run = run_of(scenario("", "limits = { oom_adjust = 900 }"));
  EXPECT_FALSE(run.vms[0].lost);
  ASSERT_TRUE(run.vms[1].lost);
  EXPECT_THAT(run.vms[1].lost->why, HasSubstr("adjusted by 900 thousandths"));
}

TEST(OutOfMemory, WhereNobodyMayGoWhoAsksIsLostAsOnAnyHost) {
  const RunResult run = run_of(scenario("limits = { oom_adjust = -1000 }", "limits = { oom_adjust = -1000 }"));
  EXPECT_FALSE(run.vms[0].lost);
  ASSERT_TRUE(run.vms[1].lost);
  EXPECT_THAT(run.vms[1].lost->why, HasSubstr("STATUS_COMMITMENT_LIMIT"));
}

TEST(OutOfMemory, AnotherPolicyHasNoKiller) {
  std::string text = scenario("", "");
  text.replace(text.find("'paging'"), 8, "'none'");
  text.replace(text.find(", period = '1000s'"), 18, "");
  const RunResult run = run_of(text);
  EXPECT_FALSE(run.vms[0].lost);
  EXPECT_TRUE(run.vms[1].lost);
}

// Every way from the guest's addresses to the host's forgets what was the victim's.
TEST(OutOfMemory, TakesTheMemoryOfEveryKindOfMachine) {
  for (const std::string_view kind :
       {"mmu = 'nested'", "mmu = 'shadow'", "mmu = 'paravirtual'", "refill = 'software'", "processors = 4"}) {
    const RunResult run = run_of(scenario(fmt::format("{}\nguest = 'plain'\nballoon = {{}}", kind), ""));
    EXPECT_TRUE(run.vms[0].lost) << kind;
    EXPECT_NE(run.processes[1].finished, kNever) << kind;
  }
}

// Memory that was promised whole at the start is given back whole: nobody else need go.
TEST(OutOfMemory, AMachineWithoutDeferredBackingGoesToo) {
  std::string text = scenario("", "");
  text.replace(text.find("memory = '16MiB'\nbacking = 'deferred'"), 37, "memory = '9MiB'\nbacking = 'va'");
  text += machine("third", "{ at = '0s', used = '1MiB', active = '1MiB' }");
  const RunResult run = run_of(text);
  EXPECT_TRUE(run.vms[0].lost);
  EXPECT_FALSE(run.vms[1].lost || run.vms[2].lost);
  EXPECT_NE(run.processes[1].finished, kNever);
}

TEST(OutOfMemory, ARunIsTheSameTwice) {
  EXPECT_EQ(run_of(scenario("", "")).state_hash, run_of(scenario("", "")).state_hash);
}

}  // namespace
}  // namespace pagoda::sim::testing
