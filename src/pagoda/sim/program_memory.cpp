#include "pagoda/sim/program_memory.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kGranulePages = kAllocationGranularity / kPageBytes;

// The runs rounded out to 64 KB units, neighbours joined.
std::vector<VpnRange> granules(const std::vector<VpnRange>& pages) {
  std::vector<VpnRange> result;
  for (const VpnRange& run : pages) {
    const Vpn first(run.first.value() / kGranulePages * kGranulePages);
    const Vpn end((run.last().value() / kGranulePages + 1) * kGranulePages);
    if (!result.empty() && result.back().end() >= first) {
      result.back().count = end - result.back().first;
    } else {
      result.push_back({first, end - first});
    }
  }
  return result;
}

}  // namespace

ProgramMemory::ProgramMemory(const std::vector<VpnRange>& pages) : program_pages_(pages) {
  std::size_t count = 0;
  for (const VpnRange& run : pages) count += run.count.value();
  page_.reserve(count);
  last_interval_.assign(count, kNever);
  for (const VpnRange& region : granules(pages)) committed_ += region.count;
}

Result<> ProgramMemory::reserve(mm::AddressSpace& space, const machine::PagingMode& mode) {
  const std::vector<VpnRange> regions = granules(program_pages_);
  if (regions.empty()) return {};
  const Vpn highest = (mode.highest_user - ByteCount(kAllocationGranularity)).vpn();
  const bool own_addresses = regions.front().first.value() >= kGranulePages && regions.back().last() <= highest;
  std::size_t run = 0;
  for (const VpnRange& region : regions) {
    mm::ReserveRequest request{
        .size = bytes_of(region.count), .protection = mm::Protection::kExecuteReadWrite, .commit = mm::MemCommit::kYes};
    if (own_addresses) request.base = VirtualAddress(region.first);
    const auto reserved = space.reserve(request);
    if (!reserved) return std::unexpected(reserved.error());
    for (; run < program_pages_.size() && program_pages_[run].first < region.end(); ++run) {
      for (PageCount i; i < program_pages_[run].count; ++i)
        page_.push_back(reserved->first + (program_pages_[run].first - region.first) + i);
    }
  }
  return {};
}

}  // namespace pagoda::sim
