// Scenarios: what is read, what is refused and how, and that docs/scenarios.md says it all.
#include "pagoda/sim/scenario.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/sim/simulation.h"

namespace pagoda::sim {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Every line has a number that the table of bad scenarios counts on.
constexpr std::string_view kSmall = R"(title = "Small"
seed = 7
[host]
memory = "4MiB"
paging = "amd64"
processors = 1
[[disk]]
name = "ssd"
capacity = "16MiB"
latency = "65us"
[[page_file]]
disk = "ssd"
minimum = "4MiB"
maximum = "8MiB"
[memory_manager]
read_cluster = 8
[[process]]
name = "a"
working_set = { minimum = "64KiB", maximum = "1MiB" }
program = { kind = "uniform", memory = "1MiB", operations = 100 }
[run]
until = "1s"
)";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// The small scenario with a virtual machine, whose table begins in line 22; `more` are keys of it, or tables below.
std::string with_vm(std::string_view more) {
  return replaced(std::string(kSmall), "[run]",
                  fmt::format("[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n{}\n[run]", more));
}

std::string refusal(const std::string& text) {
  const auto scenario = parse_scenario(text, "bad.toml");
  return scenario ? "accepted" : scenario.error().message;
}

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

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

TEST(Scenario, TracesAreFoundFromTheScenariosFolder) {
  const auto scenario =
      parse_scenario(replaced(std::string(kSmall), R"({ kind = "uniform", memory = "1MiB", operations = 100 })",
                              R"({ kind = "trace", file = "../data/t.zst", repeat = 4 })"),
                     "some/folder/s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const auto& trace = std::get<TraceConfig>(scenario->processes[0].program);
  EXPECT_EQ(trace.file, "some/data/t.zst");
  EXPECT_EQ(trace.repeat, 4U);
}

TEST(Scenario, AVirtualMachineHasWhatAHostHas) {
  const auto scenario = parse_scenario(with_vm(R"(paging = "pae"
processors = 2
mmu = "shadow"
backing = "pinned"
fault_cluster = "8KiB"
shadow_memory = "1MiB"
guest = "plain"
hints = { cold = false }
working_set = { maximum = "1MiB" }
[vm.memory_manager]
read_cluster = 3
find_zero_pages = false
compression_store = "512KiB"
victims = "random"
[[vm.disk]]
name = "d"
capacity = "16MiB"
[[vm.page_file]]
disk = "d"
minimum = "2MiB"
[[vm.process]]
name = "a"
program = { kind = "uniform", memory = "64KiB", operations = 5 }
[[vm.process]]
name = "b"
fork_of = "a"
[[vm]]
name = "w"
memory = "4MiB")"),
                                       "s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->processes.size(), 1U);
  EXPECT_EQ(scenario->manager.tunables->read_cluster, 8U);
  ASSERT_EQ(scenario->vms.size(), 2U);
  const VmConfig& vm = scenario->vms[0];
  EXPECT_EQ(vm.name, "v");
  EXPECT_EQ(vm.machine.frames, 512_pages);
  EXPECT_EQ(vm.machine.paging, machine::PteFormat::kPae);
  EXPECT_EQ(vm.machine.processors, 2U);
  EXPECT_EQ(vm.mmu, hv::MmuKind::kShadow);
  EXPECT_EQ(vm.backing, hv::Backing::kPinned);
  EXPECT_EQ(vm.fault_cluster, 2_pages);
  EXPECT_EQ(vm.shadow_limit, 256_pages);
  EXPECT_EQ(vm.guest, VmConfig::GuestKind::kPlain);
  EXPECT_FALSE(vm.cold_hints);
  EXPECT_TRUE(vm.hot_hints && vm.cold_discard_hints);
  EXPECT_EQ(vm.limits->maximum, 256_pages);
  EXPECT_EQ(vm.limits->minimum, 50_pages);
  EXPECT_EQ(vm.manager.tunables->read_cluster, 3U);
  EXPECT_FALSE(vm.manager.tunables->find_zero_pages);
  EXPECT_EQ(vm.manager.tunables->compression_budget, 128_pages);
  EXPECT_EQ(vm.manager.tunables->victim, mm::Tunables::Victim::kRandom);
  EXPECT_EQ(vm.manager.tunables->plenty_free, mm::Tunables::for_memory(512_pages).plenty_free);
  ASSERT_EQ(vm.machine.disks.size(), 1U);
  EXPECT_EQ(vm.injections.size(), 1U);
  ASSERT_EQ(vm.manager.paging_files.size(), 1U);
  ASSERT_EQ(vm.processes.size(), 2U);  // "a" is the name of a process of the host too.
  EXPECT_EQ(vm.processes[1].fork_of, 0U);
  EXPECT_EQ(scenario->vms[1].guest, VmConfig::GuestKind::kWindows);
  EXPECT_FALSE(scenario->vms[1].limits);
}

TEST(Scenario, WhatItIsComparedWithIsFoundFromItsFolder) {
  const auto scenario = parse_scenario("compare_with = \"../scenarios/host.toml\"\n" + std::string(kSmall),
                                       std::string(PAGODA_SOURCE_DIR) + "/docs/s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->compare_with, std::string(PAGODA_SOURCE_DIR) + "/scenarios/host.toml");
  EXPECT_THAT(refusal("compare_with = \"none.toml\"\n" + std::string(kSmall)),
              HasSubstr("bad.toml:1: compare_with: \"none.toml\" is no file"));
}

struct Bad {
  std::string_view from;  // What of the small scenario is replaced; empty: nothing, `to` goes before it.
  std::string_view to;
  std::vector<std::string_view> parts;  // Of the message.
};

const Bad kBad[] = {
    // Unknown keys, at each level.
    {"seed = 7", "sead = 7", {"bad.toml:2: sead: is not a known key", "known here: ", "seed"}},
    {"processors = 1", "cpus = 1", {"bad.toml:6: host.cpus: is not a known key", "processors"}},
    {"latency = \"65us\"", "seek = \"65us\"", {"bad.toml:10: disk.seek: is not a known key", "latency"}},
    {"maximum = \"8MiB\"", "max = \"8MiB\"", {"bad.toml:14: page_file.max: is not a known key", "maximum"}},
    {"read_cluster = 8", "cluster = 8", {"bad.toml:16: memory_manager.cluster: is not a known key", "read_cluster"}},
    {"name = \"a\"", "name = \"a\"\nnice = 1", {"bad.toml:19: process.nice: is not a known key", "start"}},
    {"minimum = \"64KiB\"", "min = \"64KiB\"", {"bad.toml:19: process.working_set.min: is not a known key", "hard"}},
    {"operations = 100",
     "operations = 100, theta = 1",
     {"bad.toml:20: process.program.theta: is not a known key", "writes"}},
    {"until = \"1s\"", "for = \"1s\"", {"bad.toml:22: run.for: is not a known key; known here: until"}},
    {"\"uniform\", memory = \"1MiB\", operations = 100",
     "\"trace\", file = \"t\", memory = \"1MiB\"",
     {"bad.toml:20: process.program.memory: is not a known key", "repeat"}},
    // Wrong types.
    {"title = \"Small\"", "title = 1", {"bad.toml:1: title: must be text in quotes"}},
    {"seed = 7", "seed = \"7\"", {"bad.toml:2: seed: must be a whole number"}},
    {"seed = 7", "seed = -7", {"bad.toml:2: seed: must be a whole number from 0"}},
    {"seed = 7", "seed = 7.5", {"bad.toml:2: seed: must be a whole number"}},
    {"memory = \"4MiB\"", "memory = 4", {"bad.toml:4: host.memory: must be text in quotes"}},
    {"processors = 1", "processors = 65", {"bad.toml:6: host.processors: must be a whole number from 1 to 64"}},
    {"processors = 1", "processors = 0", {"bad.toml:6: host.processors: must be a whole number from 1"}},
    {"paging = \"amd64\"", "paging = \"arm\"", {"bad.toml:5: host.paging: \"arm\" is not one of x86, pae, amd64"}},
    {"capacity = \"16MiB\"",
     "capacity = \"16MiB\"\nread_errors = 1.5",
     {"bad.toml:10: disk.read_errors: must be a number from 0 to 1"}},
    {"capacity = \"16MiB\"",
     "capacity = \"16MiB\"\nwrite_errors = \"0.1\"",
     {"bad.toml:10: disk.write_errors: must be a number from 0 to 1"}},
    {"maximum = \"1MiB\"",
     "maximum = \"1MiB\", hard = 1",
     {"bad.toml:19: process.working_set.hard: must be true or false"}},
    {"{ kind = \"uniform\", memory = \"1MiB\", operations = 100 }",
     "\"uniform\"",
     {"bad.toml:20: process.program: must be a table"}},
    {"[[disk]]", "[disk]", {"bad.toml:7: disk: must be an array of tables: [[disk]]"}},
    {"[run]", "[[run]]", {"bad.toml:21: run: must be a table: [run]"}},
    {"kind = \"uniform\"",
     "kind = \"random\"",
     {"bad.toml:20: process.program.kind: \"random\" is not one of sequential, uniform, zipf, phases, trace, image"}},
    // Wrong units and numbers out of range.
    {"memory = \"4MiB\"", "memory = \"4MB\"", {"bad.toml:4: host.memory: ", "unknown unit \"MB\"", "\"64MiB\""}},
    {"memory = \"4MiB\"", "memory = \"4194304\"", {"bad.toml:4: host.memory: ", "has no unit", "\"64MiB\""}},
    {"latency = \"65us\"", "latency = \"65\"", {"bad.toml:10: disk.latency: ", "has no unit", "\"65us\""}},
    {"latency = \"65us\"", "latency = \"65KiB\"", {"bad.toml:10: disk.latency: ", "unknown unit \"KiB\""}},
    {"latency = \"65us\"", "latency = \"11s\"", {"bad.toml:10: disk.latency: must be from 0 ns to 10"}},
    {"latency = \"65us\"", "bandwidth = \"0B\"", {"bad.toml:10: disk.bandwidth: must be at least 1KiB"}},
    {"memory = \"4MiB\"", "memory = \"99999999TiB\"", {"bad.toml:4: host.memory: ", "too large"}},
    {"memory = \"4MiB\"", "memory = \"99999999999999999999B\"", {"bad.toml:4: host.memory: ", "out of range"}},
    {"memory = \"4MiB\"", "memory = \"1000001B\"", {"bad.toml:4: host.memory: must be a multiple of 4KiB"}},
    {"until = \"1s\"", "until = \"9000000000s\"", {"bad.toml:22: run.until: must be from 0 ns to 1000000.000 s"}},
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
    // What does not go together.
    {"memory = \"4MiB\"",
     "memory = \"252KiB\"",
     {"bad.toml:4: host.memory: a host of 252 KiB is too small to start; give it 256 KiB or more"}},
    {"memory = \"4MiB\"\npaging = \"amd64\"",
     "memory = \"8GiB\"\npaging = \"x86\"",
     {"bad.toml:4: host.memory: 8 GiB is more than x86 paging can address (4 GiB)", "amd64"}},
    {"memory = \"4MiB\"\npaging = \"amd64\"",
     "memory = \"512GiB\"\npaging = \"pae\"",
     {"bad.toml:4: host.memory: 512 GiB is more than pae paging can address (256 GiB)"}},
    {"memory = \"4MiB\"", "memory = \"32TiB\"", {"bad.toml:4: host.memory: 32 TiB is more than amd64 paging can"}},
    {"maximum = \"8MiB\"",
     "maximum = \"17MiB\"",
     {"bad.toml:14: page_file.maximum: 17 MiB is more than its disk \"ssd\" holds (16 MiB); make one smaller"}},
    {"minimum = \"4MiB\"\nmaximum = \"8MiB\"",
     "minimum = \"17MiB\"",
     {"bad.toml:13: page_file.minimum: 17 MiB is more than its disk \"ssd\" holds (16 MiB)"}},
    {"maximum = \"8MiB\"", "maximum = \"3MiB\"", {"bad.toml:14: page_file.maximum: is below the minimum"}},
    {"minimum = \"4MiB\"", "minimum = \"1023KiB\"", {"bad.toml:13: page_file.minimum: ", "at least 1MiB"}},
    {"[memory_manager]",
     "[[page_file]]\ndisk = \"ssd\"\nminimum = \"13MiB\"\n[memory_manager]",
     {"bad.toml: page_file.minimum: the minimums of the paging files on disk \"ssd\" are more than it holds (16 MiB)"}},
    {"disk = \"ssd\"", "disk = \"hdd\"", {"bad.toml:12: page_file.disk: there is no disk \"hdd\"; add a [[disk]]"}},
    {"[[page_file]]",
     "[[disk]]\nname = \"ssd\"\ncapacity = \"1MiB\"\n[[page_file]]",
     {"bad.toml:12: disk.name: there is a disk \"ssd\" already"}},
    {"capacity = \"16MiB\"", "capacity = \"0B\"", {"bad.toml:9: disk.capacity: must be at least 4KiB"}},
    {"capacity = \"16MiB\"",
     "capacity = \"16MiB\"\nstore = \"no-such-folder\"",
     {"bad.toml:10: disk.store: \"no-such-folder\" is not a folder", "\"memory\""}},
    {"minimum = \"64KiB\"",
     "minimum = \"2MiB\"",
     {"bad.toml:19: process.working_set.minimum: is above the maximum; lower it or raise the maximum"}},
    {"maximum = \"1MiB\"", "maximum = \"0B\"", {"bad.toml:19: process.working_set.m"}},
    {"minimum = \"64KiB\", maximum = \"1MiB\"",
     "minimum = \"4MiB\"",
     {"bad.toml: host.memory: the working-set minimums of the processes (4 MiB) are more than the host can keep",
      "lower process.working_set.minimum or raise host.memory"}},
    {"name = \"a\"", "name = \"a\"\ncopies = 100", {"bad.toml: host.memory: the working-set minimums", "(6400 KiB)"}},
    {"read_cluster = 8", "plenty_free = \"2MiB\"", {"bad.toml:16: memory_manager.plenty_free: must be below half"}},
    {"read_cluster = 8", "commit_reserve = \"4MiB\"", {"bad.toml:16: memory_manager.commit_reserve: must be below"}},
    {"read_cluster = 8", "minimum_free = \"4KiB\"", {"bad.toml:16: memory_manager.minimum_free: must be at least"}},
    {"read_cluster = 8", "compression_store = \"2MiB\"", {"bad.toml:16: memory_manager.compression_store: must be"}},
    {"read_cluster = 8",
     "victims = \"lru\"",
     {"bad.toml:16: memory_manager.victims: \"lru\" is not one of clock, random"}},
    {"read_cluster = 8", "balance_period = \"0s\"", {"bad.toml:16: memory_manager.balance_period: must be from 100"}},
    {"read_cluster = 8", "read_cluster = 17", {"bad.toml:16: memory_manager.read_cluster: must be a whole number"}},
    {"kind = \"uniform\", memory = \"1MiB\"",
     "kind = \"phases\", memory = \"1MiB\", window = \"2MiB\"",
     {"bad.toml:20: process.program.window: must be from 4KiB to the memory"}},
    // Files that are mapped.
    {"memory = \"1MiB\", operations", "view = \"copy\", operations", {"bad.toml:20: process.program.view: is for a"}},
    {"memory = \"1MiB\", operations", "disk = \"ssd\", operations", {"bad.toml:20: process.program.disk: is for a"}},
    {"memory = \"1MiB\"", "file = \"none\", disk = \"ssd\"", {"bad.toml:20: process.program.file: \"none\" cannot be"}},
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
    // Forks.
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
    // Virtual machines.
    {"[run]", "[[vm]]\nmemory = \"2MiB\"\n[run]", {"bad.toml:21: vm.name: is missing"}},
    {"[run]", "[[vm]]\nname = \"v\"\n[run]", {"bad.toml:21: vm.memory: is missing"}},
    {"[run]", "[vm]\nname = \"v\"\n[run]", {"bad.toml:21: vm: must be an array of tables: [[vm]]"}},
    {"[run]", "[[vm]]\nname = \"v\"\nmemory = \"3MiB\"\n[run]", {"bad.toml:23: vm.memory: must be a multiple of 2MiB"}},
    {"[run]", "[[vm]]\nname = \"v\"\nmemory = \"0B\"\n[run]", {"bad.toml:23: vm.memory: must be a multiple of 2MiB"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nmmu = \"ept\"\n[run]",
     {"bad.toml:24: vm.mmu: \"ept\" is not one of nested, shadow"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nfault_cluster = \"12KiB\"\n[run]",
     {"bad.toml:24: vm.fault_cluster: must be a power of two from 4KiB to 2MiB"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nfault_cluster = \"4MiB\"\n[run]",
     {"bad.toml:24: vm.fault_cluster: must be a power of two"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nshadow_memory = \"4KiB\"\n[run]",
     {"bad.toml:24: vm.shadow_memory: must be at least 256 KiB"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nguest = \"linux\"\n[run]",
     {"bad.toml:24: vm.guest: \"linux\" is not one of plain, windows"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nhints = { warm = true }\n[run]",
     {"bad.toml:24: vm.hints.warm: is not a known key"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n[[vm.page_file]]\ndisk = \"ssd\"\nminimum = \"1MiB\"\n[run]",
     {"bad.toml:25: vm.page_file.disk: there is no disk \"ssd\""}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n[[vm.process]]\nname = \"b\"\nfork_of = \"a\"\n[run]",
     {"bad.toml:26: vm.process.fork_of: there is no process \"a\""}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n[run]",
     {"bad.toml:25: vm.name: there is a virtual machine \"v\" already"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nprocessors = 64\n[run]",
     {"bad.toml: vm.processors: the host's and all virtual processors together are 65; there can be 64 at most"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nworking_set = { minimum = \"4MiB\" }\n[run]",
     {"bad.toml: host.memory: the working-set minimums of the processes (4160 KiB)"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n[[vm.process]]\nname = \"b\"\nworking_set = { minimum = \"4MiB\" }\n"
     "program = { kind = \"uniform\", memory = \"4KiB\", operations = 1 }\n[run]",
     {"bad.toml:21: vm.memory: the working-set minimums of the processes (4 MiB) are more than the guest \"v\" can "
      "keep",
      "raise vm.memory"}},
    // What is missing.
    {"[host]\nmemory = \"4MiB\"\npaging = \"amd64\"\nprocessors = 1\n", "", {"host: is missing"}},
    {"memory = \"4MiB\"", "", {"bad.toml:3: host.memory: is missing"}},
    {"name = \"ssd\"", "", {"bad.toml:7: disk.name: is missing"}},
    {"capacity = \"16MiB\"", "", {"bad.toml:7: disk.capacity: is missing"}},
    {"disk = \"ssd\"", "", {"bad.toml:11: page_file.disk: is missing"}},
    {"minimum = \"4MiB\"", "", {"bad.toml:11: page_file.minimum: is missing"}},
    {"name = \"a\"", "", {"bad.toml:17: process.name: is missing"}},
    {"kind = \"uniform\", ", "", {"bad.toml:20: process.program.kind: is missing"}},
    {", operations = 100", "", {"bad.toml:20: process.program.operations: is missing"}},
    {"kind = \"uniform\"", "kind = \"phases\"", {"bad.toml:20: process.program.window: is missing"}},
    {"kind = \"uniform\", memory = \"1MiB\", operations = 100",
     "kind = \"trace\"",
     {"bad.toml:20: process.program.file: is missing"}},
    // The same name twice.
    {"[run]",
     "[[process]]\nname = \"a\"\nprogram = { kind = \"uniform\", memory = \"4KiB\", operations = 1 }\n[run]",
     {"bad.toml:22: process.name: there is a process \"a\" already"}},
    {"seed = 7", "seed = 7\nseed = 8", {"bad.toml:3: not TOML: "}},
    // Not TOML, and names that would break the line.
    {"seed = 7", "seed 7", {"bad.toml:2: not TOML: "}},
    {"[host]", "[host", {"bad.toml:3: not TOML: "}},
    {"title = \"Small\"", "title = \"Small", {"bad.toml:1: not TOML: "}},
    {"",
     "\x7f"
     "ELF\x02\x01\x01",
     {"bad.toml:1: not TOML: "}},
    {"", "\xff\xfe\n", {"bad.toml:1: not TOML: "}},
    {"disk = \"ssd\"", "disk = \"a\\nb\"", {"bad.toml:12: page_file.disk: there is no disk \"a b\""}},
    {"seed = 7", "\"a\\r\\nb\" = 7", {"bad.toml:2: a  b: is not a known key"}},
    {"memory = \"4MiB\"", "memory = \"4\\nMiB\\u001b[2J\"", {"bad.toml:4: host.memory: "}},
};

TEST(BadScenario, IsOneLineWithFileLineKeyAndWhatToDo) {
  for (const Bad& bad : kBad) {
    const std::string text =
        bad.from.empty() ? std::string(bad.to) + std::string(kSmall) : replaced(std::string(kSmall), bad.from, bad.to);
    const std::string message = refusal(text);
    for (const std::string_view part : bad.parts) EXPECT_THAT(message, HasSubstr(std::string(part))) << bad.to;
    EXPECT_THAT(message, StartsWith("bad.toml"));
    EXPECT_TRUE(std::ranges::none_of(message, [](char c) { return static_cast<unsigned char>(c) < ' '; })) << message;
  }
}

TEST(BadScenario, NoProcess) {
  EXPECT_EQ(refusal("[host]\nmemory = \"4MiB\"\n"), "bad.toml:1: process: is missing");
  EXPECT_EQ(refusal("process = []\n[host]\nmemory = \"4MiB\"\n"), "bad.toml:1: process: is empty; add a [[process]]");
  EXPECT_EQ(refusal("[host]\nmemory = \"4MiB\"\n[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n"),
            "bad.toml:3: vm: is empty; add a [[process]], or a [[vm.process]] to a [[vm]]");
  EXPECT_THAT(refusal("process = [1]\n[host]\nmemory = \"4MiB\"\n"), HasSubstr("must be an array of tables"));
  EXPECT_THAT(refusal(""), HasSubstr("host: is missing"));
}

TEST(BadScenario, TooManyPagingFiles) {
  std::string files;
  for (int i = 0; i < 16; ++i) files += "[[page_file]]\ndisk = \"ssd\"\nminimum = \"1MiB\"\n";
  std::string text = replaced(std::string(kSmall), "16MiB", "1GiB");
  EXPECT_THAT(refusal(replaced(text, "[memory_manager]", files + "[memory_manager]")),
              HasSubstr("there are 16 paging files already, the most there can be"));
}

TEST(BadScenario, MissingFile) {
  const auto scenario = load_scenario("/no/such/scenario.toml");
  ASSERT_FALSE(scenario);
  EXPECT_THAT(scenario.error().message, StartsWith("/no/such/scenario.toml: cannot be read; name a scenario file"));
  EXPECT_FALSE(load_scenario("/"));  // A folder.
}

class BadTrace : public testing::Test {
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
    const auto scenario =
        parse_scenario(replaced(std::string(kSmall), "{ kind = \"uniform\", memory = \"1MiB\", operations = 100 }",
                                fmt::format("{{ kind = \"trace\", file = \"{}\" }}", file)),
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

// --- docs/scenarios.md ---

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    at = end + separator.size();
  }
  return parts;
}

// Keys by section ("host", "process.working_set", "process.program(zipf)", "" for the file itself).
using Keys = std::map<std::string, std::set<std::string>>;

Keys documented_keys(const std::string& document) {
  Keys keys;
  std::string section = "?";
  for (const std::string& line : split(document, "\n")) {
    if (line.starts_with("#")) {
      std::string name = line.substr(line.find(' ') + 1);
      std::erase_if(name, [](char c) { return c == '`' || c == '[' || c == ']'; });
      section = name == "The file" ? "" : line.starts_with("### ") ? "process." + name : name;
      continue;
    }
    if (!line.starts_with("| `")) continue;
    const std::vector<std::string> cells = split(line, " | ");
    const std::string key = split(cells[0], "`")[1];
    if (section != "process.program") {
      EXPECT_EQ(cells.size(), 4U) << line;
      keys[section].insert(key);
    } else if (cells.size() == 5) {
      for (const std::string& kind :
           cells[1] == "all" ? std::vector<std::string>{"sequential", "uniform", "zipf", "phases", "trace", "image"}
                             : split(cells[1], ", "))
        keys[fmt::format("process.program({})", kind)].insert(key);
    }
  }
  return keys;
}

// The keys that the reader knows at a place of a scenario: it lists them when it refuses another.
std::set<std::string> known_keys(const std::string& text) {
  const std::string message = refusal(text);
  const std::string_view intro = "zzz: is not a known key; known here: ";
  const std::size_t at = message.find(intro);
  EXPECT_NE(at, std::string::npos) << message;
  if (at == std::string::npos) return {};
  const auto names = split(message.substr(at + intro.size()), ", ");
  return {names.begin(), names.end()};
}

TEST(Scenario, AProgramMapsTheWholePagesOfAFile) {
  const auto path = std::filesystem::path(testing::TempDir()) / "pagoda_scenario_test_file";
  std::ofstream(path) << std::string(3 * kPageBytes + 100, 'x');
  const auto read = [&](const std::string& program) {
    return parse_scenario(
        replaced(std::string(kSmall), R"({ kind = "uniform", memory = "1MiB", operations = 100 })", program),
        (path.parent_path() / "scenario.toml").string());
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

TEST(ScenarioDocument, ListsEveryKeyAndNoOther) {
  const std::string small(kSmall);
  Keys known{
      {"", known_keys(replaced(small, "seed = 7", "zzz = 7"))},
      {"host", known_keys(replaced(small, "processors = 1", "zzz = 1"))},
      {"disk", known_keys(replaced(small, "latency", "zzz"))},
      {"page_file", known_keys(replaced(small, "maximum = \"8MiB\"", "zzz = 1"))},
      {"memory_manager", known_keys(replaced(small, "read_cluster", "zzz"))},
      {"process", known_keys(replaced(small, "name = \"a\"", "name = \"a\"\nzzz = 1"))},
      {"process.fill", known_keys(replaced(small, "name = \"a\"", "name = \"a\"\nfill = { image = 'x', zzz = 1 }"))},
      {"process.working_set", known_keys(replaced(small, "minimum = \"64KiB\"", "zzz = 1"))},
      {"run", known_keys(replaced(small, "until", "zzz"))},
      {"vm", known_keys(with_vm("zzz = 1"))},
      {"vm.hints", known_keys(with_vm("hints = { zzz = 1 }"))},
  };
  const std::pair<const char*, const char*> programs[] = {
      {"sequential", "memory = '4KiB', operations = 1"},
      {"uniform", "memory = '4KiB', operations = 1"},
      {"zipf", "memory = '4KiB', operations = 1"},
      {"phases", "memory = '4KiB', operations = 1, window = '4KiB', phase_operations = 1"},
      {"trace", "file = 'x'"},
      {"image", "image = 'x'"},
  };
  for (const auto& [kind, keys] : programs)
    known[fmt::format("process.program({})", kind)] =
        known_keys(replaced(small, "kind = \"uniform\", memory = \"1MiB\", operations = 100",
                            fmt::format("kind = '{}', {}, zzz = 1", kind, keys)));
  const Keys documented = documented_keys(slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "docs/scenarios.md"));
  EXPECT_EQ(documented, known);
}

TEST(ScenarioDocument, ItsExamplesAreScenarios) {
  const auto blocks = split(slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "docs/scenarios.md"), "```");
  std::size_t examples = 0;
  for (const std::string& block : blocks) {
    if (!block.starts_with("toml\n")) continue;
    ++examples;
    const auto scenario = parse_scenario(block.substr(5), "example.toml");
    EXPECT_TRUE(scenario) << scenario.error().message;
  }
  EXPECT_GE(examples, 1U);
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
}  // namespace pagoda::sim
