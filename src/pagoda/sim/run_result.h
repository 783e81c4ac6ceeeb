// What one run did: everything that the report shows, as plain data. The event loop fills it; `report` turns it into
// JSON and HTML.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "pagoda/base/figures.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/base/counters.h"
#include "pagoda/sim/incident.h"
#include "pagoda/sim/policy_result.h"
#include "pagoda/sim/vm_result.h"

namespace pagoda::sim {

// All but the standby lists.
#define PAGODA_FRAME_CENSUS(X)                                                                 \
  X(active_private, "Active: private pages", "in the working set of one process")              \
  X(active_shared_file, "Active: shared, from files",                                          \
    "in working sets, each frame counted once: pages of mapped files")                         \
  X(active_shared_page_file, "Active: shared, without a file",                                 \
    "the same: pages that forked processes share, and of sections without a file")             \
  X(active_page_tables, "Active: page tables", "of all processes")                             \
  X(active_prototypes, "Active: prototype PTEs", "pages of them")                              \
  X(transition, "Transition (I/O under way)", "being read or written")                         \
  X(modified, "Modified", "to be written before they can be reused, ModifiedNoWrite included") \
  X(free, "Free", "unused, contents of no interest")                                           \
  X(zeroed, "Zeroed", "unused and zero, or never used yet")                                    \
  X(bad, "Bad", "taken out of use")                                                            \
  X(system, "System", "kept by the machine or the memory manager for itself")                  \
  X(active_compression_store, "Active: compressed pages", "of the compression store")

// Where every frame of the host is at one moment. The parts add up to the host's frames.
struct FrameCensus {
  PAGODA_FRAME_CENSUS(PAGODA_PAGES)
  std::array<PageCount, 8> standby;  // By priority.
};
inline constexpr auto kFrameFields = PAGODA_FIGURE_FIELDS(FrameCensus, PAGODA_FRAME_CENSUS);
inline constexpr std::size_t kStandbyPriorities = std::tuple_size_v<decltype(FrameCensus::standby)>;

struct ProcessSample {
  PageCount working_set;
  PageCount shared;  // Pages of the working set that others may have in theirs. The rest is private.
  PageCount demand;  // Distinct pages touched during the last interval: what the program wanted.
  PageCount private_commit;
  mm::FaultCounts faults{};  // Since the start, and so below.
  Duration cpu_time;
  Duration wait_time;
};

struct Sample {
  Time time;
  FrameCensus frames;
  PageCount commit_charge;
  PageCount commit_limit;
  PageCount resident_charge;
  PageCount resident_limit;
  PageCount page_file_used;
  PageCount page_file_size;
  PageCount shared_contents;             // Through which equal pages are shared (mm/combine).
  PageCount shared_saved;                // Pages that are nowhere because of that.
  PageCount template_pages;              // Of templates that machines have in memory, each page once.
  PageCount template_saved;              // Frames more that as many copies would take.
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
  Time finished;                 // kNever: the run ended first, or it was refused or lost with its machine.
  mm::FaultCounts faults{};
  std::uint64_t in_page_errors = 0;
  std::uint64_t loads_verified = 0;  // With --verify.
  std::uint64_t checksum = 0;        // Covers all values that it loaded, in order: the same on every machine.
  LimitSource limit_source = LimitSource::kDefault;  // Of its working set's limits.
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
  std::vector<ProcessResult> processes;  // The host's, then each guest's.
  std::vector<VmResult> vms;
  std::optional<PolicyResult> policy;  // None: the host has none.
  std::optional<Baseline> baseline;
  std::vector<DiskResult> disks;  // The host's, and so below.
  std::vector<PageFileResult> page_files;
  std::vector<ProcessorResult> processors;
  std::vector<Sample> samples;  // In time order, at even distances, the first at 0 and the last at the end.
  mm::Counters counters;
  PageCount commit_peak;
  std::vector<Incident> incidents;  // I/O errors, refusals, machines that were lost, in order.
  std::uint64_t state_hash = 0;     // The whole machine's at the end; equal for equal seeds.
  double wall_seconds = 0;          // The only figure here that is not deterministic.
  ManagerSettings settings{};       // The host's.
};

}  // namespace pagoda::sim
