// NtLockVirtualMemory and NtUnlockVirtualMemory, beside reference/nt.md 7.5.
#include <gtest/gtest.h>

#include <array>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kRegion = 0x60000000;  // Page 0-59 committed, 60-63 reserved; page 1 NOACCESS, page 2 a guard.
constexpr std::uint64_t kHighestVad = 0x7FFFFFDFFFF;

void protect(std::uint64_t address, ULONG protection) {
  PVOID base = NtMachine::pointer(address);
  SIZE_T size = kPage;
  ULONG old = 0;
  PAGODA_CHECK_EQ(NtProtectVirtualMemory(NtCurrentProcess(), &base, &size, protection, &old), STATUS_SUCCESS);
}

void make_region(NtMachine& m) {
  m.allocate(kRegion, 64 * kPage, MEM_RESERVE);
  m.allocate(kRegion, 60 * kPage, MEM_COMMIT);
  protect(kRegion + kPage, PAGE_NOACCESS);
  protect(kRegion + 2 * kPage, PAGE_READWRITE | PAGE_GUARD);
}

enum class Who : std::uint8_t { kSelf, kNobody, kMayNotOperate };

struct Misuse {
  const char* what;
  NTSTATUS status;
  ULONG map_type = MAP_PROCESS;
  std::uint64_t base = kRegion;
  SIZE_T size = kPage;
  bool holds_lock_memory = true;
  Who who = Who::kSelf;
};

// In the order of 7.5. (AWE, large pages: theirs.)
constexpr auto kMisuses = std::to_array<Misuse>({
    {"map type 0", STATUS_INVALID_PARAMETER, 0, kRegion, kPage, true, Who::kNobody},
    {"map type 4", STATUS_INVALID_PARAMETER, 4, kRegion, kPage, true, Who::kNobody},
    {"both map types", STATUS_INVALID_PARAMETER, MAP_PROCESS | MAP_SYSTEM, kRegion, kPage, true, Who::kNobody},
    {"size zero", STATUS_INVALID_PARAMETER, MAP_SYSTEM, kRegion, 0, false, Who::kNobody},
    {"out of range", STATUS_INVALID_PARAMETER, MAP_SYSTEM, kHighestVad, 2, false, Who::kNobody},
    {"wraps", STATUS_INVALID_PARAMETER, MAP_SYSTEM, kRegion, ~SIZE_T{0}, false, Who::kNobody},
    {"in memory, without the privilege", STATUS_PRIVILEGE_NOT_HELD, MAP_SYSTEM, 0x10000, kPage, false, Who::kNobody},
    {"no handle", STATUS_INVALID_HANDLE, MAP_PROCESS, 0x10000, kPage, false, Who::kNobody},
    {"handle without VM_OPERATION", STATUS_ACCESS_DENIED, MAP_PROCESS, 0x10000, kPage, false, Who::kMayNotOperate},
    {"no region", STATUS_ACCESS_VIOLATION, MAP_PROCESS, 0x10000},
    {"not accessible", STATUS_ACCESS_VIOLATION, MAP_PROCESS, kRegion, 2 * kPage},
    {"not committed", STATUS_ACCESS_VIOLATION, MAP_PROCESS, kRegion + 59 * kPage, 2 * kPage},
    {"more than the minimum less 8", STATUS_WORKING_SET_QUOTA, MAP_PROCESS, kRegion + 3 * kPage, 43 * kPage},
});

