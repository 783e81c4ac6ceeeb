#include "pagoda/report/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "pagoda/report/run_sums.h"
#include "pagoda/report/story.h"
#include "pagoda/report/terminal_text.h"
#include "pagoda/report/testing/sample_run.h"
#include "pagoda/report/testing/variant_runs.h"
#include "pagoda/report/text.h"

namespace pagoda::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Summary, FitsATerminal) {
  const std::vector<std::string> lines = lines_of(summary_text(testing::overcommitted_run()));
  EXPECT_GE(lines.size(), 15U);
  EXPECT_LE(lines.size(), 25U);
  for (const std::string& line : lines) EXPECT_LE(width_of(line), kSummaryWidth) << line;
}

TEST(Summary, HoldsTheStoryAndARowForEachProcess) {
  const sim::RunResult run = testing::overcommitted_run();
  std::string text = summary_text(run);
  for (const sim::ProcessResult& process : run.processes) {
    EXPECT_THAT(text, HasSubstr(grouped(hard_faults(process.faults)))) << process.name;
  }
  EXPECT_THAT(text, HasSubstr("state 00c0ffee12345678"));
  std::replace(text.begin(), text.end(), '\n', ' ');
  for (const std::string& sentence : tell(run).sentences()) EXPECT_THAT(text, HasSubstr(sentence));
}

TEST(Summary, LetsNoEscapeSequenceThrough) {
  const std::string text = summary_text(testing::hostile_run());
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, Not(HasSubstr("\x07")));
  EXPECT_THAT(text, Not(HasSubstr("\xff")));
}

TEST(Summary, ShowsSharedAndPrivatePagesApart) {
  const sim::RunResult run = testing::sharing_run();
  const std::string text = summary_text(run);
  for (const std::string& line : lines_of(text)) EXPECT_LE(width_of(line), kSummaryWidth) << line;
  EXPECT_THAT(text, HasSubstr("private     shared"));
  for (const sim::ProcessResult& process : run.processes) {
    EXPECT_THAT(text, HasSubstr(bytes_text(process.end_private)));
    EXPECT_THAT(text, HasSubstr(bytes_text(process.end_shared)));
  }
  EXPECT_THAT(text, HasSubstr("shared from files"));
  EXPECT_THAT(text, HasSubstr("12 KiB prototype PTEs"));
  EXPECT_THAT(text, HasSubstr("read in 299 reads, "));
  EXPECT_THAT(summary_text(testing::roomy_run()), Not(HasSubstr("shared")));
}

TEST(Summary, HasALineForEachVirtualMachine) {
  const sim::RunResult run = testing::virtual_run();
  const std::string text = summary_text(run);
  for (const std::string& line : lines_of(text)) EXPECT_LE(width_of(line), kSummaryWidth) << line;
  EXPECT_THAT(text, HasSubstr("\nfiles"));
  EXPECT_THAT(text, HasSubstr("\nbuild"));
  EXPECT_THAT(text, HasSubstr("files: sort"));
  for (const sim::VmResult& vm : run.vms) EXPECT_THAT(text, HasSubstr(bytes_text(vm.end.memory.in_memory())));
  EXPECT_THAT(summary_text(testing::roomy_run()), Not(HasSubstr("virtual machine")));
}

TEST(Summary, NamesTheProcessesThatWaitedMost) {
  sim::RunResult run;
  for (std::uint64_t i = 0; i < 40; ++i) {
    run.processes.emplace_back();
    run.processes.back().name = "process" + std::to_string(i);
    run.processes.back().wait_time = Duration(i * 1'000'000);
  }
  const std::string text = summary_text(run);
  EXPECT_THAT(text, HasSubstr("process39"));
  EXPECT_THAT(text, Not(HasSubstr("process12 ")));
  EXPECT_THAT(text, HasSubstr("and 28 more that waited less"));
}

TEST(Summary, AnEmptyRunIsNotACrash) { EXPECT_THAT(summary_text({}), HasSubstr("No program ran")); }

}  // namespace
}  // namespace pagoda::report
