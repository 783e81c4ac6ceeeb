// What the memory manager counts. Counters only grow; a reader takes differences.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pagoda::mm {

// How a fault ended. Hard faults waited for a disk; all the others are soft.
enum class FaultKind : std::uint8_t {
  kDemandZero,          // A fresh zeroed page. NT: STATUS_PAGE_FAULT_DEMAND_ZERO.
  kTransitionStandby,   // Rescued from standby. NT: STATUS_PAGE_FAULT_TRANSITION.
  kTransitionModified,  // Rescued from modified, or while it was being written.
  kCollided,            // Waited for a read that somebody else had started.
  kCompressed,          // From the compression store: soft. Windows counts it as a transition or a hard fault.
  kPageFile,            // Read from a paging file: hard. NT: STATUS_PAGE_FAULT_PAGING_FILE.
  kMappedFile,          // Read from a file that is mapped: hard.
  kShared,              // Another mapping had the page in memory already.
  kCopyOnWrite,         // A private copy was made. NT: STATUS_PAGE_FAULT_COPY_ON_WRITE.
  kFirstWrite,          // A clean page became dirty; its paging-file slot was freed.
  kGuard,               // A guard page was hit for the first time. NT: STATUS_PAGE_FAULT_GUARD_PAGE.
  kSpurious,            // The PTE already allowed the access: a stale TLB entry, or another processor was faster.
  kAccessViolation,
  kInPageError,  // The disk failed the read that this access needed.
};
inline constexpr std::size_t kFaultKinds = 14;

constexpr std::string_view name(FaultKind kind) {
  constexpr std::array<std::string_view, kFaultKinds> kNames{"demand_zero",
                                                             "transition_standby",
                                                             "transition_modified",
                                                             "collided",
                                                             "compressed",
                                                             "page_file",
                                                             "mapped_file",
                                                             "shared",
                                                             "copy_on_write",
                                                             "first_write",
                                                             "guard",
                                                             "spurious",
                                                             "access_violation",
                                                             "in_page_error"};
  return kNames[static_cast<std::size_t>(kind)];
}
constexpr bool is_hard(FaultKind kind) {
  return kind == FaultKind::kPageFile || kind == FaultKind::kMappedFile || kind == FaultKind::kInPageError;
}

using FaultCounts = std::array<std::uint64_t, kFaultKinds>;

// Of one memory manager. Pages unless said otherwise.
struct Counters {
  FaultCounts faults{};                    // Indexed by FaultKind.
  std::uint64_t page_file_reads = 0;       // Operations.
  std::uint64_t page_file_pages_read = 0;  // Neighbours that a cluster brought in included.
  std::uint64_t page_file_writes = 0;      // Operations.
  std::uint64_t page_file_pages_written = 0;
  std::uint64_t mapped_file_reads = 0;  // Operations.
  std::uint64_t mapped_file_pages_read = 0;
  std::uint64_t mapped_file_writes = 0;  // Operations.
  std::uint64_t mapped_file_pages_written = 0;
  std::uint64_t read_errors = 0;  // Operations that a disk failed.
  std::uint64_t write_errors = 0;
  std::uint64_t pages_zeroed_in_fault = 0;  // By the faulting processor; the zero-page thread was not fast enough.
  std::uint64_t pages_zeroed_by_thread = 0;
  std::uint64_t zero_pages_found = 0;      // Modified pages that were zeros and so were not written.
  std::uint64_t pages_compressed = 0;      // Into the compression store,
  std::uint64_t bytes_compressed = 0;      // and how many bytes they took there.
  std::uint64_t pages_decompressed = 0;    // By faults.
  std::uint64_t pages_incompressible = 0;  // Tried, and not small enough to go there.
  std::uint64_t pages_evicted = 0;         // Went on from there to a paging file.
  std::uint64_t pages_repurposed = 0;      // Standby pages that got a new owner.
  std::uint64_t pages_replaced = 0;        // Left a working set because it was full.
  std::uint64_t pages_trimmed = 0;         // Left a working set because the balance set manager said so.
  std::uint64_t shortages = 0;             // Faults that found no page and had to wait.
  std::uint64_t commit_refusals = 0;
  std::uint64_t page_tables_made = 0;
  std::uint64_t page_tables_freed = 0;
};

}  // namespace pagoda::mm
