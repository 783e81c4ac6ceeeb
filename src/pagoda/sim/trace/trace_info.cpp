#include "pagoda/sim/trace/trace_info.h"

namespace pagoda::sim {

TraceCensus::Chunk* TraceCensus::find_chunk(std::uint64_t chunk) {
  std::unique_ptr<Chunk>& pages = chunks_[chunk];
  if (pages == nullptr) pages = std::make_unique<Chunk>();
  return pages.get();
}

void TraceCensus::fill(TraceInfo& info) const {
  info.references = references_;
  info.records = info.records_reading = info.records_writing = info.records_executing = 0;
  for (std::uint64_t bits = 0; bits < records_by_access_.size(); ++bits) {
    const std::uint64_t count = records_by_access_[bits];
    const TraceAccess access = TraceAccess::from_bits(bits);
    info.records += count;
    if (access.reads()) info.records_reading += count;
    if (access.writes()) info.records_writing += count;
    if (access.executes()) info.records_executing += count;
  }

  info.pages = info.pages_read = info.pages_written = info.pages_executed = PageCount(0);
  info.ranges.clear();
  for (const auto& [chunk, pages] : chunks_) {
    for (std::uint64_t i = 0; i < kChunkPages; ++i) {
      const TraceAccess access = TraceAccess::from_bits((*pages)[i]);
      if (access == TraceAccess()) continue;
      ++info.pages;
      if (access.reads()) ++info.pages_read;
      if (access.writes()) ++info.pages_written;
      if (access.executes()) ++info.pages_executed;
      const Vpn page(chunk * kChunkPages + i);
      if (!info.ranges.empty() && info.ranges.back().end() == page) {
        ++info.ranges.back().count;
      } else {
        info.ranges.push_back({page, PageCount(1)});
      }
    }
  }
}

}  // namespace pagoda::sim
