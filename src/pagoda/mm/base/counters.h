// What the memory manager counts. Counters only grow; a reader takes differences. Each is declared once (base/figures.h):
// JSON, reports and docs/report-json.md follow from the lists here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "pagoda/base/figures.h"

namespace pagoda::mm {

// --- Faults ---

// How a fault ended: X(kind, key, kHard or kSoft, label, meaning). Hard faults waited for a disk. kCompressed is soft
// here; Windows counts it as a transition or a hard fault.
#define PAGODA_FAULT_KINDS(X)                                                                                       \
  X(kDemandZero, "demand_zero", kSoft, "Demand zero", "got a fresh zeroed page; NT: STATUS_PAGE_FAULT_DEMAND_ZERO") \
  X(kTransitionStandby, "transition_standby", kSoft, "From standby",                                                \
    "got its page back from a standby list; NT: STATUS_PAGE_FAULT_TRANSITION")                                      \
  X(kTransitionModified, "transition_modified", kSoft, "From modified",                                             \
    "got its page back from the modified list, or while it was being written")                                      \
  X(kCollided, "collided", kSoft, "Collided", "waited for a read that another fault had started")                   \
  X(kCompressed, "compressed", kSoft, "From the compression store", "got its page back from the compression store") \
  X(kPageFile, "page_file", kHard, "From a page file (hard)",                                                       \
    "read its page from a page file; NT: STATUS_PAGE_FAULT_PAGING_FILE")                                            \
  X(kMappedFile, "mapped_file", kHard, "From a mapped file (hard)", "read its page from a mapped file")             \
  X(kShared, "shared", kSoft, "Shared", "mapped a page that another mapping had in memory")                         \
  X(kCopyOnWrite, "copy_on_write", kSoft, "Copy on write",                                                          \
    "wrote to a shared page and got a private copy; NT: STATUS_PAGE_FAULT_COPY_ON_WRITE")                           \
  X(kFirstWrite, "first_write", kSoft, "First write",                                                               \
    "made a clean page dirty, which freed its slot in the page file")                                               \
  X(kGuard, "guard", kSoft, "Guard page", "hit a guard page for the first time; NT: STATUS_PAGE_FAULT_GUARD_PAGE")  \
  X(kSpurious, "spurious", kSoft, "Spurious",                                                                       \
    "found that the PTE already allowed the access: a stale TLB entry, or another processor was faster")            \
  X(kAccessViolation, "access_violation", kSoft, "Access violation", "was refused")                                 \
  X(kInPageError, "in_page_error", kHard, "In-page error (hard)", "needed a read that the disk failed")

enum class FaultKind : std::uint8_t {
#define PAGODA_FAULT_KIND(kind, key, cost, label, meaning) kind,
  PAGODA_FAULT_KINDS(PAGODA_FAULT_KIND)
#undef PAGODA_FAULT_KIND
};

struct FaultField {
  enum Cost : std::uint8_t { kSoft, kHard };

  FaultKind kind;
  std::string_view key;
  Cost cost;
  std::string_view label;
  std::string_view meaning;  // "A fault that ...".
};
// Indexed by FaultKind.
inline constexpr std::array kFaultFields{
#define PAGODA_FAULT_FIELD(kind, key, cost, label, meaning) \
  FaultField{FaultKind::kind, key, FaultField::cost, label, meaning},
    PAGODA_FAULT_KINDS(PAGODA_FAULT_FIELD)
#undef PAGODA_FAULT_FIELD
};
inline constexpr std::size_t kFaultKinds = kFaultFields.size();

// For programs, and for people.
constexpr std::string_view name(FaultKind kind) { return kFaultFields[static_cast<std::size_t>(kind)].key; }
constexpr std::string_view label(FaultKind kind) { return kFaultFields[static_cast<std::size_t>(kind)].label; }
constexpr bool is_hard(FaultKind kind) {
  return kFaultFields[static_cast<std::size_t>(kind)].cost == FaultField::kHard;
}

// Indexed by FaultKind.
using FaultCounts = std::array<std::uint64_t, kFaultKinds>;

constexpr std::uint64_t total_faults(const FaultCounts& faults) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : faults) sum += count;
  return sum;
}
constexpr std::uint64_t hard_faults(const FaultCounts& faults) {
  std::uint64_t sum = 0;
  for (const FaultField& field : kFaultFields)
    if (field.cost == FaultField::kHard) sum += faults[static_cast<std::size_t>(field.kind)];
  return sum;
}
constexpr std::uint64_t soft_faults(const FaultCounts& faults) { return total_faults(faults) - hard_faults(faults); }
constexpr void add(FaultCounts& sum, const FaultCounts& more) {
  for (std::size_t kind = 0; kind < kFaultKinds; ++kind) sum[kind] += more[kind];
}

