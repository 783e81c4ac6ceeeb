// Whole simulations with trouble: memory refused, disks that fail, wrong contents.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "tests/checked_run.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Simulation, RefusedCommitIsAnIncidentAndOthersGoOn) {
  CheckedRun run(scenario_text({}, process("greedy", "kind = 'uniform', memory = '64MiB', operations = 100") + kThree));
  const RunResult& result = run.go();
  ASSERT_EQ(result.incidents.size(), 1U);
  EXPECT_THAT(lines(result.incidents)[0], AllOf(StartsWith("t=0 ns, host: greedy: its memory was refused"),
                                                HasSubstr("STATUS_COMMITMENT_LIMIT"), HasSubstr("64 MiB")));
  EXPECT_EQ(result.processes[0].operations, 0U);
  EXPECT_EQ(result.processes[0].finished, kNever);
  EXPECT_GT(result.counters.commit_refusals, 0U);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(result.processes[i].operations, 6000U);
}

TEST(Simulation, WithoutAPagingFileWhatFitsRuns) {
  CheckedRun run(
      scenario_text({.rest = ""}, process("fits", "kind = 'uniform', memory = '512KiB', operations = 3000") +
                                      process("not", "kind = 'uniform', memory = '1MiB', operations = 3000")));
  const RunResult& result = run.go();
  EXPECT_EQ(result.processes[0].operations, 3000U);
  EXPECT_THAT(lines(result.incidents), Contains(HasSubstr("STATUS_COMMITMENT_LIMIT")));
}

// Two paging files may grow to 4 MiB each, but their disk holds 5 MiB.
TEST(Simulation, DiskFullUnderAGrowingPagingFileRefusesCommitAndKeepsPromises) {
  const std::string text =
      "[host]\nmemory = '1MiB'\n[[disk]]\nname = 'd'\ncapacity = '5MiB'\nstore = 'memory'\n"
      "[[page_file]]\nname = 'one'\ndisk = 'd'\nminimum = '1MiB'\nmaximum = '4MiB'\n"
      "[[page_file]]\nname = 'two'\ndisk = 'd'\nminimum = '1MiB'\nmaximum = '4MiB'\n" +
      process("p", "kind = 'uniform', memory = '2MiB', operations = 6000, writes = 0.5",
              "copies = 4\nworking_set = { minimum = '64KiB' }");
  CheckedRun run(text);
  const RunResult& result = run.go();
  EXPECT_THAT(lines(result.incidents), Each(HasSubstr("STATUS_COMMITMENT_LIMIT")));
  EXPECT_EQ(result.incidents.size(), 2U);
  std::size_t finished = 0;
  for (const ProcessResult& process : result.processes) {
    if (process.operations == 0) continue;
    EXPECT_EQ(process.operations, 6000U);
    EXPECT_GT(process.loads_verified, 2000U);
    EXPECT_EQ(process.in_page_errors, 0U);
    ++finished;
  }
  EXPECT_EQ(finished, 2U);
  EXPECT_LE(result.disks[0].used, 5_MiB);
  EXPECT_EQ(result.page_files[0].size + result.page_files[1].size, 5_MiB);
  EXPECT_GT(result.page_files[0].peak_used, 0_pages);
}

TEST(Simulation, AFailingDiskLosesNothing) {
  for (const auto& [reads, writes] : {std::pair(0.05, 0.0), std::pair(0.0, 0.05), std::pair(0.1, 0.1)}) {
    for (const unsigned processors : {1U, 2U}) {
      const std::string disk = fmt::format("read_errors = {}\nwrite_errors = {}\n", reads, writes);
      CheckedRun run(scenario_text({.processors = processors, .disk = disk}, kThree));
      const RunResult& result = run.go();  // Fails if any load was not as stored.
      for (const ProcessResult& process : result.processes) {
        EXPECT_EQ(process.operations, 6000U);
        EXPECT_GT(process.loads_verified, 2000U);
      }
      EXPECT_EQ(result.counters.read_errors > 0, reads > 0);
      EXPECT_EQ(result.counters.write_errors > 0, writes > 0);
      EXPECT_EQ(result.disks[0].errors, result.counters.read_errors + result.counters.write_errors);
      EXPECT_EQ(fault_count(result, mm::FaultKind::kInPageError), in_page_errors(result));
      EXPECT_EQ(in_page_errors(result) > 0, reads > 0);
      EXPECT_EQ(result.incidents.empty(), reads == 0);
      EXPECT_THAT(lines(result.incidents), Each(AllOf(HasSubstr("STATUS_IN_PAGE_ERROR"), HasSubstr("va:0x"))));
    }
  }
}

TEST(Simulation, ADiskThatTakesNoWriteKeepsPagesInMemory) {
  // What is promised fits into memory, so that no process needs a write to go on.
  CheckedRun run(
      scenario_text({.memory = "2MiB", .disk = "write_errors = 1.0\n"},
                    process("p", "kind = 'zipf', memory = '512KiB', operations = 4000, writes = 0.5",
                            "copies = 2\nworking_set = { minimum = '64KiB', maximum = '128KiB', hard = true }")));
  const RunResult& result = run.go();
  for (const ProcessResult& process : result.processes) EXPECT_EQ(process.operations, 4000U);
  EXPECT_EQ(result.counters.page_file_pages_written, 0U);
  EXPECT_EQ(in_page_errors(result), 0U);
}

