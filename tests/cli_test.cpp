// The binary, as a person or a script runs it: exit statuses, what goes where, and what is left behind.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/cli_run.h"

namespace pagoda::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST_F(Cli, HelpOfEveryCommandTeaches) {
  const struct {
    const char* command;
    std::vector<const char*> parts;
  } cases[] = {
      {"--help",
       {"virtual memory manager", "run", "trace", "image", "bench", "pagoda run scenarios/host.toml", "Exit status"}},
      {"run --help",
       {"Example", "--report", "--json", "--seed", "--operations", "--verify", "--quiet", "scenarios.md"}},
      {"trace --help", {"record", "import", "info"}},
      {"trace record --help", {"Example"}},
      {"trace import --help", {"Example"}},
      {"trace info --help", {"Example"}},
      {"image --help", {"info", "make"}},
      {"image info --help", {"Example", "--only", "--json"}},
      {"image make --help", {"Example", "--output"}},
      {"bench --help", {"--json"}},
  };
  for (const auto& [command, parts] : cases) {
    const Ran ran = run(command);
    EXPECT_EQ(ran.status, 0) << command;
    EXPECT_EQ(ran.error, "") << command;
    for (const char* part : parts) EXPECT_THAT(ran.out, HasSubstr(part)) << command;
  }
}

// Two machines that want more than the host has.
constexpr const char* kTwoMachines = R"(
[host]
memory = "6MiB"
[[disk]]
name = "d"
capacity = "64MiB"
store = "memory"
[[page_file]]
disk = "d"
minimum = "16MiB"
[[vm]]
name = "v"
memory = "4MiB"
copies = 2
[[vm.process]]
name = "p"
program = { kind = "uniform", memory = "3MiB", operations = 2000 }
)";

TEST_F(Cli, PoliciesAreChosenAndCompared) {
  write("two.toml", kTwoMachines);
  const std::string file = "two.toml";
  const Ran one = run("run " + file + " --policy esx");
  EXPECT_EQ(one.status, 0) << one.error;
  EXPECT_THAT(one.out, HasSubstr("Under the policy \"esx\""));
  const Ran several = run("run " + file + " --policy mom,pagoda");
  EXPECT_EQ(several.status, 0) << several.error;
  EXPECT_THAT(several.out, AllOf(HasSubstr("mom   pagoda"), HasSubstr("v-1"), HasSubstr("v-2"), HasSubstr("fairness")));
  expect_refused("run " + file + " --policy nobody", {"nobody", "pagoda, none"});
  expect_refused("run " + file + " --policy mom,esx --json x.json", {"--json", "one policy"});
}

TEST_F(Cli, VersionIsOneLine) {
  const Ran ran = run("--version");
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.out, testing::MatchesRegex("pagoda [0-9]+\\.[0-9]+\\.[0-9]+\n"));
  EXPECT_EQ(ran.error, "");
}

TEST_F(Cli, WhatItDoesNotKnowIsRefused) {
  expect_refused("", {"pagoda --help"});
  expect_refused("frobnicate", {"pagoda --help"});
  expect_refused("--frobnicate", {"pagoda --help"});
  expect_refused("run", {"scenario"});
  expect_refused("run --frobnicate s.toml", {"frobnicate"});
  expect_refused("run one.toml two.toml", {"two.toml"});
  expect_refused("trace", {"--help"});
  expect_refused("trace frobnicate", {"--help"});
  expect_refused("image", {"--help"});
  expect_refused("image info", {"file"});
  expect_refused("image make x", {"--output"});
  write("s.toml", kSmall);
  for (const char* number : {"0", "-1", "many", "99999999999999999999"})
    expect_refused(fmt::format("run s.toml --operations {}", number), {"--operations"});
  for (const char* number : {"-1", "x", "18446744073709551616"})
    expect_refused(fmt::format("run s.toml --seed {}", number), {"--seed"});
}

