// NtGetWriteWatch, NtResetWriteWatch, and MEM_WRITE_WATCH: beside reference/nt.md 7.7.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kWatched = 0x50000000;  // 16 pages.
constexpr std::uint64_t kPlain = 0x60000000;
constexpr std::uint64_t kHighestVad = 0x7FFFFFDFFFF;  // AMD64, 8 TB.

struct Written {
  NTSTATUS status = STATUS_SUCCESS;
  std::vector<std::uint64_t> pages;  // From the region's start.
};

Written written(std::size_t room = 16, ULONG flags = 0, std::uint64_t base = kWatched, SIZE_T size = 16 * kPage) {
  std::vector<PVOID> addresses(room);
  ULONG_PTR count = room;
  ULONG granularity = 0;
  Written out{.status = NtGetWriteWatch(NtCurrentProcess(), flags, NtMachine::pointer(base), size, addresses.data(),
                                        &count, &granularity)};
  EXPECT_EQ(granularity, kPage);
  for (std::size_t i = 0; i < count; ++i) out.pages.push_back((bits_of(addresses[i]) - kWatched) / kPage);
  return out;
}

using Pages = std::vector<std::uint64_t>;

class NtWriteWatch : public ::testing::Test {
 protected:
  NtWriteWatch() {
    machine_.allocate(kWatched, 16 * kPage, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
    machine_.allocate(kPlain, kPage);
  }
  NtMachine machine_;
};

enum class Who : std::uint8_t { kSelf, kNobody, kMayNotOperate };

struct Misuse {
  const char* what;
  NTSTATUS status;
  ULONG flags = 0;
  std::uint64_t base = kWatched;
  SIZE_T size = kPage;
  ULONG_PTR count = 4;
  Who who = Who::kSelf;
  bool resets = true;  // NtResetWriteWatch says the same.
};

constexpr auto kMisuses = std::to_array<Misuse>({
    {"unknown flag", STATUS_INVALID_PARAMETER_1, 2, kHighestVad + 1, 0, 0, Who::kNobody, false},
    {"base above the highest", STATUS_INVALID_PARAMETER_2, 0, kHighestVad + 1, 0, 0, Who::kNobody},
    {"size zero", STATUS_INVALID_PARAMETER_3, 0, kWatched, 0, 0, Who::kNobody},
    {"wraps", STATUS_INVALID_PARAMETER_3, 0, kWatched, ~SIZE_T{0}, 0, Who::kNobody},
    {"count zero", STATUS_INVALID_PARAMETER_5, 0, kWatched, kPage, 0, Who::kNobody, false},
    {"count absurd", STATUS_INVALID_PARAMETER_5, 0, kWatched, kPage, ~ULONG_PTR{0} / 4, Who::kNobody, false},
    {"no process", STATUS_INVALID_HANDLE, 0, kPlain, kPage, 4, Who::kNobody},
    {"without VM_OPERATION", STATUS_ACCESS_DENIED, 0, kPlain, kPage, 4, Who::kMayNotOperate},
    {"not a watched region", STATUS_INVALID_PARAMETER_1, 0, kPlain},
    {"nothing there", STATUS_INVALID_PARAMETER_1, 0, 0x10000000},
    {"leaves the region", STATUS_INVALID_PARAMETER_1, 0, kWatched + 15 * kPage, 2 * kPage},
});

TEST_F(NtWriteWatch, RefuseMisuseInOrderAndChangeNothing) {
  const HANDLE restricted = machine_.with_access(NtCurrentProcess(), PROCESS_VM_READ);
  ASSERT_EQ(NtMachine::put(kWatched, 1), STATUS_SUCCESS);
  std::array<PVOID, 4> addresses{};
  ULONG granularity = 0;
  for (const Misuse& row : kMisuses) {
    SCOPED_TRACE(row.what);
    HANDLE process = NtCurrentProcess();
    if (row.who == Who::kNobody) process = NtMachine::bad_handle();
    if (row.who == Who::kMayNotOperate) process = restricted;
    ULONG_PTR count = row.count;
    EXPECT_EQ(NtGetWriteWatch(process, row.flags, NtMachine::pointer(row.base), row.size, addresses.data(), &count,
                              &granularity),
              row.status);
    EXPECT_EQ(count, row.count);
    EXPECT_EQ(granularity, 0U);
    if (row.resets) {
      EXPECT_EQ(NtResetWriteWatch(process, NtMachine::pointer(row.base), row.size), row.status);
    }
    EXPECT_EQ(written().pages, Pages{0});
  }
  ULONG_PTR count = 4;
  const auto get = [&](PVOID* into, ULONG_PTR* how_many, ULONG* unit) {
    return NtGetWriteWatch(NtCurrentProcess(), 0, NtMachine::pointer(kWatched), kPage, into, how_many, unit);
  };
  EXPECT_EQ(get(nullptr, &count, &granularity), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(get(addresses.data(), nullptr, &granularity), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(get(addresses.data(), &count, nullptr), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(machine_.check(), "");
}

TEST_F(NtWriteWatch, TellsWhatWasWrittenUpwardAndForgetsWhatItTold) {
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(kWatched + 2 * kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(written().pages, Pages{});
  for (const std::uint64_t page : {9, 3, 5}) ASSERT_EQ(NtMachine::put(kWatched + page * kPage, page), STATUS_SUCCESS);
  EXPECT_EQ(written().pages, (Pages{3, 5, 9}));
  EXPECT_EQ(written(2).pages, (Pages{3, 5}));
  EXPECT_EQ(written(2, WRITE_WATCH_FLAG_RESET).pages, (Pages{3, 5}));
  EXPECT_EQ(written().pages, Pages{9});
  ASSERT_EQ(NtMachine::put(kWatched + 5 * kPage, 1), STATUS_SUCCESS);
  EXPECT_EQ(written(1000).pages, (Pages{5, 9}));
  EXPECT_EQ(written(4, 0, kWatched + 6 * kPage, 10 * kPage).pages, Pages{9});
  EXPECT_EQ(NtResetWriteWatch(NtCurrentProcess(), NtMachine::pointer(kWatched + 9 * kPage), 1), STATUS_SUCCESS);
  EXPECT_EQ(written().pages, Pages{5});
  EXPECT_EQ(machine_.check(), "");
}

// More than are looked at once, and room for more than there can be.
TEST_F(NtWriteWatch, TellsOfMoreThanOnePart) {
  constexpr std::uint64_t kLarge = 0x70000000;
  constexpr std::uint64_t kPages = 1200;
  machine_.allocate(kLarge, kPages * kPage, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
  for (std::uint64_t page = 0; page < kPages; ++page)
    ASSERT_EQ(NtMachine::put(kLarge + page * kPage, 1), STATUS_SUCCESS);
  EXPECT_EQ(written(1 << 20, 0, kLarge, kPages * kPage).pages.size(), kPages);
  EXPECT_EQ(written(1100, WRITE_WATCH_FLAG_RESET, kLarge, kPages * kPage).pages.size(), 1100U);
  const std::vector<std::uint64_t> rest = written(1 << 20, 0, kLarge, kPages * kPage).pages;
  ASSERT_EQ(rest.size(), kPages - 1100);
  EXPECT_EQ(rest.front(), (kLarge - kWatched) / kPage + 1100);
  // A whole number of parts, and no more.
  EXPECT_EQ(written(1024, 0, kLarge + 1100 * kPage, 100 * kPage).pages.size(), 100U);
  EXPECT_EQ(machine_.check(), "");
}

TEST_F(NtWriteWatch, SeesTheKernelsWritesAndOutlastsProtectAndDecommit) {
  std::uint64_t value = 7;
  ASSERT_EQ(
      NtWriteVirtualMemory(NtCurrentProcess(), NtMachine::pointer(kWatched + kPage), &value, sizeof value, nullptr),
      STATUS_SUCCESS);
  EXPECT_EQ(written().pages, Pages{1});
  PVOID base = NtMachine::pointer(kWatched + kPage);
  SIZE_T size = kPage;
  ULONG old = 0;
  ASSERT_EQ(NtProtectVirtualMemory(NtCurrentProcess(), &base, &size, PAGE_READONLY, &old), STATUS_SUCCESS);
  ASSERT_EQ(NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_DECOMMIT), STATUS_SUCCESS);
  EXPECT_EQ(written().pages, Pages{1});
  EXPECT_EQ(machine_.check(), "");
}

}  // namespace
}  // namespace pagoda::nt
