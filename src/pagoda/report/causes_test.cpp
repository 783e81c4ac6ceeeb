#include "pagoda/report/causes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pagoda/report/story.h"
#include "pagoda/report/testing/sample_run.h"

namespace pagoda::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr PageCount kMaximum = 345_pages;

// A host of 64 MiB with two guests of 32 MiB; "app" in guest a is held at the default limit for ten moments, while half
// of guest b's memory lies idle.
sim::RunResult held_run() {
  sim::RunResult run;
  run.scenario = "a.toml";
  run.memory = 64_MiB;
  run.end = Time{} + 10_s;
  run.settings.balance_period = 1_s;
  sim::ProcessResult app;
  app.name = "app";
  app.vm = "a";
  app.footprint = 2000_pages;
  app.working_set_maximum = kMaximum;
  app.peak_working_set = 500_pages;  // While memory was plentiful, at first.
  app.cpu_time = 800_ms;
  app.wait_time = 9200_ms;
  app.finished = run.end;
  testing::count_of(app.faults, mm::FaultKind::kPageFile) = 5000;
  run.processes = {app};
  for (const char* name : {"a", "b"}) {
    sim::VmResult vm;
    vm.name = name;
    vm.promised = 32_MiB;
    vm.working_set_maximum = pages_of(32_MiB);
    vm.settings.balance_period = 1_s;
    run.vms.push_back(vm);
  }
  for (std::uint64_t at = 0; at < 10; ++at) {
    sim::Sample sample;
    sample.time = Time{} + 1_s * at;
    sample.processes.resize(1);
    sample.processes[0].working_set = at == 0 ? 500_pages : kMaximum - PageCount(at);
    sample.vms.resize(2);
    sample.vms[1].memory.active = 8000_pages;
    sample.vms[1].frames.unused = 6144_pages;
    run.samples.push_back(sample);
  }
  return run;
}

TEST(Causes, ALimitThatDecidedIsNamedWithWhatLayIdle) {
  EXPECT_THAT(tell_limits(held_run()),
              ElementsAre("a: app waited 92%: its working set was held at 1.35 MiB (default) while 24 MiB lay idle in "
                          "guest b."));
  EXPECT_THAT(tell(held_run()).sentences().back(), HasSubstr("held at 1.35 MiB"));
}

TEST(Causes, ALimitOfTheScenarioIsItsOwn) {
  sim::RunResult run = held_run();
  run.processes[0].limit_source = sim::LimitSource::kScenario;
  EXPECT_THAT(tell_limits(run), ElementsAre(HasSubstr("held at 1.35 MiB (by the scenario) while")));
}

TEST(Causes, IdleMemoryOfTheHostCountsAndLittleOfItDoesNot) {
  sim::RunResult run = held_run();
  for (sim::Sample& sample : run.samples) {
    sample.frames.free = 4000_pages;
    sample.frames.zeroed = 4192_pages;
  }
  EXPECT_THAT(tell_limits(run), ElementsAre(HasSubstr("while 32 MiB lay idle on the host.")));
  for (sim::Sample& sample : run.samples) {
    sample.frames.free = {};
    sample.frames.zeroed = 100_pages;
    sample.vms[1].frames.unused = {};
  }
  EXPECT_THAT(tell_limits(run), ElementsAre("a: app waited 92%: its working set was held at 1.35 MiB (default)."));
  // Memory that the guest does not use and the host does not have either lies nowhere.
  for (sim::Sample& sample : run.samples) {
    sample.vms[1].memory.active = {};
    sample.vms[1].frames.unused = 6144_pages;
  }
  EXPECT_THAT(tell_limits(run), ElementsAre(HasSubstr("(default).")));
}

TEST(Causes, WhoIsNotHeldOrDoesNotWaitIsNotTold) {
  for (const int change : {0, 1, 2, 3}) {
    sim::RunResult run = held_run();
    sim::ProcessResult& app = run.processes[0];
    if (change == 0) app.wait_time = 10_ms;
    if (change == 1) app.footprint = 300_pages;
    if (change == 2) app.faults = {};
    if (change == 3)
      for (sim::Sample& sample : run.samples) sample.processes[0].working_set = 100_pages;
    EXPECT_THAT(tell_limits(run), IsEmpty()) << change;
  }
}

TEST(Causes, OfManyThatAreHeldTheWorstAreTold) {
  sim::RunResult run = held_run();
  for (std::uint64_t copy = 1; copy < 6; ++copy) {
    run.processes.push_back(run.processes[0]);
    run.processes.back().name = "app" + std::to_string(copy);
    run.processes.back().wait_time -= 1_s * copy;
    for (sim::Sample& sample : run.samples) sample.processes.push_back(sample.processes[0]);
  }
  EXPECT_THAT(tell_limits(run),
              ElementsAre(StartsWith("a: app waited"), StartsWith("a: app1 waited"), StartsWith("a: app2 waited"),
                          "3 more were held at such a limit and waited less."));
}

TEST(Causes, AVirtualMachineIsHeldByTheLimitOfItsHostProcess) {
  sim::RunResult run = held_run();
  run.processes.clear();
  run.vms[0].busy = 1_s;
  run.vms[0].waited = 3_s;
  run.vms[0].working_set_maximum = pages_of(8_MiB);
  run.vms[0].limit_source = sim::LimitSource::kScenario;
  for (sim::Sample& sample : run.samples) sample.vms[0].memory.active = 2000_pages;
  EXPECT_THAT(tell_limits(run), ElementsAre("Virtual machine a waited 75% for its host: its working set was held at 8 "
                                            "MiB (by the scenario) while 24 MiB lay idle in guest b."));
}

