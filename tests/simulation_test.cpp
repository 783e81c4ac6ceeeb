// Whole simulations of small scenarios: what must hold whatever happens, and what injected trouble does.
#include "pagoda/sim/simulation.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/mm/check/check.h"

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;

struct Host {
  std::string_view memory = "1MiB";
  std::string_view paging = "amd64";
  std::string_view tlb = "large";
  std::string_view refill = "hardware";
  unsigned processors = 1;
  std::string_view disk;  // More keys of the disk.
  std::string_view rest = "[[page_file]]\ndisk = 'd'\nminimum = '8MiB'\n";
};

std::string process(std::string_view name, std::string_view program, std::string_view more = "") {
  return fmt::format("[[process]]\nname = '{}'\nprogram = {{ {} }}\n{}\n", name, program, more);
}

std::string scenario_text(const Host& host, const std::string& processes) {
  return fmt::format(
      "[host]\nmemory = '{}'\npaging = '{}'\ntlb = '{}'\nrefill = '{}'\nprocessors = {}\n"
      "[[disk]]\nname = 'd'\ncapacity = '16MiB'\nstore = 'memory'\n{}\n{}\n{}",
      host.memory, host.paging, host.tlb, host.refill, host.processors, host.disk, host.rest, processes);
}

Scenario parsed(const std::string& text) {
  auto scenario = parse_scenario(text, "test.toml");
  EXPECT_TRUE(scenario) << scenario.error().message;
  return std::move(*scenario);
}

// One run, with the checker in the middle of it and at its end.
struct CheckedRun {
  explicit CheckedRun(const std::string& text, RunOptions options = {.verify = true}) {
    options.progress = [this](std::uint64_t done, std::uint64_t total, Time) {
      EXPECT_LE(done, total);
      ++progress_calls;
      if (findings.empty()) findings = check();
      if (on_progress) on_progress(*simulation);
    };
    auto created = Simulation::create(parsed(text), std::move(options));
    EXPECT_TRUE(created) << created.error().message;
    simulation = std::move(*created);
  }
  // The result of a run that is expected to go well.
  const RunResult& go() {
    auto outcome = simulation->run();
    EXPECT_TRUE(outcome) << outcome.error().message;
    if (outcome) result = std::move(*outcome);
    if (findings.empty()) findings = check();
    EXPECT_EQ(findings, "");
    return result;
  }
  std::string check() { return to_string(mm::check(simulation->manager(), simulation->machine().processor())); }

  std::unique_ptr<Simulation> simulation;
  std::function<void(Simulation&)> on_progress;
  std::string findings;
  std::size_t progress_calls = 0;
  RunResult result;
};

// Three programs with more memory together than the host has; they share it for the whole run.
const std::string kThree = process("a", "kind = 'zipf', memory = '1MiB', operations = 6000") +
                           process("b", "kind = 'sequential', memory = '512KiB', operations = 6000, writes = 0.1") +
                           process("c",
                                   "kind = 'phases', memory = '1MiB', operations = 6000, window = '128KiB', "
                                   "phase_operations = 700, writes = 0.6");

PageCount sum(const FrameCensus& frames) {
  return std::accumulate(frames.standby.begin(), frames.standby.end(),
                         frames.active_private + frames.active_shared_file + frames.active_shared_page_file +
                             frames.active_page_tables + frames.active_prototypes + frames.transition +
                             frames.modified + frames.free + frames.zeroed + frames.bad + frames.system +
                             frames.active_compression_store);
}

std::uint64_t fault_count(const RunResult& result, mm::FaultKind kind) {
  return result.counters.faults[static_cast<std::size_t>(kind)];
}

std::uint64_t in_page_errors(const RunResult& result) {
  std::uint64_t errors = 0;
  for (const ProcessResult& process : result.processes) errors += process.in_page_errors;
  return errors;
}

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
          EXPECT_THAT(run.result.incidents, testing::IsEmpty()) << where;
          EXPECT_EQ(run.result.paging, paging);
          EXPECT_EQ(run.result.tlb, tlb);
          EXPECT_EQ(run.result.refill, refill);
          hashes.insert(run.result.state_hash);
        }
      }
    }
  }
  EXPECT_EQ(hashes.size(), 24U);
}

