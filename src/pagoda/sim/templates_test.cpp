#include "pagoda/sim/templates.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/hv/check.h"
#include "pagoda/mm/check/check.h"
#include "pagoda/sim/simulation.h"
#include "pagoda/sim/testing/image_directory.h"

namespace pagoda::sim {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kPages = 96;
constexpr std::uint64_t kZeroPages = 8;  // The last ones.

// What a test varies.
struct Clones {
  std::string machine;
  std::string_view then = "kind = 'uniform', operations = 2000, writes = 0";
  std::string_view from = "template = 'base'";
};

// Two machines, the second later, whose programs begin with the same raw image.
class TemplatesOfAHost : public ::testing::Test {
 protected:
  TemplatesOfAHost() {
    std::vector<std::uint64_t> words(kPages * kPageWords);
    for (std::size_t i = 0; i < (kPages - kZeroPages) * kPageWords; ++i) words[i] = Random::mix(i);
    directory_.write("base.raw", std::as_bytes(std::span(words)));
  }

  [[nodiscard]] std::string text(const Clones& clones) const {
    return fmt::format(
        "[host]\nmemory = '16MiB'\nprocessors = 4\n[[disk]]\nname = 'd'\ncapacity = '64MiB'\nstore = 'memory'\n"
        "[[page_file]]\ndisk = 'd'\nminimum = '16MiB'\n"
        "[[template]]\nname = 'base'\ndisk = 'd'\nfill = {{ image = 'base.raw', raw = true }}\n"
        "[[vm]]\nname = 'v'\nmemory = '4MiB'\ncopies = 2\nevery = '3ms'\n{}\n"
        "[[vm.process]]\nname = 'p'\nprogram = {{ kind = 'image', {}, then = {{ {} }} }}\n",
        clones.machine, clones.from, clones.then);
  }
  [[nodiscard]] Scenario scenario(const Clones& clones) const {
    auto scenario = parse_scenario(text(clones), directory_.file("s.toml"));
    EXPECT_TRUE(scenario) << scenario.error().message;
    return scenario ? std::move(*scenario) : Scenario{};
  }
  // Runs it with every load compared; host, partitions and guests are checked at the end.
  [[nodiscard]] RunResult run(const Clones& clones) const { return run_of(scenario(clones)); }
  [[nodiscard]] static RunResult run_of(const Scenario& scenario) {
    auto simulation = Simulation::create(scenario, {.verify = true});
    if (!simulation) {
      ADD_FAILURE() << simulation.error().message;
      return {};
    }
    auto result = (*simulation)->run();
    EXPECT_TRUE(result) << result.error().message;
    EXPECT_EQ(to_string(mm::check((*simulation)->manager(), (*simulation)->machine().processor())), "");
    for (const auto& guest : (*simulation)->guests()) {
      if (!guest->is_running()) continue;
      EXPECT_EQ(hv::to_string(hv::check(guest->partition())), "");
      auto& cpu = guest->partition().machine().processor();
      EXPECT_EQ(to_string(mm::check(guest->system().manager(), cpu)), "");
    }
    return result ? std::move(*result) : RunResult{};
  }
  [[nodiscard]] static std::string refusal(const Scenario& scenario) {
    const auto simulation = Simulation::create(scenario, {});
    EXPECT_FALSE(simulation);
    return simulation ? "" : simulation.error().message;
  }

