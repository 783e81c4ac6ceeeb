// What one virtual machine did in a run, as plain data: seen from its host, and from inside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/figures.h"
#include "pagoda/base/units.h"
#include "pagoda/hv/partition_counts.h"
#include "pagoda/mm/base/counters.h"

namespace pagoda::sim {

#define PAGODA_GUEST_MEMORY(X)                                                                    \
  X(active, "In the working set", "of the guest's host process")                                  \
  X(modified, "Modified",                                                                         \
    "in the host's memory, to be written before the frame can be reused; being written included") \
  X(standby, "Standby", "in the host's memory, and the frame can be reused at once")              \
  X(compressed, "Compressed", "in the host's compression store")                                  \
  X(page_file, "In a page file", "of the host only")                                              \
  X(ballooned, "In the balloon", "given to the host by the guest's driver")                       \
  X(nothing, "Zero, kept nowhere", "never touched, zero when it was written out, or discarded")

// The memory that a guest was promised, by where the host has its contents. The parts add up to all of it.
struct GuestMemory {
  PAGODA_GUEST_MEMORY(PAGODA_PAGES)

  // In frames of the host.
  [[nodiscard]] PageCount in_memory() const { return active + modified + standby; }
};
inline constexpr auto kGuestMemoryFields = PAGODA_FIGURE_FIELDS(GuestMemory, PAGODA_GUEST_MEMORY);

#define PAGODA_GUEST_FRAMES(X)                                                                                  \
  X(active, "Active", "in working sets of the guest, page tables and what the guest keeps for itself included") \
  X(modified, "Modified", "to be written by the guest, being written included")                                 \
  X(standby, "Standby", "reusable by the guest, contents still there")                                          \
  X(ballooned, "In the balloon", "held by the guest's driver, whether the host still has it or not")            \
  X(unused, "Free and zeroed", "in the guest")

// The same memory, by what the guest uses it for.
struct GuestFrames {
  PAGODA_GUEST_FRAMES(PAGODA_PAGES)
};
inline constexpr auto kGuestFramesFields = PAGODA_FIGURE_FIELDS(GuestFrames, PAGODA_GUEST_FRAMES);

struct VmSample {
  GuestMemory memory;
  GuestFrames frames;
  PageCount shared;                 // Pages in vmmem's working set that others have too, by their contents.
  PageCount from_templates;         // Pages of the host's templates in vmmem's working set.
  std::optional<PageCount> active;  // As the host's policy estimates it.
  PageCount tables;                 // Frames of the host for its second-level or shadow tables.
  hv::PartitionCounts counters;     // Since the start.
  std::uint64_t hard_faults = 0;    // In the guest, since the start.
  std::uint64_t pages_read = 0;     // From the guest's paging files, since the start.
  std::uint64_t pages_written = 0;
  Duration busy;  // As VmResult's, since the start.
  Duration waited;
};

// Who chose the limits of a working set.
enum class LimitSource : std::uint8_t { kDefault, kScenario };

// What a memory manager was told about itself, as far as it explains what it did.
struct ManagerSettings {
  PageCount compression_store;  // Zero: none.
  Duration balance_period;
};

// A virtual machine that the host could not feed any more.
struct VmLoss {
  Time time;        // When the host gave up.
  std::string why;  // "the host cannot bring in guest memory: STATUS_COMMITMENT_LIMIT".
};

// What a guest does to tell its host which memory it needs.
struct VmHints {
  Duration period;            // How often it looks.
  std::uint64_t refused = 0;  // By the host.
};

// What the balloon of a guest came to.
struct VmBalloon {
  std::string driver;                 // "normal", "absent", ...
  PageCount target;                   // What the host wants in it.
  std::optional<PageCount> actual;    // What the driver says is in it, at the end. None: there is no driver.
  std::uint64_t out_of_puff = 0;      // Times that the driver found no frame.
  std::uint64_t deflated_on_oom = 0;  // Pages that came back because the guest was out of memory.
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
  std::uint64_t bounced = 0;  // Pages of the host that it did not reach. A guest's disk: see PartitionCounts.
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
  std::string mmu;      // "nested", "shadow", "paravirtual".
  std::string backing;  // "va", "pinned".
  std::string guest;    // "windows", "plain".
  unsigned processors = 0;
  Time started;         // kNever: it was not, or not let.
  Time ended = kNever;  // Its power was cut, or it was lost. kNever: it ran to the end.
  ByteCount promised;
  ByteCount fault_cluster;
  PageCount peak_working_set;  // Its host process's.
  VmSample end;
  mm::Counters counters;  // The guest's memory manager's.
  PageCount commit_peak;  // In the guest.
  std::vector<DiskResult> disks;
  std::vector<PageFileResult> page_files;
  Duration busy;    // Its virtual processors computed, what the host did for them included.
  Duration waited;  // They waited for disks or memory of the host.
  std::optional<VmLoss> lost;
  std::optional<VmHints> hints;  // None: it gives none, or the host takes none.
  std::optional<VmBalloon> balloon;
  PageCount working_set_maximum;  // Its host process's.
  LimitSource limit_source = LimitSource::kDefault;
  ManagerSettings settings{};  // The guest's.
};

// Another run that this one is compared with.
struct Baseline {
  std::string scenario;
  std::string title;
  Time end;
  std::uint64_t double_paged = 0;         // All virtual machines together.
  std::uint64_t guest_pages_written = 0;  // To their paging files.
  mm::Counters counters;                  // The host's.
};

}  // namespace pagoda::sim