TEST(Simulation, EverySampleHasEveryFrameAndCountersOnlyGrow) {
  CheckedRun run(scenario_text({.processors = 2}, kThree));
  const RunResult& result = run.go();
  ASSERT_GE(result.samples.size(), 3U);
  EXPECT_EQ(result.samples.front().time, Time{});
  EXPECT_EQ(result.samples.back().time, result.end);
  const auto all_counters = [](const mm::Counters& c) {
    std::vector<std::uint64_t> all(c.faults.begin(), c.faults.end());
    all.insert(all.end(),
               {c.page_file_reads, c.page_file_pages_read, c.page_file_writes, c.page_file_pages_written, c.read_errors,
                c.write_errors, c.pages_zeroed_in_fault, c.pages_zeroed_by_thread, c.pages_repurposed, c.pages_replaced,
                c.pages_trimmed, c.shortages, c.commit_refusals, c.page_tables_made, c.page_tables_freed});
    return all;
  };
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
      for (std::size_t kind = 0; kind < mm::kFaultKinds; ++kind) faults[kind] += process.faults[kind];
    }
    EXPECT_EQ(faults, sample.counters.faults) << i;
    EXPECT_EQ(resident, sample.frames.active_private) << i;
    if (i == 0) continue;
    EXPECT_GT(sample.time, result.samples[i - 1].time);
    const auto now = all_counters(sample.counters);
    const auto before = all_counters(result.samples[i - 1].counters);
    for (std::size_t counter = 0; counter < now.size(); ++counter) EXPECT_GE(now[counter], before[counter]) << counter;
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
    for (std::size_t kind = 0; kind < mm::kFaultKinds; ++kind) faults[kind] += process.faults[kind];
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

// --- Files ---

const std::string kTrace = std::string(PAGODA_SOURCE_DIR) + "/data/traces/sort.vmpt.zst";

std::string mapping(std::string_view name, std::string_view kind, std::string_view view, double writes,
                    std::string_view more = "") {
  return process(name,
                 fmt::format("kind = '{}', file = '{}', disk = 'd', view = '{}', writes = {}, operations = 6000{}",
                             kind, kTrace, view, writes, more),
                 "working_set = { minimum = '64KiB' }");
}

// Programs that share a file that does not fit into memory beside what they have of their own.
const std::string kSharing = mapping("writer", "uniform", "shared", 0.4) + mapping("reader", "zipf", "shared", 0.1) +
                             mapping("copier", "zipf", "copy", 0.3, ", memory = '256KiB'") +
                             process("other", "kind = 'uniform', memory = '512KiB', operations = 6000");

TEST(Simulation, ProgramsThatShareAFileReadWhatOthersWrote) {
  for (const char* paging : {"x86", "pae", "amd64"}) {
    for (const unsigned processors : {1U, 2U}) {
      const std::string text = scenario_text({.paging = paging, .processors = processors}, kSharing);
      CheckedRun run(text);
      const RunResult& result = run.go();
      EXPECT_THAT(result.incidents, testing::IsEmpty());
      for (const ProcessResult& process : result.processes) {
        EXPECT_EQ(process.operations, 6000U);
        EXPECT_GT(process.loads_verified, 2000U);
      }
      EXPECT_THAT(result.processes[0].program, HasSubstr("a shared view of sort.vmpt.zst"));
      EXPECT_THAT(result.processes[2].program, HasSubstr("a copied view of sort.vmpt.zst"));
      EXPECT_GT(fault_count(result, mm::FaultKind::kMappedFile), 0U);
      EXPECT_GT(fault_count(result, mm::FaultKind::kShared), 0U);
      EXPECT_GT(fault_count(result, mm::FaultKind::kCopyOnWrite), 0U);
      EXPECT_GT(result.counters.mapped_file_pages_read, 0U);
      EXPECT_GT(result.counters.mapped_file_pages_written, 0U);
      CheckedRun again(text);
      EXPECT_EQ(again.go().state_hash, result.state_hash);
      CheckedRun unverified(text, {.verify = false});
      EXPECT_EQ(unverified.go().state_hash, result.state_hash);
    }
  }
}