TEST(Causes, AMachineThatWasLostIsTheFirstSentence) {
  sim::RunResult run = held_run();
  EXPECT_THAT(tell_losses(run), IsEmpty());
  run.vms[1].lost =
      sim::VmLoss{.time = Time{} + 10'300_ms, .why = "the host cannot bring in guest memory: STATUS_COMMITMENT_LIMIT"};
  run.vms[1].waited = 10_s;
  EXPECT_EQ(tell(run).sentences().front(),
            "Virtual machine b was lost at 10.3 s: the host cannot bring in guest memory: STATUS_COMMITMENT_LIMIT; it "
            "had waited 10 s for its host.");
}

TEST(Causes, ProgramsOfALostMachineDidNotJustNotFinish) {
  sim::RunResult run = held_run();
  run.processes.push_back(run.processes[0]);
  run.processes.back().vm = "b";
  run.processes.back().finished = kNever;
  run.vms[1].lost = sim::VmLoss{.time = run.end, .why = "because"};
  EXPECT_THAT(
      tell(run).waiting,
      HasSubstr("; b: app was lost with its machine; the others finished, the last after 10 s of virtual time."));
}

TEST(Causes, PeriodsThatDoNotFit) {
  sim::RunResult run = held_run();
  EXPECT_THAT(tell_time_constants(run), IsEmpty());
  run.counters.page_file_pages_read = 100;
  EXPECT_THAT(tell_time_constants(run), IsEmpty());
  run.settings.balance_period = 20_s;
  EXPECT_THAT(tell_time_constants(run),
              ElementsAre("The run took 10 s, less than the period of the balance set manager of the host (20 s): no "
                          "page got old; set memory_manager.balance_period lower."));
  run.vms[1].settings.balance_period = 30_s;
  run.vms[1].counters.pages_replaced = 1;
  EXPECT_THAT(tell_time_constants(run), ElementsAre(HasSubstr("of the host (20 s) and guest b (30 s): no page")));
  run.vms[1].counters = {};
  run.settings.balance_period = 1_s;
  run.vms[0].counters.page_file_pages_read = 8192 * 100;  // 100 times the guest's memory in 10 s.
  EXPECT_THAT(tell_time_constants(run), ElementsAre(HasSubstr("Between two looks of the balance set manager of guest a "
                                                              "(1 s) its programs brought in 10 times its memory")));
}

TEST(Causes, AStoreThatDidNothingSaysWhy) {
  sim::RunResult run = held_run();
  EXPECT_THAT(tell_without_effect(run), IsEmpty());
  run.settings.compression_store = pages_of(4_MiB);
  EXPECT_THAT(tell_without_effect(run), ElementsAre("The compression store of the host (4 MiB) did nothing: no page "
                                                    "with contents had to leave memory."));
  run.counters.pages_incompressible = 5000;
  EXPECT_THAT(tell_without_effect(run), ElementsAre(HasSubstr("did nothing: none of 5,000 pages that it was given "
                                                              "became small enough")));
  run.counters.pages_compressed = 12;
  EXPECT_THAT(tell_without_effect(run),
              ElementsAre(HasSubstr("did next to nothing: only 12 of 5,012 pages that it was given")));
  run.counters.pages_compressed = 4000;
  EXPECT_THAT(tell_without_effect(run), ElementsAre(HasSubstr("did not help: none of its 4,000 pages")));
  run.counters.pages_decompressed = 1;
  EXPECT_THAT(tell_without_effect(run), IsEmpty());
  run.vms[1].settings.compression_store = 16_pages;
  EXPECT_THAT(tell_without_effect(run), ElementsAre(StartsWith("The compression store of guest b (64 KiB)")));
}

TEST(Causes, HintsThatDidNothingSayWhy) {
  sim::RunResult run = held_run();
  run.vms[0].hints = sim::VmHints{.period = 1_s};
  EXPECT_THAT(tell_without_effect(run),
              ElementsAre("The hints of guest a did nothing: it never had more memory that was used and is free again "
                          "than it keeps at hand."));
  run.vms[0].hints->period = 60_s;
  EXPECT_THAT(tell_without_effect(run), ElementsAre(HasSubstr("every 60 s, and the run took 10 s")));
  run.vms[0].hints->refused = 3;
  EXPECT_THAT(tell_without_effect(run), ElementsAre(HasSubstr("the host refused 3 calls")));
  run.vms[0].lost = sim::VmLoss{.time = run.end, .why = "because"};
  EXPECT_THAT(tell_without_effect(run), IsEmpty());
  run.vms[0].lost.reset();
  run.vms[0].end.counters.discarded_pages = 1;
  EXPECT_THAT(tell_without_effect(run), IsEmpty());
}

TEST(Causes, ACureThatCuredNothing) {
  sim::RunResult run = held_run();
  run.baseline = sim::Baseline{.scenario = "b.toml", .title = "uncured", .end = {}};
  EXPECT_THAT(tell_without_effect(run),
              ElementsAre(HasSubstr("What differs from \"uncured\" cured nothing: in neither")));
  run.baseline->double_paged = 7;
  run.vms[0].end.counters.double_paged = 7;
  EXPECT_THAT(tell_without_effect(run), ElementsAre(HasSubstr("cured nothing: 7 pages were paged twice in both")));
  run.vms[0].end.counters.double_paged = 3;
  EXPECT_THAT(tell_without_effect(run), IsEmpty());
}

}  // namespace
}  // namespace pagoda::report
