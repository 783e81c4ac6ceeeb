// Processes, threads and their stacks, privileges, working-set limits, paging files.
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kRegion = 0x60000000;

TEST(Processes, EndGivesEverythingBack) {
  NtMachine m;
  const auto before = m.totals();
  const HANDLE child = m.create_process();
  m.allocate(kRegion, 16 * kPage, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, child);
  ASSERT_EQ(PagodaAttach(child), STATUS_SUCCESS);
  for (std::uint64_t page = 0; page < 16; ++page)
    ASSERT_EQ(NtMachine::put(kRegion + page * kPage, page), STATUS_SUCCESS);
  // Handles of the child's own, one of them to itself.
  const HANDLE grandchild = m.create_process();
  HANDLE self = nullptr;
  ASSERT_EQ(
      NtDuplicateObject(NtCurrentProcess(), NtCurrentProcess(), NtCurrentProcess(), &self, 0, 0, DUPLICATE_SAME_ACCESS),
      STATUS_SUCCESS);
  EXPECT_NE(self, grandchild);
  EXPECT_EQ(m.check(), "");
  ASSERT_EQ(PagodaDetach(), STATUS_SUCCESS);
  EXPECT_EQ(NtTerminateProcess(child, 0), STATUS_SUCCESS);
  EXPECT_EQ(NtTerminateProcess(child, 0), STATUS_PROCESS_IS_TERMINATING);
  EXPECT_EQ(PagodaAttach(child), STATUS_PROCESS_IS_TERMINATING);
  EXPECT_EQ(NtClose(child), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(m.totals(), before);
}

TEST(Processes, OneThatEndsItselfKeepsItsSpaceUntilItsThreadLeaves) {
  NtMachine m;
  const auto before = m.totals();
  const HANDLE child = m.create_process();
  ASSERT_EQ(PagodaAttach(child), STATUS_SUCCESS);
  m.allocate(kRegion, kPage);
  EXPECT_EQ(NtTerminateProcess(NtCurrentProcess(), 0), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::put(kRegion, 1), STATUS_SUCCESS);
  PVOID base = nullptr;
  SIZE_T size = kPage;
  EXPECT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESERVE, PAGE_READWRITE),
            STATUS_PROCESS_IS_TERMINATING);
  EXPECT_EQ(PagodaDetach(), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(child), STATUS_SUCCESS);
  EXPECT_EQ(m.totals(), before);
}

TEST(Processes, TheFirstCannotBeEnded) {
  const NtMachine m;
  EXPECT_EQ(NtTerminateProcess(NtCurrentProcess(), 0), STATUS_ACCESS_DENIED);
  EXPECT_EQ(PagodaDetach(), STATUS_INVALID_PARAMETER);
}

