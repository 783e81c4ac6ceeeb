// NtQueryVirtualMemory, beside reference/nt.md 7.4.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kRegion = 0x60000000;
constexpr std::uint64_t kHighestUser = 0x7FFFFFEFFFF;

enum class Who : std::uint8_t { kSelf, kNobody, kMayNotQuery };

constexpr SIZE_T kUntold = 77;  // ReturnLength as it was before the call.

struct Misuse {
  const char* what;
  NTSTATUS status;
  MEMORY_INFORMATION_CLASS info_class = MemoryBasicInformation;
  std::uint64_t address = kRegion;
  SIZE_T length = 48;
  bool gives_buffer = true;
  Who who = Who::kSelf;
  SIZE_T told = kUntold;
};

constexpr auto kMisuses = std::to_array<Misuse>({
    {"unknown class", STATUS_INVALID_INFO_CLASS, static_cast<MEMORY_INFORMATION_CLASS>(77), kHighestUser + 1, 0},
    {"address above the highest", STATUS_INVALID_PARAMETER, MemoryBasicInformation, kHighestUser + 1, 0},
    {"short", STATUS_INFO_LENGTH_MISMATCH, MemoryBasicInformation, kRegion, 47, false, Who::kNobody, 48},
    {"no buffer", STATUS_ACCESS_VIOLATION, MemoryBasicInformation, kRegion, 48, false, Who::kNobody},
    {"no handle", STATUS_INVALID_HANDLE, MemoryBasicInformation, kRegion, 48, true, Who::kNobody},
    {"handle without QUERY_INFORMATION", STATUS_ACCESS_DENIED, MemoryBasicInformation, kRegion, 48, true,
     Who::kMayNotQuery},
    {"region: address above the highest", STATUS_INVALID_PARAMETER, MemoryRegionInformation, kHighestUser + 1},
    {"region: short", STATUS_INFO_LENGTH_MISMATCH, MemoryRegionInformation, kRegion, 23, false, Who::kNobody, 24},
    {"region: none there", STATUS_INVALID_ADDRESS, MemoryRegionInformation, kRegion - kPage},
    {"working set: short", STATUS_INFO_LENGTH_MISMATCH, MemoryWorkingSetInformation, kRegion, 15, false, Who::kNobody,
     16},
    {"working set ex: short", STATUS_INFO_LENGTH_MISMATCH, MemoryWorkingSetExInformation, kRegion, 8, false,
     Who::kNobody, 16},
    {"working set ex: a record and a half", STATUS_INFO_LENGTH_MISMATCH, MemoryWorkingSetExInformation, kRegion, 24,
     false, Who::kNobody, 16},
    {"file name: address above the highest", STATUS_INVALID_PARAMETER, MemoryMappedFilenameInformation,
     kHighestUser + 1, 0, false},
    {"file name: no buffer", STATUS_ACCESS_VIOLATION, MemoryMappedFilenameInformation, kRegion, 0, false, Who::kNobody},
    {"file name: no handle", STATUS_INVALID_HANDLE, MemoryMappedFilenameInformation, kRegion, 0, true, Who::kNobody},
    {"file name: none there, and short", STATUS_INVALID_ADDRESS, MemoryMappedFilenameInformation, 0x1234, 0},
    {"file name: private, and short", STATUS_INVALID_ADDRESS, MemoryMappedFilenameInformation, kRegion, 15},
});

TEST(NtQueryVirtualMemory, RefusesMisuseInOrderAndWritesNothing) {
  NtMachine m;
  m.allocate(kRegion, 4 * kPage);
  const HANDLE restricted = m.with_access(NtCurrentProcess(), PROCESS_ALL_ACCESS & ~PROCESS_QUERY_INFORMATION);
  for (const Misuse& row : kMisuses) {
    SCOPED_TRACE(row.what);
    HANDLE process = NtCurrentProcess();
    if (row.who == Who::kNobody) process = NtMachine::bad_handle();
    if (row.who == Who::kMayNotQuery) process = restricted;
    std::array<std::uint8_t, 64> buffer{};
    buffer.fill(0xEE);
    const auto untouched = buffer;
    SIZE_T written = kUntold;
    EXPECT_EQ(NtQueryVirtualMemory(process, NtMachine::pointer(row.address), row.info_class,
                                   row.gives_buffer ? buffer.data() : nullptr, row.length, &written),
              row.status);
    EXPECT_EQ(buffer, untouched);
    EXPECT_EQ(written, row.told);
  }
}