TEST(Simulation, SharedAndPrivatePagesAreCountedApart) {
  CheckedRun run(scenario_text({.processors = 2}, kSharing));
  const RunResult& result = run.go();
  PageCount most_shared;
  for (const Sample& sample : result.samples) {
    EXPECT_EQ(sum(sample.frames), 256_pages);
    PageCount privately;
    PageCount shared;
    for (const ProcessSample& process : sample.processes) {
      privately += process.working_set - process.shared;
      shared += process.shared;
    }
    EXPECT_EQ(privately, sample.frames.active_private);
    EXPECT_GE(shared, sample.frames.active_shared_file);
    EXPECT_EQ(sample.frames.active_shared_page_file, 0_pages);
    EXPECT_EQ(sample.processes[3].shared, 0_pages);
    most_shared = std::max(most_shared, sample.frames.active_shared_file);
  }
  EXPECT_GT(most_shared, 0_pages);
  EXPECT_GT(result.processes[0].end_shared, 0_pages);
  EXPECT_EQ(result.processes[0].end_private, 0_pages);
  EXPECT_GT(result.processes[2].end_private, 0_pages);
  EXPECT_EQ(result.processes[3].end_shared, 0_pages);
}

TEST(Simulation, AFailingDiskUnderAMappedFileLosesNothing) {
  CheckedRun run(scenario_text({.processors = 2, .disk = "read_errors = 0.05\nwrite_errors = 0.05\n"}, kSharing));
  const RunResult& result = run.go();  // Fails if any load was not as stored.
  EXPECT_GT(in_page_errors(result), 0U);
  EXPECT_GT(result.counters.write_errors, 0U);
  for (const ProcessResult& process : result.processes) EXPECT_EQ(process.operations, 6000U);
}

// --- Forks ---

// A server with a file and memory of its own, forks of it, and forks of one of those.
const std::string kForking =
    mapping("server", "zipf", "shared", 0.3, ", memory = '256KiB'") + mapping("copier", "uniform", "copy", 0.2) +
    "[[process]]\nname = 'worker'\nfork_of = 'server'\nstart = '2ms'\nevery = '1ms'\ncopies = 3\noperations = 3000\n"
    "[[process]]\nname = 'second'\nfork_of = 'copier'\nstart = '3ms'\noperations = 3000\n"
    "[[process]]\nname = 'grandchild'\nfork_of = 'worker-1'\nstart = '4ms'\noperations = 2000\n";

TEST(Simulation, ForksSeeWhatTheirParentHadAndNothingThatItWritesLater) {
  for (const char* paging : {"x86", "pae", "amd64"}) {
    for (const unsigned processors : {1U, 2U}) {
      const std::string text = scenario_text({.memory = "2MiB", .paging = paging, .processors = processors}, kForking);
      CheckedRun run(text);
      const RunResult& result = run.go();  // Fails if any load was not as stored.
      EXPECT_THAT(result.incidents, testing::IsEmpty());
      ASSERT_EQ(result.processes.size(), 7U);
      for (std::size_t i = 0; i < 7; ++i)
        EXPECT_EQ(result.processes[i].operations, i < 2 ? 6000U : i < 6 ? 3000U : 2000U) << i;
      EXPECT_THAT(result.processes[6].program, HasSubstr("forked from worker-1"));
      EXPECT_GT(fault_count(result, mm::FaultKind::kCopyOnWrite), 0U);
      PageCount forked;
      for (const Sample& sample : result.samples) {
        EXPECT_EQ(sum(sample.frames), pages_of(2_MiB));
        forked = std::max(forked, sample.frames.active_shared_page_file);
      }
      EXPECT_GT(forked, 0_pages);
      EXPECT_EQ(result.samples.back().commit_charge, 0_pages);
      CheckedRun again(text, {.verify = false});
      EXPECT_EQ(again.go().state_hash, result.state_hash);
    }
  }
}