TEST(Processes, CreationNeedsTheRightAndInheritsPrivileges) {
  NtMachine m;
  const HANDLE parent = m.create_process();
  const HANDLE restricted = m.with_access(parent, PROCESS_ALL_ACCESS & ~PROCESS_CREATE_PROCESS);
  HANDLE child = nullptr;
  EXPECT_EQ(PagodaCreateProcess(nullptr, PROCESS_ALL_ACCESS, parent, 0), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(PagodaCreateProcess(&child, PROCESS_ALL_ACCESS, parent, 0x10), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(PagodaCreateProcess(&child, PROCESS_ALL_ACCESS, NtMachine::bad_handle(), 0), STATUS_INVALID_HANDLE);
  EXPECT_EQ(PagodaCreateProcess(&child, PROCESS_ALL_ACCESS, restricted, 0), STATUS_ACCESS_DENIED);
  EXPECT_EQ(child, nullptr);
  BOOLEAN held = 0;
  EXPECT_EQ(PagodaSetPrivilege(parent, SE_LOCK_MEMORY_PRIVILEGE, 0, &held), STATUS_SUCCESS);
  EXPECT_EQ(held, 1);
  ASSERT_EQ(PagodaCreateProcess(&child, PROCESS_ALL_ACCESS, parent, 0), STATUS_SUCCESS);
  EXPECT_EQ(PagodaSetPrivilege(child, SE_LOCK_MEMORY_PRIVILEGE, 1, &held), STATUS_SUCCESS);
  EXPECT_EQ(held, 0);
  EXPECT_EQ(PagodaSetPrivilege(child, SE_INCREASE_QUOTA_PRIVILEGE, 1, &held), STATUS_SUCCESS);
  EXPECT_EQ(held, 1);
  EXPECT_EQ(PagodaSetPrivilege(child, 99, 1, &held), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(PagodaSetPrivilege(restricted, SE_LOCK_MEMORY_PRIVILEGE, 1, &held), STATUS_ACCESS_DENIED);
}

TEST(Processes, ThreadsOfTheHostEachDriveAProcessor) {
  NtMachine m({.processors = 2});
  Status second = Status::kSuccess;
  Status third = Status::kSuccess;
  std::thread([&] {
    const auto entered = Caller::enter(m.kernel());
    if (!entered) second = entered.error();
    std::thread([&] {
      const auto refused = Caller::enter(m.kernel());
      if (!refused) third = refused.error();
    }).join();
    // Ends without leaving.
  }).join();
  EXPECT_EQ(second, Status::kSuccess);
  EXPECT_EQ(third, Status::kInsufficientResources);
  EXPECT_EQ(Caller::enter(m.kernel()).error(), Status::kInvalidParameter);
  std::thread([&] { second = Caller::enter(m.kernel()) ? Status::kSuccess : Status::kInsufficientResources; }).join();
  EXPECT_EQ(second, Status::kSuccess);
}

// --- Stacks: reference/nt.md section 4 ---

PAGODA_STACK stack_of(HANDLE thread) {
  PAGODA_STACK stack{};
  PAGODA_CHECK_EQ(PagodaQueryStack(thread, &stack), STATUS_SUCCESS);
  return stack;
}

TEST(Stacks, GrowByTheGuardPageUntilTheyOverflow) {
  NtMachine m;
  HANDLE thread = nullptr;
  constexpr SIZE_T kReserve = 8 * kPage;
  ASSERT_EQ(PagodaCreateThread(&thread, NtCurrentProcess(), kReserve, kPage), STATUS_SUCCESS);
  const PAGODA_STACK start = stack_of(thread);
  const std::uint64_t base = bits_of(start.StackBase);
  const std::uint64_t lowest = bits_of(start.AllocationBase);
  EXPECT_EQ(base - lowest, kReserve);
  EXPECT_EQ(bits_of(start.StackLimit), base - kPage);
  EXPECT_EQ(NtMachine::query(base - 2 * kPage).Protect, PAGE_READWRITE | PAGE_GUARD);

  ASSERT_EQ(PagodaAttach(thread), STATUS_SUCCESS);
  // One page after the other. The guard above the guarantee is the last that moves.
  std::uint64_t at = base - kPage;
  for (; at > lowest + 3 * kPage; at -= kPage) EXPECT_EQ(NtMachine::put(at - kPage, at), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(lowest + 2 * kPage).Protect, PAGE_READWRITE | PAGE_GUARD);
  EXPECT_EQ(NtMachine::put(lowest + 2 * kPage, 1), STATUS_STACK_OVERFLOW);
  EXPECT_EQ(NtMachine::put(lowest + 2 * kPage, 1), STATUS_SUCCESS);  // What was hit stays usable.
  EXPECT_EQ(bits_of(stack_of(NtCurrentThread()).StackLimit), lowest + 2 * kPage);
  EXPECT_EQ(NtMachine::put(lowest + kPage, 1), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtMachine::put(lowest, 1), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(m.check(), "");
}

TEST(Stacks, ASkippedGuardPageIsAnAccessViolation) {
  NtMachine m;
  const HANDLE thread = m.create_thread();
  ASSERT_EQ(PagodaAttach(thread), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::put(bits_of(stack_of(NtCurrentThread()).StackLimit) - 2 * kPage, 1), STATUS_ACCESS_VIOLATION);
}

TEST(Stacks, AGuardElsewhereIsRaisedOnceAndSoIsThatOfAnotherThread) {
  NtMachine m;
  const HANDLE thread = m.create_thread();
  const std::uint64_t guard = bits_of(stack_of(thread).StackLimit) - kPage;
  EXPECT_EQ(NtMachine::put(guard, 1), STATUS_GUARD_PAGE_VIOLATION);
  EXPECT_EQ(bits_of(stack_of(thread).StackLimit), guard + kPage);
  EXPECT_EQ(NtMachine::put(guard, 1), STATUS_SUCCESS);
  m.allocate(kRegion, kPage, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY | PAGE_GUARD);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(kRegion, value), STATUS_GUARD_PAGE_VIOLATION);
  EXPECT_EQ(NtMachine::get(kRegion, value), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

TEST(Stacks, AreOrdinaryMemoryOnceTheThreadIsGone) {
  NtMachine m;
  const HANDLE thread = m.create_thread();
  const PAGODA_STACK stack = stack_of(thread);
  const std::uint64_t guard = bits_of(stack.StackLimit) - kPage;
  EXPECT_EQ(NtClose(thread), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::put(guard, 1), STATUS_GUARD_PAGE_VIOLATION);
  EXPECT_EQ(NtMachine::put(guard, 1), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(guard - kPage).State, MEM_RESERVE);
  m.release(bits_of(stack.AllocationBase));
  // The addresses serve another stack.
  const HANDLE other = m.create_thread();
  EXPECT_EQ(stack_of(other).AllocationBase, stack.AllocationBase);
  EXPECT_EQ(m.check(), "");
}

TEST(Stacks, OfAProcessThatHasEndedCannotBeQueried) {
  NtMachine m;
  const HANDLE child = m.create_process();
  HANDLE thread = nullptr;
  ASSERT_EQ(PagodaCreateThread(&thread, child, 0, 0), STATUS_SUCCESS);
  ASSERT_EQ(NtTerminateProcess(child, 0), STATUS_SUCCESS);
  PAGODA_STACK stack{};
  EXPECT_EQ(PagodaQueryStack(thread, &stack), STATUS_PROCESS_IS_TERMINATING);
  EXPECT_EQ(NtClose(thread), STATUS_SUCCESS);
}

TEST(Stacks, RefuseSizesWithoutRoomForAGuardPage) {
  const NtMachine m;
  HANDLE thread = nullptr;
  EXPECT_EQ(PagodaCreateThread(&thread, NtCurrentProcess(), 3 * kPage, kPage), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(PagodaCreateThread(&thread, NtCurrentProcess(), 8 * kPage, 6 * kPage), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(PagodaCreateThread(&thread, NtCurrentProcess(), ~SIZE_T{0}, 0), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(PagodaCreateThread(&thread, NtMachine::bad_handle(), 0, 0), STATUS_INVALID_HANDLE);
  EXPECT_EQ(thread, nullptr);
  ASSERT_EQ(PagodaCreateThread(&thread, NtCurrentProcess(), 0, 0), STATUS_SUCCESS);
  const PAGODA_STACK stack = stack_of(thread);
  EXPECT_EQ(bits_of(stack.StackBase) - bits_of(stack.AllocationBase), std::uint64_t{1} << 20);
}

// --- Limits: reference/nt.md section 9 ---

struct LimitRow {
  const char* what;
  NTSTATUS status;
  SIZE_T minimum = 60 * kPage;
  SIZE_T maximum = 100 * kPage;
  bool may_raise = true;
  SIZE_T minimum_after = 50 * kPage;
  SIZE_T maximum_after = 345 * kPage;
};

constexpr auto kLimitRows = std::to_array<LimitRow>({
    {"empties", STATUS_SUCCESS, ~SIZE_T{0}, ~SIZE_T{0}, false},
    {"zeros keep", STATUS_SUCCESS, 0, 0, false},
    {"minimum above maximum", STATUS_BAD_WORKING_SET_LIMIT, 200 * kPage, 100 * kPage},
    {"minimum above the maximum that is kept", STATUS_BAD_WORKING_SET_LIMIT, 400 * kPage, 0},
    {"raise without the privilege", STATUS_PRIVILEGE_NOT_HELD, 60 * kPage, 100 * kPage, false},
    {"more than the machine can keep", STATUS_INSUFFICIENT_RESOURCES, 1500 * kPage, 1500 * kPage},
    {"lower without the privilege", STATUS_SUCCESS, 40 * kPage, 100 * kPage, false, 40 * kPage, 100 * kPage},
    {"raise", STATUS_SUCCESS, 60 * kPage, 100 * kPage, true, 60 * kPage, 100 * kPage},
    {"below 20", STATUS_WORKING_SET_LIMIT_RANGE, kPage, 100 * kPage, true, 20 * kPage, 100 * kPage},
});

TEST(NtSetInformationProcess, WorkingSetLimits) {
  for (const LimitRow& row : kLimitRows) {
    SCOPED_TRACE(row.what);
    NtMachine m({.frames = PageCount(1024)});
    if (!row.may_raise) PagodaSetPrivilege(NtCurrentProcess(), SE_INC_BASE_PRIORITY_PRIVILEGE, 0, nullptr);
    QUOTA_LIMITS limits{};
    limits.MinimumWorkingSetSize = row.minimum;
    limits.MaximumWorkingSetSize = row.maximum;
    EXPECT_EQ(NtSetInformationProcess(NtCurrentProcess(), ProcessQuotaLimits, &limits, sizeof limits), row.status);
    QUOTA_LIMITS now{};
    ASSERT_EQ(NtQueryInformationProcess(NtCurrentProcess(), ProcessQuotaLimits, &now, sizeof now, nullptr),
              STATUS_SUCCESS);
    EXPECT_EQ(now.MinimumWorkingSetSize, row.minimum_after);
    EXPECT_EQ(now.MaximumWorkingSetSize, row.maximum_after);
    EXPECT_EQ(m.check(), "");
  }
}

TEST(NtSetInformationProcess, MaximumIsClippedToWhatIsAvailable) {
  NtMachine m({.frames = PageCount(2048)});
  QUOTA_LIMITS limits{};
  limits.MinimumWorkingSetSize = 50 * kPage;
  limits.MaximumWorkingSetSize = 4096 * kPage;
  EXPECT_EQ(NtSetInformationProcess(NtCurrentProcess(), ProcessQuotaLimits, &limits, sizeof limits),
            STATUS_WORKING_SET_LIMIT_RANGE);
  QUOTA_LIMITS now{};
  ASSERT_EQ(NtQueryInformationProcess(NtCurrentProcess(), ProcessQuotaLimits, &now, sizeof now, nullptr),
            STATUS_SUCCESS);
  EXPECT_LE(now.MaximumWorkingSetSize, (2048 - 512) * kPage);
  EXPECT_GT(now.MaximumWorkingSetSize, (2048 - 540) * kPage);
}

TEST(NtSetInformationProcess, HardMaximumHoldsWhileMemoryIsPlentiful) {
  NtMachine m({.frames = PageCount(1024)});
  QUOTA_LIMITS_EX limits{};
  limits.MinimumWorkingSetSize = 20 * kPage;
  limits.MaximumWorkingSetSize = 30 * kPage;
  limits.Flags = QUOTA_LIMITS_HARDWS_MAX_ENABLE | QUOTA_LIMITS_HARDWS_MAX_DISABLE;
  EXPECT_EQ(NtSetInformationProcess(NtCurrentProcess(), ProcessQuotaLimits, &limits, sizeof limits),
            STATUS_INVALID_PARAMETER);
  limits.Flags = QUOTA_LIMITS_HARDWS_MAX_ENABLE;
  ASSERT_EQ(NtSetInformationProcess(NtCurrentProcess(), ProcessQuotaLimits, &limits, sizeof limits), STATUS_SUCCESS);
  m.allocate(kRegion, 64 * kPage);
  for (std::uint64_t page = 0; page < 64; ++page) NtMachine::put(kRegion + page * kPage, page);
  VM_COUNTERS counters{};
  ASSERT_EQ(NtQueryInformationProcess(NtCurrentProcess(), ProcessVmCounters, &counters, sizeof counters, nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(counters.WorkingSetSize, 30 * kPage);
  EXPECT_EQ(counters.VirtualSize, 64 * kPage);
  EXPECT_EQ(counters.PagefileUsage, 64 * kPage);
  EXPECT_GE(counters.PageFaultCount, 64U);
  m.release(kRegion);
  ASSERT_EQ(NtQueryInformationProcess(NtCurrentProcess(), ProcessVmCounters, &counters, sizeof counters, nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(counters.VirtualSize, 0U);
  EXPECT_EQ(counters.PeakVirtualSize, 64 * kPage);
  EXPECT_EQ(m.check(), "");
}

TEST(NtInformationProcess, RefusesMisuseInOrder) {
  NtMachine m;
  const HANDLE restricted = m.with_access(NtCurrentProcess(), PROCESS_VM_READ);
  QUOTA_LIMITS limits{};
  const auto set = [&](HANDLE process, int info_class, PVOID in, ULONG size) {
    return NtSetInformationProcess(process, static_cast<PROCESSINFOCLASS>(info_class), in, size);
  };
  EXPECT_EQ(set(nullptr, 99, nullptr, 0), STATUS_INVALID_INFO_CLASS);
  EXPECT_EQ(set(nullptr, ProcessVmCounters, nullptr, 0), STATUS_INVALID_INFO_CLASS);
  EXPECT_EQ(set(nullptr, ProcessQuotaLimits, nullptr, 47), STATUS_INFO_LENGTH_MISMATCH);
  EXPECT_EQ(set(nullptr, ProcessQuotaLimits, nullptr, 48), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(set(NtMachine::bad_handle(), ProcessQuotaLimits, &limits, 48), STATUS_INVALID_HANDLE);
  EXPECT_EQ(set(restricted, ProcessQuotaLimits, &limits, 48), STATUS_ACCESS_DENIED);
  const auto query = [&](HANDLE process, int info_class, PVOID out, ULONG size) {
    return NtQueryInformationProcess(process, static_cast<PROCESSINFOCLASS>(info_class), out, size, nullptr);
  };
  EXPECT_EQ(query(nullptr, 99, nullptr, 0), STATUS_INVALID_INFO_CLASS);
  EXPECT_EQ(query(nullptr, ProcessVmCounters, nullptr, 80), STATUS_INFO_LENGTH_MISMATCH);
  EXPECT_EQ(query(nullptr, ProcessQuotaLimits, nullptr, 48), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(query(NtMachine::bad_handle(), ProcessQuotaLimits, &limits, 48), STATUS_INVALID_HANDLE);
  EXPECT_EQ(query(restricted, ProcessQuotaLimits, &limits, 48), STATUS_ACCESS_DENIED);
}

// --- Paging files: reference/nt.md section 8 ---

NTSTATUS create_paging_file(std::u16string name, LONGLONG minimum, LONGLONG maximum) {
  UNICODE_STRING string{static_cast<USHORT>(name.size() * 2), static_cast<USHORT>(name.size() * 2), name.data()};
  LARGE_INTEGER low{};
  LARGE_INTEGER high{};
  low.QuadPart = minimum;
  high.QuadPart = maximum;
  return NtCreatePagingFile(&string, &low, &high, 0);
}

constexpr LONGLONG kMegabyte = 1 << 20;

struct PagingFileRow {
  const char* what;
  NTSTATUS status;
  const char16_t* name = u"\\??\\C:\\pagefile2.sys";
  LONGLONG minimum = kMegabyte;
  LONGLONG maximum = 2 * kMegabyte;
};

constexpr auto kPagingFileRows = std::to_array<PagingFileRow>({
    {"minimum below 1 MB", STATUS_INVALID_PARAMETER_2, u"", kMegabyte - 1, 0},
    {"negative minimum", STATUS_INVALID_PARAMETER_2, u"", -1, 0},
    {"maximum below the minimum", STATUS_INVALID_PARAMETER_3, u"", 2 * kMegabyte, kMegabyte},
    {"more than 2^20 - 1 pages", STATUS_INVALID_PARAMETER_3, u"", kMegabyte, LONGLONG{1} << 32},
    {"no name", STATUS_OBJECT_NAME_INVALID, u""},
    {"name without a root", STATUS_OBJECT_NAME_INVALID, u"pagefile2.sys"},
    {"no space", STATUS_DISK_FULL, u"\\??\\C:\\pagefile2.sys", LONGLONG{1} << 31, LONGLONG{1} << 31},
});

TEST(NtCreatePagingFile, RefusesMisuseInOrder) {
  auto kernel = Kernel::create(
      {.machine = {.frames = PageCount(512), .paging = machine::PteFormat::kX86, .disks = {{.capacity = 64_MiB}}}});
  ASSERT_TRUE(kernel);
  ASSERT_TRUE(Caller::enter(**kernel));
  PagodaSetPrivilege(NtCurrentProcess(), SE_CREATE_PAGEFILE_PRIVILEGE, 0, nullptr);
  EXPECT_EQ(NtCreatePagingFile(nullptr, nullptr, nullptr, 0), STATUS_PRIVILEGE_NOT_HELD);
  PagodaSetPrivilege(NtCurrentProcess(), SE_CREATE_PAGEFILE_PRIVILEGE, 1, nullptr);
  EXPECT_EQ(NtCreatePagingFile(nullptr, nullptr, nullptr, 0), STATUS_ACCESS_VIOLATION);
  for (const PagingFileRow& row : kPagingFileRows) {
    SCOPED_TRACE(row.what);
    const auto before = (*kernel)->manager().commit().limit;
    EXPECT_EQ(create_paging_file(row.name, row.minimum, row.maximum), row.status);
    EXPECT_EQ((*kernel)->manager().commit().limit, before);
  }
  const PageCount before = (*kernel)->manager().commit().limit;
  EXPECT_EQ(create_paging_file(u"\\??\\C:\\pagefile0.sys", kMegabyte, 2 * kMegabyte), STATUS_SUCCESS);
  EXPECT_EQ((*kernel)->manager().commit().limit, before + PageCount(255));
  for (char16_t number = 1; number < 16; ++number) {
    const std::u16string name = std::u16string(u"\\pagefile.") + static_cast<char16_t>(u'a' + number);
    EXPECT_EQ(create_paging_file(name, kMegabyte, kMegabyte), STATUS_SUCCESS);
  }
  EXPECT_EQ(create_paging_file(u"", 0, 0), STATUS_TOO_MANY_PAGING_FILES);
  ASSERT_TRUE(Caller::leave());
}

}  // namespace
}  // namespace pagoda::nt
