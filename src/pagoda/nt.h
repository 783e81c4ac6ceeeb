/* The native API of NT's memory manager, for C and C++: the types at NT's widths, the constants, the calls.
 *
 * ULONG has 32 bits, SIZE_T and pointers 64, strings 16-bit units, as on 64-bit Windows. Pointers that a call reads
 * from or writes through are this Linux process's own; base addresses of regions are addresses of the simulated address
 * space, and programs reach what is there with PagodaLoad, PagodaStore and PagodaFetch.
 *
 *   PAGODA_KERNEL* kernel;
 *   PAGODA_KERNEL_CONFIG config = {sizeof config, 64u << 20};
 *   PagodaCreateKernel(&config, &kernel);
 *   PagodaEnter(kernel);                          // The calling thread runs in the kernel's first process.
 *   void* base = NULL;
 *   SIZE_T size = 1 << 20;
 *   NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
 *   PagodaStore(base, "hello", 6);
 *   PagodaLeave();
 *   PagodaDestroyKernel(kernel);
 *
 * A call that fails changes nothing, its in/out parameters included (but for NtFreeUserPhysicalPages,
 * NtUnlockVirtualMemory, and a ReturnLength, which says what is needed where a buffer has the wrong length). Every call
 * but PagodaCreateKernel, PagodaDestroyKernel and PagodaEnter needs a thread that has entered a kernel, and says
 * STATUS_INVALID_HANDLE to others. Sources: reference/nt.md sections 1 and 5 to 9; Microsoft's public documentation.
 * docs/nt-choices.md lists what was chosen where they leave a doubt. */
#ifndef PAGODA_NT_H
#define PAGODA_NT_H

/* The names below are NT's, and the language is C. NOLINTBEGIN */
#include <stddef.h>
#include <stdint.h>
#include <uchar.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Types --- */
typedef void VOID;
typedef void* PVOID;
typedef PVOID HANDLE;
typedef HANDLE* PHANDLE;
typedef uint8_t UCHAR;
typedef uint8_t BOOLEAN;
typedef uint16_t USHORT;
typedef char16_t WCHAR;
typedef WCHAR* PWSTR;
typedef int32_t LONG;
typedef uint32_t ULONG;
typedef ULONG* PULONG;
typedef int64_t LONGLONG;
typedef uint64_t ULONGLONG;
typedef uint64_t ULONG64;
typedef uintptr_t ULONG_PTR;
typedef ULONG_PTR* PULONG_PTR;
typedef size_t SIZE_T;
typedef SIZE_T* PSIZE_T;
typedef uint32_t ACCESS_MASK;
typedef int32_t NTSTATUS;

