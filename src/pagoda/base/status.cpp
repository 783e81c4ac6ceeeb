#include "pagoda/base/status.h"

#include <fmt/format.h>

namespace pagoda {

std::string_view name(Status status) {
  switch (status) {
    case Status::kSuccess:
      return "STATUS_SUCCESS";
    case Status::kPending:
      return "STATUS_PENDING";
    case Status::kGuardPageViolation:
      return "STATUS_GUARD_PAGE_VIOLATION";
    case Status::kInvalidInfoClass:
      return "STATUS_INVALID_INFO_CLASS";
    case Status::kInfoLengthMismatch:
      return "STATUS_INFO_LENGTH_MISMATCH";
    case Status::kAccessViolation:
      return "STATUS_ACCESS_VIOLATION";
    case Status::kInPageError:
      return "STATUS_IN_PAGE_ERROR";
    case Status::kPagefileQuota:
      return "STATUS_PAGEFILE_QUOTA";
    case Status::kInvalidHandle:
      return "STATUS_INVALID_HANDLE";
    case Status::kInvalidParameter:
      return "STATUS_INVALID_PARAMETER";
    case Status::kEndOfFile:
      return "STATUS_END_OF_FILE";
    case Status::kNoMemory:
      return "STATUS_NO_MEMORY";
    case Status::kConflictingAddresses:
      return "STATUS_CONFLICTING_ADDRESSES";
    case Status::kNotMappedView:
      return "STATUS_NOT_MAPPED_VIEW";
    case Status::kUnableToFreeVm:
      return "STATUS_UNABLE_TO_FREE_VM";
    case Status::kAlreadyCommitted:
      return "STATUS_ALREADY_COMMITTED";
    case Status::kAccessDenied:
      return "STATUS_ACCESS_DENIED";
    case Status::kNotLocked:
      return "STATUS_NOT_LOCKED";
    case Status::kNotCommitted:
      return "STATUS_NOT_COMMITTED";
    case Status::kInvalidPageProtection:
      return "STATUS_INVALID_PAGE_PROTECTION";
    case Status::kBadWorkingSetLimit:
      return "STATUS_BAD_WORKING_SET_LIMIT";
    case Status::kDiskFull:
      return "STATUS_DISK_FULL";
    case Status::kTooManyPagingFiles:
      return "STATUS_TOO_MANY_PAGING_FILES";
    case Status::kInsufficientResources:
      return "STATUS_INSUFFICIENT_RESOURCES";
    case Status::kFreeVmNotAtBase:
      return "STATUS_FREE_VM_NOT_AT_BASE";
    case Status::kMemoryNotAllocated:
      return "STATUS_MEMORY_NOT_ALLOCATED";
    case Status::kWorkingSetQuota:
      return "STATUS_WORKING_SET_QUOTA";
    case Status::kInvalidParameter1:
      return "STATUS_INVALID_PARAMETER_1";
    case Status::kInvalidParameter2:
      return "STATUS_INVALID_PARAMETER_2";
    case Status::kInvalidParameter3:
      return "STATUS_INVALID_PARAMETER_3";
    case Status::kInvalidParameter4:
      return "STATUS_INVALID_PARAMETER_4";
    case Status::kInvalidParameter5:
      return "STATUS_INVALID_PARAMETER_5";
    case Status::kInvalidParameter6:
      return "STATUS_INVALID_PARAMETER_6";
    case Status::kCommitmentLimit:
      return "STATUS_COMMITMENT_LIMIT";
    case Status::kNoPagefile:
      return "STATUS_NO_PAGEFILE";
    case Status::kIoDeviceError:
      return "STATUS_IO_DEVICE_ERROR";
    case Status::kWasLocked:
      return "STATUS_WAS_LOCKED";
    case Status::kWorkingSetLimitRange:
      return "STATUS_WORKING_SET_LIMIT_RANGE";
  }
  return "";
}

std::string to_string(Status status) {
  const std::string_view known = name(status);
  if (!known.empty()) return std::string(known);
  return fmt::format("NTSTATUS {:#010x}", static_cast<std::uint32_t>(status));
}

}  // namespace pagoda
