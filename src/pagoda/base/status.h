// Status: what an operation says when it cannot do what it was asked, in NT's own values; Result<T>: a value or a
// Status.
//
// A caller's mistake is a Status and changes nothing. What a page fault did is not an error and has its own type
// (mm::FaultKind). Source: reference/nt.md section 1 (NTSTATUS); Microsoft's public documentation of NTSTATUS values.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace pagoda {

enum class [[nodiscard]] Status : std::uint32_t {
  kSuccess = 0x00000000,
  kPending = 0x00000103,  // The access waits for a disk or for memory: run somebody else, then repeat it.
  kGuardPageViolation = 0x80000001,
  kInvalidInfoClass = 0xC0000003,
  kInfoLengthMismatch = 0xC0000004,
  kAccessViolation = 0xC0000005,
  kInPageError = 0xC0000006,
  kPagefileQuota = 0xC0000007,
  kInvalidHandle = 0xC0000008,
  kInvalidParameter = 0xC000000D,
  kEndOfFile = 0xC0000011,
  kNoMemory = 0xC0000017,
  kConflictingAddresses = 0xC0000018,
  kNotMappedView = 0xC0000019,
  kUnableToFreeVm = 0xC000001A,
  kAlreadyCommitted = 0xC0000021,
  kAccessDenied = 0xC0000022,
  kNotLocked = 0xC000002A,
  kNotCommitted = 0xC000002D,
  kInvalidPageProtection = 0xC0000045,
  kBadWorkingSetLimit = 0xC000004C,
  kDiskFull = 0xC000007F,
  kTooManyPagingFiles = 0xC0000097,
  kInsufficientResources = 0xC000009A,
  kFreeVmNotAtBase = 0xC000009F,
  kMemoryNotAllocated = 0xC00000A0,
  kWorkingSetQuota = 0xC00000A1,
  kInvalidParameter1 = 0xC00000EF,
  kInvalidParameter2 = 0xC00000F0,
  kInvalidParameter3 = 0xC00000F1,
  kInvalidParameter4 = 0xC00000F2,
  kInvalidParameter5 = 0xC00000F3,
  kInvalidParameter6 = 0xC00000F4,
  kCommitmentLimit = 0xC000012D,
  kNoPagefile = 0xC0000147,
  kIoDeviceError = 0xC0000185,
  kWasLocked = 0x40000019,
  kWorkingSetLimitRange = 0x40000002,
};

// NT's name for the status ("STATUS_COMMITMENT_LIMIT"), or its value in hex.
std::string_view name(Status status);
std::string to_string(Status status);

template <class T = void>
using Result = std::expected<T, Status>;

inline std::unexpected<Status> fail(Status status) { return std::unexpected(status); }

}  // namespace pagoda

// Leaves the enclosing function with the Status of a failed Result; the one macro for errors that the house has.
#define PAGODA_TRY(expression)                                            \
  do {                                                                    \
    if (auto pagoda_result_ = (expression); !pagoda_result_) [[unlikely]] \
      return std::unexpected(pagoda_result_.error());                     \
  } while (false)