typedef union _LARGE_INTEGER {
  __extension__ struct {
    ULONG LowPart;
    LONG HighPart;
  };
  LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef struct _UNICODE_STRING {
  USHORT Length; /* In bytes. */
  USHORT MaximumLength;
  PWSTR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;

typedef struct _OBJECT_ATTRIBUTES {
  ULONG Length;
  HANDLE RootDirectory;
  PUNICODE_STRING ObjectName;
  ULONG Attributes;
  PVOID SecurityDescriptor;
  PVOID SecurityQualityOfService;
} OBJECT_ATTRIBUTES, *POBJECT_ATTRIBUTES;

typedef struct _IO_STATUS_BLOCK {
  __extension__ union {
    NTSTATUS Status;
    PVOID Pointer;
  };
  ULONG_PTR Information;
} IO_STATUS_BLOCK, *PIO_STATUS_BLOCK;

typedef struct _CLIENT_ID {
  HANDLE UniqueProcess;
  HANDLE UniqueThread;
} CLIENT_ID, *PCLIENT_ID;

#define OBJ_INHERIT 0x2U
#define OBJ_CASE_INSENSITIVE 0x40U
#define OBJ_OPENIF 0x80U

#define DELETE 0x10000U
#define READ_CONTROL 0x20000U
#define SYNCHRONIZE 0x100000U
#define STANDARD_RIGHTS_REQUIRED 0xF0000U
#define MAXIMUM_ALLOWED 0x2000000U
#define GENERIC_ALL 0x10000000U
#define GENERIC_EXECUTE 0x20000000U
#define GENERIC_WRITE 0x40000000U
#define GENERIC_READ 0x80000000U

/* --- Status values --- */
#define STATUS_SUCCESS ((NTSTATUS)0x00000000)
#define STATUS_PENDING ((NTSTATUS)0x00000103)
#define STATUS_PAGE_FAULT_TRANSITION ((NTSTATUS)0x00000110)
#define STATUS_PAGE_FAULT_DEMAND_ZERO ((NTSTATUS)0x00000111)
#define STATUS_PAGE_FAULT_COPY_ON_WRITE ((NTSTATUS)0x00000112)
#define STATUS_PAGE_FAULT_GUARD_PAGE ((NTSTATUS)0x00000113)
#define STATUS_PAGE_FAULT_PAGING_FILE ((NTSTATUS)0x00000114)
#define STATUS_FILE_LOCKED_WITH_WRITERS ((NTSTATUS)0x0000012B)
#define STATUS_OBJECT_NAME_EXISTS ((NTSTATUS)0x40000000)
#define STATUS_WORKING_SET_LIMIT_RANGE ((NTSTATUS)0x40000002)
#define STATUS_IMAGE_NOT_AT_BASE ((NTSTATUS)0x40000003)
#define STATUS_IMAGE_MACHINE_TYPE_MISMATCH ((NTSTATUS)0x4000000E)
#define STATUS_WAS_LOCKED ((NTSTATUS)0x40000019)
#define STATUS_GUARD_PAGE_VIOLATION ((NTSTATUS)0x80000001)
#define STATUS_BUFFER_OVERFLOW ((NTSTATUS)0x80000005)
#define STATUS_PARTIAL_COPY ((NTSTATUS)0x8000000D)
#define STATUS_INVALID_INFO_CLASS ((NTSTATUS)0xC0000003)
#define STATUS_INFO_LENGTH_MISMATCH ((NTSTATUS)0xC0000004)
#define STATUS_ACCESS_VIOLATION ((NTSTATUS)0xC0000005)
#define STATUS_IN_PAGE_ERROR ((NTSTATUS)0xC0000006)
#define STATUS_PAGEFILE_QUOTA ((NTSTATUS)0xC0000007)
#define STATUS_INVALID_HANDLE ((NTSTATUS)0xC0000008)
#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define STATUS_END_OF_FILE ((NTSTATUS)0xC0000011)
#define STATUS_NO_MEMORY ((NTSTATUS)0xC0000017)
#define STATUS_CONFLICTING_ADDRESSES ((NTSTATUS)0xC0000018)
#define STATUS_NOT_MAPPED_VIEW ((NTSTATUS)0xC0000019)
#define STATUS_UNABLE_TO_FREE_VM ((NTSTATUS)0xC000001A)
#define STATUS_UNABLE_TO_DELETE_SECTION ((NTSTATUS)0xC000001B)
#define STATUS_INVALID_VIEW_SIZE ((NTSTATUS)0xC000001F)
#define STATUS_INVALID_FILE_FOR_SECTION ((NTSTATUS)0xC0000020)
#define STATUS_ALREADY_COMMITTED ((NTSTATUS)0xC0000021)
#define STATUS_ACCESS_DENIED ((NTSTATUS)0xC0000022)
#define STATUS_OBJECT_TYPE_MISMATCH ((NTSTATUS)0xC0000024)
#define STATUS_NOT_LOCKED ((NTSTATUS)0xC000002A)
#define STATUS_NOT_COMMITTED ((NTSTATUS)0xC000002D)
#define STATUS_OBJECT_NAME_INVALID ((NTSTATUS)0xC0000033)
#define STATUS_OBJECT_NAME_NOT_FOUND ((NTSTATUS)0xC0000034)
#define STATUS_OBJECT_NAME_COLLISION ((NTSTATUS)0xC0000035)
#define STATUS_SECTION_TOO_BIG ((NTSTATUS)0xC0000040)
#define STATUS_SHARING_VIOLATION ((NTSTATUS)0xC0000043)
#define STATUS_QUOTA_EXCEEDED ((NTSTATUS)0xC0000044)
#define STATUS_INVALID_PAGE_PROTECTION ((NTSTATUS)0xC0000045)
#define STATUS_SECTION_NOT_IMAGE ((NTSTATUS)0xC0000049)
#define STATUS_BAD_WORKING_SET_LIMIT ((NTSTATUS)0xC000004C)
#define STATUS_INCOMPATIBLE_FILE_MAP ((NTSTATUS)0xC000004D)
#define STATUS_SECTION_PROTECTION ((NTSTATUS)0xC000004E)
#define STATUS_FILE_LOCK_CONFLICT ((NTSTATUS)0xC0000054)
#define STATUS_PRIVILEGE_NOT_HELD ((NTSTATUS)0xC0000061)
#define STATUS_INVALID_IMAGE_FORMAT ((NTSTATUS)0xC000007B)
#define STATUS_DISK_FULL ((NTSTATUS)0xC000007F)
#define STATUS_SECTION_NOT_EXTENDED ((NTSTATUS)0xC0000087)
#define STATUS_NOT_MAPPED_DATA ((NTSTATUS)0xC0000088)
#define STATUS_TOO_MANY_PAGING_FILES ((NTSTATUS)0xC0000097)
#define STATUS_INSUFFICIENT_RESOURCES ((NTSTATUS)0xC000009A)
#define STATUS_FREE_VM_NOT_AT_BASE ((NTSTATUS)0xC000009F)
#define STATUS_MEMORY_NOT_ALLOCATED ((NTSTATUS)0xC00000A0)
#define STATUS_WORKING_SET_QUOTA ((NTSTATUS)0xC00000A1)
#define STATUS_NOT_SAME_DEVICE ((NTSTATUS)0xC00000D4)
#define STATUS_INVALID_PARAMETER_1 ((NTSTATUS)0xC00000EF)
#define STATUS_INVALID_PARAMETER_2 ((NTSTATUS)0xC00000F0)
#define STATUS_INVALID_PARAMETER_3 ((NTSTATUS)0xC00000F1)
#define STATUS_INVALID_PARAMETER_4 ((NTSTATUS)0xC00000F2)
#define STATUS_INVALID_PARAMETER_5 ((NTSTATUS)0xC00000F3)
#define STATUS_INVALID_PARAMETER_6 ((NTSTATUS)0xC00000F4)
#define STATUS_INVALID_PARAMETER_7 ((NTSTATUS)0xC00000F5)
#define STATUS_INVALID_PARAMETER_8 ((NTSTATUS)0xC00000F6)
#define STATUS_INVALID_PARAMETER_9 ((NTSTATUS)0xC00000F7)
#define STATUS_INVALID_PARAMETER_10 ((NTSTATUS)0xC00000F8)
#define STATUS_INVALID_PARAMETER_11 ((NTSTATUS)0xC00000F9)
#define STATUS_INVALID_PARAMETER_12 ((NTSTATUS)0xC00000FA)
#define STATUS_STACK_OVERFLOW ((NTSTATUS)0xC00000FD)
#define STATUS_PROCESS_IS_TERMINATING ((NTSTATUS)0xC000010A)
#define STATUS_INVALID_IMAGE_NE_FORMAT ((NTSTATUS)0xC000011B)
#define STATUS_MAPPED_FILE_SIZE_ZERO ((NTSTATUS)0xC000011E)
#define STATUS_PAGEFILE_QUOTA_EXCEEDED ((NTSTATUS)0xC000012C)
#define STATUS_COMMITMENT_LIMIT ((NTSTATUS)0xC000012D)
#define STATUS_INVALID_IMAGE_LE_FORMAT ((NTSTATUS)0xC000012E)
#define STATUS_INVALID_IMAGE_NOT_MZ ((NTSTATUS)0xC000012F)
#define STATUS_INVALID_IMAGE_PROTECT ((NTSTATUS)0xC0000130)
#define STATUS_INVALID_IMAGE_WIN_16 ((NTSTATUS)0xC0000131)
#define STATUS_INVALID_ADDRESS ((NTSTATUS)0xC0000141)
#define STATUS_NO_PAGEFILE ((NTSTATUS)0xC0000147)
#define STATUS_FLOPPY_VOLUME ((NTSTATUS)0xC0000164)
#define STATUS_IO_DEVICE_ERROR ((NTSTATUS)0xC0000185)
#define STATUS_MAPPED_ALIGNMENT ((NTSTATUS)0xC0000220)
#define STATUS_USER_MAPPED_FILE ((NTSTATUS)0xC0000243)
#define STATUS_COMMITMENT_MINIMUM ((NTSTATUS)0xC00002C8)
#define STATUS_INVALID_IMAGE_WIN_64 ((NTSTATUS)0xC000035A)
#define NT_SUCCESS(status) (((NTSTATUS)(status)) >= 0)

/* --- Constants --- */
#define PAGE_NOACCESS 0x1U
#define PAGE_READONLY 0x2U
#define PAGE_READWRITE 0x4U
#define PAGE_WRITECOPY 0x8U
#define PAGE_EXECUTE 0x10U
#define PAGE_EXECUTE_READ 0x20U
#define PAGE_EXECUTE_READWRITE 0x40U
#define PAGE_EXECUTE_WRITECOPY 0x80U
#define PAGE_GUARD 0x100U
#define PAGE_NOCACHE 0x200U
#define PAGE_WRITECOMBINE 0x400U

#define MEM_COMMIT 0x1000U
#define MEM_RESERVE 0x2000U
#define MEM_DECOMMIT 0x4000U
#define MEM_RELEASE 0x8000U
#define MEM_FREE 0x10000U
#define MEM_PRIVATE 0x20000U
#define MEM_MAPPED 0x40000U
#define MEM_RESET 0x80000U
#define MEM_TOP_DOWN 0x100000U
#define MEM_WRITE_WATCH 0x200000U
#define MEM_PHYSICAL 0x400000U
#define MEM_ROTATE 0x800000U
#define MEM_IMAGE 0x1000000U
#define MEM_RESET_UNDO 0x1000000U
#define MEM_LARGE_PAGES 0x20000000U
#define MEM_DOS_LIM 0x40000000U
#define MEM_4MB_PAGES 0x80000000U
#define MEM_COALESCE_PLACEHOLDERS 0x1U
#define MEM_PRESERVE_PLACEHOLDER 0x2U
#define MEM_REPLACE_PLACEHOLDER 0x4000U
#define MEM_RESERVE_PLACEHOLDER 0x40000U
#define MEM_UNMAP_WITH_TRANSIENT_BOOST 0x1U

#define SEC_BASED 0x200000U
#define SEC_NO_CHANGE 0x400000U
#define SEC_FILE 0x800000U
#define SEC_IMAGE 0x1000000U
#define SEC_PROTECTED_IMAGE 0x2000000U
#define SEC_RESERVE 0x4000000U
#define SEC_COMMIT 0x8000000U
#define SEC_NOCACHE 0x10000000U
#define SEC_GLOBAL 0x20000000U
#define SEC_WRITECOMBINE 0x40000000U
#define SEC_LARGE_PAGES 0x80000000U
#define SEC_IMAGE_NO_EXECUTE 0x11000000U

#define SECTION_QUERY 0x1U
#define SECTION_MAP_WRITE 0x2U
#define SECTION_MAP_READ 0x4U
#define SECTION_MAP_EXECUTE 0x8U
#define SECTION_EXTEND_SIZE 0x10U
#define SECTION_ALL_ACCESS 0xF001FU

#define PROCESS_TERMINATE 0x1U
#define PROCESS_CREATE_THREAD 0x2U
#define PROCESS_VM_OPERATION 0x8U
#define PROCESS_VM_READ 0x10U
#define PROCESS_VM_WRITE 0x20U
#define PROCESS_DUP_HANDLE 0x40U
#define PROCESS_CREATE_PROCESS 0x80U
#define PROCESS_SET_QUOTA 0x100U
#define PROCESS_SET_INFORMATION 0x200U
#define PROCESS_QUERY_INFORMATION 0x400U
#define PROCESS_QUERY_LIMITED_INFORMATION 0x1000U
#define PROCESS_ALL_ACCESS 0x1F0FFFU
#define THREAD_ALL_ACCESS 0x1F03FFU

#define FILE_READ_DATA 0x1U
#define FILE_WRITE_DATA 0x2U
#define FILE_APPEND_DATA 0x4U
#define FILE_EXECUTE 0x20U
#define FILE_READ_ATTRIBUTES 0x80U
#define FILE_WRITE_ATTRIBUTES 0x100U
#define FILE_ALL_ACCESS 0x1F01FFU
#define FILE_SUPERSEDE 0x0U
#define FILE_OPEN 0x1U
#define FILE_CREATE 0x2U
#define FILE_OPEN_IF 0x3U
#define FILE_OVERWRITE 0x4U
#define FILE_OVERWRITE_IF 0x5U
#define FILE_SUPERSEDED 0x0U
#define FILE_OPENED 0x1U
#define FILE_CREATED 0x2U
#define FILE_OVERWRITTEN 0x3U
#define FILE_SHARE_READ 0x1U
#define FILE_SHARE_WRITE 0x2U
#define FILE_SHARE_DELETE 0x4U
#define FILE_SYNCHRONOUS_IO_NONALERT 0x20U
#define FILE_NON_DIRECTORY_FILE 0x40U

#define MAP_PROCESS 0x1U /* NtLockVirtualMemory: in the working set ... */
#define MAP_SYSTEM 0x2U  /* ... or in memory. */
#define WRITE_WATCH_FLAG_RESET 0x1U

#define SE_LOCK_MEMORY_PRIVILEGE 4U
#define SE_INCREASE_QUOTA_PRIVILEGE 5U
#define SE_INC_BASE_PRIORITY_PRIVILEGE 14U
#define SE_CREATE_PAGEFILE_PRIVILEGE 15U

#define QUOTA_LIMITS_HARDWS_MIN_ENABLE 0x1U
#define QUOTA_LIMITS_HARDWS_MIN_DISABLE 0x2U
#define QUOTA_LIMITS_HARDWS_MAX_ENABLE 0x4U
#define QUOTA_LIMITS_HARDWS_MAX_DISABLE 0x8U

/* --- Virtual memory --- */
typedef struct _MEMORY_BASIC_INFORMATION {
  PVOID BaseAddress;
  PVOID AllocationBase;
  ULONG AllocationProtect;
  SIZE_T RegionSize;
  ULONG State;
  ULONG Protect;
  ULONG Type;
} MEMORY_BASIC_INFORMATION, *PMEMORY_BASIC_INFORMATION;

typedef enum _MEMORY_INFORMATION_CLASS {
  MemoryBasicInformation = 0,
  MemoryWorkingSetInformation = 1,
  MemoryMappedFilenameInformation = 2,
  MemoryRegionInformation = 3,
  MemoryWorkingSetExInformation = 4,
  MaxMemoryInfoClass = 0x7FFFFFFF /* Any number may come from a caller; in C++ an enum holds no more than its widest. */
} MEMORY_INFORMATION_CLASS;

typedef struct _MEMORY_WORKING_SET_BLOCK {
  ULONG_PTR Protection : 5;
  ULONG_PTR ShareCount : 3;
  ULONG_PTR Shared : 1;
  ULONG_PTR Node : 3;
  ULONG_PTR VirtualPage : 52;
} MEMORY_WORKING_SET_BLOCK, *PMEMORY_WORKING_SET_BLOCK;

typedef struct _MEMORY_WORKING_SET_INFORMATION {
  ULONG_PTR NumberOfEntries;
  MEMORY_WORKING_SET_BLOCK WorkingSetInfo[1]; /* As many as there are. */
} MEMORY_WORKING_SET_INFORMATION, *PMEMORY_WORKING_SET_INFORMATION;

typedef struct _MEMORY_SECTION_NAME {
  UNICODE_STRING SectionFileName; /* Its units follow. */
} MEMORY_SECTION_NAME, *PMEMORY_SECTION_NAME;

typedef struct _MEMORY_REGION_INFORMATION {
  PVOID AllocationBase;
  ULONG AllocationProtect;
  ULONG RegionType; /* Bits as below. */
  SIZE_T RegionSize;
  SIZE_T CommitSize; /* Not before Windows 8: records that end here are taken, too. */
} MEMORY_REGION_INFORMATION, *PMEMORY_REGION_INFORMATION;
#define MEMORY_REGION_PRIVATE 0x1U
#define MEMORY_REGION_MAPPED_DATA_FILE 0x2U
#define MEMORY_REGION_MAPPED_IMAGE 0x4U
#define MEMORY_REGION_MAPPED_PAGE_FILE 0x8U
#define MEMORY_REGION_MAPPED_PHYSICAL 0x10U
#define MEMORY_REGION_DIRECT_MAPPED 0x20U

typedef struct _MEMORY_WORKING_SET_EX_BLOCK {
  __extension__ union {
    __extension__ struct { /* Where Valid is 1. */
      ULONG_PTR Valid : 1;
      ULONG_PTR ShareCount : 3;
      ULONG_PTR Win32Protection : 11;
      ULONG_PTR Shared : 1;
      ULONG_PTR Node : 6;
      ULONG_PTR Locked : 1;
      ULONG_PTR LargePage : 1;
      ULONG_PTR Priority : 3;
      ULONG_PTR Reserved : 3;
      ULONG_PTR SharedOriginal : 1; /* Of a section, and not copied. */
      ULONG_PTR Bad : 1;
      ULONG_PTR ReservedUlong : 32;
    };
    struct { /* Where it is 0. */
      ULONG_PTR Valid : 1;
      ULONG_PTR Reserved0 : 14;
      ULONG_PTR Shared : 1;
      ULONG_PTR Reserved1 : 14;
      ULONG_PTR SharedOriginal : 1;
      ULONG_PTR Bad : 1;
      ULONG_PTR ReservedUlong : 32;
    } Invalid;
  };
} MEMORY_WORKING_SET_EX_BLOCK, *PMEMORY_WORKING_SET_EX_BLOCK;

typedef struct _MEMORY_WORKING_SET_EX_INFORMATION {
  PVOID VirtualAddress;
  union {
    MEMORY_WORKING_SET_EX_BLOCK VirtualAttributes;
    ULONG_PTR Long;
  } u1;
} MEMORY_WORKING_SET_EX_INFORMATION, *PMEMORY_WORKING_SET_EX_INFORMATION;

typedef enum _VIRTUAL_MEMORY_INFORMATION_CLASS {
  VmPrefetchInformation = 0,
  MaxVmInfoClass = 0x7FFFFFFF
} VIRTUAL_MEMORY_INFORMATION_CLASS;

typedef struct _MEMORY_RANGE_ENTRY {
  PVOID VirtualAddress;
  SIZE_T NumberOfBytes;
} MEMORY_RANGE_ENTRY, *PMEMORY_RANGE_ENTRY;

typedef enum _MEM_EXTENDED_PARAMETER_TYPE {
  MemExtendedParameterInvalidType = 0,
  MemExtendedParameterAddressRequirements = 1,
  MemExtendedParameterNumaNode = 2,
  MemExtendedParameterPartitionHandle = 3,
  MemExtendedParameterUserPhysicalHandle = 4,
  MemExtendedParameterAttributeFlags = 5,
  MemExtendedParameterMax = 6
} MEM_EXTENDED_PARAMETER_TYPE;

#define MEM_EXTENDED_PARAMETER_GRAPHICS 0x1U
#define MEM_EXTENDED_PARAMETER_NONPAGED 0x2U
#define MEM_EXTENDED_PARAMETER_ZERO_PAGES_OPTIONAL 0x4U
#define MEM_EXTENDED_PARAMETER_NONPAGED_LARGE 0x8U
#define MEM_EXTENDED_PARAMETER_NONPAGED_HUGE 0x10U
#define NUMA_NO_PREFERRED_NODE 0xFFFFFFFFU

typedef struct _MEM_ADDRESS_REQUIREMENTS {
  PVOID LowestStartingAddress;
  PVOID HighestEndingAddress;
  SIZE_T Alignment;
} MEM_ADDRESS_REQUIREMENTS, *PMEM_ADDRESS_REQUIREMENTS;

typedef struct _MEM_EXTENDED_PARAMETER {
  __extension__ struct {
    ULONG64 Type : 8;
    ULONG64 Reserved : 56;
  };
  __extension__ union {
    ULONG64 ULong64;
    PVOID Pointer;
    SIZE_T Size;
    HANDLE Handle;
    ULONG ULong;
  };
} MEM_EXTENDED_PARAMETER, *PMEM_EXTENDED_PARAMETER;

NTSTATUS NtAllocateVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, ULONG_PTR ZeroBits, PSIZE_T RegionSize,
                                 ULONG AllocationType, ULONG Protect);
NTSTATUS NtAllocateVirtualMemoryEx(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize, ULONG AllocationType,
                                   ULONG PageProtection, PMEM_EXTENDED_PARAMETER ExtendedParameters,
                                   ULONG ExtendedParameterCount);
NTSTATUS NtFreeVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize, ULONG FreeType);
NTSTATUS NtProtectVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize, ULONG NewProtect,
                                PULONG OldProtect);
