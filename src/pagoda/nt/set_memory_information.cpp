// NtSetInformationVirtualMemory. Source: Microsoft's PrefetchVirtualMemory; the statuses and their order are a choice
// (docs/nt-choices.md).
#include <algorithm>

#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

struct MemoryChange {
  HANDLE process = nullptr;
  ULONG_PTR count = 0;
  const MEMORY_RANGE_ENTRY* ranges = nullptr;
  const void* in = nullptr;
  ULONG size = 0;
};

// A hint: where nothing is mapped, or cannot be read, there is nothing to do.
Result<> prefetch(const Caller& caller, const MemoryChange& request) {
  PAGODA_TRY(require(request.in != nullptr, Status::kInvalidParameter5));
  ULONG flags = 0;
  PAGODA_TRY(require(request.size == sizeof flags, Status::kInvalidParameter6));
  std::memcpy(&flags, request.in, sizeof flags);
  PAGODA_TRY(require(flags == 0, Status::kInvalidParameter5));
  PAGODA_TRY(require(request.count != 0 && request.count <= kAbsurdCount, Status::kInvalidParameter3));
  PAGODA_TRY(probe(request.ranges));
  const std::span<const MEMORY_RANGE_ENTRY> ranges(request.ranges, request.count);
  for (const MEMORY_RANGE_ENTRY& range : ranges)
    PAGODA_TRY(require(mm::pages_covering(address_of(range.VirtualAddress), ByteCount(range.NumberOfBytes)).has_value(),
                       Status::kInvalidParameter4));
  const auto target = PAGODA_TRY(target_process(caller, request.process, PROCESS_SET_QUOTA));
  const Vpn end = target.space().highest_user().vpn() + 1_pages;
  for (const MEMORY_RANGE_ENTRY& range : ranges) {
    const VpnRange pages = *mm::pages_covering(address_of(range.VirtualAddress), ByteCount(range.NumberOfBytes));
    if (pages.first >= end) continue;
    PAGODA_TRY(target.space().prefetch(caller.cpu(), {pages.first, std::min(pages.count, end - pages.first)}));
  }
  return {};
}

Result<> set_memory_information(const MemoryChange& request, VIRTUAL_MEMORY_INFORMATION_CLASS what) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(require(what == VmPrefetchInformation, Status::kInvalidParameter2));
  return prefetch(*caller, request);
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtSetInformationVirtualMemory(HANDLE process, VIRTUAL_MEMORY_INFORMATION_CLASS what, ULONG_PTR count,
                                       PMEMORY_RANGE_ENTRY ranges, PVOID in, ULONG size) {
  using namespace pagoda::nt;
  return answer(
      set_memory_information({.process = process, .count = count, .ranges = ranges, .in = in, .size = size}, what));
}
