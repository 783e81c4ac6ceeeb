// NtQueryVirtualMemory, beside reference/nt.md 7.4.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kRegion = 0x60000000;
constexpr std::uint64_t kHighestUser = 0x7FFFFFEFFFF;

enum class Who : std::uint8_t { kSelf, kNobody, kMayNotQuery };

struct Misuse {
  const char* what;
  NTSTATUS status;
  MEMORY_INFORMATION_CLASS info_class = MemoryBasicInformation;
  std::uint64_t address = kRegion;
  SIZE_T length = 48;
  bool gives_buffer = true;
  Who who = Who::kSelf;
};

constexpr auto kMisuses = std::to_array<Misuse>({
    {"unknown class", STATUS_INVALID_INFO_CLASS, static_cast<MEMORY_INFORMATION_CLASS>(77), kHighestUser + 1, 0},
    {"address above the highest", STATUS_INVALID_PARAMETER, MemoryBasicInformation, kHighestUser + 1, 0},
    {"short", STATUS_INFO_LENGTH_MISMATCH, MemoryBasicInformation, kRegion, 47, false},
    {"no buffer", STATUS_ACCESS_VIOLATION, MemoryBasicInformation, kRegion, 48, false, Who::kNobody},
    {"no handle", STATUS_INVALID_HANDLE, MemoryBasicInformation, kRegion, 48, true, Who::kNobody},
    {"handle without QUERY_INFORMATION", STATUS_ACCESS_DENIED, MemoryBasicInformation, kRegion, 48, true,
     Who::kMayNotQuery},
    {"region: address above the highest", STATUS_INVALID_PARAMETER, MemoryRegionInformation, kHighestUser + 1},
    {"region: short", STATUS_INFO_LENGTH_MISMATCH, MemoryRegionInformation, kRegion, 31},
    {"region: none there", STATUS_INVALID_ADDRESS, MemoryRegionInformation, kRegion - kPage},
    {"working set: short", STATUS_INFO_LENGTH_MISMATCH, MemoryWorkingSetInformation, kRegion, 15},
    {"working set ex: short", STATUS_INFO_LENGTH_MISMATCH, MemoryWorkingSetExInformation, kRegion, 8},
    {"working set ex: half a record", STATUS_INFO_LENGTH_MISMATCH, MemoryWorkingSetExInformation, kRegion, 24},
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
    SIZE_T written = 77;
    EXPECT_EQ(NtQueryVirtualMemory(process, NtMachine::pointer(row.address), row.info_class,
                                   row.gives_buffer ? buffer.data() : nullptr, row.length, &written),
              row.status);
    EXPECT_EQ(buffer, untouched);
    EXPECT_EQ(written, 77U);
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

TEST(NtQueryVirtualMemory, ListsTheWorkingSet) {
  NtMachine m;
  m.allocate(kRegion, 4 * kPage);
  NtMachine::put(kRegion + 2 * kPage, 1);
  NtMachine::put(kRegion, 1);
  std::array<ULONG_PTR, 3> buffer{};
  // Short by one entry: the count is told.
  EXPECT_EQ(NtQueryVirtualMemory(NtCurrentProcess(), nullptr, MemoryWorkingSetInformation, buffer.data(), 16, nullptr),
            STATUS_INFO_LENGTH_MISMATCH);
  EXPECT_EQ(buffer[0], 2U);
  SIZE_T written = 0;
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

}  // namespace
}  // namespace pagoda::nt