NTSTATUS NtQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, MEMORY_INFORMATION_CLASS MemoryInformationClass,
                              PVOID MemoryInformation, SIZE_T MemoryInformationLength, PSIZE_T ReturnLength);
NTSTATUS NtSetInformationVirtualMemory(HANDLE ProcessHandle, VIRTUAL_MEMORY_INFORMATION_CLASS VmInformationClass,
                                       ULONG_PTR NumberOfEntries, PMEMORY_RANGE_ENTRY VirtualAddresses,
                                       PVOID VmInformation, ULONG VmInformationLength);
NTSTATUS NtLockVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize, ULONG MapType);
NTSTATUS NtUnlockVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize, ULONG MapType);
NTSTATUS NtReadVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer, SIZE_T NumberOfBytesToRead,
                             PSIZE_T NumberOfBytesRead);
NTSTATUS NtWriteVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer, SIZE_T NumberOfBytesToWrite,
                              PSIZE_T NumberOfBytesWritten);
NTSTATUS NtFlushVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize, PIO_STATUS_BLOCK IoStatus);
NTSTATUS NtGetWriteWatch(HANDLE ProcessHandle, ULONG Flags, PVOID BaseAddress, SIZE_T RegionSize,
                         PVOID* UserAddressArray, PULONG_PTR EntriesInUserAddressArray, PULONG Granularity);
