// NtReadVirtualMemory and NtWriteVirtualMemory, beside reference/nt.md 7.6.
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <vector>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kRegion = 0x60000000;  // Four pages: RW, RW, RO, guard; then nothing.
constexpr std::uint64_t kHighestUser = 0x7FFFFFEFFFF;

HANDLE make_target(NtMachine& m) {
  const HANDLE target = m.create_process();
  m.allocate(kRegion, 2 * kPage, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, target);
  m.allocate(kRegion + 0x10000, kPage, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY, target);
  m.allocate(kRegion + 0x20000, kPage, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD, target);
  m.allocate(kRegion + 0x30000, kPage, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS, target);
  return target;
}

enum class Who : std::uint8_t { kTarget, kNobody, kMayNothing, kTerminated };

struct Misuse {
  const char* what;
  NTSTATUS read;
  NTSTATUS write;
  std::uint64_t address = kRegion;
  SIZE_T size = 8;
  bool gives_buffer = true;
  Who who = Who::kTarget;
  SIZE_T done = 0;  // With a partial copy.
};

constexpr auto kMisuses = std::to_array<Misuse>({
    {"wraps", STATUS_ACCESS_VIOLATION, STATUS_ACCESS_VIOLATION, ~std::uint64_t{0} - 3, 8, true, Who::kNobody},
    {"kernel address", STATUS_ACCESS_VIOLATION, STATUS_ACCESS_VIOLATION, kHighestUser + 1, 8, true, Who::kNobody},
    {"into the kernel", STATUS_ACCESS_VIOLATION, STATUS_ACCESS_VIOLATION, kHighestUser - 6, 8, true, Who::kNobody},
    {"no buffer", STATUS_ACCESS_VIOLATION, STATUS_ACCESS_VIOLATION, kRegion, 8, false, Who::kNobody},
    {"no handle", STATUS_INVALID_HANDLE, STATUS_INVALID_HANDLE, kRegion, 8, true, Who::kNobody},
    {"handle without VM_READ and VM_WRITE", STATUS_ACCESS_DENIED, STATUS_ACCESS_DENIED, kRegion, 8, true,
     Who::kMayNothing},
    {"process has ended", STATUS_PROCESS_IS_TERMINATING, STATUS_PROCESS_IS_TERMINATING, kRegion, 8, true,
     Who::kTerminated},
    {"nothing to do", STATUS_SUCCESS, STATUS_SUCCESS, kHighestUser + 1, 0, false, Who::kNobody},
    {"nothing there", STATUS_PARTIAL_COPY, STATUS_PARTIAL_COPY, kRegion - kPage},
    {"ends on nothing", STATUS_PARTIAL_COPY, STATUS_PARTIAL_COPY, kRegion + kPage, kPage + 1, true, Who::kTarget,
     kPage},
    {"read-only", STATUS_SUCCESS, STATUS_PARTIAL_COPY, kRegion + 0x10000},
    {"guard of another process", STATUS_PARTIAL_COPY, STATUS_PARTIAL_COPY, kRegion + 0x20000},
    {"no access", STATUS_PARTIAL_COPY, STATUS_PARTIAL_COPY, kRegion + 0x30000},
});

TEST(NtReadWriteVirtualMemory, RefuseMisuseInOrder) {
  NtMachine m;
  const HANDLE target = make_target(m);
  const HANDLE terminated = m.create_process();
  ASSERT_EQ(NtTerminateProcess(terminated, 0), STATUS_SUCCESS);
  const HANDLE restricted = m.with_access(target, PROCESS_VM_OPERATION);
  const std::string before = m.regions(target);
  for (const Misuse& row : kMisuses) {
    SCOPED_TRACE(row.what);
    HANDLE process = target;
    if (row.who == Who::kNobody) process = NtMachine::bad_handle();
    if (row.who == Who::kMayNothing) process = restricted;
    if (row.who == Who::kTerminated) process = terminated;
    std::vector<std::uint8_t> buffer(2 * kPage);
    PVOID own = row.gives_buffer ? buffer.data() : nullptr;
    const bool told = row.read == STATUS_PARTIAL_COPY || row.read == STATUS_SUCCESS;
    SIZE_T done = 77;
    EXPECT_EQ(NtReadVirtualMemory(process, NtMachine::pointer(row.address), own, row.size, &done), row.read);
    EXPECT_EQ(done, row.read == STATUS_SUCCESS ? row.size : told ? row.done : 77);
    done = 77;
    EXPECT_EQ(NtWriteVirtualMemory(process, NtMachine::pointer(row.address), own, row.size, &done), row.write);
    EXPECT_EQ(done, row.write == STATUS_SUCCESS ? row.size : told ? row.done : 77);
    EXPECT_EQ(m.regions(target), before);
  }
  EXPECT_EQ(m.check(), "");
}

