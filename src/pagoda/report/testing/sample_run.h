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
    sample.resident_limit = 245760_pages;
    sample.resident_charge = 1200_pages;
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
  run.incidents = {
      {.time = Time(28'095'000'000), .vm = "", .process = "sort", .text = "STATUS_IN_PAGE_ERROR at va:0x1000"}};
  return run;
}

// Four programs that fit: no hard fault, nothing in the page file, all finished.
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

}  // namespace pagoda::report::testing
