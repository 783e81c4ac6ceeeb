// NtGetWriteWatch, NtResetWriteWatch. Checks stand in the order of reference/nt.md 7.7.
#include <algorithm>
#include <array>
#include <span>

#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

// Addresses that one look at the watch takes. A choice.
constexpr std::size_t kWrittenAtOnce = 512;

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
  const auto reset_found = request.flags != 0 ? mm::ProcessSpace::WatchReset::kYes : mm::ProcessSpace::WatchReset::kNo;
  // Part by part, whatever room there is: none of the caller's memory is touched under a lock.
  std::array<VirtualAddress, kWrittenAtOnce> written;
  std::size_t found = 0;
  const VirtualAddress end = request.base + request.size;
  for (VirtualAddress next = request.base;;) {
    const auto part = std::span(written).first(std::min(written.size(), room - found));
    const auto more = target.space().get_write_watch(caller->cpu(), next, end - next, part, reset_found);
    // What comes first is what the parameters are worth; later on somebody may have freed the region.
    if (!more && found == 0) return std::unexpected(more.error());
    if (!more) break;
    std::ranges::transform(part.first(*more), request.addresses + found, pointer_to);
    found += *more;
    if (*more < part.size() || found == room) break;
    next = part.back() + kPageSize;
    if (next >= end) break;
  }
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
