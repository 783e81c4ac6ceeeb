#include "pagoda/nt/edge.h"

namespace pagoda::nt {

Result<std::shared_ptr<Process>> process_from(const Caller& caller, HANDLE handle, AccessMask needed) {
  if (handle == NtCurrentProcess()) return caller.process_pointer();
  return object_from<Process>(caller, handle, needed);
}

Result<Target> target_process(const Caller& caller, HANDLE handle, AccessMask needed) {
  auto process = PAGODA_TRY(process_from(caller, handle, needed));
  auto use = PAGODA_TRY(process->use_space());
  return Target{std::move(process), std::move(use)};
}

Result<std::shared_ptr<Thread>> thread_from(const Caller& caller, HANDLE handle, AccessMask needed) {
  if (handle != NtCurrentThread()) return object_from<Thread>(caller, handle, needed);
  if (caller.thread() == nullptr) return fail(Status::kInvalidHandle);
  return caller.thread();
}

HandleTable::Inheritance inheritance_of(ULONG attributes) {
  return (attributes & OBJ_INHERIT) != 0 ? HandleTable::Inheritance::kYes : HandleTable::Inheritance::kNo;
}

HandleTable::Inheritance inheritance_of(const OBJECT_ATTRIBUTES* attributes) {
  return attributes == nullptr ? HandleTable::Inheritance::kNo : inheritance_of(attributes->Attributes);
}

Result<> give_handle(const Caller& caller, std::shared_ptr<Object> object, AccessMask desired,
                     HandleTable::Inheritance inheritance, HANDLE* out) {
  const AccessMask granted = granted_access(object->type(), desired);
  *out = handle_pointer(PAGODA_TRY(caller.process().handles().insert(std::move(object), granted, inheritance)));
  return {};
}

VirtualAddress highest_user_address(const Caller& caller) {
  Kernel& kernel = caller.kernel();
  return mm::highest_user_address(kernel.machine().paging(), kernel.user_range());
}

VirtualAddress highest_vad_address(const Caller& caller) {
  return highest_user_address(caller) - ByteCount(kAllocationGranularity);
}

std::optional<VpnRange> region_at(mm::ProcessSpace& space, VirtualAddress address) {
  const auto allocation = space.allocation(address);
  return allocation ? std::optional(allocation->pages) : std::nullopt;
}

}  // namespace pagoda::nt
