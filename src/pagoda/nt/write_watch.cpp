// NtGetWriteWatch, NtResetWriteWatch. Checks stand in the order of reference/nt.md 7.7.
#include <algorithm>
#include <vector>

#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

struct Watching {
  HANDLE process = nullptr;
  ULONG flags = 0;
  VirtualAddress base;
  ByteCount size;
  PVOID* addresses = nullptr;
  ULONG_PTR* count = nullptr;
  ULONG* granularity = nullptr;
};

Result<> check_range(const Caller& caller, VirtualAddress base, ByteCount size) {
  const VirtualAddress highest = highest_vad_address(caller);
  PAGODA_TRY(require(base <= highest, Status::kInvalidParameter2));
  return require(!size.is_zero() && ends_by(base, size, highest), Status::kInvalidParameter3);
}

Result<> get(const Watching& request) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(require((request.flags & ~WRITE_WATCH_FLAG_RESET) == 0, Status::kInvalidParameter1));
  PAGODA_TRY(check_range(*caller, request.base, request.size));
  PAGODA_TRY(probe(request.addresses, request.count, request.granularity));
  const ULONG_PTR room = *request.count;
  PAGODA_TRY(require(room != 0 && room <= kAbsurdCount, Status::kInvalidParameter5));
  const auto target = PAGODA_TRY(target_process(*caller, request.process, PROCESS_VM_OPERATION));
  // No array for more than the range has, whatever room there is; and none for a range that no region holds, however
  // large a caller says it is. What lies there when it is asked is found again.
  const auto region = region_at(target.space(), request.base);
  const VpnRange pages = *mm::pages_covering(request.base, request.size);
  PAGODA_TRY(require(region && pages.last() <= region->last(), Status::kInvalidParameter1));
  std::vector<VirtualAddress> written(std::min(room, pages.count.value()));
  const auto found = PAGODA_TRY(target.space().get_write_watch(
      caller->cpu(), request.base, request.size, written,
      request.flags != 0 ? mm::ProcessSpace::WatchReset::kYes : mm::ProcessSpace::WatchReset::kNo));
  std::ranges::transform(written.begin(), written.begin() + static_cast<std::ptrdiff_t>(found), request.addresses,
                         pointer_to);
  *request.count = found;
  *request.granularity = kPageBytes;
  return {};
}

Result<> reset(HANDLE process, VirtualAddress base, ByteCount size) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(check_range(*caller, base, size));
  const auto target = PAGODA_TRY(target_process(*caller, process, PROCESS_VM_OPERATION));
  return target.space().reset_write_watch(caller->cpu(), base, size);
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtGetWriteWatch(HANDLE process, ULONG flags, PVOID base, SIZE_T size, PVOID* addresses, PULONG_PTR count,
                         PULONG granularity) {
  using namespace pagoda::nt;
  return answer(get({.process = process,
                     .flags = flags,
                     .base = address_of(base),
                     .size = pagoda::ByteCount(size),
                     .addresses = addresses,
                     .count = count,
                     .granularity = granularity}));
}

NTSTATUS NtResetWriteWatch(HANDLE process, PVOID base, SIZE_T size) {
  using namespace pagoda::nt;
  return answer(reset(process, address_of(base), pagoda::ByteCount(size)));
}
