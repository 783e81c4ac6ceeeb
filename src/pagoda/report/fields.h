// The fields of a FrameCensus and of the counters, as tables that JSON, charts and HTML share. A field that is added to
// either struct without an entry here does not compile.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "pagoda/mm/base/counters.h"
#include "pagoda/sim/run_result.h"

namespace pagoda::report {

struct FrameField {
  std::string_view key;
  std::string_view label;
  PageCount sim::FrameCensus::* member;
};
// All but the standby lists.
inline constexpr std::array<FrameField, 12> kFrameFields{{
    {"active_private", "Active: private pages", &sim::FrameCensus::active_private},
    {"active_shared_file", "Active: shared, from files", &sim::FrameCensus::active_shared_file},
    {"active_shared_page_file", "Active: shared, without a file", &sim::FrameCensus::active_shared_page_file},
    {"active_page_tables", "Active: page tables", &sim::FrameCensus::active_page_tables},
    {"active_prototypes", "Active: prototype PTEs", &sim::FrameCensus::active_prototypes},
    {"transition", "Transition (I/O under way)", &sim::FrameCensus::transition},
    {"modified", "Modified", &sim::FrameCensus::modified},
    {"free", "Free", &sim::FrameCensus::free},
    {"zeroed", "Zeroed", &sim::FrameCensus::zeroed},
    {"bad", "Bad", &sim::FrameCensus::bad},
    {"system", "System", &sim::FrameCensus::system},
    {"active_compression_store", "Active: compressed pages", &sim::FrameCensus::active_compression_store},
}};
inline constexpr std::size_t kStandbyPriorities = std::tuple_size_v<decltype(sim::FrameCensus::standby)>;
static_assert(sizeof(sim::FrameCensus) == (kFrameFields.size() + kStandbyPriorities) * sizeof(PageCount));

struct CounterField {
  std::string_view key;
  std::string_view label;
  std::string_view meaning;
  std::uint64_t mm::Counters::* member;
};
// All but the faults by kind.
inline constexpr std::array<CounterField, 25> kCounterFields{{
    {"page_file_reads", "Page-file reads", "operations", &mm::Counters::page_file_reads},
    {"page_file_pages_read", "Pages read", "from page files, neighbours in a cluster included",
     &mm::Counters::page_file_pages_read},
    {"page_file_writes", "Page-file writes", "operations", &mm::Counters::page_file_writes},
    {"page_file_pages_written", "Pages written", "to page files", &mm::Counters::page_file_pages_written},
    {"mapped_file_reads", "Mapped-file reads", "operations", &mm::Counters::mapped_file_reads},
    {"mapped_file_pages_read", "Pages read from mapped files", "neighbours in a cluster included",
     &mm::Counters::mapped_file_pages_read},
    {"mapped_file_writes", "Mapped-file writes", "operations", &mm::Counters::mapped_file_writes},
    {"mapped_file_pages_written", "Pages written to mapped files", "by the mapped page writer and by flushes",
     &mm::Counters::mapped_file_pages_written},
    {"read_errors", "Read errors", "operations that a disk failed", &mm::Counters::read_errors},
    {"write_errors", "Write errors", "operations that a disk failed", &mm::Counters::write_errors},
    {"pages_zeroed_in_fault", "Zeroed in a fault",
     "pages, by the faulting processor: the zero-page thread was too slow", &mm::Counters::pages_zeroed_in_fault},
    {"pages_zeroed_by_thread", "Zeroed in advance", "pages, by the zero-page thread",
     &mm::Counters::pages_zeroed_by_thread},
    {"zero_pages_found", "Zero pages found", "modified pages that were zeros and so were not written",
     &mm::Counters::zero_pages_found},
    {"pages_compressed", "Compressed", "pages into the compression store", &mm::Counters::pages_compressed},
    {"bytes_compressed", "Compressed bytes", "that those pages took there", &mm::Counters::bytes_compressed},
    {"pages_decompressed", "Decompressed", "pages that faults brought back", &mm::Counters::pages_decompressed},
    {"pages_incompressible", "Incompressible", "pages that were tried and did not become small enough",
     &mm::Counters::pages_incompressible},
    {"pages_evicted", "Evicted", "pages that went on from the compression store to a page file",
     &mm::Counters::pages_evicted},
    {"pages_repurposed", "Repurposed", "standby pages that got a new owner", &mm::Counters::pages_repurposed},
    {"pages_replaced", "Replaced", "pages that left a working set because it was full", &mm::Counters::pages_replaced},
    {"pages_trimmed", "Trimmed", "pages that the balance set manager took from a working set",
     &mm::Counters::pages_trimmed},
    {"shortages", "Shortages", "faults that found no free page and had to wait", &mm::Counters::shortages},
    {"commit_refusals", "Commit refusals", "requests beyond the commit limit", &mm::Counters::commit_refusals},
    {"page_tables_made", "Page tables made", "pages", &mm::Counters::page_tables_made},
    {"page_tables_freed", "Page tables freed", "pages", &mm::Counters::page_tables_freed},
}};
static_assert(sizeof(mm::Counters) == sizeof(mm::FaultCounts) + kCounterFields.size() * sizeof(std::uint64_t));

// For people; mm::name gives the name for programs.
constexpr std::string_view label(mm::FaultKind kind) {
  constexpr std::array<std::string_view, mm::kFaultKinds> kLabels{"Demand zero",
                                                                  "From standby",
                                                                  "From modified",
                                                                  "Collided",
                                                                  "From the compression store",
                                                                  "From a page file (hard)",
                                                                  "From a mapped file (hard)",
                                                                  "Shared",
                                                                  "Copy on write",
                                                                  "First write",
                                                                  "Guard page",
                                                                  "Spurious",
                                                                  "Access violation",
                                                                  "In-page error (hard)"};
  return kLabels[static_cast<std::size_t>(kind)];
}

// The fields of a virtual machine.
struct GuestMemoryField {
  std::string_view key;
  std::string_view label;
  PageCount sim::GuestMemory::* member;
};
inline constexpr std::array<GuestMemoryField, 6> kGuestMemoryFields{{
    {"active", "In the working set", &sim::GuestMemory::active},
    {"modified", "Modified", &sim::GuestMemory::modified},
    {"standby", "Standby", &sim::GuestMemory::standby},
    {"compressed", "Compressed", &sim::GuestMemory::compressed},
    {"page_file", "In a page file", &sim::GuestMemory::page_file},
    {"nothing", "Zero, kept nowhere", &sim::GuestMemory::nothing},
}};
static_assert(sizeof(sim::GuestMemory) == kGuestMemoryFields.size() * sizeof(PageCount));

struct GuestFramesField {
  std::string_view key;
  std::string_view label;
  PageCount sim::GuestFrames::* member;
};
inline constexpr std::array<GuestFramesField, 4> kGuestFramesFields{{
    {"active", "Active", &sim::GuestFrames::active},
    {"modified", "Modified", &sim::GuestFrames::modified},
    {"standby", "Standby", &sim::GuestFrames::standby},
    {"unused", "Free and zeroed", &sim::GuestFrames::unused},
}};
static_assert(sizeof(sim::GuestFrames) == kGuestFramesFields.size() * sizeof(PageCount));

struct VmCounterField {
  std::string_view key;
  std::string_view label;
  std::string_view meaning;
  std::uint64_t sim::VmCounters::* member;
};
inline constexpr std::array<VmCounterField, 15> kVmCounterFields{{
    {"exits", "Exits", "world switches of all kinds", &sim::VmCounters::exits},
    {"violations", "Violations", "the second level had no entry, or not the right", &sim::VmCounters::violations},
    {"write_violations", "First writes", "of the violations", &sim::VmCounters::write_violations},
    {"page_ins", "Page-ins", "violations that read from a page file of the host", &sim::VmCounters::page_ins},
    {"invalidations", "Taken away", "guest frames that the host took back", &sim::VmCounters::invalidations},
    {"hidden_faults", "Hidden faults", "of shadow tables", &sim::VmCounters::hidden_faults},
    {"true_faults", "True faults", "that the guest saw, through shadow tables", &sim::VmCounters::true_faults},
    {"table_writes", "Page-table writes", "to tables that were write-protected", &sim::VmCounters::table_writes},
    {"page_invalidations", "Invalidations", "INVLPG and flushes that shadow tables had to see",
     &sim::VmCounters::page_invalidations},
    {"root_loads", "Root loads", "CR3 loads that shadow tables had to see", &sim::VmCounters::root_loads},
    {"hypercalls", "Hypercalls", "the guest asked for something", &sim::VmCounters::hypercalls},
    {"cold_pages", "Cold", "pages hinted", &sim::VmCounters::cold_pages},
    {"hot_pages", "Hot", "pages hinted", &sim::VmCounters::hot_pages},
    {"discarded_pages", "Discarded", "pages hinted", &sim::VmCounters::discarded_pages},
    {"double_paged", "Paged twice", "pages that the guest wrote out and the host had written out before",
     &sim::VmCounters::double_paged},
}};
static_assert(sizeof(sim::VmCounters) == kVmCounterFields.size() * sizeof(std::uint64_t));

}  // namespace pagoda::report