TEST(Simulation, AForkOfAProcessThatEndedIsAnIncident) {
  CheckedRun run(scenario_text({}, process("short", "kind = 'uniform', memory = '64KiB', operations = 10") +
                                       "[[process]]\nname = 'late'\nfork_of = 'short'\nstart = '1s'\n"));
  const RunResult& result = run.go();
  ASSERT_EQ(result.incidents.size(), 1U);
  EXPECT_THAT(result.incidents[0], AllOf(HasSubstr("late: it could not be forked"), HasSubstr("TERMINATING")));
  EXPECT_EQ(result.processes[1].operations, 0U);
}

// --- Trouble ---

TEST(Simulation, RefusedCommitIsAnIncidentAndOthersGoOn) {
  CheckedRun run(scenario_text({}, process("greedy", "kind = 'uniform', memory = '64MiB', operations = 100") + kThree));
  const RunResult& result = run.go();
  ASSERT_EQ(result.incidents.size(), 1U);
  EXPECT_THAT(result.incidents[0], AllOf(HasSubstr("greedy: its memory was refused"),
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
  EXPECT_THAT(result.incidents, Contains(HasSubstr("STATUS_COMMITMENT_LIMIT")));
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
  EXPECT_THAT(result.incidents, Each(HasSubstr("STATUS_COMMITMENT_LIMIT")));
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
      EXPECT_THAT(result.incidents, Each(AllOf(HasSubstr("STATUS_IN_PAGE_ERROR"), HasSubstr("va:0x"))));
    }
  }
}

TEST(Simulation, ADiskThatTakesNoWriteKeepsPagesInMemory) {
  // What is promised fits into memory, so that no write is needed for anybody to go on.
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
    // A write that fails is nobody's business; a read that fails is told to whoever needed it.
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
  ASSERT_THAT(text, AllOf(testing::StartsWith("wrong contents: liar: va:0x"), HasSubstr("loaded 0x"),
                          HasSubstr("stored was 0x"), HasSubstr("(operation ")));
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

TEST(Simulation, WithoutVerifyWrongContentsAreNobodysBusiness) {
  CheckedRun run(scenario_text({}, process("liar",
                                           "kind = 'uniform', memory = '512KiB', operations = 3000, references = "
                                           "60000, writes = 0.1")),
                 {.verify = false});
  EXPECT_EQ(run.go().processes[0].operations, 3000U);
}

TEST(Simulation, HistoryOutlivesARunThatIsCutShort) {
  // Spaces are left when the simulation goes away, and with --verify somebody listens to what happens to pages.
  CheckedRun run(scenario_text({}, "[run]\nuntil = '1ms'\n" + kThree));
  run.go();
  run.simulation.reset();
}

TEST(Simulation, AHostThatCannotBeHadIsOneLine) {
  Scenario scenario = parsed(scenario_text({}, kThree));
  scenario.machine.frames = 63_pages;  // Below what a scenario file may ask for.
  const auto simulation = Simulation::create(scenario, {});
  ASSERT_FALSE(simulation);
  EXPECT_THAT(simulation.error().message,
              AllOf(HasSubstr("test.toml: the host does not start"), HasSubstr("STATUS_INSUFFICIENT_RESOURCES"),
                    testing::Not(HasSubstr("\n"))));
}

TEST(ShippedScenario, GeneratorsPageAndRememberEverything) {
  auto scenario = load_scenario(std::string(PAGODA_SOURCE_DIR) + "/scenarios/generators.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const auto result = run_scenario(*scenario, {.verify = true, .operations_most = 30'000});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_THAT(result->incidents, testing::IsEmpty());
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
  EXPECT_THAT(result->incidents, testing::IsEmpty());
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
}  // namespace pagoda::sim
