// What happens between a guest and its host. Counts only grow; those in the list are also for samples and reports
// (base/figures.h).
#pragma once

#include <cstdint>

#include "pagoda/base/figures.h"

namespace pagoda::hv {

// The last one: pages that the guest wrote to its disk, which the host had to read from its paging file for that. Each
// costs two transfers that a single pager would not make (reference/virtualization.md section 3).
#define PAGODA_PARTITION_COUNTERS(X)                                                                              \
  X(exits, "Exits", "world switches of all kinds, into the host and back")                                        \
  X(dispatches, "Dispatched", "a virtual processor got a processor of the host")                                  \
  X(violations, "Violations", "the second level had no entry, or not the right")                                  \
  X(write_violations, "First writes", "violations where only the right to write was missing")                     \
  X(page_ins, "Page-ins", "violations that read from a page file of the host")                                    \
  X(invalidations, "Taken away", "guest frames that the host took back")                                          \
  X(hidden_faults, "Hidden faults", "the guest's tables allowed the access, the shadow tables did not yet")       \
  X(true_faults, "True faults", "of shadow tables or told ones, that the guest had to see")                       \
  X(table_writes, "Page-table writes", "to tables that were write-protected")                                     \
  X(page_invalidations, "Invalidations", "INVLPG and flushes that the hypervisor had to see")                     \
  X(root_loads, "Root loads", "CR3 loads that the hypervisor had to see")                                         \
  X(table_batches, "Told batches", "hypercalls in which a paravirtual guest told what it did to its page tables") \
  X(table_updates, "Told changes", "entries of page tables that were validated for a paravirtual guest")          \
  X(table_refusals, "Refused changes", "entries and roots of a paravirtual guest that were not valid")            \
  X(hypercalls, "Hypercalls", "the guest asked for something")                                                    \
  X(cold_pages, "Cold", "pages hinted as cold")                                                                   \
  X(hot_pages, "Hot", "pages hinted as hot")                                                                      \
  X(discarded_pages, "Discarded", "pages hinted as cold, contents worth nothing")                                 \
  X(inflated_pages, "Inflated", "pages that the guest's driver gave to the balloon")                              \
  X(deflated_pages, "Deflated", "pages that the driver took back from the balloon")                               \
  X(popped_pages, "Popped", "pages that the guest touched while they were in the balloon")                        \
  X(reported_pages, "Reported free", "pages that the driver said are free, and the host took")                    \
  X(bounced_pages, "Copied for disks", "pages that a disk did not reach where the host had them")                 \
  X(lowered_pages, "Moved below", "of these, pages that were moved to where the disk reaches")                    \
  X(raised_pages, "Moved above", "cold pages that made room for them")                                            \
  X(sampled_pages, "Watched", "pages that were taken out of all caches to see whether they are in use")           \
  X(sampled_used, "Seen in use", "watched pages that were used within their period")                              \
  X(double_paged, "Paged twice", "pages that the guest wrote to a disk while the host had them in a page file")

struct PartitionCounts {
  PAGODA_PARTITION_COUNTERS(PAGODA_COUNTER)

  // For tests and benchmarks.
  std::uint64_t entries_filled = 0;  // Entries of the second level that were made.
  std::uint64_t slat_loads = 0;      // Entries of the second level that the hardware read.
  std::uint64_t wild_accesses = 0;   // To guest frames with nothing behind them.
  std::uint64_t lost_writes = 0;     // To what the guest cannot write.
  std::uint64_t unsyncs = 0;         // Shadow: leaf tables that went out of sync,
  std::uint64_t resyncs = 0;         // and that came back.
  std::uint64_t unshadowed = 0;      // Shadow: tables that turned out to be data.
  std::uint64_t root_hits = 0;       // Root loads that found a tree.
  std::uint64_t shadow_evictions = 0;
  std::uint64_t refill_exits = 0;  // Writes of a software-managed TLB.
  // Frames that a balloon's driver named,
  std::uint64_t balloon_refused = 0;  // and that could not go into the balloon, or were not in it;
  std::uint64_t balloon_useless = 0;  // and whose memory is pinned;
  std::uint64_t balloon_voided = 0;   // and that were in it when it was voided.
};
// Those in the list.
inline constexpr auto kPartitionCountFields = PAGODA_FIGURE_FIELDS(PartitionCounts, PAGODA_PARTITION_COUNTERS);

}  // namespace pagoda::hv