TEST(NtReadWriteVirtualMemory, MoveBytesAcrossPagesOfAProcessThatRunsNowhere) {
  NtMachine m;
  const auto before = m.totals();
  const HANDLE target = m.create_process();
  m.allocate(kRegion, 32 * kPage, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, target);
  std::vector<std::uint8_t> written(20 * kPage + 3);
  std::iota(written.begin(), written.end(), std::uint8_t{1});
  SIZE_T done = 0;
  ASSERT_EQ(NtWriteVirtualMemory(target, NtMachine::pointer(kRegion + 100), written.data(), written.size(), &done),
            STATUS_SUCCESS);
  EXPECT_EQ(done, written.size());
  EXPECT_EQ(m.check(), "");
  std::vector<std::uint8_t> read(written.size());
  ASSERT_EQ(NtReadVirtualMemory(target, NtMachine::pointer(kRegion + 100), read.data(), read.size(), nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(read, written);
  // The process itself sees them, and so does a reader after they went to the paging file.
  ASSERT_EQ(PagodaAttach(target), STATUS_SUCCESS);
  std::ranges::fill(read, std::uint8_t{0});
  EXPECT_EQ(PagodaLoad(NtMachine::pointer(kRegion + 100), read.data(), read.size()), STATUS_SUCCESS);
  EXPECT_EQ(read, written);
  ASSERT_EQ(PagodaDetach(), STATUS_SUCCESS);
  QUOTA_LIMITS empty{};
  empty.MinimumWorkingSetSize = ~SIZE_T{0};
  empty.MaximumWorkingSetSize = ~SIZE_T{0};
  ASSERT_EQ(NtSetInformationProcess(target, ProcessQuotaLimits, &empty, sizeof empty), STATUS_SUCCESS);
  EXPECT_TRUE(m.kernel().manager().flush_modified(m.caller().cpu()));
  std::ranges::fill(read, std::uint8_t{0});
  ASSERT_EQ(NtReadVirtualMemory(target, NtMachine::pointer(kRegion + 100), read.data(), read.size(), nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(read, written);
  EXPECT_EQ(m.check(), "");
  NtClose(target);
  EXPECT_EQ(m.totals(), before);
}

TEST(NtReadWriteVirtualMemory, OwnGuardPageLosesItsGuard) {
  NtMachine m;
  m.allocate(kRegion, kPage, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
  std::uint64_t value = 0;
  EXPECT_EQ(NtReadVirtualMemory(NtCurrentProcess(), NtMachine::pointer(kRegion), &value, sizeof value, nullptr),
            STATUS_PARTIAL_COPY);
  EXPECT_EQ(NtReadVirtualMemory(NtCurrentProcess(), NtMachine::pointer(kRegion), &value, sizeof value, nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

TEST(NtReadWriteVirtualMemory, WriteMakesACleanPageDirty) {
  NtMachine m;
  m.allocate(kRegion, kPage);
  std::uint64_t value = 5;
  ASSERT_EQ(NtMachine::put(kRegion, value), STATUS_SUCCESS);
  mm::MemoryManager& manager = m.kernel().manager();
  m.caller().space().empty_working_set(m.caller().cpu());
  ASSERT_TRUE(manager.flush_modified(m.caller().cpu()));
  ASSERT_EQ(NtMachine::get(kRegion, value), STATUS_SUCCESS);  // Clean again.
  value = 6;
  ASSERT_EQ(NtWriteVirtualMemory(NtCurrentProcess(), NtMachine::pointer(kRegion), &value, sizeof value, nullptr),
            STATUS_SUCCESS);
  m.caller().space().empty_working_set(m.caller().cpu());
  ASSERT_TRUE(manager.flush_modified(m.caller().cpu()));
  ASSERT_EQ(NtMachine::get(kRegion, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 6U);
  EXPECT_EQ(m.check(), "");
}

}  // namespace
}  // namespace pagoda::nt
