// Whole simulations with virtual machines: what must hold for guests whatever the host does to them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/hv/check.h"
#include "pagoda/hv/hot_io_pages.h"
#include "pagoda/mm/check/check.h"
#include "pagoda/sim/baseline.h"
#include "tests/checked_run.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Vm {
  std::string_view name = "v";
  std::string_view memory = "2MiB";
  std::string_view paging = "amd64";
  std::string_view mmu = "nested";
  std::string_view refill = "hardware";
  unsigned processors = 1;
  std::string_view more;  // Keys.
  std::string_view page_file = "8MiB";
  std::string_view disk;  // Keys of its disk.
};

std::string process_in(std::string_view table, std::string_view name, std::string_view program) {
  return fmt::format("[[{}]]\nname = '{}'\nprogram = {{ {} }}\n", table, name, program);
}

// Two programs that want more than the guest has.
const std::string kTwo =
    process_in("vm.process", "a", "kind = 'uniform', memory = '3MiB', operations = 5000") +
    process_in("vm.process", "b",
               "kind = 'phases', memory = '1MiB', operations = 5000, window = '256KiB', phase_operations = 700");

std::string vm(const Vm& vm, const std::string& processes = kTwo) {
  std::string text = fmt::format(
      "[[vm]]\nname = '{}'\nmemory = '{}'\npaging = '{}'\nmmu = '{}'\nrefill = '{}'\nprocessors = {}\n{}\n"
      "[[vm.disk]]\nname = 'vd'\ncapacity = '64MiB'\nstore = 'memory'\n{}\n",
      vm.name, vm.memory, vm.paging, vm.mmu, vm.refill, vm.processors, vm.more, vm.disk);
  if (!vm.page_file.empty()) text += fmt::format("[[vm.page_file]]\ndisk = 'vd'\nminimum = '{}'\n", vm.page_file);
  return text + processes;
}

std::string host(std::string_view memory, unsigned processors, const std::string& rest) {
  return fmt::format(
      "[host]\nmemory = '{}'\nprocessors = {}\n[[disk]]\nname = 'd'\ncapacity = '256MiB'\nstore = 'memory'\n"
      "[[page_file]]\ndisk = 'd'\nminimum = '64MiB'\n{}",
      memory, processors, rest);
}

TEST(VirtualMachinesInScenarios, TheSameSeedIsTheSameRun) {
  const std::string text = host("3MiB", 2, vm({.name = "v", .processors = 2}) + vm({.name = "w", .mmu = "shadow"}));
  CheckedRun first(text);
  CheckedRun second(text, {.verify = false});  // Verifying changes nothing either.
  EXPECT_EQ(first.go().state_hash, second.go().state_hash);
  EXPECT_EQ(first.result.end, second.result.end);
  CheckedRun third(text, {.verify = true, .seed = 99});
  EXPECT_NE(first.result.state_hash, third.go().state_hash);
}

TEST(VirtualMachinesInScenarios, ProgramsReadTheSameBytesInEveryVirtualMachineAndOnTheHost) {
  // What they read where there is no virtual machine.
  const std::string on_host = process_in("process", "a", "kind = 'zipf', memory = '2MiB', operations = 5000");
  std::vector<std::uint64_t> expected;
  std::set<std::uint64_t> hashes;
  for (const std::string mmu : {"nested", "shadow", "paravirtual"}) {
    for (const char* paging : {"x86", "pae", "amd64"}) {
      for (const std::string refill : {"hardware", "software"}) {
        if (mmu == "paravirtual" && refill == "software") continue;
        for (const unsigned processors : {1U, 2U}) {
          const auto where = fmt::format("{} {} {} {}", mmu, paging, refill, processors);
          CheckedRun run(
              host("2MiB", processors,
                   vm({.paging = paging, .mmu = mmu, .refill = refill, .processors = processors}) + on_host));
          const RunResult& result = run.go();
          EXPECT_THAT(result.incidents, IsEmpty()) << where;
          std::vector<std::uint64_t> checksums;
          for (const ProcessResult& process : result.processes) {
            EXPECT_EQ(process.operations, 5000U) << where;
            EXPECT_GT(process.loads_verified, 1000U) << where;
            checksums.push_back(process.checksum);
          }
          if (expected.empty()) expected = checksums;
          EXPECT_EQ(checksums, expected) << where;
          EXPECT_EQ(result.vms[0].mmu, mmu);
          EXPECT_EQ(result.vms[0].paging, paging);
          EXPECT_GT(result.vms[0].end.counters.page_ins, 0U) << where;
          hashes.insert(result.state_hash);
        }
      }
    }
  }
  EXPECT_EQ(hashes.size(), 30U);
}

