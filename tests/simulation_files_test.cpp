// Whole simulations of programs that map files and that fork.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/checked_run.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// --- Files ---

std::string mapping(std::string_view name, std::string_view kind, std::string_view view, double writes,
                    std::string_view more = "") {
  return process(name,
                 fmt::format("kind = '{}', file = '{}', disk = 'd', view = '{}', writes = {}, operations = 6000{}",
                             kind, kSortTrace, view, writes, more),
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
      EXPECT_THAT(result.incidents, IsEmpty());
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
      EXPECT_THAT(result.incidents, IsEmpty());
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
  EXPECT_THAT(lines(result.incidents)[0], AllOf(HasSubstr("late: it could not be forked"), HasSubstr("TERMINATING")));
  EXPECT_EQ(result.processes[1].operations, 0U);
}

}  // namespace
}  // namespace pagoda::sim::testing
