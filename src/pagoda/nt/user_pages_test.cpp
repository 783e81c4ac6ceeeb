// AWE: NtAllocateUserPhysicalPages and its kin, and MEM_PHYSICAL. Beside reference/nt.md 7.8.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kWindow = 0x50000000;  // 16 pages.
constexpr std::uint64_t kPlain = 0x60000000;

class NtUserPages : public ::testing::Test {
 protected:
  NtUserPages() : before_(machine_.totals()) {
    machine_.allocate(kWindow, 16 * kPage, MEM_RESERVE | MEM_PHYSICAL);
    machine_.allocate(kPlain, kPage);
  }

  static std::vector<ULONG_PTR> frames(ULONG_PTR count) {
    std::vector<ULONG_PTR> out(count);
    PAGODA_CHECK_EQ(NtAllocateUserPhysicalPages(NtCurrentProcess(), &count, out.data()), STATUS_SUCCESS);
    out.resize(count);
    return out;
  }
  static NTSTATUS map(std::uint64_t page, std::vector<ULONG_PTR> numbers) {
    return NtMapUserPhysicalPages(NtMachine::pointer(kWindow + page * kPage), numbers.size(), numbers.data());
  }
  static NTSTATUS scatter(std::vector<std::uint64_t> at, std::vector<ULONG_PTR> numbers) {
    std::vector<PVOID> addresses;
    for (const std::uint64_t address : at) addresses.push_back(NtMachine::pointer(address));
    return NtMapUserPhysicalPagesScatter(addresses.data(), addresses.size(),
                                         numbers.empty() ? nullptr : numbers.data());
  }

  // Not the program's own: its page directory.
  ULONG_PTR foreign_frame() { return machine_.caller().space().root().value(); }

  NtMachine machine_;
  NtMachine::Totals before_;
};