TEST_F(Cli, BadScenariosLeaveNothingBehind) {
  const struct {
    std::string_view from;
    std::string_view to;
    std::vector<std::string> parts;
  } cases[] = {
      {"[host]", "[hots]", {"bad.toml:1: "}},
      {"[[disk]]", "[[disk]]\ncolour = 1", {"bad.toml:4: disk.colour: is not a known key"}},
      {"\"1MiB\"", "\"1MB\"", {"bad.toml:2: host.memory: ", "unknown unit", "64MiB"}},
      {"\"1MiB\"", "\"99999999TiB\"", {"bad.toml:2: host.memory: ", "too large"}},
      {"\"1MiB\"", "\"4KiB\"", {"bad.toml:2: host.memory: ", "too small"}},
      {"\"8MiB\"", "\"17MiB\"", {"bad.toml:9: page_file.minimum: ", "more than its disk"}},
      {"name = \"a\"",
       "name = \"a\"\nworking_set = { minimum = \"8KiB\", maximum = \"4KiB\" }",
       {"bad.toml:12: process.working_set.minimum: is above the maximum"}},
      {"kind = \"zipf\", memory = \"1536KiB\", operations = 5000",
       "kind = \"trace\", file = \"missing.zst\"",
       {"bad.toml:10: process \"a\": ", "missing.zst"}},
      {"kind = \"zipf\", memory = \"1536KiB\", operations = 5000",
       "kind = \"trace\", file = \"cut.zst\"",
       {"bad.toml:10: process \"a\": ", "cut.zst"}},
      {"[host]", "[host", {"bad.toml:1: not TOML"}},
      {"[host]", "{\"host\": {}}", {"bad.toml:1: not TOML"}},
  };
  const std::string trace = slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "data/traces/gzip.vmpt.zst");
  write("cut.zst", std::string_view(trace).substr(0, trace.size() / 3));
  for (const auto& [from, to, parts] : cases) {
    write("bad.toml", replaced(kSmall, from, to));
    expect_refused("run bad.toml --json new/out.json --report new/out.html", parts);
  }
  expect_refused("run missing.toml --json out.json", {"missing.toml", "cannot be read"});
  expect_refused("run . --json out.json", {"pagoda: ."});
  write("binary.toml", std::string_view("\0\1\2\xff", 4));
  expect_refused("run binary.toml --json out.json", {"binary.toml:1: not TOML"});
}

TEST_F(Cli, RunWritesBothReports) {
  write("s.toml", kSmall);
  const Ran ran = run("run s.toml --json a/b/out.json --report a/out.html --verify");
  ASSERT_EQ(ran.status, 0) << ran.error;
  const auto json = nlohmann::json::parse(slurp(file("a/b/out.json")));
  EXPECT_EQ(json["schema"], "pagoda-run");
  EXPECT_EQ(json["verified"], true);
  EXPECT_EQ(json["processes"][0]["operations"], 5000);
  const std::string hash = json["state_hash"].get<std::string>();
  EXPECT_EQ(hash.size(), 16U);
  EXPECT_THAT(slurp(file("a/out.html")), AllOf(HasSubstr("<html"), HasSubstr("</html>")));
  EXPECT_THAT(ran.out, AllOf(HasSubstr("state " + hash), HasSubstr("every load returned what was stored"),
                             HasSubstr("report     " + std::filesystem::canonical(file("a/out.html")).string())));
  EXPECT_EQ(files(),
            (std::set<std::string>{"desk/s.toml", "desk/a", "desk/a/b", "desk/a/b/out.json", "desk/a/out.html"}));
}

TEST_F(Cli, APipeGetsNoProgress) {
  write("s.toml", replaced(kSmall, "operations = 5000", "operations = 200_000"));
  const Ran ran = run("run s.toml");
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.error, "");
  EXPECT_NE(ran.out, "");
  EXPECT_THAT(ran.out, AllOf(Not(HasSubstr("\r")), Not(HasSubstr("\x1b"))));
}

