// NtLockVirtualMemory, NtUnlockVirtualMemory. Source: reference/nt.md 7.5.
#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

struct Locking {
  HANDLE process = nullptr;
  PVOID* base = nullptr;
  SIZE_T* size = nullptr;
  ULONG map_type = 0;
};

enum class Action : std::uint8_t { kLock, kUnlock };

Result<> lock_or_unlock(const Locking& request, Action action) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(request.base, request.size));
  // Both kinds in one call is one too many. A choice: the reference knows the two values alone.
  PAGODA_TRY(require(request.map_type == MAP_PROCESS || request.map_type == MAP_SYSTEM, Status::kInvalidParameter));
  const auto pages = mm::pages_covering(address_of(*request.base), ByteCount(*request.size));
  PAGODA_TRY(require(pages && pages->last() <= highest_vad_address(*caller).vpn(), Status::kInvalidParameter));
  PAGODA_TRY(require(request.map_type == MAP_PROCESS || caller->process().token().holds(Privilege::kLockMemory),
                     Status::kPrivilegeNotHeld));
  const auto target = PAGODA_TRY(target_process(*caller, request.process, PROCESS_VM_OPERATION));

  const auto kind = static_cast<mm::LockKind>(request.map_type);
  const VirtualAddress base = page_start(*pages);
  const ByteCount size(byte_size(*pages));
  mm::Processor& cpu = caller->cpu();
  const Result<> done = action == Action::kLock ? target.space().lock_pages(cpu, base, size, kind)
                                                : target.space().unlock_pages(cpu, base, size, kind);
  if (!done && done.error() != Status::kWasLocked) return done;
  *request.base = pointer_to(base);
  *request.size = size.value();
  return done;
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtLockVirtualMemory(HANDLE process, PVOID* base, PSIZE_T size, ULONG map_type) {
  using namespace pagoda::nt;
  return answer(lock_or_unlock({.process = process, .base = base, .size = size, .map_type = map_type}, Action::kLock));
}

NTSTATUS NtUnlockVirtualMemory(HANDLE process, PVOID* base, PSIZE_T size, ULONG map_type) {
  using namespace pagoda::nt;
  return answer(
      lock_or_unlock({.process = process, .base = base, .size = size, .map_type = map_type}, Action::kUnlock));
}
