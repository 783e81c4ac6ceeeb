// NtAllocateVirtualMemory, beside reference/nt.md 7.1.
#include <gtest/gtest.h>

#include <array>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kBase = 0x50000000;
constexpr std::uint64_t kPage = 0x1000;

enum class Who : std::uint8_t { kSelf, kNobody, kMayNotOperate, kTerminated, kThread };

struct Misuse {
  const char* what;
  NTSTATUS status;
  ULONG_PTR zero_bits = 0;
  ULONG type = MEM_RESERVE;
  ULONG protect = PAGE_READWRITE;
  std::uint64_t base = 0;
  SIZE_T size = kPage;
  Who who = Who::kSelf;
  bool holds_lock_memory = true;
};

// The rows of the misuse table of reference/nt.md 7.1, in its order. Within a row, the parameters of later rows are
// wrong too where that shows the order.
constexpr std::uint64_t kTaken = 0x60000000;          // A region of 16 pages, reserved.
constexpr std::uint64_t kHighestVad = 0x7FFFFFDFFFF;  // AMD64, 8 TB.
constexpr auto kMisuses = std::to_array<Misuse>({
    {"22 zero bits, no type", STATUS_INVALID_PARAMETER_3, 22, 0},
    // Type.
    {"no type", STATUS_INVALID_PARAMETER_5, 0, 0, 0},
    {"unknown bit", STATUS_INVALID_PARAMETER, 0, MEM_RESERVE | 0x10, 0},
    {"only TOP_DOWN", STATUS_INVALID_PARAMETER_5, 0, MEM_TOP_DOWN},
    {"DECOMMIT", STATUS_INVALID_PARAMETER, 0, MEM_RESERVE | MEM_DECOMMIT},
    {"RESET and COMMIT", STATUS_INVALID_PARAMETER_5, 0, MEM_RESET | MEM_COMMIT},
    {"RESET and TOP_DOWN", STATUS_INVALID_PARAMETER_5, 0, MEM_RESET | MEM_TOP_DOWN},
    {"PHYSICAL without RESERVE", STATUS_INVALID_PARAMETER_5, 0, MEM_PHYSICAL},
    {"PHYSICAL and COMMIT", STATUS_INVALID_PARAMETER_5, 0, MEM_PHYSICAL | MEM_RESERVE | MEM_COMMIT},
    {"PHYSICAL and RESET", STATUS_INVALID_PARAMETER_5, 0, MEM_PHYSICAL | MEM_RESERVE | MEM_RESET},
    {"PHYSICAL and LARGE_PAGES", STATUS_INVALID_PARAMETER_5, 0, MEM_PHYSICAL | MEM_RESERVE | MEM_LARGE_PAGES},
    {"PHYSICAL and WRITE_WATCH", STATUS_INVALID_PARAMETER_5, 0, MEM_PHYSICAL | MEM_RESERVE | MEM_WRITE_WATCH},
    {"WRITE_WATCH without RESERVE", STATUS_INVALID_PARAMETER_5, 0, MEM_WRITE_WATCH | MEM_COMMIT},
    {"LARGE_PAGES without COMMIT", STATUS_INVALID_PARAMETER_5, 0, MEM_LARGE_PAGES | MEM_RESERVE},
    {"LARGE_PAGES and RESET", STATUS_INVALID_PARAMETER_5, 0, MEM_LARGE_PAGES | MEM_COMMIT | MEM_RESET},
    {"LARGE_PAGES and WRITE_WATCH", STATUS_INVALID_PARAMETER_5, 0,
     MEM_LARGE_PAGES | MEM_COMMIT | MEM_RESERVE | MEM_WRITE_WATCH},
    {"DOS_LIM", STATUS_INVALID_PARAMETER, 0, MEM_RESERVE | MEM_DOS_LIM},
    // Protection.
    {"no protection", STATUS_INVALID_PAGE_PROTECTION, 0, MEM_RESERVE, 0, ~std::uint64_t{0}},
    {"two protections", STATUS_INVALID_PAGE_PROTECTION, 0, MEM_RESERVE, PAGE_READONLY | PAGE_READWRITE},
    {"unknown protection bit", STATUS_INVALID_PAGE_PROTECTION, 0, MEM_RESERVE, PAGE_READWRITE | 0x800},
    {"NOACCESS and GUARD", STATUS_INVALID_PAGE_PROTECTION, 0, MEM_RESERVE, PAGE_NOACCESS | PAGE_GUARD},
    {"NOACCESS and NOCACHE", STATUS_INVALID_PAGE_PROTECTION, 0, MEM_RESERVE, PAGE_NOACCESS | PAGE_NOCACHE},
    {"NOACCESS and WRITECOMBINE", STATUS_INVALID_PAGE_PROTECTION, 0, MEM_RESERVE, PAGE_NOACCESS | PAGE_WRITECOMBINE},
    {"GUARD and NOCACHE", STATUS_INVALID_PAGE_PROTECTION, 0, MEM_RESERVE, PAGE_READWRITE | PAGE_GUARD | PAGE_NOCACHE},
    {"GUARD and WRITECOMBINE", STATUS_INVALID_PAGE_PROTECTION, 0, MEM_RESERVE,
     PAGE_READWRITE | PAGE_GUARD | PAGE_WRITECOMBINE},
    {"WRITECOPY", STATUS_INVALID_PAGE_PROTECTION, 0, MEM_RESERVE, PAGE_WRITECOPY},
    {"EXECUTE_WRITECOPY", STATUS_INVALID_PAGE_PROTECTION, 0, MEM_RESERVE, PAGE_EXECUTE_WRITECOPY},
    {"PHYSICAL not READWRITE", STATUS_INVALID_PARAMETER_6, 0, MEM_PHYSICAL | MEM_RESERVE, PAGE_READONLY,
     ~std::uint64_t{0}},
    // Addresses.
    {"base above the highest VAD", STATUS_INVALID_PARAMETER_2, 0, MEM_RESERVE, PAGE_READWRITE, kHighestVad + 1, 0},
    {"size zero", STATUS_INVALID_PARAMETER_4, 0, MEM_RESERVE, PAGE_READWRITE, kBase, 0, Who::kNobody},
    {"size zero, no base", STATUS_INVALID_PARAMETER_4, 0, MEM_RESERVE, PAGE_READWRITE, 0, 0, Who::kNobody},
    {"runs past the top", STATUS_INVALID_PARAMETER_4, 0, MEM_RESERVE, PAGE_READWRITE, kHighestVad - 0xFFFF, 0x10001,
     Who::kNobody},
    {"wraps", STATUS_INVALID_PARAMETER_4, 0, MEM_RESERVE, PAGE_READWRITE, kBase, ~SIZE_T{0}, Who::kNobody},
    // Handles.
    {"no handle", STATUS_INVALID_HANDLE, 0, MEM_RESERVE, PAGE_READWRITE, kTaken, kPage, Who::kNobody},
    {"handle of a thread", STATUS_OBJECT_TYPE_MISMATCH, 0, MEM_RESERVE, PAGE_READWRITE, kTaken, kPage, Who::kThread},
    {"handle without VM_OPERATION", STATUS_ACCESS_DENIED, 0, MEM_RESERVE, PAGE_READWRITE, kTaken, kPage,
     Who::kMayNotOperate},
    {"process has ended", STATUS_PROCESS_IS_TERMINATING, 0, MEM_RESERVE, PAGE_READWRITE, kTaken, kPage,
     Who::kTerminated},
    {"LARGE_PAGES without the privilege", STATUS_PRIVILEGE_NOT_HELD, 0, MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES,
     PAGE_READWRITE, kTaken, kPage, Who::kSelf, false},
    // Regions.
    {"RESERVE over a region", STATUS_CONFLICTING_ADDRESSES, 0, MEM_RESERVE, PAGE_READWRITE, kTaken + kPage},
    {"RESERVE into a region", STATUS_CONFLICTING_ADDRESSES, 0, MEM_RESERVE, PAGE_READWRITE, kTaken - 0x10000, 0x11000},
    {"COMMIT outside", STATUS_CONFLICTING_ADDRESSES, 0, MEM_COMMIT, PAGE_READWRITE, kBase},
    {"COMMIT across the end", STATUS_CONFLICTING_ADDRESSES, 0, MEM_COMMIT, PAGE_READWRITE, kTaken + 15 * kPage,
     2 * kPage},
    {"no gap below the ceiling", STATUS_NO_MEMORY, 16},
    {"no gap", STATUS_NO_MEMORY, 0, MEM_RESERVE, PAGE_READWRITE, 0, kHighestVad - 0xFFFF},
    {"limit", STATUS_COMMITMENT_LIMIT, 0, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, kBase, 64 << 20},
    {"limit, of an existing region", STATUS_COMMITMENT_LIMIT, 0, MEM_COMMIT, PAGE_READWRITE, 0x70000000, 64 << 20},
});

