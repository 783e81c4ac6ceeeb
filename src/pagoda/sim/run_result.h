// What one run did: everything that the report shows, as plain data. The event loop fills it; `report` turns it into
// JSON and HTML.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/mm/base/counters.h"
#include "pagoda/sim/vm_result.h"

namespace pagoda::sim {

// Where every frame of the host is at one moment. The parts add up to the host's frames.
struct FrameCensus {
  PageCount active_private;           // In one working set.
  PageCount active_shared_file;       // In working sets, of files that are mapped.
  PageCount active_shared_page_file;  // In working sets, of paging-file sections and of processes that were forked.
  PageCount active_page_tables;
  PageCount active_prototypes;       // Pages of prototype PTEs.
  PageCount transition;              // I/O under way.
  PageCount modified;                // ModifiedNoWrite included.
  std::array<PageCount, 8> standby;  // By priority.
  PageCount free;
  PageCount zeroed;  // Frames never used yet included.
  PageCount bad;
  PageCount system;                    // Kept by the machine or the manager for itself.
  PageCount active_compression_store;  // Frames that hold compressed pages.
};

struct ProcessSample {
  PageCount working_set;
  PageCount shared;  // Of the working set: pages that others may have in theirs. The rest is private.
  PageCount demand;  // Distinct pages touched during the last interval: what the program wanted.
  PageCount private_commit;
  mm::FaultCounts faults{};  // Since the start.
};

struct Sample {
  Time time;
  FrameCensus frames;
  PageCount commit_charge;
  PageCount commit_limit;
  PageCount page_file_used;
  PageCount page_file_size;
  mm::Counters counters;                 // Since the start.
  std::vector<ProcessSample> processes;  // As in RunResult::processes.
  std::vector<VmSample> vms;             // As in RunResult::vms.
};

struct ProcessResult {
  std::string name;
  std::string vm;  // The virtual machine that it runs in; empty: on the host. Its memory and faults are the guest's.
  std::string program;  // "trace data/traces/sort.vmpt.zst" or "zipf over 64 MiB".
  PageCount footprint;  // Distinct pages that the program touched.
  PageCount working_set_minimum;
  PageCount working_set_maximum;
  PageCount peak_working_set;
  PageCount end_private;  // In its working set when it ended, or the run did.
  PageCount end_shared;
  PageCount peak_commit;
  std::uint64_t operations = 0;  // Loads and stores that were really done.
  std::uint64_t references = 0;  // Raw references of the program that they stand for.
  Duration cpu_time;             // Computing, faults included.
  Duration wait_time;            // Waiting for a disk or for memory.
  Time finished;                 // kNever: the run ended first.
  mm::FaultCounts faults{};
  std::uint64_t in_page_errors = 0;
  std::uint64_t loads_verified = 0;  // With --verify.
  std::uint64_t checksum = 0;        // Of all values that it loaded, in order: the same on every machine.
};

struct ProcessorResult {
  Duration busy;
  Duration idle;
  std::uint64_t tlb_hits = 0;
  std::uint64_t tlb_misses = 0;
  std::uint64_t walk_loads = 0;  // PTEs that the walker read.
  std::uint64_t shootdowns = 0;  // Interrupts received.
};

struct RunResult {
  // What was asked.
  std::string scenario;  // Its file.
  std::string title;
  std::string description;
  std::uint64_t seed = 0;
  ByteCount memory;
  std::string paging;  // "x86", "pae", "amd64".
  std::string tlb;     // "large", "realistic".
  std::string refill;  // "hardware", "software".
  bool verified = false;

  // What happened.
  Time end;
  std::vector<ProcessResult> processes;  // Of the host, then of each guest.
  std::vector<VmResult> vms;
  std::optional<Baseline> baseline;
  std::vector<DiskResult> disks;  // Of the host, and so below.
  std::vector<PageFileResult> page_files;
  std::vector<ProcessorResult> processors;
  std::vector<Sample> samples;  // In time order, at even distances, the first at 0 and the last at the end.
  mm::Counters counters;
  PageCount commit_peak;
  std::vector<std::string> incidents;  // I/O errors, refusals: a line each, in order.
  std::uint64_t state_hash = 0;        // Of the whole machine at the end; equal for equal seeds.
  double wall_seconds = 0;             // The only figure here that is not deterministic.
};

}  // namespace pagoda::sim