NTSTATUS NtResetWriteWatch(HANDLE ProcessHandle, PVOID BaseAddress, SIZE_T RegionSize);
NTSTATUS NtAllocateUserPhysicalPages(HANDLE ProcessHandle, PULONG_PTR NumberOfPages, PULONG_PTR UserPfnArray);
NTSTATUS NtMapUserPhysicalPages(PVOID VirtualAddress, ULONG_PTR NumberOfPages, PULONG_PTR UserPfnArray);
NTSTATUS NtMapUserPhysicalPagesScatter(PVOID* VirtualAddresses, ULONG_PTR NumberOfPages, PULONG_PTR UserPfnArray);
NTSTATUS NtFreeUserPhysicalPages(HANDLE ProcessHandle, PULONG_PTR NumberOfPages, PULONG_PTR UserPfnArray);
NTSTATUS NtCreatePagingFile(PUNICODE_STRING PageFileName, PLARGE_INTEGER MinimumSize, PLARGE_INTEGER MaximumSize,
                            ULONG Priority);

/* --- Sections --- */
typedef enum _SECTION_INHERIT { ViewShare = 1, ViewUnmap = 2, MaxSectionInherit = 0x7FFFFFFF } SECTION_INHERIT;
typedef enum _SECTION_INFORMATION_CLASS {
  SectionBasicInformation = 0,
  SectionImageInformation = 1,
  MaxSectionInfoClass = 0x7FFFFFFF
} SECTION_INFORMATION_CLASS;