TEST_F(Cli, QuietSaysNothing) {
  write("s.toml", kSmall);
  const Ran ran = run("run s.toml --quiet --json out.json");
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.error, "");
  EXPECT_TRUE(std::filesystem::exists(file("out.json")));
}

TEST_F(Cli, OutputThatCannotBeWrittenIsRefusedBeforeTheRun) {
  // A run of hours: it ends only if it never begins.
  write("s.toml", replaced(kSmall, "operations = 5000", "operations = 1_000_000_000_000"));
  write("file", "");
  std::filesystem::create_directory(file("folder"));
  for (const char* option : {"--json", "--report"}) {
    for (const char* path : {"file/out", "folder", "folder/", "/proc/pagoda/out", "/dev/null/out"})
      expect_refused(fmt::format("run s.toml {} {}", option, path), {path});
  }
  expect_refused("run s.toml --json same --report same", {"same", "two files"});
}

TEST_F(Cli, AnOldReportStaysWhenTheRunIsRefused) {
  write("s.toml", "nonsense");
  write("out.json", "old");
  expect_refused("run s.toml --json out.json", {"s.toml:1"});
  EXPECT_EQ(slurp(file("out.json")), "old");
}

TEST_F(Cli, OutputMayBeADevice) {
  write("s.toml", kSmall);
  const Ran ran = run("run s.toml --quiet --json /dev/stdout");
  EXPECT_EQ(ran.status, 0) << ran.error;
  EXPECT_EQ(nlohmann::json::parse(ran.out)["schema"], "pagoda-run");
}

TEST_F(Cli, ImageInfoShowsTheShippedMap) {
  const Ran ran = run(fmt::format("image info '{}/data/images/all14.vpm.zst' --json out.json", PAGODA_SOURCE_DIR));
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.error, "");
  EXPECT_THAT(ran.out, AllOf(HasSubstr("nk_idle.mem"), HasSubstr("199,079")));
  EXPECT_EQ(nlohmann::json::parse(slurp(file("out.json")))["groups"][0]["images"].size(), 14U);
  expect_refused("image info missing.vpm.zst", {"missing.vpm.zst", "cannot be read"});
  write("cut.vpm.zst", slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "data/images/all14.vpm.zst").substr(0, 9999));
  expect_refused("image info cut.vpm.zst --json other.json", {"cut.vpm.zst: truncated"});
  expect_refused("image make cut.vpm.zst nk_idle -o out.mem", {"cut.vpm.zst: truncated"});
}

TEST_F(Cli, SeedAndOperationsGoBeforeTheScenarios) {
  write("s.toml", kSmall);
  EXPECT_EQ(run("run s.toml --quiet --seed 9 --operations 77 --json out.json").status, 0);
  const auto json = nlohmann::json::parse(slurp(file("out.json")));
  EXPECT_EQ(json["seed"], 9);
  EXPECT_EQ(json["processes"][0]["operations"], 77);
}

TEST_F(Cli, TheShippedScenarioIsTheSameRunTwice) {
  const std::string scenario = std::string(PAGODA_SOURCE_DIR) + "/scenarios/host.toml";
  nlohmann::json results[2];
  for (int i = 0; i < 2; ++i) {
    const Ran ran = run(fmt::format("run '{}' --operations 20000 --quiet --json {}.json", scenario, i));
    ASSERT_EQ(ran.status, 0) << ran.error;
    results[i] = nlohmann::json::parse(slurp(file(fmt::format("{}.json", i))));
    results[i].erase("wall_seconds");
  }
  EXPECT_EQ(results[0]["state_hash"], results[1]["state_hash"]);
  EXPECT_EQ(results[0], results[1]);
  for (const auto& process : results[0]["processes"]) EXPECT_EQ(process["operations"], 20000);
}

}  // namespace
}  // namespace pagoda::cli
