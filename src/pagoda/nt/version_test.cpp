// Where the versions of Windows differ: a test for each row of version.h, in all versions.
#include "pagoda/nt/version.h"

#include <gtest/gtest.h>

#include <array>

#include "pagoda/mm/testing/pe_builder.h"
#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;
using enum Version;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kRegion = 0x60000000;
constexpr std::array kVersions{kWindows2000, kServer2003, kWindows7, kWindows10};

class Versions : public ::testing::TestWithParam<Version> {
 protected:
  const testing::NtDirectory directory_;  // Outlives the machine.
  NtMachine m{{.directory = directory_.path(), .version = GetParam()}};
};
INSTANTIATE_TEST_SUITE_P(All, Versions, ::testing::ValuesIn(kVersions));

TEST(Version, AKernelHasOneAndADefault) {
  struct Row {
    ULONG number;
    PAGODA_PAGING paging;
    NTSTATUS status;
    NTSTATUS unknown_type;  // Tells 10.0 from the others.
  };
  for (const Row& row : std::to_array<Row>({
           {0, PagodaPagingAmd64, STATUS_SUCCESS, STATUS_INVALID_PARAMETER},
           {0, PagodaPagingPae, STATUS_SUCCESS, STATUS_INVALID_PARAMETER_5},
           {0, PagodaPagingX86, STATUS_SUCCESS, STATUS_INVALID_PARAMETER_5},
           {PAGODA_VERSION_5_0, PagodaPagingAmd64, STATUS_SUCCESS, STATUS_INVALID_PARAMETER_5},
           {PAGODA_VERSION_5_2, PagodaPagingAmd64, STATUS_SUCCESS, STATUS_INVALID_PARAMETER_5},
           {PAGODA_VERSION_6_1, PagodaPagingX86, STATUS_SUCCESS, STATUS_INVALID_PARAMETER_5},
           {PAGODA_VERSION_10_0, PagodaPagingX86, STATUS_SUCCESS, STATUS_INVALID_PARAMETER},
           {0x0600, PagodaPagingAmd64, STATUS_INVALID_PARAMETER, 0},
           {1, PagodaPagingAmd64, STATUS_INVALID_PARAMETER, 0},
       })) {
    SCOPED_TRACE(::testing::Message() << "version " << row.number << ", paging mode " << row.paging);
    PAGODA_KERNEL_CONFIG config{};
    config.Size = sizeof config;
    config.MemoryBytes = 8 << 20;
    config.Paging = row.paging;
    config.Version = row.number;
    PAGODA_KERNEL* kernel = nullptr;
    ASSERT_EQ(PagodaCreateKernel(&config, &kernel), row.status);
    if (!NT_SUCCESS(row.status)) continue;
    ASSERT_EQ(PagodaEnter(kernel), STATUS_SUCCESS);
    PVOID base = nullptr;
    SIZE_T size = kPage;
    EXPECT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESERVE | 0x10, PAGE_NOACCESS),
              row.unknown_type);
    ASSERT_EQ(PagodaLeave(), STATUS_SUCCESS);
    ASSERT_EQ(PagodaDestroyKernel(kernel), STATUS_SUCCESS);
  }
}

// Microsoft: "Process Security and Access Rights".
TEST_P(Versions, LimitedQueriesAreEnoughForLimitsAndCountersFromVistaOn) {
  const HANDLE limited = m.with_access(NtCurrentProcess(), PROCESS_QUERY_LIMITED_INFORMATION);
  const HANDLE full = m.with_access(NtCurrentProcess(), PROCESS_QUERY_INFORMATION);
  const NTSTATUS expected = GetParam() >= kWindows7 ? STATUS_SUCCESS : STATUS_ACCESS_DENIED;
  VM_COUNTERS counters{};
  QUOTA_LIMITS limits{};
  EXPECT_EQ(NtQueryInformationProcess(limited, ProcessVmCounters, &counters, sizeof counters, nullptr), expected);
  EXPECT_EQ(NtQueryInformationProcess(limited, ProcessQuotaLimits, &limits, sizeof limits, nullptr), expected);
  EXPECT_EQ(NtQueryInformationProcess(full, ProcessVmCounters, &counters, sizeof counters, nullptr), STATUS_SUCCESS);
  MEMORY_BASIC_INFORMATION info{};
  EXPECT_EQ(NtQueryVirtualMemory(limited, nullptr, MemoryBasicInformation, &info, sizeof info, nullptr),
            STATUS_ACCESS_DENIED);
}

