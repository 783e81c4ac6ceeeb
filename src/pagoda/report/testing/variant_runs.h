// Variants of the sample run for the tests of the reports: shared pages, virtual machines, hostile names. Nothing else
// includes this.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "pagoda/report/testing/sample_run.h"

namespace pagoda::report::testing {

// Three processes that map one file and share its pages, each with some private memory; some are copied when written.
inline sim::RunResult sharing_run() {
  sim::RunResult run = roomy_run();
  run.title = "Programs that share a file";
  for (sim::Sample& sample : run.samples) {
    PageCount shared;
    for (sim::ProcessSample& process : sample.processes) {
      process.shared = process.working_set / 3;
      shared = std::max(shared, process.shared);
    }
    sample.frames.active_shared_file = shared / 2;
    sample.frames.active_shared_page_file = shared / 4;
    sample.frames.active_prototypes = 3_pages;
    sample.frames.zeroed = sample.frames.zeroed - shared / 2 - shared / 4 - 3_pages;
  }
  for (sim::ProcessResult& process : run.processes) {
    process.end_private = process.peak_working_set / 2;
    process.end_shared = process.peak_working_set / 3;
    count_of(process.faults, mm::FaultKind::kShared) = 4000;
    count_of(process.faults, mm::FaultKind::kCopyOnWrite) = 700;
    count_of(process.faults, mm::FaultKind::kMappedFile) = 90;
  }
  std::uint64_t past = 0;
  for (sim::Sample& sample : run.samples) {
    count_of(sample.counters.faults, mm::FaultKind::kShared) = past * 50;
    count_of(sample.counters.faults, mm::FaultKind::kCopyOnWrite) = past * 9;
    count_of(sample.counters.faults, mm::FaultKind::kMappedFile) = past;
    sample.counters.mapped_file_reads = past;
    sample.counters.mapped_file_pages_read = past;
    sample.counters.mapped_file_pages_written = past / 2;
    sample.counters.mapped_file_writes = past / 8;
    ++past;
  }
  run.counters = run.samples.back().counters;
  return run;
}

// Two guests of 384 MiB on the host of 512 MiB; the programs run in them, but for the last one, and both levels page.
// The run is compared with one in which more was paged twice.
inline sim::RunResult virtual_run() {
  sim::RunResult run = overcommitted_run();
  run.title = "Two guests on a host with less than it promised";
  run.scenario = "scenarios/virtual.toml";
  constexpr PageCount kPromised = pages_of(384_MiB);
  for (std::size_t i = 0; i + 1 < run.processes.size(); ++i) run.processes[i].vm = i == 0 ? "files" : "build";
  std::uint64_t at = 0;
  for (sim::Sample& sample : run.samples) {
    PageCount left = sample.frames.active_private;
    for (const std::size_t vm : {std::size_t{0}, std::size_t{1}}) {
      sim::VmSample one;
      one.memory.active = left * (vm == 0 ? 2 : 1) / 4;
      one.memory.modified = sample.frames.modified / 3;
      one.memory.standby = sample.frames.standby[5] / 3;
      one.memory.compressed = PageCount(at * 2);
      one.memory.page_file = PageCount(at * 40);
      one.memory.nothing = kPromised - one.memory.in_memory() - one.memory.compressed - one.memory.page_file;
      one.frames = {
          .active = kPromised / 2, .modified = 300_pages, .standby = PageCount(at), .ballooned = {}, .unused = {}};
      one.frames.unused = kPromised - one.frames.active - one.frames.modified - one.frames.standby;
      one.tables = PageCount(100 + at / 4);
      one.counters.exits = at * 900;
      one.counters.violations = at * 800;
      one.counters.write_violations = at * 200;
      one.counters.page_ins = at * 50;
      one.counters.invalidations = at * 300;
      one.counters.hypercalls = at / 2;
      one.counters.discarded_pages = at * 16;
      if (vm == 1) one.counters.hidden_faults = at * 70;
      one.counters.double_paged = at * 3;
      one.hard_faults = at * 20;
      one.pages_read = at * 60;
      one.pages_written = at * 11;
      sample.vms.push_back(one);
    }
    ++at;
  }
  const auto result = [&run](const char* name, const char* mmu, std::size_t number) {
    sim::VmResult vm{.name = name,
                     .paging = "amd64",
                     .mmu = mmu,
                     .backing = "va",
                     .guest = number == 0 ? "windows" : "plain",
                     .processors = 2,
                     .promised = 384_MiB,
                     .fault_cluster = 64_KiB,
                     .peak_working_set = 61000_pages,
                     .end = run.samples.back().vms[number],
                     .counters = {},
                     .commit_peak = 80000_pages,
                     .disks = run.disks,
                     .page_files = run.page_files,
                     .busy = 20_s,
                     .waited = 4_s};
    vm.counters.page_file_pages_read = vm.end.pages_read;
    vm.counters.page_file_pages_written = vm.end.pages_written;
    count_of(vm.counters.faults, mm::FaultKind::kPageFile) = vm.end.hard_faults;
    count_of(vm.counters.faults, mm::FaultKind::kDemandZero) = 70'000;
    return vm;
  };
  run.vms = {result("files", "nested", 0), result("build", "shadow", 1)};
  run.vms[1].balloon = sim::VmBalloon{.driver = "normal", .target = 500_pages, .actual = 400_pages};
  run.policy =
      sim::PolicyResult{.name = "esx",
                        .period = 1_s,
                        .rounds = 12,
                        .in_state = {6_s, 0_s, 4_s, 2_s, 0_s},
                        .told = {{.time = Time{} + 3_s,
                                  .state = policy::FreeState::kSoft,
                                  .decisions = {{.machine = policy::MachineId(1),
                                                 .previous = 600_pages,
                                                 .target = 500_pages,
                                                 .balloon = 100_pages,
                                                 .reason = {.why = policy::Why::kPrice,
                                                            .state = policy::FreeState::kSoft,
                                                            .active = 0.25,
                                                            .price = 0.5}}}}},
                        .decisions = 1,
                        .accounts = {{.shares = 2000,
                                      .minimum = 50_pages,
                                      .held = 700_pages,
                                      .fair = 600_pages,
                                      .active = 300_pages,
                                      .waited = 1_s,
                                      .made_others_wait = 2_s},
                                     {.shares = 1000,
                                      .asked_by_balloon = 100_pages,
                                      .taken_by_paging = 20_pages,
                                      .given_back = 10_pages,
                                      .blocked = 1_s,
                                      .held = 400_pages,
                                      .fair = 500_pages,
                                      .active = 100_pages,
                                      .waited = 2_s}},
                        .charges = {{.payer = 1, .taker = 0, .waited = 2_s}, {.payer = 0, .taker = 0, .waited = 1_s}},
                        .fairness = 0.9,
                        .distance_to_fair = 0.1};
  run.baseline = sim::Baseline{.scenario = "scenarios/uncured.toml",
                               .title = "The same without cures",
                               .end = run.end + 3_s,
                               .double_paged = 2392,
                               .guest_pages_written = 7000,
                               .counters = run.counters};
  return run;
}

// Names that try to leave the place where they are printed: HTML, a script, a terminal, a shell.
inline constexpr std::array<const char*, 6> kHostileNames{
    "</script><script>throw new Error('escaped')</script>",
    "<img src=x onerror=\"console.error('attribute')\">",
    "\"onmouseover='x' & <!-- <script> {{data}}",
    "\x1b[31mred\x1b[0m\x07",
    "\xff\xfe not UTF-8 \xc0\xaf",
    "\xe2\x80\xae reversed \xe2\x80\xa8 $(rm -rf ~) `id` 'quoted'",
};

inline sim::RunResult hostile_run() {
  sim::RunResult run = overcommitted_run();
  run.title = kHostileNames[0];
  run.description = kHostileNames[1];
  run.scenario = kHostileNames[5];
  run.paging = kHostileNames[2];
  run.tlb = kHostileNames[3];
  run.refill = kHostileNames[4];
  for (std::size_t i = 0; i < run.processes.size(); ++i) {
    run.processes[i].name = kHostileNames[i];
    run.processes[i].program = kHostileNames[i + 1];
  }
  const sim::RunResult virtual_one = virtual_run();
  run.vms = virtual_one.vms;
  run.policy = virtual_one.policy;
  run.baseline = virtual_one.baseline;
  for (std::size_t i = 0; i < run.samples.size(); ++i) run.samples[i].vms = virtual_one.samples[i].vms;
  run.vms[0].name = kHostileNames[0];
  run.vms[1].name = kHostileNames[3];
  run.processes[0].vm = kHostileNames[1];
  run.baseline->title = kHostileNames[2];
  run.baseline->scenario = kHostileNames[4];
  run.disks[0].name = kHostileNames[0];
  run.disks[1].name = kHostileNames[1];
  run.page_files[0].name = kHostileNames[2];
  run.page_files[0].disk = kHostileNames[3];
  for (const char* name : kHostileNames)
    run.incidents.push_back({.time = Time(1), .vm = name, .process = name, .text = name});
  return run;
}

}  // namespace pagoda::report::testing