TEST(NtQueryVirtualMemory, TellsFreeReservedAndCommittedPagesApart) {
  NtMachine m;
  m.allocate(kRegion, 16 * kPage, MEM_RESERVE, PAGE_EXECUTE_READ);
  m.allocate(kRegion + 4 * kPage, 2 * kPage, MEM_COMMIT, PAGE_READONLY);

  MEMORY_BASIC_INFORMATION info = NtMachine::query(0x5000);
  EXPECT_EQ(info.State, MEM_FREE);
  EXPECT_EQ(info.Protect, PAGE_NOACCESS);
  EXPECT_EQ(info.AllocationBase, nullptr);
  EXPECT_EQ(info.AllocationProtect, 0U);
  EXPECT_EQ(info.Type, 0U);
  EXPECT_EQ(info.RegionSize, kRegion - 0x5000);

  info = NtMachine::query(kRegion + 0x10);
  EXPECT_EQ(bits_of(info.BaseAddress), kRegion);
  EXPECT_EQ(info.State, MEM_RESERVE);
  EXPECT_EQ(info.Protect, 0U);
  EXPECT_EQ(info.AllocationProtect, PAGE_EXECUTE_READ);
  EXPECT_EQ(info.Type, MEM_PRIVATE);
  EXPECT_EQ(info.RegionSize, 4 * kPage);

  info = NtMachine::query(kRegion + 5 * kPage);
  EXPECT_EQ(bits_of(info.BaseAddress), kRegion + 5 * kPage);  // From the queried page on.
  EXPECT_EQ(bits_of(info.AllocationBase), kRegion);
  EXPECT_EQ(info.State, MEM_COMMIT);
  EXPECT_EQ(info.Protect, PAGE_READONLY);
  EXPECT_EQ(info.RegionSize, kPage);

  info = NtMachine::query(kHighestUser);
  EXPECT_EQ(info.State, MEM_FREE);
  EXPECT_EQ(info.RegionSize, kPage);
}

TEST(NtQueryVirtualMemory, DescribesAWholeRegion) {
  NtMachine m;
  m.allocate(kRegion, 16 * kPage, MEM_RESERVE, PAGE_READWRITE);
  m.allocate(kRegion + 4 * kPage, 2 * kPage, MEM_COMMIT);
  MEMORY_REGION_INFORMATION info{};
  SIZE_T written = 0;
  ASSERT_EQ(NtQueryVirtualMemory(NtCurrentProcess(), NtMachine::pointer(kRegion + 9 * kPage), MemoryRegionInformation,
                                 &info, sizeof info, &written),
            STATUS_SUCCESS);
  EXPECT_EQ(written, sizeof info);
  EXPECT_EQ(bits_of(info.AllocationBase), kRegion);
  EXPECT_EQ(info.AllocationProtect, PAGE_READWRITE);
  EXPECT_EQ(info.RegionType, MEMORY_REGION_PRIVATE);
  EXPECT_EQ(info.RegionSize, 16 * kPage);
  EXPECT_EQ(info.CommitSize, 2 * kPage);
}

// Vista's record ends before CommitSize. A longer buffer than a record needs gets that record.
TEST(NtQueryVirtualMemory, TakesTheRegionRecordOfEachVersion) {
  NtMachine m;
  m.allocate(kRegion, 4 * kPage);
  struct Row {
    SIZE_T given;
    SIZE_T written;
  };
  for (const Row& row : std::to_array<Row>({{24, 24}, {31, 24}, {32, 32}, {64, 32}})) {
    std::array<std::uint8_t, 64> buffer{};
    buffer.fill(0xEE);
    SIZE_T written = 0;
    ASSERT_EQ(NtQueryVirtualMemory(NtCurrentProcess(), NtMachine::pointer(kRegion), MemoryRegionInformation,
                                   buffer.data(), row.given, &written),
              STATUS_SUCCESS);
    EXPECT_EQ(written, row.written);
    EXPECT_EQ(buffer[row.written], 0xEE);
    MEMORY_REGION_INFORMATION info{};
    std::memcpy(&info, buffer.data(), written);
    EXPECT_EQ(info.RegionSize, 4 * kPage);
    EXPECT_EQ(info.CommitSize, row.written == sizeof info ? 4 * kPage : 0);
  }
}

