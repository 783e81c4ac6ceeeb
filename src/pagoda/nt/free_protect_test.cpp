// NtFreeVirtualMemory and NtProtectVirtualMemory, beside reference/nt.md 7.2 and 7.3.
#include <gtest/gtest.h>

#include <array>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kRegion = 0x60000000;  // 16 pages: 0-7 committed, 8-15 reserved.
constexpr std::uint64_t kHighestVad = 0x7FFFFFDFFFF;

void make_region(NtMachine& m) {
  m.allocate(kRegion, 16 * kPage, MEM_RESERVE);
  m.allocate(kRegion, 8 * kPage, MEM_COMMIT);
}

enum class Who : std::uint8_t { kSelf, kNobody, kMayNotOperate };

struct FreeMisuse {
  const char* what;
  NTSTATUS status;
  ULONG type = MEM_RELEASE;
  std::uint64_t base = kRegion;
  SIZE_T size = 0;
  Who who = Who::kSelf;
};

// reference/nt.md 7.2, in its order. (Sections: sections_test.cpp; AWE and large pages: theirs.)
constexpr auto kFreeMisuses = std::to_array<FreeMisuse>({
    {"no type", STATUS_INVALID_PARAMETER_4, 0, ~std::uint64_t{0}},
    {"both types", STATUS_INVALID_PARAMETER_4, MEM_DECOMMIT | MEM_RELEASE},
    {"unknown type", STATUS_INVALID_PARAMETER_4, MEM_RELEASE | MEM_COMMIT},
    {"base above the highest VAD", STATUS_INVALID_PARAMETER_2, MEM_RELEASE, kHighestVad + 1, ~SIZE_T{0}},
    {"wraps", STATUS_INVALID_PARAMETER_3, MEM_RELEASE, kRegion, ~SIZE_T{0}, Who::kNobody},
    {"runs past the top", STATUS_INVALID_PARAMETER_3, MEM_RELEASE, kHighestVad, 2, Who::kNobody},
    {"no handle", STATUS_INVALID_HANDLE, MEM_RELEASE, 0x1000, 0, Who::kNobody},
    {"handle without VM_OPERATION", STATUS_ACCESS_DENIED, MEM_RELEASE, 0x1000, 0, Who::kMayNotOperate},
    {"no region", STATUS_MEMORY_NOT_ALLOCATED, MEM_RELEASE, kRegion - kPage},
    {"no region, decommit", STATUS_MEMORY_NOT_ALLOCATED, MEM_DECOMMIT, kRegion + 16 * kPage},
    {"end past the region", STATUS_UNABLE_TO_FREE_VM, MEM_RELEASE, kRegion, 17 * kPage},
    {"end past the region, decommit", STATUS_UNABLE_TO_FREE_VM, MEM_DECOMMIT, kRegion + kPage, 16 * kPage},
    {"size zero, not at the base", STATUS_FREE_VM_NOT_AT_BASE, MEM_RELEASE, kRegion + kPage},
    {"size zero, not at the base, decommit", STATUS_FREE_VM_NOT_AT_BASE, MEM_DECOMMIT, kRegion + kPage},
});

