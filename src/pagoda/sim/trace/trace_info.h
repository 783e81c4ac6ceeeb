// What a trace holds, in figures: known when it is opened, before a record is read.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/sim/trace/trace_record.h"

namespace pagoda::sim {

// What page numbers number. Those of memory can be played by a program; those of disks and caches are strings of pages
// for replacement policies only.
inline constexpr std::string_view kVirtualSpace = "guest-virtual";    // A process' addresses.
inline constexpr std::string_view kPhysicalSpace = "guest-physical";  // A whole machine's.
inline constexpr std::string_view kDiskSpace = "disk-blocks";         // Bytes of disks, in 4 KiB.
inline constexpr std::string_view kObjectSpace = "objects";           // Objects of a cache, one page each.

struct TraceInfo {
  unsigned version = 2;      // 1: VMPT1, without a seal; 2: VMPT2.
  std::string source;        // What recorded it: "qemu-user-tcg-plugin", "valgrind-lackey".
  std::string space;         // What its page numbers number: kVirtualSpace, ..., or what another recorder says.
  std::string program;       // What ran; may be empty.
  std::string ending;        // Why it ends: "exit", "exec" (the program became another one); may be empty.
  std::uint64_t window = 1;  // LRU and OPT misses are exact for every memory of at least so many frames.

  std::uint64_t records = 0;
  std::uint64_t references = 0;  // Raw references of the program.
  std::uint64_t records_reading = 0;
  std::uint64_t records_writing = 0;
  std::uint64_t records_executing = 0;
  PageCount pages;  // Distinct.
  PageCount pages_read;
  PageCount pages_written;
  PageCount pages_executed;
  std::vector<VpnRange> ranges;  // The touched pages, as maximal runs, ascending: they sum up to `pages`.
};

// Counts a stream of records into a TraceInfo.
//
// The state of a page is a byte, in chunks of 4096 pages that exist once one of their pages was touched.
class TraceCensus {
 public:
  void add(const TraceRecord& record) {
    ++records_by_access_[record.access.bits()];
    references_ += record.raw_references;
    const std::uint64_t chunk = record.page.value() / kChunkPages;
    CacheEntry& entry = cache_[chunk % kCacheEntries];
    if (entry.chunk != chunk || entry.pages == nullptr) [[unlikely]]
      entry = {chunk, find_chunk(chunk)};
    (*entry.pages)[record.page.value() % kChunkPages] |= record.access.bits();
  }
  void add_references(std::uint64_t count) { references_ += count; }

  // Fills in the counts and the ranges; leaves version, source, space, program and window alone.
  void fill(TraceInfo& info) const;

 private:
  static constexpr std::uint64_t kChunkPages = 4096;
  static constexpr std::size_t kCacheEntries =
      64;  // Direct-mapped; a program works in a few dozen 16 MiB chunks at a time.
  using Chunk = std::array<std::uint8_t, kChunkPages>;
  struct CacheEntry {
    std::uint64_t chunk = 0;
    Chunk* pages = nullptr;
  };

  Chunk* find_chunk(std::uint64_t chunk);

  std::map<std::uint64_t, std::unique_ptr<Chunk>> chunks_;
  std::array<CacheEntry, kCacheEntries> cache_{};
  std::array<std::uint64_t, 8> records_by_access_{};
  std::uint64_t references_ = 0;
};

}  // namespace pagoda::sim