TEST(NtQueryVirtualMemory, ListsTheWorkingSet) {
  NtMachine m;
  m.allocate(kRegion, 4 * kPage);
  NtMachine::put(kRegion + 2 * kPage, 1);
  NtMachine::put(kRegion, 1);
  std::array<ULONG_PTR, 3> buffer{};
  // Short by one entry: the count is told, and what the list needs.
  SIZE_T written = 0;
  EXPECT_EQ(NtQueryVirtualMemory(NtCurrentProcess(), nullptr, MemoryWorkingSetInformation, buffer.data(), 16, &written),
            STATUS_INFO_LENGTH_MISMATCH);
  EXPECT_EQ(buffer[0], 2U);
  EXPECT_EQ(written, 24U);
  ASSERT_EQ(NtQueryVirtualMemory(NtCurrentProcess(), nullptr, MemoryWorkingSetInformation, buffer.data(), 24, &written),
            STATUS_SUCCESS);
  EXPECT_EQ(written, 24U);
  std::array<MEMORY_WORKING_SET_BLOCK, 2> blocks{};
  std::memcpy(blocks.data(), &buffer[1], sizeof blocks);
  EXPECT_EQ(blocks[0].VirtualPage, kRegion / kPage);
  EXPECT_EQ(blocks[1].VirtualPage, kRegion / kPage + 2);
  EXPECT_EQ(blocks[0].Protection, 4U);  // The five-bit protection of reference/nt.md 2.2.
  EXPECT_EQ(blocks[0].Shared, 0U);
}

TEST(NtQueryVirtualMemory, DescribesPagesOfTheWorkingSet) {
  NtMachine m;
  m.allocate(kRegion, 4 * kPage, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
  NtMachine::put(kRegion, 1);
  PVOID base = NtMachine::pointer(kRegion);
  SIZE_T size = kPage;
  ASSERT_EQ(NtLockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_PROCESS), STATUS_SUCCESS);
  std::array<MEMORY_WORKING_SET_EX_INFORMATION, 3> records{};
  records[0].VirtualAddress = NtMachine::pointer(kRegion + 8);
  records[1].VirtualAddress = NtMachine::pointer(kRegion + kPage);
  records[2].VirtualAddress = NtMachine::pointer(~std::uint64_t{0});
  ASSERT_EQ(NtQueryVirtualMemory(NtCurrentProcess(), nullptr, MemoryWorkingSetExInformation, records.data(),
                                 sizeof records, nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(records[0].u1.VirtualAttributes.Valid, 1U);
  EXPECT_EQ(records[0].u1.VirtualAttributes.Win32Protection, PAGE_EXECUTE_READWRITE);
  EXPECT_EQ(records[0].u1.VirtualAttributes.Locked, 1U);
  EXPECT_EQ(records[0].u1.VirtualAttributes.Shared, 0U);
  EXPECT_EQ(records[1].u1.Long, 0U);
  EXPECT_EQ(records[2].u1.Long, 0U);
}

// --- Pages of views: the file's name, and whose the contents are ---

class MappedFile : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  MappedFile() {
    directory_.write("some file", std::vector<std::byte>(4 * kPage, std::byte{7}));
    machine_ =
        std::make_unique<NtMachine>(testing::NtMachineConfig{.paging = GetParam(), .directory = directory_.path()});
    HANDLE file = nullptr;
    PAGODA_CHECK_EQ(testing::open_file(file, u"\\??\\C:\\some file", FILE_READ_DATA | FILE_WRITE_DATA), STATUS_SUCCESS);
    HANDLE section = nullptr;
    PAGODA_CHECK_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_READWRITE, SEC_COMMIT, file),
                    STATUS_SUCCESS);
    SIZE_T size = 0;
    PAGODA_CHECK_EQ(
        NtMapViewOfSection(section, NtCurrentProcess(), &view_, 0, 0, nullptr, &size, ViewUnmap, 0, PAGE_WRITECOPY),
        STATUS_SUCCESS);
    NtClose(section);
    NtClose(file);
  }

  [[nodiscard]] std::uint64_t page(std::uint64_t number) const { return bits_of(view_) + number * kPage; }
  static MEMORY_WORKING_SET_EX_BLOCK block(std::uint64_t address) {
    MEMORY_WORKING_SET_EX_INFORMATION record{};
    record.VirtualAddress = NtMachine::pointer(address);
    PAGODA_CHECK_EQ(NtQueryVirtualMemory(NtCurrentProcess(), nullptr, MemoryWorkingSetExInformation, &record,
                                         sizeof record, nullptr),
                    STATUS_SUCCESS);
    return record.u1.VirtualAttributes;
  }

  const testing::NtDirectory directory_;
  std::unique_ptr<NtMachine> machine_;
  PVOID view_ = nullptr;
};