TEST(NtAllocateVirtualMemory, RefusesMisuseInOrderAndChangesNothing) {
  NtMachine m;
  const HANDLE terminated = m.create_process();
  ASSERT_EQ(NtTerminateProcess(terminated, 0), STATUS_SUCCESS);
  const HANDLE restricted = m.with_access(NtCurrentProcess(), PROCESS_ALL_ACCESS & ~PROCESS_VM_OPERATION);
  const HANDLE thread = m.create_thread();
  m.allocate(kTaken, 16 * kPage, MEM_RESERVE);
  m.allocate(0x70000000, 64 << 20, MEM_RESERVE);
  for (const Misuse& row : kMisuses) {
    SCOPED_TRACE(row.what);
    HANDLE process = NtCurrentProcess();
    if (row.who == Who::kNobody) process = NtMachine::bad_handle();
    if (row.who == Who::kMayNotOperate) process = restricted;
    if (row.who == Who::kTerminated) process = terminated;
    if (row.who == Who::kThread) process = thread;
    PagodaSetPrivilege(NtCurrentProcess(), SE_LOCK_MEMORY_PRIVILEGE, row.holds_lock_memory ? 1 : 0, nullptr);
    const std::string before = m.regions();
    const auto totals = m.totals();
    PVOID base = NtMachine::pointer(row.base);
    SIZE_T size = row.size;
    EXPECT_EQ(NtAllocateVirtualMemory(process, &base, row.zero_bits, &size, row.type, row.protect), row.status);
    EXPECT_EQ(bits_of(base), row.base);
    EXPECT_EQ(size, row.size);
    EXPECT_EQ(m.regions(), before);
    EXPECT_EQ(m.totals(), totals);
  }
  EXPECT_EQ(m.check(), "");
}

