// Whole simulations of small scenarios: what must hold whatever happens; and what the shipped ones show.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/checked_run.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::IsEmpty;

TEST(Simulation, TheSameSeedIsTheSameRun) {
  for (const unsigned processors : {1U, 2U}) {
    const std::string text = scenario_text({.processors = processors}, kThree);
    CheckedRun first(text);
    CheckedRun second(text);
    EXPECT_EQ(first.go().state_hash, second.go().state_hash);
    EXPECT_EQ(first.result.end, second.result.end);
    EXPECT_EQ(first.result.samples.size(), second.result.samples.size());
    EXPECT_GT(fault_count(first.result, mm::FaultKind::kPageFile), 0U);

    CheckedRun third(text, {.verify = true, .seed = 99});
    EXPECT_NE(first.result.state_hash, third.go().state_hash);
    EXPECT_EQ(third.result.seed, 99U);
  }
}

TEST(Simulation, VerifyingChangesNothing) {
  const std::string text = scenario_text({}, kThree);
  CheckedRun with(text, {.verify = true});
  CheckedRun without(text, {.verify = false});
  EXPECT_EQ(with.go().state_hash, without.go().state_hash);
  EXPECT_EQ(with.result.end, without.result.end);
  EXPECT_TRUE(with.result.verified);
  for (const ProcessResult& process : with.result.processes) EXPECT_GT(process.loads_verified, 2000U);
  for (const ProcessResult& process : without.result.processes) EXPECT_EQ(process.loads_verified, 0U);
}

TEST(Simulation, ProgramsReadTheSameBytesOnEveryMachine) {
  std::vector<std::uint64_t> expected;
  std::set<std::uint64_t> hashes;
  for (const char* paging : {"x86", "pae", "amd64"}) {
    for (const char* tlb : {"large", "realistic"}) {
      for (const char* refill : {"hardware", "software"}) {
        for (const unsigned processors : {1U, 2U}) {
          const auto where = fmt::format("{} {} {} {}", paging, tlb, refill, processors);
          CheckedRun run(
              scenario_text({.paging = paging, .tlb = tlb, .refill = refill, .processors = processors}, kThree));
          std::vector<std::uint64_t> checksums;
          for (const ProcessResult& process : run.go().processes) {
            EXPECT_EQ(process.operations, 6000U) << where;
            checksums.push_back(process.checksum);
          }
          if (expected.empty()) expected = checksums;
          EXPECT_EQ(checksums, expected) << where;
          EXPECT_THAT(run.result.incidents, IsEmpty()) << where;
          EXPECT_EQ(run.result.paging, paging);
          EXPECT_EQ(run.result.tlb, tlb);
          EXPECT_EQ(run.result.refill, refill);
          hashes.insert(run.result.state_hash);
        }
      }
    }
  }
  // Each took another way; that a TLB is smaller need not show where all of memory fits into it.
  EXPECT_GE(hashes.size(), 20U);
}

TEST(Simulation, EverySampleHasEveryFrameAndCountersOnlyGrow) {
  CheckedRun run(scenario_text({.processors = 2}, kThree));
  const RunResult& result = run.go();
  ASSERT_GE(result.samples.size(), 3U);
  EXPECT_EQ(result.samples.front().time, Time{});
  EXPECT_EQ(result.samples.back().time, result.end);
  for (std::size_t i = 0; i < result.samples.size(); ++i) {
    const Sample& sample = result.samples[i];
    EXPECT_EQ(sum(sample.frames), 256_pages) << i;
    EXPECT_LE(sample.commit_charge, sample.commit_limit);
    EXPECT_LE(sample.page_file_used, sample.page_file_size);
    ASSERT_EQ(sample.processes.size(), 3U);
    mm::FaultCounts faults{};
    PageCount resident;
    for (const ProcessSample& process : sample.processes) {
      resident += process.working_set;
      mm::add(faults, process.faults);
    }
    EXPECT_EQ(faults, sample.counters.faults) << i;
    EXPECT_EQ(resident, sample.frames.active_private) << i;
    if (i == 0) continue;
    EXPECT_GT(sample.time, result.samples[i - 1].time);
    const mm::Counters& now = sample.counters;
    const mm::Counters& before = result.samples[i - 1].counters;
    for (std::size_t kind = 0; kind < mm::kFaultKinds; ++kind) EXPECT_GE(now.faults[kind], before.faults[kind]) << kind;
    for (const auto& field : mm::kCounterFields) EXPECT_GE(now.*field.member, before.*field.member) << field.key;
  }
  for (std::size_t i = 2; i + 1 < result.samples.size(); ++i)
    EXPECT_EQ(result.samples[i].time - result.samples[i - 1].time, result.samples[1].time - result.samples[0].time);
}