TEST(NtLockVirtualMemory, RefusesMisuseInOrderAndChangesNothing) {
  NtMachine m;
  make_region(m);
  const HANDLE restricted = m.with_access(NtCurrentProcess(), PROCESS_ALL_ACCESS & ~PROCESS_VM_OPERATION);
  const std::string before = m.regions();
  for (const Misuse& row : kMisuses) {
    SCOPED_TRACE(row.what);
    HANDLE process = NtCurrentProcess();
    if (row.who == Who::kNobody) process = NtMachine::bad_handle();
    if (row.who == Who::kMayNotOperate) process = restricted;
    PagodaSetPrivilege(NtCurrentProcess(), SE_LOCK_MEMORY_PRIVILEGE, row.holds_lock_memory ? 1 : 0, nullptr);
    PVOID base = NtMachine::pointer(row.base);
    SIZE_T size = row.size;
    EXPECT_EQ(NtLockVirtualMemory(process, &base, &size, row.map_type), row.status);
    EXPECT_EQ(bits_of(base), row.base);
    EXPECT_EQ(size, row.size);
    EXPECT_EQ(m.regions(), before);
  }
  EXPECT_EQ(NtLockVirtualMemory(NtCurrentProcess(), nullptr, nullptr, MAP_PROCESS), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(m.check(), "");
}

TEST(NtLockVirtualMemory, ConsumesAGuard) {
  NtMachine m;
  make_region(m);
  PVOID base = NtMachine::pointer(kRegion + 2 * kPage);
  SIZE_T size = kPage;
  EXPECT_EQ(NtLockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_PROCESS), STATUS_GUARD_PAGE_VIOLATION);
  EXPECT_EQ(NtMachine::query(kRegion + 2 * kPage).Protect, PAGE_READWRITE);
  EXPECT_EQ(NtLockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_PROCESS), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

TEST(NtLockVirtualMemory, LocksWholePagesOnceAndUnlocksThemTogether) {
  NtMachine m;
  make_region(m);
  PVOID base = NtMachine::pointer(kRegion + 4 * kPage + 5);
  SIZE_T size = kPage;
  ASSERT_EQ(NtLockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_SYSTEM), STATUS_SUCCESS);
  EXPECT_EQ(bits_of(base), kRegion + 4 * kPage);
  EXPECT_EQ(size, 2 * kPage);
  base = NtMachine::pointer(kRegion + 5 * kPage + 5);
  EXPECT_EQ(NtLockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_SYSTEM), STATUS_WAS_LOCKED);
  EXPECT_EQ(size, 3 * kPage);  // A success: the values are told.

  base = NtMachine::pointer(kRegion + 4 * kPage);
  size = 5 * kPage;  // The last one is not locked.
  EXPECT_EQ(NtUnlockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_SYSTEM), STATUS_NOT_LOCKED);
  EXPECT_EQ(size, 5 * kPage);
  size = 4 * kPage - 7;
  EXPECT_EQ(NtUnlockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_PROCESS), STATUS_NOT_LOCKED);
  EXPECT_EQ(NtUnlockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_SYSTEM), STATUS_SUCCESS);
  EXPECT_EQ(size, 4 * kPage);
  EXPECT_EQ(NtUnlockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_SYSTEM), STATUS_NOT_LOCKED);
  EXPECT_EQ(m.check(), "");
}

SIZE_T resident_bytes() {
  VM_COUNTERS counters{};
  PAGODA_CHECK_EQ(NtQueryInformationProcess(NtCurrentProcess(), ProcessVmCounters, &counters, sizeof counters, nullptr),
                  STATUS_SUCCESS);
  return counters.WorkingSetSize;
}

// Memory of the kinds that can be locked, each twice as it was written.
TEST(NtUnlockVirtualMemory, TakesPagesThatAreNotLockedOutOfTheWorkingSet) {
  for (const auto paging : {machine::PteFormat::kAmd64, machine::PteFormat::kPae, machine::PteFormat::kX86}) {
    NtMachine m({.paging = paging});
    m.allocate(kRegion, 8 * kPage);
    LARGE_INTEGER section_size{.QuadPart = 8 * kPage};
    HANDLE section = nullptr;
    ASSERT_EQ(
        NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &section_size, PAGE_READWRITE, SEC_COMMIT, nullptr),
        STATUS_SUCCESS);
    PVOID view = nullptr;
    SIZE_T size = 0;
    ASSERT_EQ(
        NtMapViewOfSection(section, NtCurrentProcess(), &view, 0, 0, nullptr, &size, ViewUnmap, 0, PAGE_READWRITE),
        STATUS_SUCCESS);
    for (const std::uint64_t region : {kRegion, bits_of(view)}) {
      const SIZE_T before = resident_bytes();
      for (std::uint64_t page = 0; page < 8; ++page) ASSERT_EQ(m.put(region + page * kPage, page + 1), STATUS_SUCCESS);
      EXPECT_EQ(resident_bytes(), before + 8 * kPage);
      PVOID base = NtMachine::pointer(region);
      size = 8 * kPage;
      EXPECT_EQ(NtUnlockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_PROCESS), STATUS_NOT_LOCKED);
      EXPECT_EQ(resident_bytes(), before);
      for (std::uint64_t page = 0; page < 8; ++page) {
        std::uint64_t value = 0;
        ASSERT_EQ(m.get(region + page * kPage, value), STATUS_SUCCESS);
        EXPECT_EQ(value, page + 1);
      }
    }
    EXPECT_EQ(m.check(), "");
  }
}

}  // namespace
}  // namespace pagoda::nt
