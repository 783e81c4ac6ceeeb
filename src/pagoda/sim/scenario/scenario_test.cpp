// The file as a whole: what is read, what is refused and how.
#include "pagoda/sim/scenario/scenario.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "pagoda/sim/simulation.h"
#include "pagoda/sim/testing/small_scenario.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Scenario, ReadsWhatIsThere) {
  const auto scenario = parse_scenario(std::string(kSmall), "x/small.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->title, "Small");
  EXPECT_EQ(scenario->seed, 7U);
  EXPECT_EQ(scenario->machine.frames, 1024_pages);
  EXPECT_EQ(scenario->machine.paging, machine::PteFormat::kAmd64);
  ASSERT_EQ(scenario->machine.disks.size(), 1U);
  EXPECT_EQ(scenario->machine.disks[0].capacity, 16_MiB);
  EXPECT_EQ(scenario->machine.disks[0].latency, 65_us);
  ASSERT_EQ(scenario->manager.paging_files.size(), 1U);
  EXPECT_EQ(scenario->manager.paging_files[0].name, "pagefile.sys");
  EXPECT_EQ(scenario->manager.paging_files[0].minimum, 4_MiB);
  EXPECT_EQ(scenario->manager.paging_files[0].maximum, 8_MiB);
  EXPECT_EQ(scenario->manager.tunables->read_cluster, 8U);
  EXPECT_EQ(scenario->manager.tunables->plenty_free, mm::Tunables::for_memory(1024_pages).plenty_free);
  ASSERT_EQ(scenario->processes.size(), 1U);
  EXPECT_EQ(scenario->processes[0].limits->minimum, 16_pages);
  EXPECT_EQ(scenario->processes[0].limits->maximum, 256_pages);
  EXPECT_EQ(std::get<GeneratorConfig>(scenario->processes[0].program).operations, 100U);
  EXPECT_EQ(scenario->until, Time{} + 1_s);
}