TEST(Simulation, FiguresOfProcessesAddUp) {
  CheckedRun run(scenario_text({.processors = 2}, kThree));
  const RunResult& result = run.go();
  mm::FaultCounts faults{};
  for (const ProcessResult& process : result.processes) {
    EXPECT_EQ(process.operations, 6000U);
    EXPECT_EQ(process.references, 6'000'000U);
    EXPECT_NE(process.finished, kNever);
    EXPECT_LE(process.finished, result.end);
    EXPECT_LE(process.cpu_time + process.wait_time, process.finished - Time{});
    EXPECT_GT(process.peak_working_set, 0_pages);
    mm::add(faults, process.faults);
  }
  EXPECT_EQ(faults, result.counters.faults);
  EXPECT_EQ(result.processes[1].footprint, 128_pages);  // In order, so all of it.
  for (const ProcessorResult& processor : result.processors) {
    EXPECT_EQ(processor.busy + processor.idle, result.end - Time{});
    EXPECT_GT(processor.tlb_hits, 0U);
  }
  ASSERT_EQ(result.disks.size(), 1U);
  EXPECT_EQ(result.disks[0].reads, result.counters.page_file_reads);
  EXPECT_EQ(result.disks[0].writes, result.counters.page_file_writes);
  EXPECT_EQ(result.disks[0].bytes_read, bytes_of(PageCount(result.counters.page_file_pages_read)));
  ASSERT_EQ(result.page_files.size(), 1U);
  EXPECT_EQ(result.page_files[0].used, 0_pages);  // All programs have ended.
  EXPECT_GT(result.page_files[0].peak_used, 0_pages);
}

TEST(Simulation, NothingIsLeftOfProgramsThatEnded) {
  CheckedRun run(scenario_text({}, kThree));
  const Sample& last = run.go().samples.back();
  EXPECT_EQ(last.commit_charge, 0_pages);
  EXPECT_EQ(last.frames.active_private, 0_pages);
  EXPECT_EQ(last.frames.active_page_tables, 0_pages);
  EXPECT_EQ(last.page_file_used, 0_pages);
}

TEST(Simulation, MoreProcessesThanProcessorsTakeTurns) {
  CheckedRun run(scenario_text({.memory = "2MiB", .processors = 2},
                               process("p", "kind = 'zipf', memory = '64KiB', operations = 3000, references = 100000",
                                       "copies = 5\nworking_set = { minimum = '64KiB' }")));
  const RunResult& result = run.go();
  ASSERT_EQ(result.processes.size(), 5U);
  // Each computes for 100 ms: five turns of 20 ms. In turns, all end near the end of the run.
  for (const ProcessResult& process : result.processes) {
    EXPECT_EQ(process.operations, 3000U);
    EXPECT_GT(process.finished, Time{} + (result.end - Time{}) / 2) << process.name;
  }
  EXPECT_LT(result.end, Time{} + 300_ms);  // Half a second of computing on two processors.
  EXPECT_GT(result.end, Time{} + 250_ms);
}

TEST(Simulation, TwoProcessorsAreFasterThanOne) {
  const std::string two = process("p", "kind = 'uniform', memory = '128KiB', operations = 3000, references = 100000",
                                  "copies = 2\nworking_set = { minimum = '64KiB' }");
  CheckedRun one_processor(scenario_text({}, two));
  CheckedRun two_processors(scenario_text({.processors = 2}, two));
  const Duration slow = one_processor.go().end - Time{};
  const Duration fast = two_processors.go().end - Time{};
  EXPECT_LT(fast.value() * 19, slow.value() * 10);
}

TEST(Simulation, AProcessMayStartLate) {
  CheckedRun run(scenario_text(
      {}, process("early", "kind = 'uniform', memory = '64KiB', operations = 100") +
              process("late", "kind = 'uniform', memory = '64KiB', operations = 100", "start = '2500ms'")));
  const RunResult& result = run.go();
  EXPECT_LT(result.processes[0].finished, Time{} + 1_ms);
  EXPECT_GT(result.processes[1].finished, Time{} + 2500_ms);
  EXPECT_LT(result.processes[1].finished, Time{} + 2501_ms);
  for (const Sample& sample : result.samples) {
    const bool between = sample.time > Time{} + 1_ms && sample.time < Time{} + 2500_ms;
    EXPECT_EQ(between && !sample.commit_charge.is_zero(), false) << to_string(sample.time);
  }
  EXPECT_GT(result.processors[0].idle, 2400_ms);
}