TEST_F(NtUserPages, AllocateRefusesMisuseInOrder) {
  const HANDLE restricted = machine_.with_access(NtCurrentProcess(), PROCESS_VM_READ);
  const auto before = machine_.totals();
  PagodaSetPrivilege(NtCurrentProcess(), SE_LOCK_MEMORY_PRIVILEGE, 0, nullptr);
  std::array<ULONG_PTR, 4> out{};
  ULONG_PTR count = ~ULONG_PTR{0};
  const auto allocate = [&](HANDLE process) { return NtAllocateUserPhysicalPages(process, &count, out.data()); };
  EXPECT_EQ(NtAllocateUserPhysicalPages(NtMachine::bad_handle(), nullptr, out.data()), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtAllocateUserPhysicalPages(NtMachine::bad_handle(), &count, nullptr), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(allocate(NtMachine::bad_handle()), STATUS_INVALID_PARAMETER_2);
  count = 4;
  EXPECT_EQ(allocate(NtMachine::bad_handle()), STATUS_INVALID_HANDLE);
  EXPECT_EQ(allocate(restricted), STATUS_ACCESS_DENIED);
  EXPECT_EQ(allocate(NtCurrentProcess()), STATUS_PRIVILEGE_NOT_HELD);
  EXPECT_EQ(count, 4U);
  count = 0;
  EXPECT_EQ(allocate(NtMachine::bad_handle()), STATUS_SUCCESS);
  EXPECT_EQ(out, (std::array<ULONG_PTR, 4>{}));
  EXPECT_EQ(machine_.totals(), before);
}

TEST_F(NtUserPages, FewerThanAskedForIfThereAreNoMore) {
  const std::vector<ULONG_PTR> all = frames(100000);
  EXPECT_GT(all.size(), 200U);
  EXPECT_LT(all.size(), 512U);
  ULONG_PTR count = 1;
  ULONG_PTR one = 0;
  EXPECT_EQ(NtAllocateUserPhysicalPages(NtCurrentProcess(), &count, &one), STATUS_INSUFFICIENT_RESOURCES);
  EXPECT_EQ(machine_.check(), "");
}

TEST_F(NtUserPages, AreMappedReplacedAndUnmapped) {
  const std::vector<ULONG_PTR> f = frames(4);
  ASSERT_EQ(map(0, {f[0], f[1]}), STATUS_SUCCESS);
  std::uint64_t value = 1;
  EXPECT_EQ(NtMachine::get(kWindow, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 0U);
  ASSERT_EQ(NtMachine::put(kWindow, 10), STATUS_SUCCESS);
  ASSERT_EQ(NtMachine::put(kWindow + kPage, 11), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::put(kWindow + 2 * kPage, 1), STATUS_ACCESS_VIOLATION);
  // Swapped, then elsewhere, then scattered.
  ASSERT_EQ(map(0, {f[1], f[0]}), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(kWindow, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 11U);
  EXPECT_EQ(NtMapUserPhysicalPages(NtMachine::pointer(kWindow), 2, nullptr), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(kWindow, value), STATUS_ACCESS_VIOLATION);
  ASSERT_EQ(scatter({kWindow + 9 * kPage, kWindow + 3 * kPage}, {f[0], f[1]}), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(kWindow + 9 * kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 10U);
  EXPECT_EQ(machine_.check(), "");
  // 0 unmaps one, no array all.
  ASSERT_EQ(scatter({kWindow + 9 * kPage, kWindow + 4 * kPage}, {0, f[2]}), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(kWindow + 9 * kPage, value), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtMachine::get(kWindow + 4 * kPage, value), STATUS_SUCCESS);
  ASSERT_EQ(scatter({kWindow + 3 * kPage, kWindow + 4 * kPage}, {}), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(kWindow + 3 * kPage, value), STATUS_ACCESS_VIOLATION);
  // Freed while it is mapped.
  ASSERT_EQ(map(0, {f[3]}), STATUS_SUCCESS);
  ULONG_PTR count = f.size();
  EXPECT_EQ(NtFreeUserPhysicalPages(NtCurrentProcess(), &count, std::vector<ULONG_PTR>(f).data()), STATUS_SUCCESS);
  EXPECT_EQ(count, 4U);
  EXPECT_EQ(NtMachine::get(kWindow, value), STATUS_ACCESS_VIOLATION);
  machine_.release(kWindow);
  machine_.release(kPlain);
  EXPECT_EQ(machine_.check(), "");
  EXPECT_EQ(machine_.totals(), before_);
}

TEST_F(NtUserPages, MapRefusesMisuseAndChangesNothing) {
  const std::vector<ULONG_PTR> f = frames(3);
  ASSERT_EQ(map(8, {f[2]}), STATUS_SUCCESS);
  const auto at = [](std::uint64_t address, ULONG_PTR count, ULONG_PTR number) {
    return NtMapUserPhysicalPages(NtMachine::pointer(address), count, &number);
  };
  const std::string regions = machine_.regions();
  EXPECT_EQ(at(kPlain, ~ULONG_PTR{0}, f[0]), STATUS_INVALID_PARAMETER_2);
  EXPECT_EQ(at(kPlain, 1, f[0]), STATUS_INVALID_PARAMETER_1);
  EXPECT_EQ(at(0x10000000, 1, f[0]), STATUS_INVALID_PARAMETER_1);
  EXPECT_EQ(at(~std::uint64_t{0}, 1, f[0]), STATUS_INVALID_PARAMETER_1);
  EXPECT_EQ(map(15, {f[0], f[1]}), STATUS_INVALID_PARAMETER_1);
  EXPECT_EQ(map(0, {f[0], 0}), STATUS_INVALID_PARAMETER_3);
  EXPECT_EQ(map(0, {f[0], foreign_frame()}), STATUS_INVALID_PARAMETER_3);
  EXPECT_EQ(map(0, {f[0], (ULONG_PTR{1} << 32) | f[1]}), STATUS_INVALID_PARAMETER_3);
  EXPECT_EQ(map(0, {f[0], f[0]}), STATUS_CONFLICTING_ADDRESSES);
  EXPECT_EQ(map(0, {f[0], f[2]}), STATUS_CONFLICTING_ADDRESSES);
  EXPECT_EQ(scatter({kWindow, kWindow}, {f[0], f[1]}), STATUS_INVALID_PARAMETER_1);
  EXPECT_EQ(scatter({kWindow, kPlain}, {f[0], f[1]}), STATUS_INVALID_PARAMETER_1);
  EXPECT_EQ(scatter({kWindow, kWindow + kPage}, {f[0], f[2]}), STATUS_CONFLICTING_ADDRESSES);
  EXPECT_EQ(NtMapUserPhysicalPagesScatter(nullptr, ~ULONG_PTR{0}, nullptr), STATUS_INVALID_PARAMETER_2);
  EXPECT_EQ(NtMapUserPhysicalPagesScatter(nullptr, 1, nullptr), STATUS_ACCESS_VIOLATION);
  // No more than a part of a wild number of addresses is looked at, and none of it is kept.
  std::vector<PVOID> nowhere(512, NtMachine::pointer(kPlain));
  EXPECT_EQ(NtMapUserPhysicalPagesScatter(nowhere.data(), ULONG_PTR{1} << 30, nullptr), STATUS_INVALID_PARAMETER_1);
  EXPECT_EQ(machine_.regions(), regions);
  EXPECT_EQ(at(kPlain, 0, 0), STATUS_SUCCESS);
  EXPECT_EQ(machine_.check(), "");
}

TEST_F(NtUserPages, FreeStopsAtTheFirstForeignFrameAndTellsHowFarItCame) {
  const HANDLE restricted = machine_.with_access(NtCurrentProcess(), PROCESS_VM_READ);
  const std::vector<ULONG_PTR> f = frames(3);
  std::vector<ULONG_PTR> numbers{f[0], f[1], foreign_frame(), f[2]};
  ULONG_PTR count = ~ULONG_PTR{0};
  EXPECT_EQ(NtFreeUserPhysicalPages(NtMachine::bad_handle(), nullptr, numbers.data()), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtFreeUserPhysicalPages(NtMachine::bad_handle(), &count, nullptr), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtFreeUserPhysicalPages(NtMachine::bad_handle(), &count, numbers.data()), STATUS_INVALID_PARAMETER_2);
  count = 4;
  EXPECT_EQ(NtFreeUserPhysicalPages(NtMachine::bad_handle(), &count, numbers.data()), STATUS_INVALID_HANDLE);
  EXPECT_EQ(NtFreeUserPhysicalPages(restricted, &count, numbers.data()), STATUS_ACCESS_DENIED);
  EXPECT_EQ(count, 4U);
  EXPECT_EQ(NtFreeUserPhysicalPages(NtCurrentProcess(), &count, numbers.data()), STATUS_CONFLICTING_ADDRESSES);
  EXPECT_EQ(count, 2U);
  EXPECT_EQ(map(0, {f[2]}), STATUS_SUCCESS);  // It is the program's still.
  EXPECT_EQ(map(1, {f[1]}), STATUS_INVALID_PARAMETER_3);
  EXPECT_EQ(machine_.check(), "");
}

TEST_F(NtUserPages, AWindowIsReleasedAsAWholeAndNeverCommitted) {
  const std::vector<ULONG_PTR> f = frames(1);
  ASSERT_EQ(map(1, f), STATUS_SUCCESS);
  PVOID base = NtMachine::pointer(kWindow);
  SIZE_T size = kPage;
  EXPECT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_COMMIT, PAGE_READWRITE),
            STATUS_CONFLICTING_ADDRESSES);
  EXPECT_EQ(NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_DECOMMIT), STATUS_MEMORY_NOT_ALLOCATED);
  EXPECT_EQ(NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE), STATUS_FREE_VM_NOT_AT_BASE);
  machine_.release(kWindow);
  EXPECT_EQ(machine_.check(), "");
  // The frame is the program's as long as it does not free it, for any window.
  machine_.allocate(kWindow, kPage, MEM_RESERVE | MEM_PHYSICAL);
  EXPECT_EQ(map(0, f), STATUS_SUCCESS);
  EXPECT_EQ(machine_.check(), "");
}

}  // namespace
}  // namespace pagoda::nt
