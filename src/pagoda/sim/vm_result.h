// What one virtual machine did in a run, as plain data: seen from its host, and from inside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/mm/base/counters.h"

namespace pagoda::sim {

// The memory that a guest was promised, by where the host has its contents. The parts add up to all of it.
struct GuestMemory {
  PageCount active;      // In the working set of the guest's host process.
  PageCount modified;    // In the host's memory, to be written before its frame can be reused; being written included.
  PageCount standby;     // In the host's memory, and the frame can be reused at once.
  PageCount compressed;  // In the host's compression store.
  PageCount page_file;   // In a paging file of the host, and nowhere else.
  PageCount nothing;     // Nowhere, since it reads as zero: never touched, zero when it was written out, or discarded.

  // In frames of the host.
  [[nodiscard]] PageCount in_memory() const { return active + modified + standby; }
};

// The same memory, by what the guest uses it for.
struct GuestFrames {
  PageCount active;    // Page tables and what the guest keeps for itself included.
  PageCount modified;  // Transition included.
  PageCount standby;
  PageCount unused;  // Free and zeroed.
};

// Events between guest and host. They only grow.
struct VmCounters {
  std::uint64_t exits = 0;             // World switches of all kinds.
  std::uint64_t violations = 0;        // For want of an entry, or of a right, in the second level.
  std::uint64_t write_violations = 0;  // Of these: first writes.
  std::uint64_t page_ins = 0;          // Violations that had to read from a paging file of the host.
  std::uint64_t invalidations = 0;     // Guest frames that the host took away.
  std::uint64_t hidden_faults = 0;     // Shadow: the guest's tables allowed the access, the shadow tables did not yet.
  std::uint64_t true_faults = 0;       // Shadow: given to the guest.
  std::uint64_t table_writes = 0;      // Shadow: writes to page tables that were write-protected.
  std::uint64_t page_invalidations = 0;  // Shadow: INVLPG and flushes.
  std::uint64_t root_loads = 0;          // Shadow: CR3.
  std::uint64_t hypercalls = 0;
  std::uint64_t cold_pages = 0;  // Hinted, and so below.
  std::uint64_t hot_pages = 0;
  std::uint64_t discarded_pages = 0;
  // Pages that the guest wrote to a disk while the host had them in a paging file: read for nothing else, and written
  // once more later or before. Two transfers for each that one pager would not make.
  std::uint64_t double_paged = 0;
};

struct VmSample {
  GuestMemory memory;
  GuestFrames frames;
  PageCount tables;  // Frames of the host for its second-level or shadow tables.
  VmCounters counters;
  std::uint64_t hard_faults = 0;  // In the guest, since the start.
  std::uint64_t pages_read = 0;   // From the guest's paging files, since the start.
  std::uint64_t pages_written = 0;
};

struct DiskResult {
  std::string name;
  ByteCount capacity;
  ByteCount used;
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  ByteCount bytes_read;
  ByteCount bytes_written;
  std::uint64_t errors = 0;
  Duration busy;
};

struct PageFileResult {
  std::string name;
  std::string disk;
  ByteCount minimum;
  ByteCount maximum;
  ByteCount size;  // At the end.
  PageCount used;
  PageCount peak_used;
};

struct VmResult {
  std::string name;
  std::string paging;   // As RunResult::paging.
  std::string mmu;      // "nested", "shadow".
  std::string backing;  // "va", "pinned".
  std::string guest;    // "windows", "plain".
  unsigned processors = 0;
  ByteCount promised;
  ByteCount fault_cluster;
  PageCount peak_working_set;  // Of its host process.
  VmSample end;
  mm::Counters counters;  // Of the guest's memory manager.
  PageCount commit_peak;  // In the guest.
  std::vector<DiskResult> disks;
  std::vector<PageFileResult> page_files;
  Duration busy;    // Its virtual processors computed, what the host did for them included.
  Duration waited;  // They waited for disks of the host.
};

// Another run that this one is compared with.
struct Baseline {
  std::string scenario;
  std::string title;
  Time end;
  std::uint64_t double_paged = 0;         // Of all virtual machines.
  std::uint64_t guest_pages_written = 0;  // To their paging files.
  mm::Counters counters;                  // Of the host.
};

}  // namespace pagoda::sim