TEST(VirtualMachinesInScenarios, HaveAnyNumberOfWholePages) {
  for (const std::string_view memory : {"516KiB", "1020KiB", "2052KiB", "3000KiB"}) {
    for (const std::string_view mmu : {"nested", "shadow", "paravirtual"}) {
      for (const std::string_view more :
           {"", "fault_cluster = '2MiB'", "backing = 'deferred'", "balloon = { target = '64KiB' }"}) {
        CheckedRun run(host("2MiB", 1, vm({.memory = memory, .mmu = mmu, .more = more})));
        const RunResult& result = run.go();
        EXPECT_THAT(result.incidents, IsEmpty()) << memory << mmu << more;
        EXPECT_EQ(bytes_of(pages_of(result.vms[0].promised)), result.vms[0].promised);
        const GuestMemory& end = result.vms[0].end.memory;
        EXPECT_EQ(bytes_of(end.in_memory() + end.compressed + end.page_file + end.ballooned + end.nothing),
                  result.vms[0].promised);
      }
    }
  }
}

// What a disk does not reach is copied until it lies where the disk does, and the programs see nothing of it.
TEST(VirtualMachinesInScenarios, ADiskThatReachesLowMemoryGetsItsPagesThere) {
  CheckedRun all(host("4MiB", 1, vm({})));
  CheckedRun low(host("4MiB", 1, vm({.disk = "reach = '1MiB'"})));
  all.go();
  low.go();
  EXPECT_THAT(low.result.incidents, IsEmpty());
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(low.result.processes[i].checksum, all.result.processes[i].checksum);
  EXPECT_EQ(all.result.vms[0].end.counters.bounced_pages, 0U);
  const hv::PartitionCounts& counts = low.result.vms[0].end.counters;
  EXPECT_GT(counts.lowered_pages, 0U);
  EXPECT_GE(counts.bounced_pages, counts.lowered_pages * hv::HotIoPages::kHotCopies);
}

TEST(VirtualMachinesInScenarios, FiguresAddUp) {
  CheckedRun run(host("3MiB", 2, vm({.name = "v", .processors = 2}) + vm({.name = "w"})));
  const RunResult& result = run.go();
  ASSERT_EQ(result.vms.size(), 2U);
  ASSERT_EQ(result.processes.size(), 4U);
  EXPECT_EQ(result.processors.size(), 2U);
  Duration busy;
  for (const ProcessorResult& processor : result.processors) {
    EXPECT_EQ(processor.busy + processor.idle, result.end - Time{});
    busy += processor.busy;
  }
  Duration of_guests;
  for (std::size_t number = 0; number < 2; ++number) {
    const VmResult& vm = result.vms[number];
    const GuestMemory& memory = vm.end.memory;
    EXPECT_EQ(memory.in_memory() + memory.compressed + memory.page_file + memory.ballooned + memory.nothing, 512_pages);
    const GuestFrames& frames = vm.end.frames;
    EXPECT_EQ(frames.active + frames.modified + frames.standby + frames.ballooned + frames.unused, 512_pages);
    EXPECT_GT(vm.end.tables, 3_pages);
    EXPECT_GT(vm.waited, 0_ns);
    of_guests += vm.busy;
    // A guest's own faults are those of its processes.
    mm::FaultCounts faults{};
    for (const ProcessResult& process : result.processes) {
      if (process.vm != vm.name) continue;
      mm::add(faults, process.faults);
      EXPECT_LE(process.cpu_time + process.wait_time, process.finished - Time{});
    }
    EXPECT_EQ(faults, vm.counters.faults);
    ASSERT_EQ(vm.disks.size(), 1U);
    EXPECT_EQ(vm.disks[0].writes, vm.counters.page_file_writes);
    ASSERT_EQ(vm.page_files.size(), 1U);
    EXPECT_EQ(vm.page_files[0].disk, "vd");
    // Violations that read are the host's hard faults; others may have read for it.
    EXPECT_GE(vm.end.counters.violations, vm.end.counters.page_ins);
  }
  EXPECT_LE(of_guests, busy);
  EXPECT_GT(of_guests + of_guests, busy);  // Most of what the host does is theirs.
  for (const Sample& sample : result.samples) {
    PageCount active;
    for (const VmSample& one : sample.vms) active += one.memory.active;
    EXPECT_LE(active, sample.frames.active_private);
    ASSERT_EQ(sample.vms.size(), 2U);
    ASSERT_EQ(sample.processes.size(), 4U);
  }
}