typedef struct _SECTION_BASIC_INFORMATION {
  PVOID BaseAddress;
  ULONG AllocationAttributes;
  LARGE_INTEGER MaximumSize;
} SECTION_BASIC_INFORMATION, *PSECTION_BASIC_INFORMATION;

typedef struct _SECTION_IMAGE_INFORMATION {
  PVOID TransferAddress;
  ULONG ZeroBits;
  SIZE_T MaximumStackSize;
  SIZE_T CommittedStackSize;
  ULONG SubSystemType;
  USHORT SubSystemMinorVersion;
  USHORT SubSystemMajorVersion;
  ULONG GpValue;
  USHORT ImageCharacteristics;
  USHORT DllCharacteristics;
  USHORT Machine;
  BOOLEAN ImageContainsCode;
  UCHAR ImageFlags; /* SECTION_IMAGE_MAPPED_FLAT, or zero. */
  ULONG LoaderFlags;
  ULONG ImageFileSize;
  ULONG CheckSum;
} SECTION_IMAGE_INFORMATION, *PSECTION_IMAGE_INFORMATION;
/* The bit field ImageMappedFlat: aligned to less than a page. */
#define SECTION_IMAGE_MAPPED_FLAT 0x8U

NTSTATUS NtCreateSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                         PLARGE_INTEGER MaximumSize, ULONG SectionPageProtection, ULONG AllocationAttributes,
                         HANDLE FileHandle);
