#include "pagoda/nt/edge.h"

namespace pagoda::nt {

Result<HandleTable::Referenced> referenced(const Caller& caller, const Process& process, HANDLE handle) {
  if (handle == NtCurrentProcess())
    return HandleTable::Referenced{caller.process_pointer(), generic_mapping(ObjectType::kProcess).all};
  if (handle != NtCurrentThread()) return process.handles().reference(handle_of(handle));
  if (caller.thread() == nullptr) return fail(Status::kInvalidHandle);
  return HandleTable::Referenced{caller.thread(), generic_mapping(ObjectType::kThread).all};
}

Result<std::shared_ptr<Object>> referenced(const Caller& caller, HANDLE handle, ObjectType type, AccessMask needed) {
  // A thread even where the caller runs as none.
  if (handle == NtCurrentThread() && type != ObjectType::kThread) return fail(Status::kObjectTypeMismatch);
  return PAGODA_TRY(referenced(caller, caller.process(), handle)).as(type, needed);
}

Result<Target> target_process(const Caller& caller, HANDLE handle, AccessMask needed) {
  auto process = PAGODA_TRY(object_from<Process>(caller, handle, needed));
  auto use = PAGODA_TRY(process->use_space());
  return Target{std::move(process), std::move(use)};
}

HandleTable::Inheritance inheritance_of(ULONG attributes) {
  return (attributes & OBJ_INHERIT) != 0 ? HandleTable::Inheritance::kYes : HandleTable::Inheritance::kNo;
}

HandleTable::Inheritance inheritance_of(const OBJECT_ATTRIBUTES* attributes) {
  return attributes == nullptr ? HandleTable::Inheritance::kNo : inheritance_of(attributes->Attributes);
}

Namespace::Case case_of(const OBJECT_ATTRIBUTES* attributes) {
  const bool ignored = attributes != nullptr && (attributes->Attributes & OBJ_CASE_INSENSITIVE) != 0;
  return ignored ? Namespace::Case::kIgnored : Namespace::Case::kCounts;
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