TEST(VirtualMachinesInScenarios, OneThatWaitsForTheHostLetsOthersRun) {
  // One core; the guest's waits for the host's disk are time for the host's own program.
  const std::string own = process_in("process", "p", "kind = 'uniform', memory = '64KiB', operations = 2000");
  CheckedRun run(host("2MiB", 1, vm({}) + own));
  const RunResult& result = run.go();
  EXPECT_GT(result.vms[0].waited, 10_ms);
  EXPECT_LT(result.processes[0].finished, Time{} + (result.end - Time{}) / 2);
}

// Virtual processors are dispatched on the host's as threads are: a thousand guests need no thousand processors.
TEST(VirtualMachinesInScenarios, AThousandGuestsShareFourProcessors) {
  constexpr unsigned kGuests = 1000;
  std::string guests;
  for (unsigned i = 0; i < kGuests; ++i) {
    guests += vm({.name = fmt::format("v{}", i), .memory = "4MiB", .more = "tlb = 'realistic'"},
                 process_in("vm.process", "p", "kind = 'uniform', memory = '64KiB', operations = 40"));
  }
  // 4 GiB are promised to them, and 1 GiB is there.
  const std::string text =
      "[host]\nmemory = '1GiB'\nprocessors = 4\n[[disk]]\nname = 'd'\ncapacity = '8GiB'\nstore = 'memory'\n"
      "[[page_file]]\ndisk = 'd'\nminimum = '4GiB'\n" +
      guests;
  auto simulation = Simulation::create(parsed(text), {.verify = true});
  ASSERT_TRUE(simulation) << simulation.error().message;
  const auto run = (*simulation)->run();
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_THAT(run->incidents, IsEmpty());
  EXPECT_EQ(run->processors.size(), 4U);
  ASSERT_EQ(run->vms.size(), kGuests);
  for (const VmResult& vm : run->vms) EXPECT_GT(vm.end.counters.dispatches, 0U) << vm.name;
  for (const ProcessResult& process : run->processes) {
    EXPECT_EQ(process.operations, 40U) << process.vm;
    EXPECT_NE(process.finished, kNever) << process.vm;
  }
  machine::SimProcessor& core = (*simulation)->machine().processor();
  EXPECT_EQ(to_string(mm::check((*simulation)->manager(), core)), "");
  for (unsigned i = 0; i < kGuests; i += 100) {
    Guest& guest = *(*simulation)->guests()[i];
    const hv::WorldSwitch::Visit look(guest.partition().processor(0).world(), core);
    EXPECT_EQ(hv::to_string(hv::check(guest.partition())), "");
    EXPECT_EQ(to_string(mm::check(guest.system().manager(), guest.partition().machine().processor())), "");
  }
}

// Nobody starves: with more virtual processors than cores, each gets a core for a quantum in turn.
TEST(VirtualMachinesInScenarios, GuestsThatComputeShareTheProcessorsEvenly) {
  std::string guests;
  for (const char* name : {"a", "b", "c", "d", "e", "f"})
    guests += vm({.name = name}, process_in("vm.process", "p",
                                            "kind = 'sequential', memory = '64KiB', operations = 4000, "
                                            "references = 60000"));
  CheckedRun run(host("32MiB", 2, guests));
  const RunResult& result = run.go();
  Time first = kNever;
  Time last;
  for (const ProcessResult& process : result.processes) {
    first = std::min(first, process.finished);
    last = std::max(last, process.finished);
  }
  // Three for each core: all of them end in the last rounds of 20 ms.
  EXPECT_GT(last - Time{}, 200_ms);
  EXPECT_LT(last - first, 80_ms);
  for (const VmResult& vm : result.vms) EXPECT_GT(vm.end.counters.dispatches, 4U);
}

