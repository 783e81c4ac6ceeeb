// [[process]] and its program.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pagoda/sim/simulation.h"
#include "pagoda/sim/testing/small_scenario.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Scenario, CopiesAreNumbered) {
  const auto scenario =
      parse_scenario(replaced(std::string(kSmall), "name = \"a\"", "name = \"a\"\ncopies = 3"), "s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  ASSERT_EQ(scenario->processes.size(), 3U);
  EXPECT_EQ(scenario->processes[0].name, "a-1");
  EXPECT_EQ(scenario->processes[2].name, "a-3");
}

TEST(Scenario, OneWorkingSetLimitMakesRoomForItself) {
  const auto limits = [](std::string_view working_set) {
    const auto scenario = parse_scenario(
        replaced(std::string(kSmall), R"({ minimum = "64KiB", maximum = "1MiB" })", working_set), "s.toml");
    EXPECT_TRUE(scenario) << scenario.error().message;
    return std::pair(scenario->processes[0].limits->minimum, scenario->processes[0].limits->maximum);
  };
  EXPECT_EQ(limits(R"({ maximum = "40KiB" })"), std::pair(10_pages, 10_pages));
  EXPECT_EQ(limits(R"({ maximum = "1MiB" })"), std::pair(50_pages, 256_pages));
  EXPECT_EQ(limits(R"({ minimum = "40KiB" })"), std::pair(10_pages, 345_pages));
  EXPECT_EQ(limits(R"({ minimum = "2MiB" })"), std::pair(512_pages, 512_pages));
  EXPECT_EQ(limits("{}"), std::pair(50_pages, 345_pages));
}

