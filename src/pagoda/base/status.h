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
  kPending = 0x00000103,  // The access waits for a disk or for memory: run other work, then repeat it.
  kPageFaultTransition = 0x00000110,
  kPageFaultDemandZero = 0x00000111,
  kPageFaultCopyOnWrite = 0x00000112,
  kPageFaultGuardPage = 0x00000113,
  kPageFaultPagingFile = 0x00000114,
  kFileLockedWithWriters = 0x0000012B,
  kObjectNameExists = 0x40000000,
  kWorkingSetLimitRange = 0x40000002,
  kImageNotAtBase = 0x40000003,
  kImageMachineTypeMismatch = 0x4000000E,
  kWasLocked = 0x40000019,
  kGuardPageViolation = 0x80000001,
  kBufferOverflow = 0x80000005,
  kPartialCopy = 0x8000000D,
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
  kUnableToDeleteSection = 0xC000001B,
  kInvalidViewSize = 0xC000001F,
  kInvalidFileForSection = 0xC0000020,
  kAlreadyCommitted = 0xC0000021,
  kAccessDenied = 0xC0000022,
  kObjectTypeMismatch = 0xC0000024,
  kNotLocked = 0xC000002A,
  kNotCommitted = 0xC000002D,
  kObjectNameInvalid = 0xC0000033,
  kObjectNameNotFound = 0xC0000034,
  kObjectNameCollision = 0xC0000035,
  kSectionTooBig = 0xC0000040,
  kSharingViolation = 0xC0000043,
  kQuotaExceeded = 0xC0000044,
  kInvalidPageProtection = 0xC0000045,
  kSectionNotImage = 0xC0000049,
  kBadWorkingSetLimit = 0xC000004C,
  kIncompatibleFileMap = 0xC000004D,
  kSectionProtection = 0xC000004E,
  kFileLockConflict = 0xC0000054,
  kPrivilegeNotHeld = 0xC0000061,
  kInvalidImageFormat = 0xC000007B,
  kDiskFull = 0xC000007F,
  kSectionNotExtended = 0xC0000087,
  kNotMappedData = 0xC0000088,
  kTooManyPagingFiles = 0xC0000097,
  kInsufficientResources = 0xC000009A,
  kFreeVmNotAtBase = 0xC000009F,
  kMemoryNotAllocated = 0xC00000A0,
  kWorkingSetQuota = 0xC00000A1,
  kNotSupported = 0xC00000BB,
  kNotSameDevice = 0xC00000D4,
  kInvalidParameter1 = 0xC00000EF,
  kInvalidParameter2 = 0xC00000F0,
  kInvalidParameter3 = 0xC00000F1,
  kInvalidParameter4 = 0xC00000F2,
  kInvalidParameter5 = 0xC00000F3,
  kInvalidParameter6 = 0xC00000F4,
  kInvalidParameter7 = 0xC00000F5,
  kInvalidParameter8 = 0xC00000F6,
  kInvalidParameter9 = 0xC00000F7,
  kInvalidParameter10 = 0xC00000F8,
  kInvalidParameter11 = 0xC00000F9,
  kInvalidParameter12 = 0xC00000FA,
  kStackOverflow = 0xC00000FD,
  kProcessIsTerminating = 0xC000010A,
  kInvalidImageNeFormat = 0xC000011B,
  kMappedFileSizeZero = 0xC000011E,
  kPagefileQuotaExceeded = 0xC000012C,
  kCommitmentLimit = 0xC000012D,
  kInvalidImageLeFormat = 0xC000012E,
  kInvalidImageNotMz = 0xC000012F,
  kInvalidImageProtect = 0xC0000130,
  kInvalidImageWin16 = 0xC0000131,
  kInvalidAddress = 0xC0000141,
  kNoPagefile = 0xC0000147,
  kFloppyVolume = 0xC0000164,
  kIoDeviceError = 0xC0000185,
  kMappedAlignment = 0xC0000220,
  kUserMappedFile = 0xC0000243,
  kCommitmentMinimum = 0xC00002C8,
  kInvalidImageWin64 = 0xC000035A,
};

// NT's name for the status ("STATUS_COMMITMENT_LIMIT"), or its value in hex.
std::string_view name(Status status);
std::string to_string(Status status);

template <class T = void>
using Result = std::expected<T, Status>;

inline std::unexpected<Status> fail(Status status) { return std::unexpected(status); }

}  // namespace pagoda

// The value of a Result; on failure the enclosing function returns its Status. An expression:
//   const Pfn frame = PAGODA_TRY(pfns.take(Contents::kZeroed));
#define PAGODA_TRY(expression) PAGODA_TRY_NAMED_(expression, PAGODA_TRY_JOIN_(pagoda_result_, __COUNTER__))
#define PAGODA_TRY_JOIN_(name, number) PAGODA_TRY_JOIN_AGAIN_(name, number)
#define PAGODA_TRY_JOIN_AGAIN_(name, number) name##number
// A statement expression (GCC and clang); the counter keeps nested ones from shadowing each other.
#define PAGODA_TRY_NAMED_(expression, result) \
  __extension__({                             \
    auto result = (expression);               \
    if (!result) [[unlikely]]                 \
      return std::unexpected(result.error()); \
    *std::move(result);                       \
  })