TEST(NtAllocateVirtualMemory, NullPointersAreAccessViolations) {
  const NtMachine m;
  PVOID base = nullptr;
  SIZE_T size = kPage;
  EXPECT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), nullptr, 0, &size, MEM_RESERVE, PAGE_READWRITE),
            STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, nullptr, MEM_RESERVE, PAGE_READWRITE),
            STATUS_ACCESS_VIOLATION);
  // What can be seen without them comes first.
  EXPECT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), nullptr, 0, nullptr, MEM_RESERVE, 0),
            STATUS_INVALID_PAGE_PROTECTION);
}

TEST(NtAllocateVirtualMemory, NeedsAThreadInAKernel) {
  PVOID base = nullptr;
  SIZE_T size = kPage;
  EXPECT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESERVE, PAGE_READWRITE),
            STATUS_INVALID_HANDLE);
}

struct Rounding {
  std::uint64_t base;
  SIZE_T size;
  std::uint64_t rounded_base;
  SIZE_T rounded_size;
};
// reference/nt.md 7.1, "Rounding".
constexpr auto kRoundings = std::to_array<Rounding>({
    {0x50001010, 0x1000, 0x50000000, 0x3000},
    {0x5000FFFF, 0x3000, 0x50000000, 0x13000},
    {0x50000000, 1, 0x50000000, 0x1000},
    {0x50010000, 0x10000, 0x50010000, 0x10000},
});

