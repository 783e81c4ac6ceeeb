#include "pagoda/base/status.h"

#include <gtest/gtest.h>

#include <array>

namespace pagoda {
namespace {

struct Known {
  Status status;
  std::uint32_t value;
  std::string_view name;
};

// reference/nt.md section 1; STATUS_PENDING, STATUS_IO_DEVICE_ERROR, STATUS_NOT_SAME_DEVICE and those of programs that
// are no images of the machine from Microsoft's list of NTSTATUS values.
constexpr std::array kKnown{
    Known{Status::kSuccess, 0x00000000, "STATUS_SUCCESS"},
    Known{Status::kPending, 0x00000103, "STATUS_PENDING"},
    Known{Status::kWorkingSetLimitRange, 0x40000002, "STATUS_WORKING_SET_LIMIT_RANGE"},
    Known{Status::kImageMachineTypeMismatch, 0x4000000E, "STATUS_IMAGE_MACHINE_TYPE_MISMATCH"},
    Known{Status::kWasLocked, 0x40000019, "STATUS_WAS_LOCKED"},
    Known{Status::kGuardPageViolation, 0x80000001, "STATUS_GUARD_PAGE_VIOLATION"},
    Known{Status::kInvalidInfoClass, 0xC0000003, "STATUS_INVALID_INFO_CLASS"},
    Known{Status::kInfoLengthMismatch, 0xC0000004, "STATUS_INFO_LENGTH_MISMATCH"},
    Known{Status::kAccessViolation, 0xC0000005, "STATUS_ACCESS_VIOLATION"},
    Known{Status::kInPageError, 0xC0000006, "STATUS_IN_PAGE_ERROR"},
    Known{Status::kPagefileQuota, 0xC0000007, "STATUS_PAGEFILE_QUOTA"},
    Known{Status::kInvalidHandle, 0xC0000008, "STATUS_INVALID_HANDLE"},
    Known{Status::kInvalidParameter, 0xC000000D, "STATUS_INVALID_PARAMETER"},
    Known{Status::kEndOfFile, 0xC0000011, "STATUS_END_OF_FILE"},
    Known{Status::kNoMemory, 0xC0000017, "STATUS_NO_MEMORY"},
    Known{Status::kConflictingAddresses, 0xC0000018, "STATUS_CONFLICTING_ADDRESSES"},
    Known{Status::kNotMappedView, 0xC0000019, "STATUS_NOT_MAPPED_VIEW"},
    Known{Status::kUnableToFreeVm, 0xC000001A, "STATUS_UNABLE_TO_FREE_VM"},
    Known{Status::kAlreadyCommitted, 0xC0000021, "STATUS_ALREADY_COMMITTED"},
    Known{Status::kAccessDenied, 0xC0000022, "STATUS_ACCESS_DENIED"},
    Known{Status::kNotLocked, 0xC000002A, "STATUS_NOT_LOCKED"},
    Known{Status::kNotCommitted, 0xC000002D, "STATUS_NOT_COMMITTED"},
    Known{Status::kSharingViolation, 0xC0000043, "STATUS_SHARING_VIOLATION"},
    Known{Status::kInvalidPageProtection, 0xC0000045, "STATUS_INVALID_PAGE_PROTECTION"},
    Known{Status::kBadWorkingSetLimit, 0xC000004C, "STATUS_BAD_WORKING_SET_LIMIT"},
    Known{Status::kDiskFull, 0xC000007F, "STATUS_DISK_FULL"},
    Known{Status::kTooManyPagingFiles, 0xC0000097, "STATUS_TOO_MANY_PAGING_FILES"},
    Known{Status::kInsufficientResources, 0xC000009A, "STATUS_INSUFFICIENT_RESOURCES"},
    Known{Status::kFreeVmNotAtBase, 0xC000009F, "STATUS_FREE_VM_NOT_AT_BASE"},
    Known{Status::kMemoryNotAllocated, 0xC00000A0, "STATUS_MEMORY_NOT_ALLOCATED"},
    Known{Status::kWorkingSetQuota, 0xC00000A1, "STATUS_WORKING_SET_QUOTA"},
    Known{Status::kNotSameDevice, 0xC00000D4, "STATUS_NOT_SAME_DEVICE"},
    Known{Status::kInvalidParameter1, 0xC00000EF, "STATUS_INVALID_PARAMETER_1"},
    Known{Status::kInvalidParameter2, 0xC00000F0, "STATUS_INVALID_PARAMETER_2"},
    Known{Status::kInvalidParameter3, 0xC00000F1, "STATUS_INVALID_PARAMETER_3"},
    Known{Status::kInvalidParameter4, 0xC00000F2, "STATUS_INVALID_PARAMETER_4"},
    Known{Status::kInvalidParameter5, 0xC00000F3, "STATUS_INVALID_PARAMETER_5"},
    Known{Status::kInvalidParameter6, 0xC00000F4, "STATUS_INVALID_PARAMETER_6"},
    Known{Status::kInvalidImageNeFormat, 0xC000011B, "STATUS_INVALID_IMAGE_NE_FORMAT"},
    Known{Status::kCommitmentLimit, 0xC000012D, "STATUS_COMMITMENT_LIMIT"},
    Known{Status::kInvalidImageLeFormat, 0xC000012E, "STATUS_INVALID_IMAGE_LE_FORMAT"},
    Known{Status::kInvalidImageProtect, 0xC0000130, "STATUS_INVALID_IMAGE_PROTECT"},
    Known{Status::kInvalidImageWin16, 0xC0000131, "STATUS_INVALID_IMAGE_WIN_16"},
    Known{Status::kNoPagefile, 0xC0000147, "STATUS_NO_PAGEFILE"},
    Known{Status::kIoDeviceError, 0xC0000185, "STATUS_IO_DEVICE_ERROR"},
    Known{Status::kInvalidImageWin64, 0xC000035A, "STATUS_INVALID_IMAGE_WIN_64"},
};

TEST(Status, HasNtsValuesAndNames) {
  for (const Known& known : kKnown) {
    EXPECT_EQ(static_cast<std::uint32_t>(known.status), known.value) << known.name;
    EXPECT_EQ(name(known.status), known.name);
    EXPECT_EQ(to_string(known.status), known.name);
  }
}

TEST(Status, UnknownValuesPrintInHex) {
  EXPECT_EQ(name(Status{0xC0001234}), "");
  EXPECT_EQ(to_string(Status{0xC0001234}), "NTSTATUS 0xc0001234");
}

Result<int> twice(Result<int> number) {
  static_cast<void>(PAGODA_TRY(number));
  return *number * 2;
}

TEST(Result, TryPassesTheFailureOn) {
  EXPECT_EQ(twice(21), 42);
  const auto failed = twice(fail(Status::kNoMemory));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), Status::kNoMemory);
}

}  // namespace
}  // namespace pagoda
