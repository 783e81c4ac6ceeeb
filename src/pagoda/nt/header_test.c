/* pagoda/nt.h from C: widths and offsets as 64-bit Windows has them, and a program that uses it. */
#include <stddef.h>
#include <string.h>

#include "pagoda/nt.h"

_Static_assert(sizeof(ULONG) == 4 && sizeof(LONG) == 4 && sizeof(USHORT) == 2 && sizeof(WCHAR) == 2, "widths");
_Static_assert(sizeof(SIZE_T) == 8 && sizeof(ULONG_PTR) == 8 && sizeof(HANDLE) == 8, "widths");
_Static_assert(sizeof(NTSTATUS) == 4 && (NTSTATUS)-1 < 0, "NTSTATUS is signed");
_Static_assert(sizeof(LARGE_INTEGER) == 8 && sizeof(UNICODE_STRING) == 16, "strings and integers");
_Static_assert(offsetof(UNICODE_STRING, Buffer) == 8, "UNICODE_STRING");
_Static_assert(sizeof(OBJECT_ATTRIBUTES) == 48 && offsetof(OBJECT_ATTRIBUTES, ObjectName) == 16, "OBJECT_ATTRIBUTES");
_Static_assert(offsetof(OBJECT_ATTRIBUTES, Attributes) == 24, "OBJECT_ATTRIBUTES");
_Static_assert(sizeof(IO_STATUS_BLOCK) == 16 && offsetof(IO_STATUS_BLOCK, Information) == 8, "IO_STATUS_BLOCK");
_Static_assert(sizeof(MEMORY_BASIC_INFORMATION) == 48, "MEMORY_BASIC_INFORMATION");
_Static_assert(offsetof(MEMORY_BASIC_INFORMATION, AllocationProtect) == 16, "MEMORY_BASIC_INFORMATION");
_Static_assert(offsetof(MEMORY_BASIC_INFORMATION, RegionSize) == 24, "MEMORY_BASIC_INFORMATION");
_Static_assert(offsetof(MEMORY_BASIC_INFORMATION, State) == 32, "MEMORY_BASIC_INFORMATION");
_Static_assert(offsetof(MEMORY_BASIC_INFORMATION, Type) == 40, "MEMORY_BASIC_INFORMATION");
_Static_assert(sizeof(MEMORY_WORKING_SET_BLOCK) == 8 && sizeof(MEMORY_WORKING_SET_EX_BLOCK) == 8, "working set");
_Static_assert(sizeof(MEMORY_WORKING_SET_EX_INFORMATION) == 16, "MEMORY_WORKING_SET_EX_INFORMATION");
_Static_assert(sizeof(MEMORY_REGION_INFORMATION) == 32, "MEMORY_REGION_INFORMATION");
_Static_assert(sizeof(SECTION_BASIC_INFORMATION) == 24, "SECTION_BASIC_INFORMATION");
_Static_assert(offsetof(SECTION_BASIC_INFORMATION, MaximumSize) == 16, "SECTION_BASIC_INFORMATION");
_Static_assert(sizeof(SECTION_IMAGE_INFORMATION) == 64, "SECTION_IMAGE_INFORMATION");
_Static_assert(sizeof(QUOTA_LIMITS) == 48 && sizeof(QUOTA_LIMITS_EX) == 88, "QUOTA_LIMITS");
_Static_assert(offsetof(QUOTA_LIMITS_EX, Flags) == 80, "QUOTA_LIMITS_EX");
_Static_assert(sizeof(VM_COUNTERS) == 88 && offsetof(VM_COUNTERS, PeakWorkingSetSize) == 24, "VM_COUNTERS");
_Static_assert(sizeof(VM_COUNTERS_EX) == 96 && offsetof(VM_COUNTERS_EX, PrivateUsage) == 88, "VM_COUNTERS_EX");
_Static_assert(sizeof(MEMORY_RANGE_ENTRY) == 16, "MEMORY_RANGE_ENTRY");
_Static_assert(sizeof(MEM_ADDRESS_REQUIREMENTS) == 24 && sizeof(MEM_EXTENDED_PARAMETER) == 16, "Ex calls");
_Static_assert(sizeof(FILE_STANDARD_INFORMATION) == 24, "FILE_STANDARD_INFORMATION");
_Static_assert(STATUS_ACCESS_VIOLATION < 0 && !NT_SUCCESS(STATUS_PARTIAL_COPY) && NT_SUCCESS(STATUS_WAS_LOCKED),
               "severities");

/* What a C program does: a kernel, memory, bytes. The status of the first call that fails. */
NTSTATUS pagoda_nt_test_c_program(char* read, SIZE_T size) {
  PAGODA_KERNEL_CONFIG config = {0};
  PAGODA_KERNEL* kernel = NULL;
  NTSTATUS status = STATUS_SUCCESS;
  PVOID base = NULL;
  SIZE_T bytes = 10000;
  static const char kText[] = "in C";
  config.Size = sizeof config;
  config.MemoryBytes = (SIZE_T)8 << 20;
  config.PagingFileBytes = (SIZE_T)4 << 20;
  status = PagodaCreateKernel(&config, &kernel);
  if (!NT_SUCCESS(status)) return status;
  status = PagodaEnter(kernel);
  if (NT_SUCCESS(status))
    status = NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (NT_SUCCESS(status)) status = PagodaStore(base, kText, sizeof kText);
  if (NT_SUCCESS(status)) status = PagodaLoad(base, read, size < sizeof kText ? size : sizeof kText);
  if (NT_SUCCESS(status) && PagodaDestroyKernel(kernel) != STATUS_ACCESS_DENIED) status = STATUS_INVALID_PARAMETER;
  if (NT_SUCCESS(status)) status = PagodaLeave();
  if (NT_SUCCESS(status)) status = PagodaDestroyKernel(kernel);
  return status;
}