TEST(Scenario, AForkRunsItsParentsProgramLater) {
  const auto scenario = parse_scenario(
      replaced(
          std::string(kSmall), "[run]",
          "[[process]]\nname = \"f\"\nfork_of = \"a\"\nstart = \"5s\"\ncopies = 3\nevery = \"2ms\"\noperations = 9\n"
          "[[process]]\nname = \"g\"\nfork_of = \"f-2\"\nstart = \"6s\"\n[run]"),
      "test.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const std::vector<ProcessConfig>& processes = scenario->processes;
  ASSERT_EQ(processes.size(), 5U);
  EXPECT_FALSE(processes[0].fork_of);
  for (std::size_t i = 1; i <= 3; ++i) {
    EXPECT_EQ(processes[i].fork_of, 0U);
    EXPECT_EQ(processes[i].start, Time{} + 5_s + 2_ms * (i - 1));
    EXPECT_EQ(processes[i].operations_most, 9U);
    EXPECT_EQ(processes[i].limits->minimum, processes[0].limits->minimum);
    EXPECT_EQ(std::get<GeneratorConfig>(processes[i].program).memory, pages_of(1_MiB));
  }
  EXPECT_EQ(processes[4].fork_of, 2U);
  EXPECT_GT(processes[4].operations_most, std::uint64_t{1} << 40);
}

TEST(Scenario, TracesAreFoundFromTheScenariosFolder) {
  const auto scenario =
      parse_scenario(with_program(R"({ kind = "trace", file = "../data/t.zst", repeat = 4 })"), "some/folder/s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const auto& trace = std::get<TraceConfig>(scenario->processes[0].program);
  EXPECT_EQ(trace.file, "some/data/t.zst");
  EXPECT_EQ(trace.repeat, 4U);
}

TEST(Scenario, AProgramMapsTheWholePagesOfAFile) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "pagoda_scenario_test_file";
  std::ofstream(path) << std::string(3 * kPageBytes + 100, 'x');
  const auto read = [&](const std::string& program) {
    return parse_scenario(with_program(program), (path.parent_path() / "scenario.toml").string());
  };
  const auto whole = read(R"({ kind = "zipf", file = "pagoda_scenario_test_file", disk = "ssd", operations = 1 })");
  ASSERT_TRUE(whole) << whole.error().message;
  const ProcessConfig& first = whole->processes[0];
  ASSERT_TRUE(first.view);
  EXPECT_EQ(first.view->file, path.string());
  EXPECT_EQ(first.view->pages, 3_pages);
  EXPECT_EQ(first.view->kind, FileViewConfig::Kind::kShared);
  EXPECT_EQ(std::get<GeneratorConfig>(first.program).memory, 3_pages);
  const auto more =
      read(R"({ kind = "phases", file = "pagoda_scenario_test_file", disk = "ssd", view = "copy", memory = "8KiB", )"
           R"(window = "20KiB", phase_operations = 1, operations = 1 })");
  std::filesystem::remove(path);
  ASSERT_TRUE(more) << more.error().message;
  EXPECT_EQ(more->processes[0].view->kind, FileViewConfig::Kind::kCopy);
  EXPECT_EQ(std::get<GeneratorConfig>(more->processes[0].program).memory, 5_pages);
}

const BadScenario kBadProcesses[] = {
    {"name = \"a\"", "name = \"a\"\nnice = 1", {"bad.toml:19: process.nice: is not a known key", "start"}},
    {"minimum = \"64KiB\"", "min = \"64KiB\"", {"bad.toml:19: process.working_set.min: is not a known key", "hard"}},
    {"operations = 100",
     "operations = 100, theta = 1",
     {"bad.toml:20: process.program.theta: is not a known key", "writes"}},
    {"\"uniform\", memory = \"1MiB\", operations = 100",
     "\"trace\", file = \"t\", memory = \"1MiB\"",
     {"bad.toml:20: process.program.memory: is not a known key", "repeat"}},
    {"maximum = \"1MiB\"",
     "maximum = \"1MiB\", hard = 1",
     {"bad.toml:19: process.working_set.hard: must be true or false"}},
    {"{ kind = \"uniform\", memory = \"1MiB\", operations = 100 }",
     "\"uniform\"",
     {"bad.toml:20: process.program: must be a table"}},
    {"kind = \"uniform\"",
     "kind = \"random\"",
     {"bad.toml:20: process.program.kind: \"random\" is not one of sequential, uniform, zipf, phases, trace, image"}},
    {"operations = 100", "operations = 0", {"bad.toml:20: process.program.operations: must be a whole number from 1"}},
    {"operations = 100",
     "operations = 100, references = 1_000_000_000",
     {"bad.toml:20: process.program.references: must be a whole number from 1 to 1000000"}},
    {"\"uniform\", memory = \"1MiB\"",
     "\"uniform\", memory = \"0B\"",
     {"bad.toml:20: process.program.memory: must be from 4KiB"}},
    {"\"uniform\", memory = \"1MiB\"",
     "\"uniform\", memory = \"2TiB\"",
     {"bad.toml:20: process.program.memory: must be from 4KiB to 1 TiB"}},
    {"minimum = \"64KiB\"",
     "minimum = \"2MiB\"",
     {"bad.toml:19: process.working_set.minimum: is above the maximum; lower it or raise the maximum"}},
    {"maximum = \"1MiB\"", "maximum = \"0B\"", {"bad.toml:19: process.working_set.m"}},
    {"kind = \"uniform\", memory = \"1MiB\"",
     "kind = \"phases\", memory = \"1MiB\", window = \"2MiB\"",
     {"bad.toml:20: process.program.window: must be from 4KiB to the memory"}},
    {"memory = \"1MiB\", operations", "view = \"copy\", operations", {"bad.toml:20: process.program.view: is for a"}},
    {"memory = \"1MiB\", operations", "disk = \"ssd\", operations", {"bad.toml:20: process.program.disk: is for a"}},
    {"memory = \"1MiB\"",
     "file = \"none\", disk = \"ssd\"",
     {"bad.toml:20: process.program.file: cannot read \"none\""}},
    {"memory = \"1MiB\"",
     "file = \"/proc/self/stat\", disk = \"ssd\"",
     {"process.program.file: ", "must have from 4KiB"}},
    {"memory = \"1MiB\"", "file = \"/proc/self/exe\"", {"bad.toml:20: process.program.disk: is missing"}},
    {"memory = \"1MiB\"",
     "file = \"/proc/self/exe\", disk = \"hdd\"",
     {"bad.toml:20: process.program.disk: there is no disk \"hdd\""}},
    {"memory = \"1MiB\"",
     "file = \"/proc/self/exe\", disk = \"ssd\", view = \"private\"",
     {"bad.toml:20: process.program.view: \"private\" is not one of shared, copy"}},
    {"[run]", "[[process]]\nname = \"f\"\nfork_of = \"b\"\n[run]", {"process.fork_of: there is no process \"b\""}},
    {"[run]", "[[process]]\nname = \"f\"\nfork_of = \"f\"\n[run]", {"process.fork_of: there is no process \"f\""}},
    {"[run]",
     "[[process]]\nname = \"f\"\nfork_of = \"a\"\nworking_set = { minimum = \"64KiB\" }\n[run]",
     {"process.working_set: of a fork is its parent's"}},
    {"[run]",
     "[[process]]\nname = \"f\"\nfork_of = \"a\"\nprogram = { kind = \"uniform\" }\n[run]",
     {"process.program: of a fork is its parent's"}},
    {"name = \"a\"", "name = \"a\"\noperations = 4", {"process.operations: is for a fork"}},
    {"[run]",
     "[[process]]\nname = \"b\"\nstart = \"5s\"\nprogram = { kind = \"uniform\", memory = \"4KiB\", operations = 1 }\n"
     "[[process]]\nname = \"f\"\nstart = \"4s\"\nfork_of = \"b\"\n[run]",
     {"process.start: is before \"b\" starts"}},
    {"name = \"a\"", "", {"bad.toml:17: process.name: is missing"}},
    {"kind = \"uniform\", ", "", {"bad.toml:20: process.program.kind: is missing"}},
    {", operations = 100", "", {"bad.toml:20: process.program.operations: is missing"}},
    {"kind = \"uniform\"", "kind = \"phases\"", {"bad.toml:20: process.program.window: is missing"}},
    {"kind = \"uniform\", memory = \"1MiB\", operations = 100",
     "kind = \"trace\"",
     {"bad.toml:20: process.program.file: is missing"}},
    {"[run]",
     "[[process]]\nname = \"a\"\nprogram = { kind = \"uniform\", memory = \"4KiB\", operations = 1 }\n[run]",
     {"bad.toml:22: process.name: there is a process \"a\" already"}},
};

TEST(BadProcess, IsRefusedInOneLineWithFileLineKeyAndWhatToDo) { expect_refused(kBadProcesses); }

class BadTrace : public ::testing::Test {
 protected:
  BadTrace() {
    std::string name = (std::filesystem::temp_directory_path() / "pagoda-scenario-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~BadTrace() override { std::filesystem::remove_all(folder_); }

  void write(std::string_view name, std::string_view bytes) {
    std::ofstream(folder_ / name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  // What a simulation says to a process that plays the file.
  std::string refusal_of(std::string_view file) {
    const auto scenario = parse_scenario(with_program(fmt::format("{{ kind = \"trace\", file = \"{}\" }}", file)),
                                         (folder_ / "s.toml").string());
    EXPECT_TRUE(scenario) << scenario.error().message;
    const auto simulation = Simulation::create(*scenario, {});
    return simulation ? "accepted" : simulation.error().message;
  }
  std::filesystem::path folder_;
};

TEST_F(BadTrace, IsOneLineThatNamesScenarioProcessAndFile) {
  const std::string good = slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "data/traces/gzip.vmpt.zst");
  write("good", good);
  write("truncated", good.substr(0, good.size() / 2));
  write("without-seal", good.substr(0, good.size() - 8));
  write("empty", "");
  write("text", "hello, world\n");
  write("longer", good + "x");
  std::string flipped = good;
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 0x10);
  write("flipped", flipped);
  EXPECT_EQ(refusal_of("good"), "accepted");
  for (const char* file : {"missing", "truncated", "without-seal", "empty", "text", "longer", "flipped", "."}) {
    const std::string message = refusal_of(file);
    EXPECT_THAT(message, StartsWith((folder_ / "s.toml").string() + ":17: process \"a\": ")) << file;
    EXPECT_THAT(message, HasSubstr((folder_ / file).lexically_normal().string()));
    EXPECT_THAT(message, Not(HasSubstr("\n")));
  }
}

}  // namespace
}  // namespace pagoda::sim::testing