TEST(NtFreeVirtualMemory, RefusesMisuseInOrderAndChangesNothing) {
  NtMachine m;
  make_region(m);
  const HANDLE restricted = m.with_access(NtCurrentProcess(), PROCESS_ALL_ACCESS & ~PROCESS_VM_OPERATION);
  const std::string before = m.regions();
  const auto totals = m.totals();
  for (const FreeMisuse& row : kFreeMisuses) {
    SCOPED_TRACE(row.what);
    HANDLE process = NtCurrentProcess();
    if (row.who == Who::kNobody) process = NtMachine::bad_handle();
    if (row.who == Who::kMayNotOperate) process = restricted;
    PVOID base = NtMachine::pointer(row.base);
    SIZE_T size = row.size;
    EXPECT_EQ(NtFreeVirtualMemory(process, &base, &size, row.type), row.status);
    EXPECT_EQ(bits_of(base), row.base);
    EXPECT_EQ(size, row.size);
    EXPECT_EQ(m.regions(), before);
    EXPECT_EQ(m.totals(), totals);
  }
  SIZE_T size = 0;
  PVOID base = nullptr;
  EXPECT_EQ(NtFreeVirtualMemory(NtCurrentProcess(), nullptr, &size, MEM_RELEASE), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtFreeVirtualMemory(NtCurrentProcess(), &base, nullptr, MEM_RELEASE), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(m.check(), "");
}

NTSTATUS free_pages(std::uint64_t& base, SIZE_T& size, ULONG type) {
  PVOID at = NtMachine::pointer(base);
  const NTSTATUS status = NtFreeVirtualMemory(NtCurrentProcess(), &at, &size, type);
  base = bits_of(at);
  return status;
}

TEST(NtFreeVirtualMemory, SizeZeroMeansTheWholeRegion) {
  NtMachine m;
  const auto before = m.totals();
  make_region(m);
  std::uint64_t base = kRegion + 0x123;  // In the first page.
  SIZE_T size = 0;
  EXPECT_EQ(free_pages(base, size, MEM_DECOMMIT), STATUS_SUCCESS);
  EXPECT_EQ(base, kRegion);
  EXPECT_EQ(size, 0U);  // As Windows 10: version_test.cpp has the others.
  EXPECT_EQ(NtMachine::query(kRegion).State, MEM_RESERVE);
  base = kRegion;
  size = 0;
  EXPECT_EQ(free_pages(base, size, MEM_RELEASE), STATUS_SUCCESS);
  EXPECT_EQ(size, 16 * kPage);
  EXPECT_EQ(m.regions(), "");
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(m.totals(), before);
}

TEST(NtFreeVirtualMemory, PartialReleaseSplitsTheRegionOnPages) {
  NtMachine m;
  make_region(m);
  std::uint64_t base = kRegion + 4 * kPage + 1;
  SIZE_T size = kPage;
  EXPECT_EQ(free_pages(base, size, MEM_RELEASE), STATUS_SUCCESS);
  EXPECT_EQ(base, kRegion + 4 * kPage);
  EXPECT_EQ(size, 2 * kPage);
  EXPECT_EQ(bits_of(NtMachine::query(kRegion).AllocationBase), kRegion);
  EXPECT_EQ(NtMachine::query(kRegion + 4 * kPage).State, MEM_FREE);
  EXPECT_EQ(bits_of(NtMachine::query(kRegion + 6 * kPage).AllocationBase), kRegion + 6 * kPage);
  EXPECT_EQ(m.check(), "");
}

TEST(NtFreeVirtualMemory, DecommitOfUncommittedPagesSucceeds) {
  NtMachine m;
  make_region(m);
  std::uint64_t base = kRegion + 6 * kPage;
  SIZE_T size = 4 * kPage;
  EXPECT_EQ(free_pages(base, size, MEM_DECOMMIT), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(kRegion).RegionSize, 6 * kPage);
  EXPECT_EQ(NtMachine::put(kRegion + 6 * kPage, 1), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(m.check(), "");
}

// --- NtProtectVirtualMemory ---

struct ProtectMisuse {
  const char* what;
  NTSTATUS status;
  ULONG protect = PAGE_READONLY;
  std::uint64_t base = kRegion;
  SIZE_T size = kPage;
  bool gives_old = true;
  Who who = Who::kSelf;
};

// reference/nt.md 7.3, in its order. (Sections, NoChange, secured ranges: sections_test.cpp and theirs.)
constexpr auto kProtectMisuses = std::to_array<ProtectMisuse>({
    {"no protection", STATUS_INVALID_PAGE_PROTECTION, 0, ~std::uint64_t{0}},
    {"two protections", STATUS_INVALID_PAGE_PROTECTION, PAGE_READONLY | PAGE_READWRITE},
    {"NOACCESS and GUARD", STATUS_INVALID_PAGE_PROTECTION, PAGE_NOACCESS | PAGE_GUARD},
    {"base above the highest VAD", STATUS_INVALID_PARAMETER_2, PAGE_READONLY, kHighestVad + 1, 0},
    {"size zero", STATUS_INVALID_PARAMETER_3, PAGE_READONLY, kRegion, 0, false},
    {"wraps", STATUS_INVALID_PARAMETER_3, PAGE_READONLY, kRegion, ~SIZE_T{0}, false},
    {"no old protection", STATUS_ACCESS_VIOLATION, PAGE_READONLY, kRegion, kPage, false, Who::kNobody},
    {"no handle", STATUS_INVALID_HANDLE, PAGE_READONLY, 0x10000, kPage, true, Who::kNobody},
    {"handle without VM_OPERATION", STATUS_ACCESS_DENIED, PAGE_READONLY, 0x10000, kPage, true, Who::kMayNotOperate},
    {"no region", STATUS_CONFLICTING_ADDRESSES, PAGE_READONLY, kRegion - kPage},
    {"leaves the region", STATUS_CONFLICTING_ADDRESSES, PAGE_READONLY, kRegion, 17 * kPage},
    {"uncommitted page", STATUS_NOT_COMMITTED, PAGE_READONLY, kRegion + 7 * kPage, 2 * kPage},
});

TEST(NtProtectVirtualMemory, RefusesMisuseInOrderAndChangesNothing) {
  NtMachine m;
  make_region(m);
  const HANDLE restricted = m.with_access(NtCurrentProcess(), PROCESS_ALL_ACCESS & ~PROCESS_VM_OPERATION);
  const std::string before = m.regions();
  for (const ProtectMisuse& row : kProtectMisuses) {
    SCOPED_TRACE(row.what);
    HANDLE process = NtCurrentProcess();
    if (row.who == Who::kNobody) process = NtMachine::bad_handle();
    if (row.who == Who::kMayNotOperate) process = restricted;
    PVOID base = NtMachine::pointer(row.base);
    SIZE_T size = row.size;
    ULONG old = 0xABCD;
    EXPECT_EQ(NtProtectVirtualMemory(process, &base, &size, row.protect, row.gives_old ? &old : nullptr), row.status);
    EXPECT_EQ(bits_of(base), row.base);
    EXPECT_EQ(size, row.size);
    EXPECT_EQ(old, 0xABCDU);
    EXPECT_EQ(m.regions(), before);
  }
  EXPECT_EQ(m.check(), "");
}

TEST(NtProtectVirtualMemory, RoundsToPagesAndGivesTheProtectionOfTheFirst) {
  NtMachine m;
  make_region(m);
  PVOID base = NtMachine::pointer(kRegion + 0xFFF);
  SIZE_T size = 2;
  ULONG old = 0;
  ASSERT_EQ(NtProtectVirtualMemory(NtCurrentProcess(), &base, &size, PAGE_EXECUTE_READ, &old), STATUS_SUCCESS);
  EXPECT_EQ(bits_of(base), kRegion);
  EXPECT_EQ(size, 2 * kPage);
  EXPECT_EQ(old, PAGE_READWRITE);
  base = NtMachine::pointer(kRegion + kPage);
  size = 2 * kPage;
  ASSERT_EQ(NtProtectVirtualMemory(NtCurrentProcess(), &base, &size, PAGE_READWRITE | PAGE_GUARD, &old),
            STATUS_SUCCESS);
  EXPECT_EQ(old, PAGE_EXECUTE_READ);
  EXPECT_EQ(NtMachine::put(kRegion + kPage, 1), STATUS_GUARD_PAGE_VIOLATION);
  EXPECT_EQ(NtMachine::put(kRegion + kPage, 1), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

TEST(NtProtectVirtualMemory, NoAccessKeepsContents) {
  NtMachine m;
  make_region(m);
  ASSERT_EQ(NtMachine::put(kRegion, 99), STATUS_SUCCESS);
  PVOID base = NtMachine::pointer(kRegion);
  SIZE_T size = kPage;
  ULONG old = 0;
  ASSERT_EQ(NtProtectVirtualMemory(NtCurrentProcess(), &base, &size, PAGE_NOACCESS, &old), STATUS_SUCCESS);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(kRegion, value), STATUS_ACCESS_VIOLATION);
  ASSERT_EQ(NtProtectVirtualMemory(NtCurrentProcess(), &base, &size, PAGE_READONLY, &old), STATUS_SUCCESS);
  EXPECT_EQ(old, PAGE_NOACCESS);
  EXPECT_EQ(NtMachine::get(kRegion, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 99U);
  EXPECT_EQ(m.check(), "");
}

}  // namespace
}  // namespace pagoda::nt
