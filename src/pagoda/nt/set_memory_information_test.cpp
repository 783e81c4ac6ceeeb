// NtSetInformationVirtualMemory: prefetching. Beside Microsoft's PrefetchVirtualMemory.
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

MEMORY_RANGE_ENTRY range(std::uint64_t address, SIZE_T size) { return {NtMachine::pointer(address), size}; }

NTSTATUS prefetch(std::vector<MEMORY_RANGE_ENTRY> ranges, HANDLE process = NtCurrentProcess()) {
  ULONG flags = 0;
  return NtSetInformationVirtualMemory(process, VmPrefetchInformation, ranges.size(), ranges.data(), &flags,
                                       sizeof flags);
}

TEST(Prefetch, RefusesMisuseInOrder) {
  NtMachine m;
  const HANDLE nobody = NtMachine::bad_handle();
  ULONG none = 0;
  ULONG some = 1;
  MEMORY_RANGE_ENTRY empty{};
  MEMORY_RANGE_ENTRY one = range(kRegion, kPage);
  const auto set = [&](int what, ULONG_PTR count, MEMORY_RANGE_ENTRY* ranges, ULONG* flags, ULONG size) {
    return NtSetInformationVirtualMemory(nobody, static_cast<VIRTUAL_MEMORY_INFORMATION_CLASS>(what), count, ranges,
                                         flags, size);
  };
  EXPECT_EQ(set(9, 0, nullptr, nullptr, 0), STATUS_INVALID_PARAMETER_2);
  EXPECT_EQ(set(VmPrefetchInformation, 0, nullptr, nullptr, 0), STATUS_INVALID_PARAMETER_5);
  EXPECT_EQ(set(VmPrefetchInformation, 0, nullptr, &none, 2 * sizeof none), STATUS_INVALID_PARAMETER_6);
  EXPECT_EQ(set(VmPrefetchInformation, 0, nullptr, &some, sizeof some), STATUS_INVALID_PARAMETER_5);
  EXPECT_EQ(set(VmPrefetchInformation, 0, nullptr, &none, sizeof none), STATUS_INVALID_PARAMETER_3);
  EXPECT_EQ(set(VmPrefetchInformation, 1, nullptr, &none, sizeof none), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(set(VmPrefetchInformation, 1, &empty, &none, sizeof none), STATUS_INVALID_PARAMETER_4);
  EXPECT_EQ(set(VmPrefetchInformation, 1, &one, &none, sizeof none), STATUS_INVALID_HANDLE);
  EXPECT_EQ(prefetch({one, empty}), STATUS_INVALID_PARAMETER_4);
  EXPECT_EQ(prefetch({range(kRegion, ~SIZE_T{0})}), STATUS_INVALID_PARAMETER_4);  // Wraps.
  EXPECT_EQ(prefetch({one}, m.with_access(NtCurrentProcess(), PROCESS_QUERY_INFORMATION)), STATUS_ACCESS_DENIED);
  // A hint: nothing need be there.
  EXPECT_EQ(prefetch({one, range(0, kPage), range(~std::uint64_t{0} - kPage, kPage)}), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

class PrefetchedFile : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  PrefetchedFile() {
    directory_.write("data", std::vector<std::byte>(16 * kPage, std::byte{7}));
    machine_ =
        std::make_unique<NtMachine>(testing::NtMachineConfig{.paging = GetParam(), .directory = directory_.path()});
    HANDLE file = nullptr;
    PAGODA_CHECK_EQ(testing::open_file(file, u"\\data", FILE_READ_DATA), STATUS_SUCCESS);
    HANDLE section = nullptr;
    PAGODA_CHECK_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_READONLY, SEC_COMMIT, file),
                    STATUS_SUCCESS);
    PVOID base = nullptr;
    SIZE_T size = 0;
    PAGODA_CHECK_EQ(
        NtMapViewOfSection(section, NtCurrentProcess(), &base, 0, 0, nullptr, &size, ViewUnmap, 0, PAGE_READONLY),
        STATUS_SUCCESS);
    view_ = bits_of(base);
    NtClose(section);
    NtClose(file);
  }

  [[nodiscard]] std::uint64_t faults(mm::FaultKind kind) const {
    return machine_->kernel().manager().counters().faults.at(static_cast<std::size_t>(kind));
  }
  static SIZE_T working_set() {
    VM_COUNTERS counters{};
    PAGODA_CHECK_EQ(
        NtQueryInformationProcess(NtCurrentProcess(), ProcessVmCounters, &counters, sizeof counters, nullptr),
        STATUS_SUCCESS);
    return counters.WorkingSetSize;
  }

  const testing::NtDirectory directory_;
  std::unique_ptr<NtMachine> machine_;
  std::uint64_t view_ = 0;
};
INSTANTIATE_TEST_SUITE_P(PagingModes, PrefetchedFile,
                         ::testing::Values(machine::PteFormat::kAmd64, machine::PteFormat::kPae,
                                           machine::PteFormat::kX86));

TEST_P(PrefetchedFile, IsInMemoryAndNotInTheWorkingSet) {
  const SIZE_T before = working_set();
  ASSERT_EQ(prefetch({range(view_ + 5, 8 * kPage - 5), range(view_ + 12 * kPage, kPage)}), STATUS_SUCCESS);
  EXPECT_EQ(working_set(), before);
  EXPECT_EQ(machine_->check(), "");
  const std::uint64_t hard = faults(mm::FaultKind::kMappedFile);
  std::uint64_t value = 0;
  for (const std::uint64_t page : {0U, 3U, 7U, 12U}) {
    ASSERT_EQ(NtMachine::get(view_ + page * kPage, value), STATUS_SUCCESS);
    EXPECT_EQ(value, 0x0707070707070707U);
  }
  EXPECT_EQ(faults(mm::FaultKind::kMappedFile), hard);
  EXPECT_EQ(machine_->check(), "");
}

}  // namespace
}  // namespace pagoda::nt
