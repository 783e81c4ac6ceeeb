// What happened between a guest and its host.
#pragma once

#include <cstdint>

namespace pagoda::hv {

struct PartitionCounts {
  std::uint64_t violations = 0;        // Exits because the second level had no entry, or not the right.
  std::uint64_t write_violations = 0;  // Of these: the entry existed, and this was the first write.
  std::uint64_t entries_filled = 0;
  std::uint64_t slat_loads = 0;     // Entries of the second level read by the hardware.
  std::uint64_t invalidations = 0;  // Guest frames that the host took back.
  std::uint64_t page_ins = 0;       // Violations that found the page in a paging file of the host.
  std::uint64_t wild_accesses = 0;  // To guest frames with nothing behind them.
  std::uint64_t lost_writes = 0;    // To what the guest cannot write.
  std::uint64_t hypercalls = 0;
  std::uint64_t cold_pages = 0;  // Hinted.
  std::uint64_t hot_pages = 0;
  std::uint64_t discarded_pages = 0;
  // Pages that the guest wrote to its disk which the host had to read from its paging file for that: each costs two
  // transfers that a single pager would not make (reference/virtualization.md section 3).
  std::uint64_t double_paged = 0;
  std::uint64_t exits = 0;  // Of all kinds.

  // Shadow paging.
  std::uint64_t hidden_faults = 0;  // The guest's tables allowed it, the shadow did not.
  std::uint64_t true_faults = 0;    // The guest's own.
  std::uint64_t table_writes = 0;   // Of the guest's kernel to traced tables.
  std::uint64_t unsyncs = 0;        // Leaf tables that became out of sync,
  std::uint64_t resyncs = 0;        // and that came back.
  std::uint64_t unshadowed = 0;     // Tables that turned out to be data.
  std::uint64_t invlpg_exits = 0;
  std::uint64_t flush_exits = 0;  // Invalidations of more than a page.
  std::uint64_t root_load_exits = 0;
  std::uint64_t root_hits = 0;  // Of these: the root had a tree.
  std::uint64_t shadow_evictions = 0;
  std::uint64_t refill_exits = 0;  // Writes of a software-managed TLB.
};

}  // namespace pagoda::hv
