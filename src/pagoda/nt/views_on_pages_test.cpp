// MEM_DOS_LIM for views: on 32-bit systems a view's base is on a page, elsewhere it is refused (reference/nt.md 6.2; issue
// 10).
#include <gtest/gtest.h>

#include "pagoda/mm/testing/pe_builder.h"
#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr SIZE_T kSize = 0x2000;

class ViewsOnPages : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  ViewsOnPages() : m({.paging = GetParam(), .directory = directory_.path()}) {
    LARGE_INTEGER size{};
    size.QuadPart = kSize;
    PAGODA_CHECK_EQ(NtCreateSection(&section_, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr),
                    STATUS_SUCCESS);
  }
  static NTSTATUS map(HANDLE section, std::uint64_t& base, ULONG type, ULONG protect = PAGE_READWRITE) {
    PVOID at = NtMachine::pointer(base);
    SIZE_T size = 0;
    const NTSTATUS status =
        NtMapViewOfSection(section, NtCurrentProcess(), &at, 0, 0, nullptr, &size, ViewShare, type, protect);
    base = bits_of(at);
    return status;
  }
  NTSTATUS map(std::uint64_t& base, ULONG type) { return map(section_, base, type); }
  NTSTATUS map_extended(ULONG type) {
    PVOID at = nullptr;
    SIZE_T size = 0;
    return NtMapViewOfSectionEx(section_, NtCurrentProcess(), &at, nullptr, &size, type, PAGE_READWRITE, nullptr, 0);
  }
  static bool wide() { return GetParam() == machine::PteFormat::kAmd64; }

  const testing::NtDirectory directory_;  // Outlives the machine.
  NtMachine m;
  HANDLE section_ = nullptr;
};

TEST_P(ViewsOnPages, AreRefusedBy64BitSystems) {
  if (!wide()) GTEST_SKIP() << "of 64-bit modes";
  const std::string before = m.regions();
  for (const std::uint64_t wished : {0x30000000U, 0x30001000U, 0x30001042U, 0U}) {
    std::uint64_t base = wished;
    EXPECT_EQ(map(base, MEM_DOS_LIM), STATUS_INVALID_PARAMETER_9);
    EXPECT_EQ(base, wished);
  }
  EXPECT_EQ(map_extended(MEM_DOS_LIM), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(m.regions(), before);
}

TEST_P(ViewsOnPages, BeginOnThePageThatTheBaseIsIn) {
  if (wide()) GTEST_SKIP() << "of 32-bit modes";
  std::uint64_t base = 0x30001000;
  EXPECT_EQ(map(base, 0), STATUS_MAPPED_ALIGNMENT);
  ASSERT_EQ(map(base, MEM_DOS_LIM), STATUS_SUCCESS);
  EXPECT_EQ(base, 0x30001000U);
  std::uint64_t rounded = 0x40002FFF;
  ASSERT_EQ(map(rounded, MEM_DOS_LIM | MEM_TOP_DOWN), STATUS_SUCCESS);
  EXPECT_EQ(rounded, 0x40002000U);
  EXPECT_EQ(NtMachine::query(rounded).AllocationBase, NtMachine::pointer(rounded));
  for (const std::uint64_t taken : {0x30000042U, 0x30001042U, 0x30002FFFU}) {
    std::uint64_t over = taken;
    EXPECT_EQ(map(over, MEM_DOS_LIM), STATUS_CONFLICTING_ADDRESSES);
    EXPECT_EQ(over, taken);
  }
  // In the same 64 KB, behind it.
  std::uint64_t behind = 0x30003000;
  EXPECT_EQ(map(behind, MEM_DOS_LIM), STATUS_SUCCESS);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::put(base + 8, 77), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(behind + 8, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 77U);
  // Without a base, or with one in page 0, the manager chooses, 64 KB apart as ever.
  for (const std::uint64_t none : {0U, 0x42U}) {
    std::uint64_t chosen = none;
    EXPECT_EQ(map(chosen, MEM_DOS_LIM), STATUS_SUCCESS);
    EXPECT_EQ(chosen % 0x10000, 0U);
    EXPECT_NE(chosen, 0U);
  }
  EXPECT_EQ(map_extended(MEM_DOS_LIM), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
  for (const std::uint64_t view : {base, rounded, behind})
    EXPECT_EQ(NtUnmapViewOfSection(NtCurrentProcess(), NtMachine::pointer(view)), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

TEST_P(ViewsOnPages, OfImagesAreNotAtTheirBase) {
  if (wide()) GTEST_SKIP() << "of 32-bit modes";
  mm::testing::PeBuilder pe(mm::PeFormat::kPe32);
  pe.add({.name = ".data", .flags = mm::testing::kPeData, .bytes = mm::testing::pe_bytes(0x200, 1)});
  directory_.write("image", pe.build());
  HANDLE image = nullptr;
  ASSERT_EQ(testing::create_image(image, u"\\image"), STATUS_SUCCESS);
  std::uint64_t base = 0x30001000;
  EXPECT_EQ(map(image, base, MEM_DOS_LIM, PAGE_READONLY), STATUS_IMAGE_NOT_AT_BASE);
  EXPECT_EQ(base, 0x30001000U);
  EXPECT_EQ(NtMachine::put(base + 0x1000, 1), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

INSTANTIATE_TEST_SUITE_P(All, ViewsOnPages,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& test) { return std::string(machine::paging_mode(test.param).name); });

}  // namespace
}  // namespace pagoda::nt
