// Records real programs under qemu-x86_64. Skipped, with the reason, where QEMU or the plugin is missing.
#include "pagoda/sim/trace/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "pagoda/sim/trace/replacement_oracles.h"
#include "pagoda/sim/trace/trace.h"

namespace pagoda::sim {
namespace {

using testing::HasSubstr;

class Recorder : public testing::Test {
 protected:
  Recorder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "pagoda,recorder-XXXXXX").string();  // A comma on purpose.
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  ~Recorder() override { std::filesystem::remove_all(directory_); }

  std::string file(const char* name) const { return (directory_ / name).string(); }
  std::size_t file_count() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(directory_), std::filesystem::directory_iterator()));
  }
  Input<RecordOutcome> record(std::vector<std::string> command, std::uint64_t window = 64) const {
    return record_program({.output = file("t.vmpt.zst"), .window = window, .command = std::move(command)});
  }

 private:
  std::filesystem::path directory_;
};

#define SKIP_WITHOUT_QEMU()                                                                       \
  do {                                                                                            \
    if (const auto qemu = find_qemu(); !qemu) GTEST_SKIP() << qemu.error().message;               \
    if (const auto plugin = find_trace_plugin(); !plugin) GTEST_SKIP() << plugin.error().message; \
  } while (false)

TEST_F(Recorder, RecordsAProgramAndItsStatus) {
  SKIP_WITHOUT_QEMU();
  for (const auto& [command, status] : {std::pair("true", 0), std::pair("false", 1)}) {
    const auto outcome = record({command});
    ASSERT_TRUE(outcome.has_value()) << outcome.error().message;
    EXPECT_EQ(outcome->exit_status, status);
    EXPECT_EQ(outcome->info.program, command);
    EXPECT_EQ(outcome->info.ending, "exit");
    EXPECT_GT(outcome->info.references, 10'000U);
    EXPECT_GT(outcome->info.pages_executed, PageCount(5));
    EXPECT_GT(outcome->info.pages_written, PageCount(2));
    EXPECT_EQ(file_count(), 1U);
  }
}

TEST_F(Recorder, TheWindowChangesNoLruOrOptMiss) {
  SKIP_WITHOUT_QEMU();
  std::vector<std::vector<std::uint64_t>> misses;
  std::vector<std::uint64_t> lengths;
  for (const std::uint64_t window : {1, 16}) {
    // An empty environment and a fixed command: both runs do the same.
    const auto outcome = record({"/usr/bin/env", "-i"}, window);
    ASSERT_TRUE(outcome.has_value()) << outcome.error().message;
    const Trace trace = Trace::load(file("t.vmpt.zst")).value();
    const auto pages = trace.dense_sequence();
    const auto page_count = static_cast<std::uint32_t>(trace.info().pages.value());
    lengths.push_back(trace.size());
    misses.emplace_back();
    for (const std::uint64_t frames : {16, 24, 48}) {
      misses.back().push_back(count_lru_misses(pages, page_count, PageCount(frames)));
      misses.back().push_back(count_opt_misses(pages, page_count, PageCount(frames)));
    }
  }
  // Two runs may differ a little (random numbers that the kernel hands to a program), two windows must not.
  for (std::size_t i = 0; i < misses[0].size(); ++i) {
    EXPECT_NEAR(static_cast<double>(misses[0][i]), static_cast<double>(misses[1][i]),
                0.02 * static_cast<double>(misses[0][i]));
  }
  EXPECT_LT(lengths[1] * 4, lengths[0]);
}

TEST_F(Recorder, AForkedChildDoesNotTouchTheFile) {
  SKIP_WITHOUT_QEMU();
  const auto outcome = record({"/bin/sh", "-c", "(echo child > /dev/null; exit 3); test $? = 3 || exit 9; exit 5"});
  ASSERT_TRUE(outcome.has_value()) << outcome.error().message;
  EXPECT_EQ(outcome->exit_status, 5);
  EXPECT_EQ(outcome->info.ending, "exit");
  EXPECT_EQ(file_count(), 1U);
}

TEST_F(Recorder, ExecEndsTheTrace) {
  SKIP_WITHOUT_QEMU();
  const auto outcome = record({"/bin/sh", "-c", "exec /bin/false"});
  ASSERT_TRUE(outcome.has_value()) << outcome.error().message;
  EXPECT_EQ(outcome->exit_status, 1);
  EXPECT_EQ(outcome->info.ending, "exec");
  EXPECT_GT(outcome->info.records, 10U);
}

TEST_F(Recorder, AKilledProgramLeavesTheOldFile) {
  SKIP_WITHOUT_QEMU();
  std::ofstream(file("t.vmpt.zst")) << "old";
  const auto outcome = record({"/bin/sh", "-c", "kill -9 $$"});
  ASSERT_FALSE(outcome.has_value());
  EXPECT_THAT(outcome.error().message, HasSubstr("signal 9"));
  EXPECT_EQ(std::filesystem::file_size(file("t.vmpt.zst")), 3U);
  EXPECT_EQ(file_count(), 1U);
}

TEST_F(Recorder, SaysWhatIsMissing) {
  EXPECT_THAT(find_program("/nonexistent/program").error().message, HasSubstr("No such file"));
  EXPECT_THAT(find_program("no-such-program-anywhere").error().message, HasSubstr("not in PATH"));
  std::ofstream(file("script")) << "#!/bin/sh\n";
  EXPECT_THAT(find_program(file("script")).error().message, HasSubstr("interpreter"));
  std::ofstream(file("text")) << "hello, this is a text and not a program";
  EXPECT_THAT(find_program(file("text")).error().message, HasSubstr("ELF"));
  EXPECT_THAT(record({}).error().message, HasSubstr("--"));
  EXPECT_THAT(record({"true"}, 0).error().message, HasSubstr("--window 0"));

  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  EXPECT_THAT(find_qemu().error().message, HasSubstr("apt install qemu-user"));
  setenv("PATH", path.c_str(), 1);
  const char* const before = std::getenv(kTracePluginVariable);
  const std::string plugin = before == nullptr ? "" : before;
  setenv(kTracePluginVariable, "/nonexistent/plugin.so", 1);
  EXPECT_THAT(find_trace_plugin().error().message, HasSubstr("/nonexistent/plugin.so"));
  setenv(kTracePluginVariable, plugin.c_str(), 1);
}

}  // namespace
}  // namespace pagoda::sim