TEST(NtAllocateVirtualMemory, ReserveRoundsBaseTo64KilobytesAndEndToPages) {
  NtMachine m;
  for (const Rounding& row : kRoundings) {
    PVOID base = NtMachine::pointer(row.base);
    SIZE_T size = row.size;
    ASSERT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESERVE, PAGE_READWRITE),
              STATUS_SUCCESS);
    EXPECT_EQ(bits_of(base), row.rounded_base);
    EXPECT_EQ(size, row.rounded_size);
    m.release(row.rounded_base);
  }
  EXPECT_EQ(m.regions(), "");
}

TEST(NtAllocateVirtualMemory, CommitRoundsToPages) {
  NtMachine m;
  m.allocate(kBase, 0x10000, MEM_RESERVE);
  PVOID base = NtMachine::pointer(kBase + 0x1FFF);
  SIZE_T size = 2;
  ASSERT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_COMMIT, PAGE_READONLY), STATUS_SUCCESS);
  EXPECT_EQ(bits_of(base), kBase + 0x1000);
  EXPECT_EQ(size, 0x2000U);
  EXPECT_EQ(NtMachine::query(kBase).State, MEM_RESERVE);
  EXPECT_EQ(NtMachine::query(kBase + 0x1000).RegionSize, 0x2000U);
  EXPECT_EQ(NtMachine::query(kBase + 0x1000).Protect, PAGE_READONLY);
  EXPECT_EQ(NtMachine::query(kBase + 0x3000).State, MEM_RESERVE);
  EXPECT_EQ(m.check(), "");
}

TEST(NtAllocateVirtualMemory, CommitWithoutBaseReservesToo) {
  NtMachine m;
  const std::uint64_t base = m.allocate(0, 5000, MEM_COMMIT);
  EXPECT_EQ(base % 0x10000, 0U);
  EXPECT_EQ(NtMachine::query(base).RegionSize, 0x2000U);
  EXPECT_EQ(NtMachine::query(base).State, MEM_COMMIT);
  EXPECT_EQ(NtMachine::put(base, 7), STATUS_SUCCESS);
}

TEST(NtAllocateVirtualMemory, PlacesBottomUpTopDownAndBelowACeiling) {
  NtMachine m;
  EXPECT_EQ(m.allocate(0, kPage, MEM_RESERVE), 0x10000U);
  EXPECT_EQ(m.allocate(0, kPage, MEM_RESERVE), 0x20000U);
  EXPECT_EQ(m.allocate(0, kPage, MEM_RESERVE | MEM_TOP_DOWN), (kHighestVad - 0xFFFF));
  PVOID base = nullptr;
  SIZE_T size = kPage;
  ASSERT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 12, &size, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE),
            STATUS_SUCCESS);
  EXPECT_LT(bits_of(base), std::uint64_t{1} << 20);
  base = nullptr;
  ASSERT_EQ(
      NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0x7FFFFFFF, &size, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE),
      STATUS_SUCCESS);
  EXPECT_EQ(bits_of(base), 0x7FFF0000U);
}