NTSTATUS NtOpenSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes);
NTSTATUS NtQuerySection(HANDLE SectionHandle, SECTION_INFORMATION_CLASS SectionInformationClass,
                        PVOID SectionInformation, SIZE_T SectionInformationLength, PSIZE_T ReturnLength);
NTSTATUS NtExtendSection(HANDLE SectionHandle, PLARGE_INTEGER NewSectionSize);
NTSTATUS NtMapViewOfSection(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID* BaseAddress, ULONG_PTR ZeroBits,
                            SIZE_T CommitSize, PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize,
                            SECTION_INHERIT InheritDisposition, ULONG AllocationType, ULONG Win32Protect);
NTSTATUS NtMapViewOfSectionEx(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID* BaseAddress,
                              PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize, ULONG AllocationType,
                              ULONG PageProtection, PMEM_EXTENDED_PARAMETER ExtendedParameters,
                              ULONG ExtendedParameterCount);
NTSTATUS NtUnmapViewOfSection(HANDLE ProcessHandle, PVOID BaseAddress);
NTSTATUS NtUnmapViewOfSectionEx(HANDLE ProcessHandle, PVOID BaseAddress, ULONG Flags);
NTSTATUS NtAreMappedFilesTheSame(PVOID File1MappedAsAnImage, PVOID File2MappedAsFile);

/* --- Processes and handles --- */
typedef enum _PROCESSINFOCLASS {
  ProcessQuotaLimits = 1,
  ProcessVmCounters = 3,
  MaxProcessInfoClass = 0x7FFFFFFF
} PROCESSINFOCLASS;

typedef struct _QUOTA_LIMITS {
  SIZE_T PagedPoolLimit;
  SIZE_T NonPagedPoolLimit;
  SIZE_T MinimumWorkingSetSize;
  SIZE_T MaximumWorkingSetSize;
  SIZE_T PagefileLimit;
  LARGE_INTEGER TimeLimit;
} QUOTA_LIMITS, *PQUOTA_LIMITS;