TEST(Scenario, TheLeastIsAHostAndAProcess) {
  const auto scenario = parse_scenario(
      "[host]\nmemory = \"256KiB\"\n[[process]]\nname = \"a\"\n"
      "program = { kind = \"sequential\", memory = \"4KiB\", operations = 1 }\n",
      "dir/least.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->title, "least");
  EXPECT_EQ(scenario->until, kNever);
  EXPECT_EQ(scenario->seed, 1U);
  EXPECT_FALSE(scenario->processes[0].limits);
}

TEST(Scenario, DefaultsScaleWithTheMachine) {
  const auto defaults = [](std::string_view memory) {
    const auto scenario = parse_scenario(replaced(std::string(kSmall), "4MiB", memory), "s.toml");
    EXPECT_TRUE(scenario) << scenario.error().message;
    return *scenario->manager.tunables;
  };
  // NT's figures, from tens of megabytes on.
  for (const char* memory : {"64MiB", "256MiB"}) {
    EXPECT_EQ(defaults(memory).minimum_free, 26_pages);
    EXPECT_EQ(defaults(memory).plenty_free, 400_pages);
  }
  EXPECT_EQ(defaults("32MiB").working_set_maximum, 345_pages);
  EXPECT_EQ(defaults("64GiB").working_set_maximum, pages_of(2_GiB));
  EXPECT_EQ(defaults("64GiB").minimum_free, pages_of(16_MiB));
  EXPECT_EQ(defaults("64GiB").plenty_free, pages_of(256_MiB));
  EXPECT_EQ(defaults("64GiB").modified_maximum, pages_of(512_MiB));
}

TEST(Scenario, NamesTheFilesThatARunReads) {
  const std::string trace = std::string(PAGODA_SOURCE_DIR) + "/data/traces/sort.vmpt.zst";
  const std::string text =
      "compare_with = \"" + trace + "\"\n" +
      with_vm(
          fmt::format("[[vm.disk]]\nname = \"d\"\ncapacity = \"1GiB\"\n"
                      "[[vm.process]]\nname = \"t\"\nprogram = {{ kind = \"trace\", file = \"inside.zst\" }}\n"
                      "[[vm.process]]\nname = \"m\"\nprogram = {{ kind = \"uniform\", file = \"{0}\", disk = \"d\", "
                      "operations = 1 }}\nfill = {{ image = \"fill.mem\" }}\n"
                      "[[vm.process]]\nname = \"i\"\nprogram = {{ kind = \"image\", image = \"image.mem\" }}\n",
                      trace));
  const auto scenario = parse_scenario(text, "dir/s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_THAT(input_files(*scenario),
              ::testing::ElementsAre("dir/s.toml", trace, "dir/inside.zst", "dir/fill.mem", trace, "dir/image.mem"));
}

TEST(Scenario, WhatItIsComparedWithIsFoundFromItsFolder) {
  const auto scenario = parse_scenario("compare_with = \"../scenarios/host.toml\"\n" + std::string(kSmall),
                                       std::string(PAGODA_SOURCE_DIR) + "/docs/s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->compare_with, std::string(PAGODA_SOURCE_DIR) + "/scenarios/host.toml");
  EXPECT_THAT(refusal("compare_with = \"none.toml\"\n" + std::string(kSmall)),
              HasSubstr("bad.toml:1: compare_with: no such scenario: \"none.toml\" (paths are relative to this file)"));
}

const BadScenario kBadFiles[] = {
    {"seed = 7", "sead = 7", {"bad.toml:2: sead: is not a known key", "known here: ", "seed"}},
    {"title = \"Small\"", "title = 1", {"bad.toml:1: title: must be text in quotes"}},
    {"seed = 7", "seed = \"7\"", {"bad.toml:2: seed: must be a whole number"}},
    {"seed = 7", "seed = -7", {"bad.toml:2: seed: must be a whole number from 0"}},
    {"seed = 7", "seed = 7.5", {"bad.toml:2: seed: must be a whole number"}},
    {"until = \"1s\"", "for = \"1s\"", {"bad.toml:22: run.for: is not a known key; known here: until"}},
    {"[run]", "[[run]]", {"bad.toml:21: run: must be a table: [run]"}},
    {"until = \"1s\"", "until = \"9000000000s\"", {"bad.toml:22: run.until: must be from 0 ns to 1000000.000 s"}},
    {"seed = 7", "seed = 7\nseed = 8", {"bad.toml:3: not TOML: "}},
    {"seed = 7", "seed 7", {"bad.toml:2: not TOML: "}},
    {"[host]", "[host", {"bad.toml:3: not TOML: "}},
    {"title = \"Small\"", "title = \"Small", {"bad.toml:1: not TOML: "}},
    {"",
     "\x7f"
     "ELF\x02\x01\x01",
     {"bad.toml:1: not TOML: "}},
    {"", "\xff\xfe\n", {"bad.toml:1: not TOML: "}},
    {"seed = 7", "\"a\\r\\nb\" = 7", {"bad.toml:2: a  b: is not a known key"}},
};

TEST(BadScenarioFile, IsRefusedInOneLineWithFileLineKeyAndWhatToDo) { expect_refused(kBadFiles); }

TEST(BadScenario, NoProcess) {
  EXPECT_EQ(refusal("[host]\nmemory = \"4MiB\"\n"), "bad.toml:1: process: is missing");
  EXPECT_EQ(refusal("process = []\n[host]\nmemory = \"4MiB\"\n"), "bad.toml:1: process: is empty; add a [[process]]");
  EXPECT_EQ(refusal("[host]\nmemory = \"4MiB\"\n[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n"),
            "bad.toml:3: vm: is empty; add a [[process]], or a [[vm.process]] to a [[vm]]");
  EXPECT_THAT(refusal("process = [1]\n[host]\nmemory = \"4MiB\"\n"), HasSubstr("must be an array of tables"));
  EXPECT_THAT(refusal(""), HasSubstr("host: is missing"));
}

TEST(BadScenario, MissingFile) {
  const auto scenario = load_scenario("/no/such/scenario.toml");
  ASSERT_FALSE(scenario);
  EXPECT_THAT(scenario.error().message,
              StartsWith("/no/such/scenario.toml: cannot be read: No such file or directory; name a scenario file"));
  EXPECT_FALSE(load_scenario("/"));  // A folder.
}

TEST(BadScenario, SizesThatCannotBe) {
  const std::string sparse = ::testing::TempDir() + "pagoda_scenario_sparse_" + std::to_string(getpid());
  std::ofstream(sparse).put('x');
  std::filesystem::resize_file(sparse, std::uintmax_t{100} << 30);
  const std::string mapping =
      fmt::format(R"({{ kind = "uniform", file = "{}", disk = "ssd", operations = 1 }})", sparse);
  EXPECT_THAT(refusal(with_program(mapping)),
              ::testing::AllOf(StartsWith("bad.toml:20: process.program.file: "),
                               HasSubstr("(100 GiB) is more than its disk \"ssd\" holds (16 MiB)")));
  for (const char* paging : {"x86", "pae"}) {
    const std::string narrow = replaced(std::string(kSmall), "\"amd64\"", fmt::format("\"{}\"", paging));
    EXPECT_THAT(refusal(replaced(narrow, "\"uniform\", memory = \"1MiB\"", "\"uniform\", memory = \"2GiB\"")),
                HasSubstr("bad.toml:20: process.program.memory: must be from 4KiB to "));
  }
  std::filesystem::remove(sparse);
}

TEST(BadScenario, AFileWithoutAnEnd) {
  const auto endless = load_scenario("/dev/zero");
  ASSERT_FALSE(endless);
  EXPECT_THAT(endless.error().message, StartsWith("/dev/zero: is larger than a scenario can be (16 MiB)"));
}

TEST(BadScenario, NamesThatNoFileCanHave) {
  EXPECT_THAT(refusal(replaced(std::string(kSmall), "capacity", "store = \"a\\u0000b\"\ncapacity")),
              HasSubstr("bad.toml:9: disk.store: holds a character U+0000"));
  const std::string endless(5000, 'x');
  EXPECT_THAT(refusal(replaced(std::string(kSmall), "capacity", "store = \"" + endless + "\"\ncapacity")),
              HasSubstr("File name too long"));
  EXPECT_THAT(refusal("compare_with = \"" + endless + "\"\n" + std::string(kSmall)), HasSubstr("compare_with"));
}

// One of a few ways to damage a text.
std::string mutated(std::string text, unsigned kind, std::size_t place, std::size_t length, char byte) {
  if (text.empty()) return std::string(1, byte);
  const std::size_t at = place % text.size();
  length = 1 + length % 24;
  switch (kind % 6) {
    case 0:
      text[at] = byte;
      break;
    case 1:
      text.insert(at, 1, byte);
      break;
    case 2:
      text.erase(at, length);
      break;
    case 3:
      text.insert(at, text.substr(at, length));
      break;
    case 4:  // A digit grows: sizes overflow.
      text.insert(at, std::string(length, '9'));
      break;
    case 5:
      text.resize(at);
      break;
  }
  return text;
}

RC_GTEST_PROP(ScenarioMutation, NeverCrashesAndIsRefusedInOneLine, ()) {
  static const std::string kSeeds[] = {
      std::string(kSmall),
      slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "scenarios/host.toml"),
      slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "scenarios/generators.toml"),
      slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "scenarios/failing-disk.toml"),
      slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "scenarios/guests.toml"),
  };
  std::string text = kSeeds[*rc::gen::inRange<std::size_t>(0, std::size(kSeeds))];
  const auto mutations = *rc::gen::inRange(1, 6);
  for (int i = 0; i < mutations; ++i) {
    const auto [kind, place, length, byte] =
        *rc::gen::tuple(rc::gen::inRange(0U, 6U), rc::gen::inRange<std::size_t>(0, 4096),
                        rc::gen::inRange<std::size_t>(0, 24), rc::gen::arbitrary<char>());
    text = mutated(std::move(text), kind, place, length, byte);
  }
  const auto scenario = parse_scenario(text, "m.toml");
  if (scenario) {
    RC_ASSERT(!scenario->processes.empty() || !scenario->vms.empty());
    return;
  }
  const std::string& message = scenario.error().message;
  RC_LOG() << message << "\n";
  RC_ASSERT(message.starts_with("m.toml:"));
  RC_ASSERT(message.find('\n') == std::string::npos);
}

TEST(ShippedScenarios, AreAcceptedAndSayWhatTheyShow) {
  std::size_t count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(PAGODA_SOURCE_DIR) / "scenarios")) {
    if (entry.path().extension() != ".toml") continue;
    ++count;
    const auto scenario = load_scenario(entry.path().string());
    ASSERT_TRUE(scenario) << scenario.error().message;
    EXPECT_GT(scenario->description.size(), 20U) << entry.path();
    EXPECT_NE(scenario->title, entry.path().stem());
    const auto simulation = Simulation::create(*scenario, {});
    EXPECT_TRUE(simulation) << simulation.error().message;
  }
  EXPECT_GE(count, 3U);
}

}  // namespace
}  // namespace pagoda::sim::testing