TEST(NtAllocateVirtualMemory, CommittedPagesKeepContentsAndTakeTheNewProtection) {
  NtMachine m;
  m.allocate(kBase, 4 * kPage);
  ASSERT_EQ(NtMachine::put(kBase, 42), STATUS_SUCCESS);
  const auto before = m.totals();
  m.allocate(kBase, kPage, MEM_COMMIT, PAGE_READONLY);
  EXPECT_EQ(m.totals().commit, before.commit);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(kBase, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 42U);
  EXPECT_EQ(NtMachine::put(kBase, 43), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(m.check(), "");
}

TEST(NtAllocateVirtualMemory, WorksOnAnotherProcess) {
  NtMachine m;
  const auto before = m.totals();
  const HANDLE child = m.create_process();
  const std::uint64_t base = m.allocate(kBase, kPage, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, child);
  EXPECT_EQ(NtMachine::query(base, child).State, MEM_COMMIT);
  EXPECT_EQ(m.regions(), "");
  EXPECT_EQ(m.check(), "");
  NtClose(child);
  EXPECT_EQ(m.totals(), before);
}

// reference/nt.md 7.1, "Ex address requirements".
TEST(NtAllocateVirtualMemoryEx, ChecksAddressRequirements) {
  NtMachine m;
  struct Row {
    const char* what;
    std::uint64_t base;
    std::uint64_t lowest;
    std::uint64_t highest;
    SIZE_T alignment;
    NTSTATUS status;
    std::uint64_t placed;
  };
  const auto rows = std::to_array<Row>({
      {"with a base", kBase, 0x100000, 0, 0, STATUS_INVALID_PARAMETER, 0},
      {"lowest not on 64 KB", 0, 0x101000, 0, 0, STATUS_INVALID_PARAMETER, 0},
      {"highest not the end of a page", 0, 0, 0x20000000, 0, STATUS_INVALID_PARAMETER, 0},
      {"highest out of reach", 0, 0, 0x7FFFFFFFFFF, 0, STATUS_INVALID_PARAMETER, 0},
      {"alignment no power of two", 0, 0, 0, 0x30000, STATUS_INVALID_PARAMETER, 0},
      {"alignment below 64 KB", 0, 0, 0, 0x1000, STATUS_INVALID_PARAMETER, 0},
      {"nothing asked", 0, 0, 0, 0, STATUS_SUCCESS, 0x10000},
      {"lowest", 0, 0x7000000, 0, 0, STATUS_SUCCESS, 0x7000000},
      {"alignment", 0, 0x7010000, 0, 0x1000000, STATUS_SUCCESS, 0x8000000},
      {"no room", 0, 0x10000, 0x10FFF, 0x10000, STATUS_NO_MEMORY, 0},
  });
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    MEM_ADDRESS_REQUIREMENTS wishes{NtMachine::pointer(row.lowest), NtMachine::pointer(row.highest), row.alignment};
    MEM_EXTENDED_PARAMETER parameter{};
    parameter.Type = MemExtendedParameterAddressRequirements;
    parameter.Pointer = &wishes;
    PVOID base = NtMachine::pointer(row.base);
    SIZE_T size = kPage;
    EXPECT_EQ(NtAllocateVirtualMemoryEx(NtCurrentProcess(), &base, &size, MEM_RESERVE, PAGE_READWRITE, &parameter, 1),
              row.status);
    if (row.status == STATUS_SUCCESS) {
      EXPECT_EQ(bits_of(base), row.placed);
    } else {
      EXPECT_EQ(bits_of(base), row.base);
    }
  }
  MEM_EXTENDED_PARAMETER unknown{};
  unknown.Type = MemExtendedParameterPartitionHandle;
  PVOID base = nullptr;
  SIZE_T size = kPage;
  EXPECT_EQ(NtAllocateVirtualMemoryEx(NtCurrentProcess(), &base, &size, MEM_RESERVE, PAGE_READWRITE, &unknown, 1),
            STATUS_INVALID_PARAMETER);
  EXPECT_EQ(NtAllocateVirtualMemoryEx(NtCurrentProcess(), &base, &size, MEM_RESERVE, PAGE_READWRITE, nullptr, 1),
            STATUS_INVALID_PARAMETER);
  EXPECT_EQ(m.check(), "");
}

TEST(NtAllocateVirtualMemory, ReachesThreeGigabytesWhereTheKernelAndTheProcessAgree) {
  NtMachine m({.paging = machine::PteFormat::kX86, .user_range = mm::UserRange::kLarge});
  const HANDLE aware = m.create_process(PAGODA_PROCESS_LARGE_ADDRESS_AWARE);
  const HANDLE unaware = m.create_process();
  PVOID base = NtMachine::pointer(0xB0000000);
  SIZE_T size = kPage;
  EXPECT_EQ(NtAllocateVirtualMemory(aware, &base, 0, &size, MEM_RESERVE, PAGE_READWRITE), STATUS_SUCCESS);
  EXPECT_EQ(NtAllocateVirtualMemory(unaware, &base, 0, &size, MEM_RESERVE, PAGE_READWRITE), STATUS_INVALID_PARAMETER_2);
  EXPECT_EQ(m.check(), "");
}

}  // namespace
}  // namespace pagoda::nt