TEST(VirtualMachinesInScenarios, BothLevelsPageAndWhatIsPagedTwiceIsCounted) {
  CheckedRun run(host("2MiB", 1, vm({})));
  const RunResult& result = run.go();
  EXPECT_GT(result.counters.page_file_pages_written, 0U);
  EXPECT_GT(result.vms[0].counters.page_file_pages_written, 0U);
  const std::uint64_t twice = result.vms[0].end.counters.double_paged;
  EXPECT_GT(twice, 0U);
  EXPECT_LE(twice, result.vms[0].counters.page_file_pages_written);
  // With memory for all nothing is.
  CheckedRun roomy(host("8MiB", 1, vm({})));
  EXPECT_EQ(roomy.go().vms[0].end.counters.double_paged, 0U);
  EXPECT_GT(roomy.result.vms[0].counters.page_file_pages_written, 0U);
  const Baseline baseline = baseline_of(result);
  EXPECT_EQ(baseline.double_paged, twice);
  EXPECT_EQ(baseline.guest_pages_written, result.vms[0].counters.page_file_pages_written);
}

TEST(VirtualMachinesInScenarios, CuresLessenWhatIsPagedTwice) {
  const auto run = [](const char* name) {
    const auto scenario = load_scenario(std::string(PAGODA_SOURCE_DIR) + "/scenarios/" + name);
    EXPECT_TRUE(scenario) << scenario.error().message;
    auto result = run_scenario(*scenario, {});
    EXPECT_TRUE(result) << result.error().message;
    return std::move(*result);
  };
  const RunResult without = run("double-paging.toml");
  const RunResult with = run("double-paging-cured.toml");
  // The guest that pages evicts as much in both; the host had paged out a good part of it before, or little.
  const std::uint64_t before = baseline_of(without).double_paged;
  const std::uint64_t after = baseline_of(with).double_paged;
  EXPECT_GT(before * 3, baseline_of(without).guest_pages_written);
  EXPECT_LT(after * 2, before);
  EXPECT_GT(baseline_of(with).guest_pages_written * 10, baseline_of(without).guest_pages_written * 9);
  EXPECT_GT(with.vms[0].end.counters.discarded_pages, 1000U);
  EXPECT_EQ(without.vms[0].end.counters.discarded_pages, 0U);
  EXPECT_LT(with.end, without.end);
  EXPECT_LT(with.counters.page_file_pages_read + with.counters.page_file_pages_written,
            without.counters.page_file_pages_read + without.counters.page_file_pages_written);
}