  ImageDirectory directory_;
};

TEST_F(TemplatesOfAHost, AreOneCopyFromTheFirstReadOnInEveryMachine) {
  for (const char* const machine :
       {"mmu = 'nested'", "mmu = 'shadow'", "mmu = 'paravirtual'", "backing = 'pinned'", "backing = 'deferred'",
        "refill = 'software'", "paging = 'x86'", "paging = 'pae'", "guest = 'plain'"}) {
    SCOPED_TRACE(machine);
    const RunResult run = this->run({.machine = machine});
    const Sample& end = run.samples.back();
    EXPECT_EQ(end.template_pages, PageCount(kPages));
    EXPECT_EQ(end.template_saved, PageCount(kPages));
    for (const VmSample& vm : end.vms) EXPECT_EQ(vm.from_templates, PageCount(kPages));
    EXPECT_EQ(run.counters.mapped_file_pages_read, kPages) << "what the second machine read was there";
    EXPECT_EQ(run.counters.sharing_scanned, 0U);
    EXPECT_THAT(run.processes.at(0).program, HasSubstr("of template \"base\""));
    for (const Sample& sample : run.samples) {
      PageCount all;
      for (const VmSample& vm : sample.vms) all += vm.from_templates;
      EXPECT_EQ(sample.template_pages + sample.template_saved, all);
    }
  }
}

TEST_F(TemplatesOfAHost, SaveTheMachinesOwnMemory) {
  const RunResult with = run({});
  const RunResult without = run({.from = "image = 'base.raw', raw = true"});
  EXPECT_EQ(without.samples.back().template_saved, 0_pages);
  EXPECT_EQ(with.processes.at(0).footprint, without.processes.at(0).footprint);
  for (std::size_t vm = 0; vm < 2; ++vm)
    EXPECT_LE(with.vms.at(vm).end.memory.in_memory() + PageCount(kPages),
              without.vms.at(vm).end.memory.in_memory() + PageCount(2));
}

TEST_F(TemplatesOfAHost, WhatAMachineWritesIsItsOwn) {
  const RunResult run = this->run({.then = "kind = 'uniform', operations = 3000, writes = 0.5"});
  for (const ProcessResult& process : run.processes)
    EXPECT_EQ(process.faults[static_cast<std::size_t>(mm::FaultKind::kCopyOnWrite)], kPages);
  EXPECT_EQ(run.counters.mapped_file_pages_written, 0U);
  for (const VmResult& vm : run.vms) EXPECT_EQ(vm.end.counters.lost_writes, 0U);
}

TEST_F(TemplatesOfAHost, AForkSharesThemToo) {
  const Clones clones{.machine = "processors = 2", .then = "kind = 'uniform', operations = 20000, writes = 0.2"};
  const auto parsed = parse_scenario(text(clones) + "[[vm.process]]\nname = 'q'\nfork_of = 'p'\nstart = '1ms'\n",
                                     directory_.file("s.toml"));
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto run = run_scenario(*parsed, {.verify = true});
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->samples.back().template_pages, PageCount(kPages));
  for (const ProcessResult& process : run->processes) EXPECT_NE(process.finished, kNever) << process.name;
  EXPECT_TRUE(run->incidents.empty()) << run->incidents.front().text;
}

// The host takes them back as any page of a file, writes nothing, and reads them again.
TEST_F(TemplatesOfAHost, LeaveAndComeBackWhereMemoryIsShort) {
  const RunResult run = this->run({.machine = "working_set = { maximum = '256KiB', hard = true }",
                                   .then = "kind = 'uniform', operations = 6000, writes = 0"});
  for (const VmSample& vm : run.samples.back().vms) EXPECT_LT(vm.from_templates, PageCount(kPages));
  EXPECT_EQ(run.counters.mapped_file_pages_written, 0U);
}

TEST_F(TemplatesOfAHost, OutliveEveryMachineAndServeTheNext) {
  const auto parsed =
      parse_scenario(text({.machine = "stop = '30ms'"}) +
                         "[[vm]]\nname = 'late'\nmemory = '4MiB'\nstart = '60ms'\n[[vm.process]]\nname = 'p'\n"
                         "program = { kind = 'image', template = 'base' }\n",
                     directory_.file("s.toml"));
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto run = run_scenario(*parsed, {.verify = true});
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->samples.back().template_pages, PageCount(kPages));
  EXPECT_EQ(run->samples.back().template_saved, 0_pages);
  EXPECT_EQ(run->counters.mapped_file_pages_read, kPages) << "they were on standby";
}

TEST_F(TemplatesOfAHost, ADiskThatFailsBelowThemCostsNobodyElse) {
  Scenario failing = scenario({});
  failing.injections[0].read_errors = 0.3;
  for (const ProcessResult& process : run_of(failing).processes) EXPECT_NE(process.finished, kNever);
  failing.injections[0].read_errors = 1;
  const RunResult lost = run_of(failing);
  for (const VmResult& vm : lost.vms) EXPECT_TRUE(vm.lost) << vm.name;
  EXPECT_EQ(lost.samples.back().template_pages, 0_pages);
}

TEST_F(TemplatesOfAHost, WhatCannotBeMadeIsOneLine) {
  Scenario small = scenario({});
  small.machine.disks.push_back({.name = "small", .capacity = 300_KiB});
  small.injections.emplace_back();
  small.templates[0].disk = 1;
  EXPECT_THAT(refusal(small), HasSubstr("is more than its disk \"small\" holds"));
  Scenario absent = scenario({});
  absent.templates[0].image.file = "none.raw";
  for (VmConfig& vm : absent.vms) vm.processes.clear();
  EXPECT_THAT(refusal(absent), ::testing::AllOf(HasSubstr("template \"base\": "), HasSubstr("none.raw")));
}

}  // namespace
}  // namespace pagoda::sim