// Every disk operation of a short run fails once.
TEST(Simulation, AnyOneDiskOperationMayFail) {
  const std::string processes =
      process("a", "kind = 'zipf', memory = '1MiB', operations = 1500, writes = 0.5") +
      process("b", "kind = 'phases', memory = '768KiB', operations = 1500, window = '128KiB', phase_operations = 150");
  std::uint64_t count = 0;
  {
    CheckedRun clean(scenario_text({.processors = 2}, processes));
    clean.go();
    EXPECT_EQ(clean.result.disks[0].errors, 0U);
    count = clean.simulation->machine().sim_disk().injection().operations();
  }
  ASSERT_GT(count, 30U);
  ASSERT_LT(count, 300U);
  std::uint64_t told = 0;
  std::uint64_t read_errors = 0;
  std::uint64_t write_errors = 0;
  for (std::uint64_t nth = 1; nth <= count; ++nth) {
    SCOPED_TRACE(fmt::format("operation {} of {}", nth, count));
    const std::string disk = fmt::format("fail_operation = {}\n", nth);
    CheckedRun run(scenario_text({.processors = 2, .disk = disk}, processes));
    const RunResult& result = run.go();
    for (const ProcessResult& process : result.processes) EXPECT_EQ(process.operations, 1500U);
    EXPECT_EQ(result.counters.read_errors + result.counters.write_errors, 1U);
    EXPECT_EQ(result.disks[0].errors, 1U);
    // A write that fails is told to no process; a read that fails is told to the process that needed it.
    EXPECT_LE(in_page_errors(result), result.counters.read_errors);
    EXPECT_EQ(result.incidents.size(), in_page_errors(result));
    told += in_page_errors(result);
    read_errors += result.counters.read_errors;
    write_errors += result.counters.write_errors;
    if (HasFailure()) break;
  }
  EXPECT_GT(told, 0U);
  EXPECT_GT(read_errors, 0U);
  EXPECT_GT(write_errors, 0U);
}

TEST(Simulation, WrongContentsAreFoundWithTheirHistory) {
  CheckedRun run(scenario_text({}, process("liar",
                                           "kind = 'uniform', memory = '512KiB', operations = 60000, references = "
                                           "60000, writes = 0.1")));
  Pfn corrupted = kNoPfn;
  run.on_progress = [&](Simulation& simulation) {
    if (corrupted != kNoPfn) return;
    const mm::PfnDatabase& pfns = simulation.manager().core().pfns;
    for (Pfn frame(1); frame.value() < 256; ++frame) {
      const mm::PfnEntry& entry = pfns.entry(frame);
      if (entry.state != mm::PageState::kActive || entry.page_table != 0) continue;
      corrupted = frame;
      const auto view = simulation.machine().memory().view().bytes(frame, machine::Access::kWrite);
      for (std::byte& byte : view.bytes()) byte ^= std::byte{0x5A};
      return;
    }
  };
  const auto result = run.simulation->run();
  ASSERT_NE(corrupted, kNoPfn);
  ASSERT_FALSE(result);
  const std::string& text = result.error().message;
  ASSERT_THAT(text, AllOf(StartsWith("wrong contents: liar: va:0x"), HasSubstr("loaded 0x"), HasSubstr("stored was 0x"),
                          HasSubstr("(operation ")));
  const auto value = [&](std::string_view after) {
    return std::stoull(text.substr(text.find(after) + after.size(), 18), nullptr, 16);
  };
  EXPECT_EQ(value("loaded ") ^ value("stored was "), 0x5A5A5A5A5A5A5A5AU);
  // The history: a line an event, with its time and the frame.
  const auto lines = std::ranges::count(text, '\n');
  EXPECT_GE(lines, 2);
  EXPECT_THAT(text, AllOf(HasSubstr("demand zero"), HasSubstr("t="), HasSubstr("PTE before 0x"),
                          HasSubstr(to_string(corrupted))));
}

TEST(Simulation, WithoutVerifyWrongContentsAreNotLookedAt) {
  CheckedRun run(scenario_text({}, process("liar",
                                           "kind = 'uniform', memory = '512KiB', operations = 3000, references = "
                                           "60000, writes = 0.1")),
                 {.verify = false});
  EXPECT_EQ(run.go().processes[0].operations, 3000U);
}

TEST(Simulation, HistoryOutlivesARunThatIsCutShort) {
  // Spaces are left when the simulation is destroyed, and with --verify its history listens to events of pages.
  CheckedRun run(scenario_text({}, "[run]\nuntil = '1ms'\n" + kThree));
  run.go();
  run.simulation.reset();
}

TEST(Simulation, AHostThatCannotBeHadIsOneLine) {
  Scenario scenario = parsed(scenario_text({}, kThree));
  scenario.machine.frames = 63_pages;  // Below what a scenario file may ask for.
  const auto simulation = Simulation::create(scenario, {});
  ASSERT_FALSE(simulation);
  EXPECT_THAT(simulation.error().message, AllOf(HasSubstr("test.toml: the host does not start"),
                                                HasSubstr("STATUS_INSUFFICIENT_RESOURCES"), Not(HasSubstr("\n"))));
}

}  // namespace
}  // namespace pagoda::sim::testing