// An address where a file is mapped learns how much its name needs, however short the buffer is.
TEST_P(MappedFile, EveryShortBufferLearnsWhatTheNameNeeds) {
  std::array<std::byte, 256> buffer{};
  SIZE_T needed = 0;
  const auto query = [&](SIZE_T size) {
    needed = kUntold;
    return NtQueryVirtualMemory(NtCurrentProcess(), NtMachine::pointer(page(1) + 5), MemoryMappedFilenameInformation,
                                buffer.data(), size, &needed);
  };
  ASSERT_EQ(query(buffer.size()), STATUS_SUCCESS);
  const SIZE_T whole = needed;
  MEMORY_SECTION_NAME name{};
  std::memcpy(&name, buffer.data(), sizeof name);
  EXPECT_EQ(whole, sizeof name + name.SectionFileName.MaximumLength);
  struct Row {
    SIZE_T size;
    NTSTATUS status;
  };
  for (const Row& row : std::to_array<Row>({{0, STATUS_INFO_LENGTH_MISMATCH},
                                            {sizeof name - 1, STATUS_INFO_LENGTH_MISMATCH},
                                            {sizeof name, STATUS_BUFFER_OVERFLOW},
                                            {whole - 1, STATUS_BUFFER_OVERFLOW},
                                            {whole, STATUS_SUCCESS}})) {
    EXPECT_EQ(query(row.size), row.status) << row.size;
    EXPECT_EQ(needed, whole) << row.size;
  }
}

TEST_P(MappedFile, PagesSayWhetherTheyAreTheSections) {
  // Not in the working set: sharable, and as the file has it.
  MEMORY_WORKING_SET_EX_BLOCK info = block(page(0));
  EXPECT_EQ(info.Valid, 0U);
  EXPECT_EQ(info.Invalid.Shared, 1U);
  EXPECT_EQ(info.Invalid.SharedOriginal, 1U);
  std::uint64_t value = 0;
  ASSERT_EQ(NtMachine::get(page(0), value), STATUS_SUCCESS);
  info = block(page(0));
  EXPECT_EQ(info.Valid, 1U);
  EXPECT_EQ(info.Shared, 1U);
  EXPECT_EQ(info.ShareCount, 1U);
  EXPECT_EQ(info.SharedOriginal, 1U);
  EXPECT_EQ(info.Win32Protection, PAGE_WRITECOPY);
  EXPECT_EQ(info.Bad, 0U);
  ASSERT_EQ(NtMachine::put(page(0), 1), STATUS_SUCCESS);
  info = block(page(0));
  EXPECT_EQ(info.Valid, 1U);
  EXPECT_EQ(info.Shared, 0U);
  EXPECT_EQ(info.SharedOriginal, 0U);
  EXPECT_EQ(info.Win32Protection, PAGE_READWRITE);
  // The copy, trimmed: this process's own.
  PVOID base = NtMachine::pointer(page(0));
  SIZE_T size = kPage;
  ASSERT_EQ(NtUnlockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_PROCESS), STATUS_NOT_LOCKED);
  info = block(page(0));
  EXPECT_EQ(info.Valid, 0U);
  EXPECT_EQ(info.Invalid.Shared, 0U);
  EXPECT_EQ(info.Invalid.SharedOriginal, 0U);
  EXPECT_EQ(info.Locked, 0U);
  EXPECT_EQ(machine_->check(), "");
}

INSTANTIATE_TEST_SUITE_P(PagingModes, MappedFile,
                         ::testing::Values(machine::PteFormat::kAmd64, machine::PteFormat::kPae,
                                           machine::PteFormat::kX86));

}  // namespace
}  // namespace pagoda::nt