typedef struct _QUOTA_LIMITS_EX {
  SIZE_T PagedPoolLimit;
  SIZE_T NonPagedPoolLimit;
  SIZE_T MinimumWorkingSetSize;
  SIZE_T MaximumWorkingSetSize;
  SIZE_T PagefileLimit;
  LARGE_INTEGER TimeLimit;
  SIZE_T WorkingSetLimit;
  SIZE_T Reserved2;
  SIZE_T Reserved3;
  SIZE_T Reserved4;
  ULONG Flags;
  ULONG CpuRateLimit;
} QUOTA_LIMITS_EX, *PQUOTA_LIMITS_EX;

typedef struct _VM_COUNTERS {
  SIZE_T PeakVirtualSize;
  SIZE_T VirtualSize;
  ULONG PageFaultCount;
  SIZE_T PeakWorkingSetSize;
  SIZE_T WorkingSetSize;
  SIZE_T QuotaPeakPagedPoolUsage;
  SIZE_T QuotaPagedPoolUsage;
  SIZE_T QuotaPeakNonPagedPoolUsage;
  SIZE_T QuotaNonPagedPoolUsage;
  SIZE_T PagefileUsage;
  SIZE_T PeakPagefileUsage;
} VM_COUNTERS, *PVM_COUNTERS;

typedef struct _VM_COUNTERS_EX {
  SIZE_T PeakVirtualSize;
  SIZE_T VirtualSize;
  ULONG PageFaultCount;
  SIZE_T PeakWorkingSetSize;
  SIZE_T WorkingSetSize;
  SIZE_T QuotaPeakPagedPoolUsage;
  SIZE_T QuotaPagedPoolUsage;
  SIZE_T QuotaPeakNonPagedPoolUsage;
  SIZE_T QuotaNonPagedPoolUsage;
  SIZE_T PagefileUsage;
  SIZE_T PeakPagefileUsage;
  SIZE_T PrivateUsage; /* What was committed: as PagefileUsage. */
} VM_COUNTERS_EX, *PVM_COUNTERS_EX;

#define NtCurrentProcess() ((HANDLE)(intptr_t)-1)
#define NtCurrentThread() ((HANDLE)(intptr_t)-2)

#define DUPLICATE_CLOSE_SOURCE 0x1U
#define DUPLICATE_SAME_ACCESS 0x2U

#define PROCESS_CREATE_FLAGS_BREAKAWAY 0x1U
#define PROCESS_CREATE_FLAGS_NO_DEBUG_INHERIT 0x2U
#define PROCESS_CREATE_FLAGS_INHERIT_HANDLES 0x4U

/* With an image section: its image is mapped into the new address space. Without: that is a copy of the parent's. */
NTSTATUS NtCreateProcess(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                         HANDLE ParentProcess, BOOLEAN InheritObjectTable, HANDLE SectionHandle, HANDLE DebugPort,
                         HANDLE ExceptionPort);
NTSTATUS NtCreateProcessEx(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                           HANDLE ParentProcess, ULONG Flags, HANDLE SectionHandle, HANDLE DebugPort,
                           HANDLE ExceptionPort, ULONG JobMemberLevel);
NTSTATUS NtTerminateProcess(HANDLE ProcessHandle, NTSTATUS ExitStatus);
NTSTATUS NtSetInformationProcess(HANDLE ProcessHandle, PROCESSINFOCLASS ProcessInformationClass,
                                 PVOID ProcessInformation, ULONG ProcessInformationLength);
NTSTATUS NtQueryInformationProcess(HANDLE ProcessHandle, PROCESSINFOCLASS ProcessInformationClass,
                                   PVOID ProcessInformation, ULONG ProcessInformationLength, PULONG ReturnLength);
NTSTATUS NtClose(HANDLE Handle);
NTSTATUS NtDuplicateObject(HANDLE SourceProcessHandle, HANDLE SourceHandle, HANDLE TargetProcessHandle,
                           PHANDLE TargetHandle, ACCESS_MASK DesiredAccess, ULONG HandleAttributes, ULONG Options);

/* --- Files: real ones, below the directory that the kernel was given. "\??\C:\a\b" and "\a\b" name its a/b. --- */
typedef VOID (*PIO_APC_ROUTINE)(PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock, ULONG Reserved);
typedef enum _FILE_INFORMATION_CLASS {
  FileStandardInformation = 5,
  FileEndOfFileInformation = 20,
  FileMaximumInformation = 0x7FFFFFFF
} FILE_INFORMATION_CLASS;

typedef struct _FILE_STANDARD_INFORMATION {
  LARGE_INTEGER AllocationSize;
  LARGE_INTEGER EndOfFile;
  ULONG NumberOfLinks;
  BOOLEAN DeletePending;
  BOOLEAN Directory;
} FILE_STANDARD_INFORMATION, *PFILE_STANDARD_INFORMATION;

typedef struct _FILE_END_OF_FILE_INFORMATION {
  LARGE_INTEGER EndOfFile;
} FILE_END_OF_FILE_INFORMATION, *PFILE_END_OF_FILE_INFORMATION;

NTSTATUS NtCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                      PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize, ULONG FileAttributes,
                      ULONG ShareAccess, ULONG CreateDisposition, ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength);
