// Lengths of the classes of NtQuerySection and NtQueryInformationProcess. sections_test.cpp, images_test.cpp and
// processes_test.cpp have what they say.
#include <gtest/gtest.h>

#include <array>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kRegion = 0x60000000;

// A buffer that is long enough gets the record; a shorter one learns how long that is, before anything else is looked at.
TEST(NtQuerySection, TellsAShortBufferWhatIsNeeded) {
  NtMachine m;
  LARGE_INTEGER section_size{.QuadPart = 0x1000};
  HANDLE section = nullptr;
  ASSERT_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &section_size, PAGE_READWRITE, SEC_COMMIT, nullptr),
            STATUS_SUCCESS);
  constexpr SIZE_T kBasic = sizeof(SECTION_BASIC_INFORMATION);
  constexpr SIZE_T kImage = sizeof(SECTION_IMAGE_INFORMATION);
  struct Row {
    SECTION_INFORMATION_CLASS info_class;
    SIZE_T size;
    NTSTATUS status;
    SIZE_T told;
  };
  for (const Row& row : std::to_array<Row>({{SectionBasicInformation, 0, STATUS_INFO_LENGTH_MISMATCH, kBasic},
                                            {SectionBasicInformation, kBasic - 1, STATUS_INFO_LENGTH_MISMATCH, kBasic},
                                            {SectionBasicInformation, kBasic, STATUS_SUCCESS, kBasic},
                                            {SectionBasicInformation, kBasic + 40, STATUS_SUCCESS, kBasic},
                                            {SectionImageInformation, kImage - 1, STATUS_INFO_LENGTH_MISMATCH, kImage},
                                            {SectionImageInformation, kImage, STATUS_SECTION_NOT_IMAGE, 77}})) {
    SCOPED_TRACE(::testing::Message() << "class " << row.info_class << ", " << row.size << " bytes");
    std::array<std::byte, 128> buffer{};
    SIZE_T told = 77;
    EXPECT_EQ(NtQuerySection(section, row.info_class, buffer.data(), row.size, &told), row.status);
    EXPECT_EQ(told, row.told);
    if (row.status != STATUS_INFO_LENGTH_MISMATCH) continue;
    EXPECT_EQ(NtQuerySection(NtMachine::bad_handle(), row.info_class, nullptr, row.size, nullptr), row.status);
  }
  EXPECT_EQ(m.check(), "");
}

// A record of an older version is the beginning of a newer one. A length that is none learns the shortest that is.
TEST(NtQueryInformationProcess, TakesTheRecordOfEachVersionAndTellsWhatIsNeeded) {
  NtMachine m;
  m.allocate(kRegion, 8 * kPage);
  struct Row {
    PROCESSINFOCLASS info_class;
    ULONG size;
    NTSTATUS status;
    ULONG told;
  };
  for (const Row& row :
       std::to_array<Row>({{ProcessVmCounters, sizeof(VM_COUNTERS), STATUS_SUCCESS, sizeof(VM_COUNTERS)},
                           {ProcessVmCounters, sizeof(VM_COUNTERS_EX), STATUS_SUCCESS, sizeof(VM_COUNTERS_EX)},
                           {ProcessVmCounters, 0, STATUS_INFO_LENGTH_MISMATCH, sizeof(VM_COUNTERS)},
                           {ProcessVmCounters, 90, STATUS_INFO_LENGTH_MISMATCH, sizeof(VM_COUNTERS)},
                           {ProcessVmCounters, 200, STATUS_INFO_LENGTH_MISMATCH, sizeof(VM_COUNTERS)},
                           {ProcessQuotaLimits, sizeof(QUOTA_LIMITS), STATUS_SUCCESS, sizeof(QUOTA_LIMITS)},
                           {ProcessQuotaLimits, sizeof(QUOTA_LIMITS_EX), STATUS_SUCCESS, sizeof(QUOTA_LIMITS_EX)},
                           {ProcessQuotaLimits, 2, STATUS_INFO_LENGTH_MISMATCH, sizeof(QUOTA_LIMITS)},
                           {ProcessQuotaLimits, 60, STATUS_INFO_LENGTH_MISMATCH, sizeof(QUOTA_LIMITS)}})) {
    SCOPED_TRACE(::testing::Message() << "class " << row.info_class << ", " << row.size << " bytes");
    std::array<std::byte, 256> buffer{};
    buffer.fill(std::byte{0xEE});
    ULONG told = 77;
    EXPECT_EQ(NtQueryInformationProcess(NtCurrentProcess(), row.info_class, buffer.data(), row.size, &told),
              row.status);
    EXPECT_EQ(told, row.told);
    EXPECT_EQ(buffer[NT_SUCCESS(row.status) ? row.told : 0], std::byte{0xEE});
  }
  VM_COUNTERS_EX counters{};
  ASSERT_EQ(NtQueryInformationProcess(NtCurrentProcess(), ProcessVmCounters, &counters, sizeof counters, nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(counters.PrivateUsage, 8 * kPage);
  EXPECT_EQ(counters.PrivateUsage, counters.PagefileUsage);
}

}  // namespace
}  // namespace pagoda::nt
