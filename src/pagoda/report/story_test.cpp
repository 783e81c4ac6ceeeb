#include "pagoda/report/story.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pagoda/report/testing/sample_run.h"
#include "pagoda/report/testing/variant_runs.h"

namespace pagoda::report {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

sim::ProcessResult process(const char* name, PageCount footprint, Duration cpu, Duration wait, Time finished) {
  sim::ProcessResult result;
  result.name = name;
  result.footprint = footprint;
  result.cpu_time = cpu;
  result.wait_time = wait;
  result.finished = finished;
  return result;
}

sim::RunResult run_of(std::vector<sim::ProcessResult> processes) {
  sim::RunResult run;
  run.scenario = "a.toml";
  run.memory = 4_MiB;  // 1,024 frames.
  run.end = Time(10'000'000'000);
  run.processes = std::move(processes);
  return run;
}

const Time kAtTheEnd(10'000'000'000);

TEST(Story, AnOvercommittedHost) {
  sim::RunResult run =
      run_of({process("sort", 1536_pages, 2_s, 6_s, kAtTheEnd), process("idle", 512_pages, 2_s, 0_s, kNever)});
  testing::count_of(run.counters.faults, mm::FaultKind::kDemandZero) = 2048;
  testing::count_of(run.counters.faults, mm::FaultKind::kPageFile) = 512;
  run.counters.page_file_pages_read = 1600;
  run.counters.page_file_pages_written = 900;
  const Story story = tell(run);
  EXPECT_EQ(
      story.size,
      "Two programs touched 2,048 pages (8 MiB) in all on a host with 1,024 frames (4 MiB): 2.00 times what it has.");
  EXPECT_EQ(story.faults,
            "512 of 2,560 page faults (20%) were hard, which means that they had to wait for a disk; 1,600 pages came "
            "back from the "
            "page files and 900 were written to them.");
  EXPECT_EQ(story.waiting,
            "The programs computed for 4 s and waited 6 s for disks or memory, 60% of their time; sort suffered most "
            "and waited 75% of "
            "its time; idle had not finished when the run was ended at 10 s.");
}

TEST(Story, VirtualMachinesAndWhatWasPagedTwice) {
  sim::RunResult run = run_of({process("sort", 1536_pages, 2_s, 6_s, kAtTheEnd)});
  EXPECT_EQ(tell(run).guests, "");
  EXPECT_EQ(tell(run).sentences().size(), 3U);
  run.processes[0].vm = "files";
  run.vms.resize(2);
  for (sim::VmResult& vm : run.vms) {
    vm.promised = 3_MiB;
    vm.end.memory = {.active = 200_pages,
                     .modified = 40_pages,
                     .standby = 16_pages,
                     .compressed = 128_pages,
                     .page_file = 64_pages,
                     .nothing = 320_pages};
  }
  EXPECT_EQ(
      tell(run).guests,
      "Two virtual machines were promised 6 MiB, 1.50 times what the host has; at the end the host had 2 MiB of it "
      "in memory, 1 MiB compressed and 512 KiB in page files.");
  EXPECT_THAT(tell(run).waiting, HasSubstr("it finished"));
  std::vector<sim::Sample> before = run.samples;
  run.samples.emplace_back();
  run.samples.back().shared_saved = 32_pages;
  run.samples.back().template_saved = 96_pages;
  EXPECT_THAT(tell(run).guests, EndsWith("; equal pages that they share saved 128 KiB at the end; templates, of which "
                                         "the host keeps one copy, saved 384 KiB."));
  run.samples = std::move(before);
  run.vms[0].counters.page_file_pages_written = 500;
  EXPECT_THAT(tell(run).guests, EndsWith("; none of 500 pages that guests paged out had been paged out by the host."));
  run.vms[1].end.counters.double_paged = 120;
  EXPECT_THAT(tell(run).guests,
              EndsWith("; of 500 pages that guests paged out the host had paged out 120 before, at the "
                       "price of 240 transfers."));
  run.baseline = sim::Baseline{.scenario = "b.toml", .title = "uncured", .end = {}, .double_paged = 480};
  EXPECT_THAT(tell(run).guests,
              EndsWith("; that is 75% fewer than the 480 of \"uncured\", which saves 720 transfers."));
  run.baseline->double_paged = 60;
  EXPECT_THAT(tell(run).guests, EndsWith("; that is 100% more than the 60 of \"uncured\"."));
  run.baseline->double_paged = 120;
  EXPECT_THAT(tell(run).guests, EndsWith("; that is as many as in \"uncured\"."));
  run.baseline->double_paged = 0;
  EXPECT_THAT(tell(run).guests, EndsWith("; there were none in \"uncured\"."));
}

TEST(Story, SentencesSayWhoseTheyAre) {
  sim::RunResult run =
      run_of({process("own", 100_pages, 1_s, 0_s, kAtTheEnd), process("inside", 100_pages, 1_s, 1_s, kAtTheEnd)});
  testing::count_of(run.counters.faults, mm::FaultKind::kDemandZero) = 30;
  testing::count_of(run.counters.faults, mm::FaultKind::kPageFile) = 10;
  run.counters.page_file_pages_read = 11;
  run.vms.resize(2);
  run.vms[0].name = "a";
  run.processes[1].vm = "a";
  for (sim::VmResult& vm : run.vms) {
    testing::count_of(vm.counters.faults, mm::FaultKind::kDemandZero) = 100;
    vm.counters.page_file_pages_written = 7;
  }
  const Story story = tell(run);
  EXPECT_THAT(story.size, StartsWith("Two programs, 1 of them in guests, touched 200 pages"));
  EXPECT_EQ(story.faults,
            "On the host 10 of 40 page faults (25%) were hard, which means that they had to wait for a disk; 11 pages "
            "came back from the page files. In the guests all 200 page faults were soft: none needed a read from a "
            "disk; 14 pages went to the page files and none came back.");
  EXPECT_THAT(story.waiting, StartsWith("The programs, on the host and in guests, computed for 2 s and waited 1 s"));
  run.processes[0].vm = "a";
  EXPECT_THAT(tell(run).size, StartsWith("Two programs in guests touched"));
  run.processes[0].vm = run.processes[1].vm = "";
  EXPECT_THAT(tell(run).size, StartsWith("Two programs on the host itself touched"));
}

TEST(Story, SizesAgainstTheHost) {
  const auto size = [](PageCount footprint) {
    return tell(run_of({process("p", footprint, 1_s, 0_s, kAtTheEnd)})).size;
  };
  EXPECT_EQ(size(0_pages), "One program ran and touched no memory of a host with 1,024 frames (4 MiB).");
  EXPECT_EQ(size(1_pages),
            "One program touched 1 page (4 KiB) on a host with 1,024 frames (4 MiB): under 0.1% of what it has.");
  EXPECT_THAT(size(512_pages), EndsWith(": 50% of what it has."));
  EXPECT_THAT(size(1024_pages), EndsWith(": exactly as much as it has."));
  EXPECT_THAT(size(1025_pages), EndsWith(": slightly more than 1 time what it has."));
  EXPECT_THAT(size(1127_pages), EndsWith(": 1.10 times what it has."));
  EXPECT_THAT(size(12800_pages), EndsWith(": 12.5 times what it has."));
}

TEST(Story, NoProcesses) {
  const Story story = tell(run_of({}));
  EXPECT_EQ(story.size, "No program ran on this host of 1,024 frames (4 MiB).");
  EXPECT_EQ(story.faults, "Not one access faulted.");
  EXPECT_EQ(story.waiting, "The run ended after 10 s of virtual time.");
}

TEST(Story, NoHardFaults) {
  sim::RunResult run = run_of(
      {process("a", 1_pages, 1_s, 0_s, Time(3'000'000'000)), process("b", 1_pages, 1_s, 0_s, Time(4'000'000'000))});
  testing::count_of(run.counters.faults, mm::FaultKind::kDemandZero) = 2000;
  EXPECT_EQ(tell(run).faults,
            "All 2,000 page faults were soft: none needed a read from a disk; the page files were not used.");
  EXPECT_EQ(tell(run).waiting,
            "The programs computed for 2 s and never waited for a disk or for memory; all of them finished, the last "
            "after 4 s of "
            "virtual time.");
  run.counters.page_file_pages_written = 1;
  EXPECT_THAT(tell(run).faults, EndsWith("; 1 page went to the page files and none came back."));
}

TEST(Story, SingleFaults) {
  sim::RunResult run = run_of({});
  testing::count_of(run.counters.faults, mm::FaultKind::kGuard) = 1;
  EXPECT_THAT(tell(run).faults, HasSubstr("The one page fault was soft"));
  testing::count_of(run.counters.faults, mm::FaultKind::kPageFile) = 1;
  EXPECT_THAT(tell(run).faults, HasSubstr("One of 2 page faults was hard"));
  testing::count_of(run.counters.faults, mm::FaultKind::kGuard) = 0;
  EXPECT_THAT(tell(run).faults, HasSubstr("The one page fault was hard"));
  testing::count_of(run.counters.faults, mm::FaultKind::kPageFile) = 2;
  EXPECT_THAT(tell(run).faults, HasSubstr("All 2 page faults were hard"));
}

TEST(Story, ErrorsAreTold) {
  sim::RunResult run = run_of({process("a", 1_pages, 1_s, 1_s, kAtTheEnd)});
  testing::count_of(run.counters.faults, mm::FaultKind::kInPageError) = 3;
  testing::count_of(run.counters.faults, mm::FaultKind::kAccessViolation) = 1;
  run.counters.read_errors = 3;
  run.counters.write_errors = 1;
  run.counters.commit_refusals = 2;
  EXPECT_THAT(
      tell(run).faults,
      AllOf(HasSubstr("3 reads and 1 write failed on a disk"), HasSubstr("3 accesses ended in an in-page error"),
            HasSubstr("1 access ended in an access violation"), HasSubstr("memory was refused 2 times")));
}

TEST(Story, NobodySuffersMostWhenAllAreAlike) {
  const sim::RunResult run =
      run_of({process("a", 1_pages, 100_ms, 70_ms, kAtTheEnd), process("b", 1_pages, 100_ms, 72_ms, kAtTheEnd)});
  EXPECT_THAT(tell(run).waiting, AllOf(HasSubstr("no program stands out, the shares lie between 41.2% and 41.9%"),
                                       Not(HasSubstr("suffered"))));
}

TEST(Story, OneProgramIsNotComparedWithItself) {
  EXPECT_EQ(tell(run_of({process("a", 1_pages, 1_s, 3_s, kNever)})).waiting,
            "The program computed for 1 s and waited 3 s for disks or memory, 75% of its time; it had not finished "
            "when the run was ended "
            "at 10 s.");
  EXPECT_EQ(tell(run_of({process("a", 1_pages, 0_s, 0_s, kAtTheEnd)})).waiting,
            "The program spent no time at all; it finished after 10 s of virtual time.");
}

TEST(Story, ManyUnfinishedProgramsAreCounted) {
  std::vector<sim::ProcessResult> processes(6, process("a", 1_pages, 1_s, 0_s, kNever));
  EXPECT_THAT(tell(run_of(processes)).waiting, HasSubstr("none of them had finished when"));
  processes[0].finished = Time(1);
  EXPECT_THAT(tell(run_of(processes)).waiting, HasSubstr("5 of them had not finished when"));
}

TEST(Story, TheCommandRepeatsTheRun) {
  sim::RunResult run = run_of({});
  run.seed = 7;
  EXPECT_EQ(command_to_repeat(run), "pagoda run a.toml --seed 7");
  run.scenario = "my host.toml";
  run.verified = true;
  EXPECT_EQ(command_to_repeat(run), "pagoda run 'my host.toml' --seed 7 --verify");
}

TEST(Story, SharedPagesAreSaidToBeCountedForEach) {
  const Story story = tell(testing::sharing_run());
  EXPECT_THAT(story.size, HasSubstr(" in all, shared ones counted for each, on a host"));
  EXPECT_THAT(story.faults, HasSubstr("299 pages came from mapped files"));
  EXPECT_THAT(tell(testing::roomy_run()).size, HasSubstr(" in all on a host"));
}

}  // namespace
}  // namespace pagoda::report