TEST(VirtualMachinesInScenarios, TheShippedGuestsHaveTwoThirdsOfTheirMemoryAndAllFinish) {
  const auto scenario = load_scenario(std::string(PAGODA_SOURCE_DIR) + "/scenarios/guests.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  PageCount promised;
  for (const VmConfig& vm : scenario->vms) promised += vm.partition.memory;
  EXPECT_GE(scenario->vms.size(), 3U);
  EXPECT_EQ(scenario->machine.frames.value() * 3, promised.value() * 2);
  const auto result = run_scenario(*scenario, {.verify = true});
  ASSERT_TRUE(result) << result.error().message;
  for (const ProcessResult& process : result->processes) EXPECT_NE(process.finished, kNever) << process.name;
  EXPECT_GT(result->counters.page_file_pages_written + result->counters.pages_compressed, 0U);
}

TEST(VirtualMachinesInScenarios, TheStoreHoldsWhatTheHostCompressed) {
  const std::string fill = std::string("fill = { name = 'py', from = '32MiB', image = '") + PAGODA_SOURCE_DIR +
                           "/data/images/all14.vpm.zst' }\n";
  CheckedRun run(
      host("3MiB", 1,
           "[memory_manager]\ncompression_store = '1MiB'\n" +
               vm({.memory = "4MiB"},
                  process_in("vm.process", "a", "kind = 'uniform', memory = '5MiB', operations = 4000") + fill)));
  const RunResult& result = run.go();
  EXPECT_GT(result.counters.pages_compressed, 0U);
  PageCount most;
  for (const Sample& sample : result.samples) {
    most = std::max(most, sample.vms[0].memory.compressed);
    EXPECT_LE(sample.frames.active_compression_store, 256_pages);
  }
  EXPECT_GT(most, 0_pages);
}

TEST(VirtualMachinesInScenarios, PinnedMemoryIsNotPaged) {
  CheckedRun run(host("8MiB", 1, vm({.more = "backing = 'pinned'"})));
  const RunResult& result = run.go();
  EXPECT_EQ(result.vms[0].end.memory.active, 512_pages);
  EXPECT_EQ(result.vms[0].end.counters.page_ins, 0U);
  EXPECT_EQ(result.vms[0].backing, "pinned");
}

TEST(VirtualMachinesInScenarios, AHostThatCannotKeepItsPromiseSaysSo) {
  const auto scenario =
      parse_scenario("[host]\nmemory = '4MiB'\n" +
                         vm({.memory = "8MiB", .page_file = ""},
                            process_in("vm.process", "a", "kind = 'uniform', memory = '64KiB', operations = 1")),
                     "test.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const auto simulation = Simulation::create(*scenario, {});
  ASSERT_FALSE(simulation);
  EXPECT_THAT(simulation.error().message, HasSubstr("test.toml:3: vm \"v\": the host cannot promise it 8 MiB"));
  EXPECT_THAT(simulation.error().message, HasSubstr("it may promise "));
}

TEST(VirtualMachinesInScenarios, EachThingThatAHostLacksIsSaidAsSuch) {
  const auto refusal = [](const std::string& text) {
    const auto scenario = parse_scenario(text, "test.toml");
    EXPECT_TRUE(scenario) << scenario.error().message;
    const auto simulation = Simulation::create(*scenario, {});
    return simulation ? "it starts" : simulation.error().message;
  };
  EXPECT_THAT(refusal(host("8MiB", 1, vm({.memory = "8MiB", .more = "backing = 'pinned'"}))),
              HasSubstr("too much would have to stay in its memory"));
  std::string narrow = host("8MiB", 1, vm({.memory = "3072MiB"}));
  narrow.insert(narrow.find("processors"), "paging = 'x86'\n");
  narrow.replace(narrow.find("256MiB"), 6, "8GiB");
  narrow.replace(narrow.find("64MiB"), 5, "4000MiB");
  EXPECT_THAT(refusal(narrow), HasSubstr("no process of the host has so many addresses"));
}

TEST(VirtualMachinesInScenarios, AGuestsOwnDiskMayFail) {
  std::string text = host("8MiB", 1, vm({}));
  const std::size_t at = text.rfind("store = 'memory'");
  text.insert(at, "read_errors = 0.2\nwrite_errors = 0.2\n");
  CheckedRun run(text);
  const RunResult& result = run.go();
  EXPECT_GT(result.vms[0].disks[0].errors, 0U);
  EXPECT_EQ(result.disks[0].errors, 0U);
  for (const ProcessResult& process : result.processes) EXPECT_EQ(process.operations, 5000U);
}

TEST(VirtualMachinesInScenarios, AnIdleGuestEndsNothingAndHaltsItsProcessors) {
  CheckedRun run(host("8MiB", 2,
                      vm({.name = "v", .processors = 2},
                         process_in("vm.process", "a", "kind = 'uniform', memory = '64KiB', operations = 100")) +
                          vm({.name = "w", .processors = 2}, "") +
                          process_in("process", "late", "kind = 'uniform', memory = '64KiB', operations = 10") +
                          "start = '3s'\n"));
  const RunResult& result = run.go();
  EXPECT_GT(result.end, Time{} + 3_s);
  for (const VmResult& vm : result.vms) EXPECT_LT(vm.busy, 50_ms);
}

}  // namespace
}  // namespace pagoda::sim::testing