// --- Everything else ---

#define PAGODA_MM_COUNTERS(X)                                                                                          \
  X(page_file_reads, "Page-file reads", "operations")                                                                  \
  X(page_file_pages_read, "Pages read", "from page files, neighbours in a cluster included")                           \
  X(page_file_writes, "Page-file writes", "operations")                                                                \
  X(page_file_pages_written, "Pages written", "to page files")                                                         \
  X(mapped_file_reads, "Mapped-file reads", "operations")                                                              \
  X(mapped_file_pages_read, "Pages read from mapped files", "neighbours in a cluster included")                        \
  X(mapped_file_writes, "Mapped-file writes", "operations")                                                            \
  X(mapped_file_pages_written, "Pages written to mapped files", "by the mapped page writer and by flushes")            \
  X(read_errors, "Read errors", "operations that a disk failed")                                                       \
  X(write_errors, "Write errors", "operations that a disk failed")                                                     \
  X(pages_zeroed_in_fault, "Zeroed in a fault", "pages, by the faulting processor: the zero-page thread was too slow") \
  X(pages_zeroed_by_thread, "Zeroed in advance", "pages, by the zero-page thread")                                     \
  X(zero_pages_found, "Zero pages found", "modified pages that were zeros and so were not written")                    \
  X(zero_pages_by_writer, "Zero pages, by the writer", "those of them that were on their way to a page file")          \
  X(zero_pages_by_trim, "Zero pages, by trims", "those of them that a trim took from a working set")                   \
  X(zero_pages_by_hint, "Zero pages, by hints", "those of them that were said to be cold")                             \
  X(pages_compressed, "Compressed", "pages into the compression store")                                                \
  X(bytes_compressed, "Compressed bytes", "that those pages took there")                                               \
  X(pages_decompressed, "Decompressed", "pages that faults brought back")                                              \
  X(pages_incompressible, "Incompressible", "pages that were tried and did not become small enough")                   \
  X(pages_evicted, "Evicted", "pages that went on from the compression store to a page file")                          \
  X(sharing_scanned, "Scanned for sharing", "pages whose contents were looked at")                                     \
  X(sharing_merged, "Merged", "pages that became one with an equal page")                                              \
  X(sharing_zeros, "Zero pages, by sharing", "pages of zeros that became demand zero")                                 \
  X(sharing_hints, "Sharing hints", "pages that were remembered, for an equal one to come")                            \
  X(sharing_stale_hints, "Stale sharing hints", "that led to a page that was another by then")                         \
  X(sharing_false_matches, "False matches", "pages whose hashes were equal and whose bytes were not")                  \
  X(sharing_put_off, "Merges put off", "somebody held the page, or its equal was out, or memory was short")            \
  X(sharing_table_full, "Sharing table full", "pages that could not be remembered")                                    \
  X(sharing_offered, "Offered to sharing", "pages that were looked at before they left memory")                        \
  X(sharing_offers_merged, "Offers merged", "of those, pages that became one with an equal page")                      \
  X(sharing_withheld, "Withheld", "pages whose next access is a copy, merged or not")                                  \
  X(sharing_copied, "Copied at access", "accesses to withheld pages")                                                  \
  X(pages_repurposed, "Repurposed", "standby pages that got a new owner")                                              \
  X(pages_replaced, "Replaced", "pages that left a working set because it was full")                                   \
  X(pages_trimmed, "Trimmed", "pages that the balance set manager took from a working set")                            \
  X(shortages, "Shortages", "faults that found no free page and had to wait")                                          \
  X(commit_refusals, "Commit refusals", "requests beyond the commit limit")                                            \
  X(resident_refusals, "Resident refusals", "requests for memory that must stay when too little of it was left")       \
  X(page_tables_made, "Page tables made", "pages")                                                                     \
  X(page_tables_freed, "Page tables freed", "pages")                                                                   \
  X(page_tables_paged_out, "Page tables paged out", "pages: none of their entries was resident")                       \
  X(page_tables_paged_in, "Page tables paged in", "pages")                                                             \
  X(prototype_pages_paged_out, "Prototype PTE pages paged out", "pages: none of their entries was resident")           \
  X(prototype_pages_paged_in, "Prototype PTE pages paged in", "pages")

// What one memory manager counted.
struct Counters {
  FaultCounts faults{};
  PAGODA_MM_COUNTERS(PAGODA_COUNTER)
};
// All but the faults.
inline constexpr auto kCounterFields = PAGODA_FIGURE_FIELDS(Counters, PAGODA_MM_COUNTERS);

}  // namespace pagoda::mm