NTSTATUS NtOpenFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                    PIO_STATUS_BLOCK IoStatusBlock, ULONG ShareAccess, ULONG OpenOptions);
NTSTATUS NtReadFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                    PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset, PULONG Key);
NTSTATUS NtWriteFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                     PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset, PULONG Key);
NTSTATUS NtSetInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                              FILE_INFORMATION_CLASS FileInformationClass);
NTSTATUS NtQueryInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                                FILE_INFORMATION_CLASS FileInformationClass);
NTSTATUS NtFlushBuffersFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock);

/* --- Pagoda's own: the kernel instance, the calling thread, and what a program does to memory --- */
typedef struct PAGODA_KERNEL PAGODA_KERNEL;

typedef enum PAGODA_PAGING {
  PagodaPagingAmd64 = 0,
  PagodaPagingPae = 1,
  PagodaPagingX86 = 2,
  PagodaPagingMaximum = 0x7FFFFFFF
} PAGODA_PAGING;

typedef struct PAGODA_KERNEL_CONFIG {
  ULONG Size; /* sizeof(PAGODA_KERNEL_CONFIG). What lies beyond a smaller size is zero. */
  SIZE_T MemoryBytes;
  PAGODA_PAGING Paging;
  ULONG Processors;       /* Zero: one. As many threads may be in the kernel at a time. */
  SIZE_T PagingFileBytes; /* Of the first paging file; zero: none. */
  const char* Directory;  /* Where NtCreateFile's files are, a path of the host; NULL: there are none. */
  ULONG Flags;
  ULONG Version; /* PAGODA_VERSION_...; zero: 10.0 on AMD64, 5.2 on x86 and PAE. */
} PAGODA_KERNEL_CONFIG;

/* The version of Windows whose answers the kernel gives where they differ: docs/nt-choices.md. Every call and flag is
 * there in each. */
#define PAGODA_VERSION_5_0 0x0500U
#define PAGODA_VERSION_5_2 0x0502U
#define PAGODA_VERSION_6_1 0x0601U
#define PAGODA_VERSION_10_0 0x0A00U

#define PAGODA_KERNEL_3GB 0x1U /* 32-bit processes that know how reach 3 GB. */

/* Fails with STATUS_INVALID_PARAMETER, STATUS_INSUFFICIENT_RESOURCES, STATUS_OBJECT_NAME_NOT_FOUND (no such directory).
 */
NTSTATUS PagodaCreateKernel(const PAGODA_KERNEL_CONFIG* Config, PAGODA_KERNEL** Kernel);
/* Ends every process. Fails with STATUS_ACCESS_DENIED while a thread is in it. */
NTSTATUS PagodaDestroyKernel(PAGODA_KERNEL* Kernel);

/* The calling thread runs in the kernel's first process, which holds every privilege. Fails with
 * STATUS_INSUFFICIENT_RESOURCES (every processor has a thread) or STATUS_INVALID_PARAMETER (in a kernel already). */
NTSTATUS PagodaEnter(PAGODA_KERNEL* Kernel);
/* The calling thread leaves, all its attachments undone. */
NTSTATUS PagodaLeave(VOID);
/* The calling thread runs in another process, until it detaches; its handles are that process's then. The handle is of
 * a process (PROCESS_ALL_ACCESS) or of a thread, which is the current one then. Nests. */
NTSTATUS PagodaAttach(HANDLE ProcessOrThread);
NTSTATUS PagodaDetach(VOID);

/* A process with an empty address space, its parent's privileges and limits. (NtCreateProcess maps or clones.) */
#define PAGODA_PROCESS_LARGE_ADDRESS_AWARE 0x1U /* As an image that is marked so: 3 GB where the kernel has /3GB. */
NTSTATUS PagodaCreateProcess(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess, HANDLE ParentProcess, ULONG Flags);
/* A thread of a process, with a stack of its own: reserved, committed at its top, a guard page below that. A touch of
 * the guard page makes the stack grow. Sizes are rounded up to pages; zero means NT's defaults. */
NTSTATUS PagodaCreateThread(PHANDLE ThreadHandle, HANDLE ProcessHandle, SIZE_T StackReserve, SIZE_T StackCommit);
typedef struct PAGODA_STACK {
  PVOID StackBase;      /* One past the highest byte. */
  PVOID StackLimit;     /* The lowest committed byte above the guard page. */
  PVOID AllocationBase; /* NT: DeallocationStack. */
} PAGODA_STACK;
NTSTATUS PagodaQueryStack(HANDLE ThreadHandle, PAGODA_STACK* Stack);
/* Gives or takes a privilege (SE_...); Held NULL or what was before. Needs PROCESS_ALL_ACCESS. */
NTSTATUS PagodaSetPrivilege(HANDLE ProcessHandle, ULONG Privilege, BOOLEAN Enable, BOOLEAN* WasHeld);

/* What a program of the current process does. Each returns the status that would be raised to it:
 * STATUS_ACCESS_VIOLATION, STATUS_GUARD_PAGE_VIOLATION, STATUS_STACK_OVERFLOW, STATUS_IN_PAGE_ERROR. Pages before the
 * one that raised it are done. */
NTSTATUS PagodaLoad(const VOID* Address, VOID* Into, SIZE_T Size);
NTSTATUS PagodaStore(VOID* Address, const VOID* From, SIZE_T Size);
NTSTATUS PagodaFetch(const VOID* Address);

#ifdef __cplusplus
}
#endif
/* NOLINTEND */
#endif /* PAGODA_NT_H */
