// NtAllocateUserPhysicalPages, NtMapUserPhysicalPages, NtMapUserPhysicalPagesScatter, NtFreeUserPhysicalPages.
// Source: reference/nt.md 7.8; what it leaves open is chosen in mm/region/user_pages.h.
#include <algorithm>
#include <vector>

#include "pagoda/base/try_reserve.h"
#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

constexpr std::size_t kAddressesAtOnce = 512;  // That are copied before they are looked at. A choice.

// A number that no frame can have becomes that of no frame.
Pfn frame_of(ULONG_PTR number) { return number < kNoPfn.value() ? Pfn(static_cast<std::uint32_t>(number)) : kNoPfn; }

Result<std::vector<Pfn>> frames_of(const ULONG_PTR* numbers, std::size_t count) {
  std::vector<Pfn> frames;
  if (!try_reserve(frames, count)) return fail(Status::kInsufficientResources);
  for (const ULONG_PTR number : std::span(numbers, count)) frames.push_back(frame_of(number));
  return frames;
}

Result<> allocate(HANDLE process, ULONG_PTR* count, ULONG_PTR* numbers) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(count, numbers));
  const ULONG_PTR asked = *count;
  if (asked == 0) return {};
  PAGODA_TRY(require(asked <= kAbsurdCount, Status::kInvalidParameter2));
  const auto target = PAGODA_TRY(target_process(*caller, process, PROCESS_VM_OPERATION));
  PAGODA_TRY(require(caller->process().token().holds(Privilege::kLockMemory), Status::kPrivilegeNotHeld));
  const auto frames = PAGODA_TRY(target.space().user_pages().allocate(caller->cpu(), PageCount(asked)));
  for (std::size_t i = 0; i < frames.size(); ++i) numbers[i] = (frames)[i].value();
  *count = frames.size();
  return {};
}

// What was freed before the first frame that is not the process's stays freed, and is told.
Result<> free_frames(HANDLE process, ULONG_PTR* count, const ULONG_PTR* numbers) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(count, numbers));
  const ULONG_PTR asked = *count;
  if (asked == 0) return {};
  PAGODA_TRY(require(asked <= kAbsurdCount, Status::kInvalidParameter2));
  const auto target = PAGODA_TRY(target_process(*caller, process, PROCESS_VM_OPERATION));
  // One more than there are contains a foreign one or one twice, where freeing stops.
  const std::size_t looked_at = std::min<std::size_t>(asked, caller->kernel().machine().frame_count().value() + 1);
  const auto frames = PAGODA_TRY(frames_of(numbers, looked_at));
  const auto freed = target.space().user_pages().free(caller->cpu(), frames);
  *count = freed.count.value();
  return require(freed.status == Status::kSuccess, freed.status);
}

Result<> map(VirtualAddress base, ULONG_PTR count, const ULONG_PTR* numbers) {
  auto* const caller = PAGODA_TRY(calling());
  const auto target = PAGODA_TRY(target_process(*caller, NtCurrentProcess(), 0));
  PAGODA_TRY(require(count <= target.space().user_range().count.value(), Status::kInvalidParameter2));
  mm::Processor& cpu = caller->cpu();
  // Before so many numbers are read: what is there when they are mapped is looked at again.
  const auto region = region_at(target.space(), base);
  PAGODA_TRY(
      require(count == 0 || (region && base.vpn() + PageCount(count) <= region->end()), Status::kInvalidParameter1));
  if (numbers == nullptr) return target.space().user_pages().unmap(cpu, base, PageCount(count));
  const auto frames = PAGODA_TRY(frames_of(numbers, count));
  return target.space().user_pages().map(cpu, base, frames);
}

Result<> map_scattered(PVOID* addresses, ULONG_PTR count, const ULONG_PTR* numbers) {
  auto* const caller = PAGODA_TRY(calling());
  const auto target = PAGODA_TRY(target_process(*caller, NtCurrentProcess(), 0));
  PAGODA_TRY(require(count <= target.space().user_range().count.value(), Status::kInvalidParameter2));
  PAGODA_TRY(probe(addresses));
  // Part by part, so that a wild count ends with the first address that is in no window.
  std::vector<VirtualAddress> at;
  while (at.size() < count) {
    const std::size_t done = at.size();
    const std::size_t part = std::min<std::size_t>(count - done, kAddressesAtOnce);
    if (done + part > at.capacity() && !try_reserve(at, std::max(2 * done, part)))
      return fail(Status::kInsufficientResources);
    for (const void* const address : std::span(addresses + done, part)) at.push_back(address_of(address));
    PAGODA_TRY(target.space().user_pages().are_in_windows(std::span(at).subspan(done)));
  }
  const auto frames = PAGODA_TRY(frames_of(numbers, numbers == nullptr ? 0 : count));
  return target.space().user_pages().map_scatter(caller->cpu(), at, frames);
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtAllocateUserPhysicalPages(HANDLE process, PULONG_PTR count, PULONG_PTR frames) {
  using namespace pagoda::nt;
  return answer(allocate(process, count, frames));
}

NTSTATUS NtMapUserPhysicalPages(PVOID base, ULONG_PTR count, PULONG_PTR frames) {
  using namespace pagoda::nt;
  return answer(map(address_of(base), count, frames));
}

NTSTATUS NtMapUserPhysicalPagesScatter(PVOID* addresses, ULONG_PTR count, PULONG_PTR frames) {
  using namespace pagoda::nt;
  return answer(map_scattered(addresses, count, frames));
}

NTSTATUS NtFreeUserPhysicalPages(HANDLE process, PULONG_PTR count, PULONG_PTR frames) {
  using namespace pagoda::nt;
  return answer(free_frames(process, count, frames));
}