// reference/nt.md section 3: standby lists by priority, default 5.
TEST_P(Versions, PagesHavePrioritiesFromVistaOn) {
  m.allocate(kRegion, kPage);
  ASSERT_EQ(NtMachine::put(kRegion, 1), STATUS_SUCCESS);
  MEMORY_WORKING_SET_EX_INFORMATION record{};
  record.VirtualAddress = NtMachine::pointer(kRegion);
  ASSERT_EQ(
      NtQueryVirtualMemory(NtCurrentProcess(), nullptr, MemoryWorkingSetExInformation, &record, sizeof record, nullptr),
      STATUS_SUCCESS);
  EXPECT_EQ(record.u1.VirtualAttributes.Valid, 1U);
  EXPECT_EQ(record.u1.VirtualAttributes.Priority, GetParam() >= kWindows7 ? mm::kNormalPriority : 0);
}

// The public record: ImageFlags stands where older ones have a byte of padding.
TEST_P(Versions, ImageFlagsAreToldFromVistaOn) {
  mm::testing::PeBuilder pe(mm::PeFormat::kPe32Plus);
  pe.section_alignment = pe.file_alignment = 0x200;
  pe.add({.name = ".data", .flags = mm::testing::kPeData, .bytes = mm::testing::pe_bytes(0x200, 1)});
  directory_.write("flat", pe.build());
  HANDLE file = nullptr;
  ASSERT_EQ(testing::open_file(file, u"\\flat", FILE_READ_DATA | FILE_EXECUTE), STATUS_SUCCESS);
  HANDLE section = nullptr;
  ASSERT_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_READONLY, SEC_IMAGE, file),
            STATUS_SUCCESS);
  SECTION_IMAGE_INFORMATION info{};
  ASSERT_EQ(NtQuerySection(section, SectionImageInformation, &info, sizeof info, nullptr), STATUS_SUCCESS);
  EXPECT_EQ(info.ImageFlags, GetParam() >= kWindows7 ? SECTION_IMAGE_MAPPED_FLAT : 0);
  EXPECT_EQ(m.check(), "");
}

// reference/nt.md 7.1 and 15; cases/nt/placeholder_status.c.
TEST_P(Versions, AnUnknownAllocationTypeHasAPlainStatusFromWindows10On) {
  const auto allocate = [](ULONG type, ULONG protect) {
    PVOID base = nullptr;
    SIZE_T size = kPage;
    return NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, type, protect);
  };
  const NTSTATUS expected = GetParam() >= kWindows10 ? STATUS_INVALID_PARAMETER : STATUS_INVALID_PARAMETER_5;
  for (const ULONG unknown : {0x10U, MEM_RESERVE_PLACEHOLDER, MEM_REPLACE_PLACEHOLDER, MEM_DOS_LIM})
    EXPECT_EQ(allocate(MEM_RESERVE | unknown, PAGE_NOACCESS), expected);
  // Types that are known, and do not go together, have their number in all versions.
  EXPECT_EQ(allocate(MEM_RESET | MEM_COMMIT, PAGE_READWRITE), STATUS_INVALID_PARAMETER_5);
}

// reference/nt.md 7.2.
TEST_P(Versions, DecommittingAWholeRegionTellsNoSizeFromWindows10On) {
  m.allocate(kRegion, 16 * kPage);
  PVOID base = NtMachine::pointer(kRegion + 5);
  SIZE_T size = 0;
  ASSERT_EQ(NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_DECOMMIT), STATUS_SUCCESS);
  EXPECT_EQ(bits_of(base), kRegion);
  EXPECT_EQ(size, GetParam() >= kWindows10 ? 0 : 16 * kPage);
  size = 2 * kPage;
  ASSERT_EQ(NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_DECOMMIT), STATUS_SUCCESS);
  EXPECT_EQ(size, 2 * kPage);
  size = 0;
  ASSERT_EQ(NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE), STATUS_SUCCESS);
  EXPECT_EQ(size, 16 * kPage);
  EXPECT_EQ(m.check(), "");
}

}  // namespace
}  // namespace pagoda::nt
