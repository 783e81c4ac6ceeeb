// RunResults for the tests of the reports; nothing else includes this.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pagoda/sim/run_result.h"

namespace pagoda::report::testing {

// What a program of the made-up run wants at a moment, in pages.
struct MadeUpProgram {
  const char* name;
  const char* program;
  double base;     // Pages at all times.
  double swing;    // And as many more at the height of a phase.
  double phase_s;  // How long a phase takes.
  double ends_s;   // 0: runs on.
};

inline std::uint64_t& count_of(mm::FaultCounts& faults, mm::FaultKind kind) {
  return faults[static_cast<std::size_t>(kind)];
}

// A host of 512 MiB with four programs that want twice as much, over a minute in 300 samples. A small model keeps the
// figures consistent: frames add up, counters only grow, hard faults follow from demand that the working sets cannot
// hold.
inline sim::RunResult overcommitted_run() {
  constexpr std::size_t kIntervals = 299;
  constexpr double kEndS = 60;
  constexpr double kFrames = 131072;
  constexpr std::array<MadeUpProgram, 4> kPrograms{{
      {"sort", "trace data/traces/sort.vmpt.zst", 18000, 52000, 23, 52.4},
      {"compiler", "trace data/traces/cc1.vmpt.zst", 12000, 30000, 9, 0},
      {"web cache", "zipf over 256 MiB", 46000, 9000, 31, 0},
      {"backup", "sequential over 192 MiB", 3500, 36000, 47, 58.1},
  }};

  sim::RunResult run;
  run.scenario = "scenarios/overcommit.toml";
  run.title = "A host with half the memory it needs";
  run.description =
      "Four programs with different habits share 512 MiB: a sort and a compiler replayed from traces, a cache with a "
      "Zipf "
      "pattern, and a backup that reads everything once.";
  run.seed = 42;
  run.memory = 512_MiB;
  run.paging = "amd64";
  run.tlb = "realistic";
  run.refill = "hardware";
  run.verified = true;
  run.state_hash = 0x00c0ffee12345678;
  run.wall_seconds = 7.318;

  std::array<double, kPrograms.size()> working_set{};
  double modified = 0;
  double standby = 0;
  double slots = 0;
  mm::Counters counters;
  std::array<mm::FaultCounts, kPrograms.size()> faults{};
  for (std::size_t i = 0; i < kPrograms.size(); ++i) {
    const MadeUpProgram& program = kPrograms[i];
    sim::ProcessResult process;
    process.name = program.name;
    process.program = program.program;
    process.footprint = PageCount(static_cast<std::uint64_t>(program.base + program.swing * 1.15));
    process.working_set_minimum = 50_pages;
    process.working_set_maximum = 98304_pages;
    process.finished = program.ends_s == 0 ? kNever : Time(static_cast<std::uint64_t>(program.ends_s * 1e9));
    run.processes.push_back(process);
  }

  for (std::size_t at = 0; at <= kIntervals; ++at) {
    const double now_s = kEndS * static_cast<double>(at) / kIntervals;
    const double length_s = at == 0 ? 0 : kEndS / kIntervals;
    std::array<double, kPrograms.size()> demand{};
    double wanted = 0;
    for (std::size_t i = 0; i < kPrograms.size(); ++i) {
      const MadeUpProgram& program = kPrograms[i];
      if (at == 0 || (program.ends_s > 0 && now_s > program.ends_s)) continue;
      const double wave = std::sin(3.14159 * now_s / program.phase_s);
      const double jitter = 0.94 + 0.06 * std::sin(12.9898 * static_cast<double>(at * (i + 3)));
      demand[i] = (program.base + program.swing * wave * wave) * jitter * std::min(1.0, now_s / 2.5);
      wanted += demand[i];
    }
    const double room = 0.86 * kFrames;
    double active = 0;
    double pages_in = 0;
    for (std::size_t i = 0; i < kPrograms.size(); ++i) {
      const double target = wanted > room ? demand[i] * room / wanted : demand[i] * 1.04;
      const double before = working_set[i];
      working_set[i] = demand[i] == 0 ? 0 : before + (target - before) * 0.35;
      active += working_set[i];
      const double missing = std::max(0.0, demand[i] - working_set[i]);
      const double hard = at < 15 ? 0 : std::min(missing, 14000.0) * 0.045;
      const double grown = std::max(0.0, working_set[i] - before);
      count_of(faults[i], mm::FaultKind::kPageFile) += static_cast<std::uint64_t>(hard);
      count_of(faults[i], mm::FaultKind::kDemandZero) += static_cast<std::uint64_t>(grown * (at < 60 ? 0.9 : 0.2));
      count_of(faults[i], mm::FaultKind::kTransitionStandby) +=
          static_cast<std::uint64_t>(grown * 0.4 + missing * 0.08);
      count_of(faults[i], mm::FaultKind::kTransitionModified) += static_cast<std::uint64_t>(missing * 0.03);
      count_of(faults[i], mm::FaultKind::kFirstWrite) += static_cast<std::uint64_t>(demand[i] * 0.012);
      count_of(faults[i], mm::FaultKind::kCollided) += static_cast<std::uint64_t>(hard * 0.02);
      pages_in += hard * 3.6;
      sim::ProcessResult& process = run.processes[i];
      process.faults = faults[i];
      process.peak_working_set =
          std::max(process.peak_working_set, PageCount(static_cast<std::uint64_t>(working_set[i])));
      process.operations += static_cast<std::uint64_t>(demand[i] * 40);
      process.cpu_time += Duration(static_cast<std::uint64_t>(demand[i] * 1900));
      process.wait_time += Duration(static_cast<std::uint64_t>(hard * 360'000));
    }
    const double pages_out = at < 12 ? 0 : modified * 0.3;
    modified = std::clamp(modified * 0.7 + std::max(0.0, wanted - active) * 0.06, 0.0, 9000.0);
    slots = std::min(slots + pages_out * 0.35, 170000.0 * now_s / kEndS);
    counters.page_file_reads = 0;
    counters.faults = {};
    for (const mm::FaultCounts& of_process : faults) {
      for (std::size_t kind = 0; kind < mm::kFaultKinds; ++kind) counters.faults[kind] += of_process[kind];
    }
    counters.page_file_reads = count_of(counters.faults, mm::FaultKind::kPageFile);
    counters.page_file_pages_read += static_cast<std::uint64_t>(pages_in);
    counters.page_file_pages_written += static_cast<std::uint64_t>(pages_out);
    counters.page_file_writes += static_cast<std::uint64_t>(pages_out / 16);
    counters.pages_repurposed += static_cast<std::uint64_t>(pages_in * 0.9);
    counters.pages_trimmed += static_cast<std::uint64_t>(pages_out * 1.2);
    counters.pages_zeroed_by_thread += static_cast<std::uint64_t>(length_s * 900);
    counters.page_tables_made = 40 + at;

    sim::Sample sample;
    sample.time = Time(static_cast<std::uint64_t>(now_s * 1e9));
    const auto pages = [](double value) { return PageCount(static_cast<std::uint64_t>(std::max(0.0, value))); };
    sample.frames.system = 1024_pages;
    sample.frames.active_private = pages(active);
    sample.frames.active_page_tables = pages(active / 480 + 20);
    sample.frames.transition = pages(pages_in / 40);
    sample.frames.modified = pages(modified);
    double left = kFrames - 1024 - std::floor(active) - std::floor(active / 480 + 20) - std::floor(pages_in / 40) -
                  std::floor(modified);
    standby = std::min(standby + pages_out + pages_in * 0.6, left * 0.82);
    sample.frames.standby[5] = pages(standby * 0.6);
    sample.frames.standby[2] = pages(standby * 0.25);
    sample.frames.standby[1] = pages(standby * 0.15);
    left -= std::floor(standby * 0.6) + std::floor(standby * 0.25) + std::floor(standby * 0.15);
    sample.frames.free = pages(std::min(left, 1500 + 60 * now_s) * 0.5);
    sample.frames.zeroed = pages(left) - sample.frames.free;
    sample.commit_limit = 393216_pages;
    sample.commit_charge = pages(std::min(1.25 * wanted + 60000 * now_s / kEndS, 360000.0));
    sample.page_file_size = at < 140 ? 65536_pages : 262144_pages;
    sample.page_file_used = pages(std::min(slots, at < 140 ? 65000.0 : 262144.0));
    sample.counters = counters;
    for (std::size_t i = 0; i < kPrograms.size(); ++i) {
      sample.processes.push_back({.working_set = pages(working_set[i]),
                                  .shared = {},
                                  .demand = pages(demand[i]),
                                  .private_commit = pages(demand[i] * 1.2),
                                  .faults = faults[i]});
    }
    run.commit_peak = std::max(run.commit_peak, sample.commit_charge);
    run.samples.push_back(std::move(sample));
  }
  run.end = run.samples.back().time;
  run.counters = counters;
  Duration wait;
  for (sim::ProcessResult& process : run.processes) {
    process.references = process.operations * 16;
    process.loads_verified = process.operations / 2;
    process.peak_commit = process.footprint;
    wait += process.wait_time;
  }
  run.disks = {{"ssd0", 64_GiB, 2_GiB, counters.page_file_reads, counters.page_file_writes,
                ByteCount(counters.page_file_pages_read * 4096), ByteCount(counters.page_file_pages_written * 4096), 0,
                Duration(wait.value() / 2)},
               {"hdd0", 500_GiB, 120_GiB, 1210, 0, ByteCount(79'298'560), ByteCount(0), 0, 9'400_ms}};
  run.page_files = {{"pagefile.sys", "ssd0", 256_MiB, 1_GiB, 1_GiB, run.samples.back().page_file_used,
                     run.samples.back().page_file_used + 900_pages}};
  run.processors = {{41'200_ms, 18'800_ms, 812'000'123, 3'912'345, 9'012'345, 812},
                    {38'900_ms, 21'100_ms, 745'100'001, 3'500'210, 8'412'045, 790}};
  run.incidents = {"t=28.095 s: pagefile.sys on ssd0 grew from 256 MiB to 1 GiB"};
  return run;
}

// Four programs that fit: no hard fault, nothing in the page file, everybody finished.
inline sim::RunResult roomy_run() {
  sim::RunResult run = overcommitted_run();
  run.title = "A host with memory to spare";
  run.memory = 4_GiB;
  run.incidents.clear();
  const auto calm = [](mm::FaultCounts& faults) {
    count_of(faults, mm::FaultKind::kPageFile) = 0;
    count_of(faults, mm::FaultKind::kCollided) = 0;
  };
  const auto calm_counters = [&](mm::Counters& counters) {
    calm(counters.faults);
    counters.page_file_reads = counters.page_file_pages_read = 0;
    counters.page_file_writes = counters.page_file_pages_written = 0;
  };
  calm_counters(run.counters);
  for (sim::ProcessResult& process : run.processes) {
    calm(process.faults);
    process.wait_time = Duration(0);
    process.finished = run.end;
  }
  for (sim::Sample& sample : run.samples) {
    calm_counters(sample.counters);
    sample.page_file_used = 0_pages;
    for (sim::ProcessSample& process : sample.processes) {
      calm(process.faults);
      process.working_set = std::max(process.working_set, process.demand);
    }
    sample.frames.zeroed += pages_of(4_GiB - 512_MiB);
  }
  for (sim::PageFileResult& file : run.page_files) file.used = file.peak_used = 0_pages;
  return run;
}

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
      one.frames = {.active = kPromised / 2, .modified = 300_pages, .standby = PageCount(at), .unused = {}};
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
  for (const char* name : kHostileNames) run.incidents.emplace_back(name);
  return run;
}

}  // namespace pagoda::report::testing
