// NtReadVirtualMemory, NtWriteVirtualMemory. Source: reference/nt.md 7.6.
#include "pagoda/nt/copy_memory.h"
#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

struct Copy {
  HANDLE process = nullptr;
  PVOID address = nullptr;  // In the process.
  PVOID buffer = nullptr;   // The caller's own.
  SIZE_T size = 0;
  SIZE_T* done = nullptr;  // May be null.
};

enum class Direction : std::uint8_t { kRead, kWrite };

Result<> copy(const Copy& request, Direction direction) {
  auto* const caller = PAGODA_TRY(calling());
  const VirtualAddress address = address_of(request.address);
  const VirtualAddress highest = highest_user_address(*caller);
  PAGODA_TRY(require(request.size == 0 || (address <= highest && request.size - 1 <= (highest - address).value()),
                     Status::kAccessViolation));
  PAGODA_TRY(require(request.size == 0 || request.buffer != nullptr, Status::kAccessViolation));
  Copied copied;
  // NT looks at the process only where there is something to copy.
  if (request.size != 0) {
    const auto target = PAGODA_TRY(
        target_process(*caller, request.process, direction == Direction::kRead ? PROCESS_VM_READ : PROCESS_VM_WRITE));
    const std::span<std::byte> buffer(static_cast<std::byte*>(request.buffer), request.size);
    copied = direction == Direction::kRead ? copy_from(target.space(), caller->cpu(), address, buffer)
                                           : copy_to(target.space(), caller->cpu(), address, buffer);
  }
  // With a partial copy the count is told too.
  if (request.done != nullptr) *request.done = copied.bytes;
  return require(copied.status == Status::kSuccess, Status::kPartialCopy);
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtReadVirtualMemory(HANDLE process, PVOID address, PVOID buffer, SIZE_T size, PSIZE_T done) {
  using namespace pagoda::nt;
  return answer(
      copy({.process = process, .address = address, .buffer = buffer, .size = size, .done = done}, Direction::kRead));
}

NTSTATUS NtWriteVirtualMemory(HANDLE process, PVOID address, PVOID buffer, SIZE_T size, PSIZE_T done) {
  using namespace pagoda::nt;
  return answer(
      copy({.process = process, .address = address, .buffer = buffer, .size = size, .done = done}, Direction::kWrite));
}