TEST(Simulation, UntilEndsTheRun) {
  CheckedRun run(scenario_text(
      {.processors = 2}, "[run]\nuntil = '5ms'\n" + kThree +
                             process("never", "kind = 'uniform', memory = '4KiB', operations = 1", "start = '1s'")));
  const RunResult& result = run.go();
  EXPECT_GE(result.end, Time{} + 5_ms);
  EXPECT_LT(result.end, Time{} + 6_ms);
  EXPECT_LT(result.processes[0].operations, 6000U);
  EXPECT_EQ(result.processes[0].finished, kNever);
  EXPECT_GT(result.samples.back().commit_charge, 0_pages);
  EXPECT_EQ(result.processes[3].operations, 0U);
  EXPECT_EQ(result.samples.back().time, result.end);
}

TEST(Simulation, UntilBeforeTheFirstProcessEndsThereToo) {
  CheckedRun run(scenario_text({}, "[run]\nuntil = '3ms'\n" + process("late",
                                                                      "kind = 'uniform', memory = '4KiB', "
                                                                      "operations = 1",
                                                                      "start = '1s'")));
  EXPECT_EQ(run.go().end, Time{} + 3_ms);
  EXPECT_EQ(run.result.samples.size(), 4U);
}

TEST(Simulation, OperationsAreCutToWhatWasAsked) {
  CheckedRun run(scenario_text({}, kThree), {.verify = true, .operations_most = 4097});
  for (const ProcessResult& process : run.go().processes) {
    EXPECT_EQ(process.operations, 4097U);
    EXPECT_NE(process.finished, kNever);
  }
}

TEST(Simulation, ATraceIsPlayedRepeatedly) {
  const auto operations = [](unsigned repeat, std::uint64_t most) {
    const std::string file = std::string(PAGODA_SOURCE_DIR) + "/data/traces/gzip.vmpt.zst";
    CheckedRun run(
        scenario_text({.memory = "2MiB"},
                      process("gzip", fmt::format("kind = 'trace', file = '{}', repeat = {}", file, repeat))),
        {.verify = true, .operations_most = most});
    const ProcessResult& process = run.go().processes[0];
    EXPECT_GT(process.footprint, 10_pages);
    return std::pair(process.operations, process.references);
  };
  const auto [once, references] = operations(1, ~std::uint64_t{0});
  EXPECT_GT(once, 1000U);
  EXPECT_EQ(operations(3, ~std::uint64_t{0}), std::pair(3 * once, 3 * references));
  EXPECT_EQ(operations(3, once + 1).first, once + 1);
}

TEST(ShippedScenario, GeneratorsPageAndRememberEverything) {
  auto scenario = load_scenario(std::string(PAGODA_SOURCE_DIR) + "/scenarios/generators.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const auto result = run_scenario(*scenario, {.verify = true, .operations_most = 30'000});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_THAT(result->incidents, IsEmpty());
  EXPECT_GT(fault_count(*result, mm::FaultKind::kPageFile), 0U);
  const auto hard = [&](std::size_t process) {
    return result->processes[process].faults[static_cast<std::size_t>(mm::FaultKind::kPageFile)];
  };
  EXPECT_LT(hard(2), hard(1));  // Favourites stay; jumping about pays.
}

TEST(ShippedScenario, SharedFilesAreSharedAndForksKeepTheirOwn) {
  auto scenario = load_scenario(std::string(PAGODA_SOURCE_DIR) + "/scenarios/shared-files.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const auto result = run_scenario(*scenario, {.verify = true});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_THAT(result->incidents, IsEmpty());
  for (const mm::FaultKind kind : {mm::FaultKind::kShared, mm::FaultKind::kCopyOnWrite, mm::FaultKind::kMappedFile})
    EXPECT_GT(fault_count(*result, kind), 0U) << name(kind);
  EXPECT_GT(result->counters.mapped_file_pages_written, 0U);
  PageCount files;
  PageCount forks;
  for (const Sample& sample : result->samples) {
    files = std::max(files, sample.frames.active_shared_file);
    forks = std::max(forks, sample.frames.active_shared_page_file);
  }
  EXPECT_GT(files, 0_pages);
  EXPECT_GT(forks, 0_pages);
  for (const ProcessResult& process : result->processes) {
    EXPECT_NE(process.finished, kNever) << process.name;
    EXPECT_GT(process.end_shared, 0_pages) << process.name;
  }
}

TEST(ShippedScenario, FailingDiskLosesNothing) {
  auto scenario = load_scenario(std::string(PAGODA_SOURCE_DIR) + "/scenarios/failing-disk.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const auto result = run_scenario(*scenario, {.verify = true, .operations_most = 30'000});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_GT(result->disks[0].errors, 0U);
  EXPECT_GT(in_page_errors(*result), 0U);
}

}  // namespace
}  // namespace pagoda::sim::testing
