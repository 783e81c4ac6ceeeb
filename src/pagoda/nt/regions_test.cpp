// Regions that are not plain memory, through NtAllocateVirtualMemory(Ex): large pages, resets, placeholders, and where
// views of the Ex call lie. Beside reference/nt.md 7.1, 7.2, 7.9.
#include <gtest/gtest.h>

#include <array>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kBase = 0x50000000;
constexpr std::uint64_t kLarge = 0x200000;
constexpr std::uint64_t kTaken = 0x60000000;

NTSTATUS allocate(std::uint64_t base, SIZE_T size, ULONG type, ULONG protect = PAGE_READWRITE) {
  PVOID at = NtMachine::pointer(base);
  return NtAllocateVirtualMemory(NtCurrentProcess(), &at, 0, &size, type, protect);
}

NTSTATUS allocate_ex(std::uint64_t base, SIZE_T size, ULONG type, ULONG protect = PAGE_READWRITE) {
  PVOID at = NtMachine::pointer(base);
  return NtAllocateVirtualMemoryEx(NtCurrentProcess(), &at, &size, type, protect, nullptr, 0);
}

NTSTATUS release(std::uint64_t base, SIZE_T size, ULONG type = MEM_RELEASE) {
  PVOID at = NtMachine::pointer(base);
  return NtFreeVirtualMemory(NtCurrentProcess(), &at, &size, type);
}

SIZE_T virtual_size() {
  VM_COUNTERS counters{};
  PAGODA_CHECK_EQ(NtQueryInformationProcess(NtCurrentProcess(), ProcessVmCounters, &counters, sizeof counters, nullptr),
                  STATUS_SUCCESS);
  return counters.VirtualSize;
}

struct Row {
  const char* what;
  NTSTATUS status;
  std::uint64_t base;
  SIZE_T size;
  ULONG type;
  ULONG protect = PAGE_READWRITE;
};

// --- Large pages ---

constexpr ULONG kLargeType = MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES;

TEST(LargePages, ComeAtOnceAndGoAsAWhole) {
  NtMachine m({.frames = PageCount(4096)});
  const auto before = m.totals();
  const auto rows = std::to_array<Row>({
      {"base not on a large page", STATUS_INVALID_PARAMETER_2, kBase + 0x10000, kLarge, kLargeType},
      {"size no multiple", STATUS_INVALID_PARAMETER_4, kBase, kLarge + kPage, kLargeType},
      {"commit alone", STATUS_INVALID_PARAMETER_5, kBase, kLarge, MEM_COMMIT | MEM_LARGE_PAGES},
      {"no access", STATUS_INVALID_PAGE_PROTECTION, kBase, kLarge, kLargeType, PAGE_NOACCESS},
      {"more than there is in rows", STATUS_INSUFFICIENT_RESOURCES, kBase, 8 * kLarge, kLargeType},
  });
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    EXPECT_EQ(allocate(row.base, row.size, row.type, row.protect), row.status);
    EXPECT_EQ(m.totals(), before);
  }
  ASSERT_EQ(allocate(kBase, 2 * kLarge, kLargeType), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::put(kBase + kLarge + 5 * kPage, 7), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(kBase).RegionSize, 2 * kLarge);
  MEMORY_WORKING_SET_EX_INFORMATION info{.VirtualAddress = NtMachine::pointer(kBase)};
  ASSERT_EQ(
      NtQueryVirtualMemory(NtCurrentProcess(), nullptr, MemoryWorkingSetExInformation, &info, sizeof info, nullptr),
      STATUS_SUCCESS);
  EXPECT_EQ(info.u1.VirtualAttributes.Valid, 1U);
  EXPECT_EQ(info.u1.VirtualAttributes.LargePage, 1U);
  EXPECT_EQ(info.u1.VirtualAttributes.Win32Protection, PAGE_READWRITE);
  EXPECT_EQ(release(kBase, kLarge, MEM_DECOMMIT), STATUS_MEMORY_NOT_ALLOCATED);
  EXPECT_EQ(release(kBase, kLarge), STATUS_FREE_VM_NOT_AT_BASE);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(release(kBase, 0), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(m.totals(), before);
}

TEST(LargePages, OfSectionsLieWhereTheRequirementsSay) {
  NtMachine m({.frames = PageCount(4096)});
  const auto before = m.totals();
  LARGE_INTEGER section_size{};
  section_size.QuadPart = kLarge;
  HANDLE section = nullptr;
  ASSERT_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &section_size, PAGE_READWRITE,
                            SEC_COMMIT | SEC_LARGE_PAGES, nullptr),
            STATUS_SUCCESS);
  MEM_ADDRESS_REQUIREMENTS wishes{NtMachine::pointer(0x7010000), nullptr, 0};
  MEM_EXTENDED_PARAMETER parameter{};
  parameter.Type = MemExtendedParameterAddressRequirements;
  parameter.Pointer = &wishes;
  PVOID base = nullptr;
  SIZE_T size = 0;
  ASSERT_EQ(NtMapViewOfSectionEx(section, NtCurrentProcess(), &base, nullptr, &size, MEM_LARGE_PAGES, PAGE_READWRITE,
                                 &parameter, 1),
            STATUS_SUCCESS);
  EXPECT_EQ(bits_of(base), 0x7200000U);
  EXPECT_EQ(NtMachine::put(bits_of(base) + kPage, 3), STATUS_SUCCESS);
  MEMORY_WORKING_SET_EX_INFORMATION info{.VirtualAddress = base};
  ASSERT_EQ(
      NtQueryVirtualMemory(NtCurrentProcess(), nullptr, MemoryWorkingSetExInformation, &info, sizeof info, nullptr),
      STATUS_SUCCESS);
  EXPECT_EQ(info.u1.VirtualAttributes.LargePage, 1U);
  EXPECT_EQ(info.u1.VirtualAttributes.Win32Protection, PAGE_READWRITE);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(NtUnmapViewOfSection(NtCurrentProcess(), base), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(section), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(m.totals(), before);
}

// --- Resets ---

TEST(Reset, ChecksItsRange) {
  NtMachine m;
  m.allocate(kBase, 4 * kPage);
  m.allocate(kTaken, 4 * kPage, MEM_RESERVE);
  for (const ULONG type : {MEM_RESET, MEM_RESET_UNDO}) {
    EXPECT_EQ(allocate(kBase, kPage, type, 0), STATUS_INVALID_PAGE_PROTECTION);
    EXPECT_EQ(allocate(kBase, 0, type), STATUS_INVALID_PARAMETER_4);
    EXPECT_EQ(allocate(kBase, 5 * kPage, type), STATUS_CONFLICTING_ADDRESSES);
    EXPECT_EQ(allocate(0x10000000, kPage, type), STATUS_CONFLICTING_ADDRESSES);
    EXPECT_EQ(allocate(0, kPage, type), STATUS_CONFLICTING_ADDRESSES);
  }
  EXPECT_EQ(allocate(kTaken, kPage, MEM_RESET), STATUS_SUCCESS);  // Reserved will do.
  EXPECT_EQ(m.check(), "");
}

TEST(Reset, DropsContentsThatCanBeHadBackWhileTheyAreThere) {
  NtMachine m;
  m.allocate(kBase, 4 * kPage);
  for (std::uint64_t page = 0; page < 4; ++page)
    ASSERT_EQ(NtMachine::put(kBase + page * kPage, page + 1), STATUS_SUCCESS);
  PVOID base = NtMachine::pointer(kBase + 5);
  SIZE_T size = 2 * kPage;
  ASSERT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESET, PAGE_NOACCESS), STATUS_SUCCESS);
  EXPECT_EQ(bits_of(base), kBase);
  EXPECT_EQ(size, 3 * kPage);
  EXPECT_EQ(NtMachine::query(kBase).Protect, PAGE_READWRITE);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(allocate(kBase, 3 * kPage, MEM_RESET_UNDO), STATUS_SUCCESS);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(kBase + kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 2U);
  // Where others need the frames, they go without being written.
  ASSERT_EQ(allocate(kBase, 3 * kPage, MEM_RESET), STATUS_SUCCESS);
  m.allocate(kTaken, 600 * kPage);
  for (std::uint64_t page = 0; page < 600; ++page)
    ASSERT_EQ(NtMachine::put(kTaken + page * kPage, page), STATUS_SUCCESS);
  EXPECT_EQ(allocate(kBase, 3 * kPage, MEM_RESET_UNDO), nt_status(mm::kResetContentsLost));
  EXPECT_EQ(NtMachine::get(kBase + kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 0U);
  EXPECT_EQ(NtMachine::get(kBase + 3 * kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 4U);
  EXPECT_EQ(m.check(), "");
}

// --- Placeholders ---

constexpr ULONG kReservePlaceholder = MEM_RESERVE | MEM_RESERVE_PLACEHOLDER;
constexpr ULONG kReplace = MEM_RESERVE | MEM_REPLACE_PLACEHOLDER;

class Placeholders : public ::testing::Test {
 protected:
  // A placeholder of 16 pages, and plain reserved memory.
  Placeholders() : before_(machine_.totals()) {
    PAGODA_CHECK_EQ(allocate_ex(kBase, 16 * kPage, kReservePlaceholder, PAGE_NOACCESS), STATUS_SUCCESS);
    machine_.allocate(kTaken, 16 * kPage, MEM_RESERVE);
    LARGE_INTEGER size{};
    size.QuadPart = 4 * kPage;
    PAGODA_CHECK_EQ(NtCreateSection(&section_, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr),
                    STATUS_SUCCESS);
  }

  [[nodiscard]] NTSTATUS map(std::uint64_t base, SIZE_T size, ULONG type = MEM_REPLACE_PLACEHOLDER,
                             LONGLONG offset = 0) const {
    PVOID at = NtMachine::pointer(base);
    LARGE_INTEGER from{.QuadPart = offset};
    return NtMapViewOfSectionEx(section_, NtCurrentProcess(), &at, &from, &size, type, PAGE_READWRITE, nullptr, 0);
  }
  static NTSTATUS unmap(std::uint64_t base, ULONG flags) {
    return NtUnmapViewOfSectionEx(NtCurrentProcess(), NtMachine::pointer(base), flags);
  }

  NtMachine machine_;
  NtMachine::Totals before_;
  HANDLE section_ = nullptr;
};

TEST_F(Placeholders, ReserveAndReplaceRefuseMisuse) {
  const auto rows = std::to_array<Row>({
      {"with rights", STATUS_INVALID_PARAMETER, 0, kPage, kReservePlaceholder},
      {"committed", STATUS_INVALID_PARAMETER, 0, kPage, kReservePlaceholder | MEM_COMMIT, PAGE_NOACCESS},
      {"watched", STATUS_INVALID_PARAMETER, 0, kPage, kReservePlaceholder | MEM_WRITE_WATCH, PAGE_NOACCESS},
      {"not reserved", STATUS_INVALID_PARAMETER, 0, kPage, MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS},
      {"both", STATUS_INVALID_PARAMETER, kBase, 16 * kPage, kReservePlaceholder | MEM_REPLACE_PLACEHOLDER,
       PAGE_NOACCESS},
      {"commit replaces nothing", STATUS_INVALID_PARAMETER, kBase, 16 * kPage, MEM_COMMIT | MEM_REPLACE_PLACEHOLDER},
      {"none named", STATUS_INVALID_PARAMETER, 0, 16 * kPage, kReplace},
      {"a part of one", STATUS_CONFLICTING_ADDRESSES, kBase, 8 * kPage, kReplace},
      {"more than one", STATUS_CONFLICTING_ADDRESSES, kBase, 17 * kPage, kReplace},
      {"not one", STATUS_CONFLICTING_ADDRESSES, kTaken, 16 * kPage, kReplace},
      {"nothing", STATUS_CONFLICTING_ADDRESSES, 0x10000000, 16 * kPage, kReplace},
      {"commit in one", STATUS_CONFLICTING_ADDRESSES, kBase, kPage, MEM_COMMIT},
  });
  const std::string regions = machine_.regions();
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    EXPECT_EQ(allocate_ex(row.base, row.size, row.type, row.protect), row.status);
    EXPECT_EQ(machine_.regions(), regions);
  }
  // The plain call knows none of it.
  EXPECT_EQ(allocate(0, kPage, kReservePlaceholder, PAGE_NOACCESS), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(allocate(kBase, 16 * kPage, kReplace), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(machine_.check(), "");
}

TEST_F(Placeholders, FreeRefusesMisuseInOrder) {
  const auto rows = std::to_array<Row>({
      {"coalesce without release", STATUS_INVALID_PARAMETER_4, ~std::uint64_t{0}, 0, MEM_COALESCE_PLACEHOLDERS},
      {"preserve without release", STATUS_INVALID_PARAMETER_4, kBase, kPage, MEM_PRESERVE_PLACEHOLDER},
      {"preserve and decommit", STATUS_INVALID_PARAMETER_4, kBase, kPage, MEM_DECOMMIT | MEM_PRESERVE_PLACEHOLDER},
      {"both", STATUS_INVALID_PARAMETER_4, kBase, kPage,
       MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER | MEM_COALESCE_PLACEHOLDERS},
      {"split, no size", STATUS_INVALID_PARAMETER_3, kBase, 0, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER},
      {"split off all", STATUS_CONFLICTING_ADDRESSES, kBase, 16 * kPage, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER},
      {"split what is none", STATUS_CONFLICTING_ADDRESSES, kTaken, kPage, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER},
      {"coalesce one", STATUS_CONFLICTING_ADDRESSES, kBase, 16 * kPage, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS},
      {"coalesce nothing", STATUS_MEMORY_NOT_ALLOCATED, 0x10000000, kPage, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS},
  });
  const std::string regions = machine_.regions();
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    EXPECT_EQ(release(row.base, row.size, row.type), row.status);
    EXPECT_EQ(machine_.regions(), regions);
  }
  EXPECT_EQ(machine_.check(), "");
}

TEST_F(Placeholders, SplitTakeMemoryAndViewsAndCoalesce) {
  EXPECT_EQ(virtual_size(), 32 * kPage);
  ASSERT_EQ(release(kBase + 4 * kPage, 4 * kPage, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER), STATUS_SUCCESS);
  EXPECT_EQ(map(kBase, 3 * kPage), STATUS_CONFLICTING_ADDRESSES);
  EXPECT_EQ(map(kBase, 4 * kPage, MEM_RESERVE_PLACEHOLDER), STATUS_INVALID_PARAMETER);
  ASSERT_EQ(map(kBase, 4 * kPage), STATUS_SUCCESS);
  ASSERT_EQ(map(kBase + 4 * kPage, 4 * kPage), STATUS_SUCCESS);
  ASSERT_EQ(allocate_ex(kBase + 8 * kPage, 8 * kPage, kReplace | MEM_COMMIT), STATUS_SUCCESS);
  // Twice the same memory side by side: a ring buffer.
  std::uint64_t value = 0;
  ASSERT_EQ(NtMachine::put(kBase, 9), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(kBase + 4 * kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 9U);
  ASSERT_EQ(NtMachine::put(kBase + 8 * kPage, 5), STATUS_SUCCESS);
  EXPECT_EQ(virtual_size(), 32 * kPage);
  EXPECT_EQ(machine_.check(), "");

  EXPECT_EQ(unmap(kBase, 0x10), STATUS_INVALID_PARAMETER);
  ASSERT_EQ(unmap(kBase + 1, MEM_PRESERVE_PLACEHOLDER), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(kBase).State, MEM_RESERVE);
  ASSERT_EQ(unmap(kBase + 4 * kPage, MEM_PRESERVE_PLACEHOLDER), STATUS_SUCCESS);
  EXPECT_EQ(release(kBase, 16 * kPage, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS), STATUS_CONFLICTING_ADDRESSES);
  ASSERT_EQ(release(kBase + 8 * kPage, 8 * kPage, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER), STATUS_SUCCESS);
  EXPECT_EQ(virtual_size(), 32 * kPage);
  ASSERT_EQ(release(kBase, 16 * kPage, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(kBase).RegionSize, 16 * kPage);
  EXPECT_EQ(machine_.check(), "");
  ASSERT_EQ(release(kBase, 0), STATUS_SUCCESS);
  EXPECT_EQ(virtual_size(), 16 * kPage);
  machine_.release(kTaken);
  EXPECT_EQ(NtClose(section_), STATUS_SUCCESS);
  EXPECT_EQ(machine_.totals(), before_);
}

// Where a placeholder is replaced, bases and offsets go by pages; elsewhere by 64 KB.
TEST_F(Placeholders, ViewsInTheirPlaceBeginAtAnyPageOfTheSection) {
  ASSERT_EQ(release(kBase + 3 * kPage, kPage, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER), STATUS_SUCCESS);
  struct Offset {
    const char* what;
    NTSTATUS status;
    LONGLONG offset;
    ULONG type = MEM_REPLACE_PLACEHOLDER;
    std::uint64_t base = kBase + 3 * kPage;
  };
  for (const Offset& row : std::to_array<Offset>(
           {{"between pages", STATUS_MAPPED_ALIGNMENT, 0x123},
            {"base between pages", STATUS_MAPPED_ALIGNMENT, kPage, MEM_REPLACE_PLACEHOLDER, kBase + 5},
            {"no placeholder is replaced", STATUS_MAPPED_ALIGNMENT, kPage, 0, 0},
            {"beyond the section", STATUS_INVALID_VIEW_SIZE, 4 * kPage},
            {"a page", STATUS_SUCCESS, 2 * kPage}})) {
    SCOPED_TRACE(row.what);
    EXPECT_EQ(map(row.base, kPage, row.type, row.offset), row.status);
  }
  ASSERT_EQ(map(kBase, 3 * kPage, MEM_REPLACE_PLACEHOLDER, kPage), STATUS_SUCCESS);
  std::uint64_t value = 0;
  ASSERT_EQ(NtMachine::put(kBase + 3 * kPage, 9), STATUS_SUCCESS);  // Page 2 of the section.
  EXPECT_EQ(NtMachine::get(kBase + kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 9U);
  EXPECT_EQ(machine_.check(), "");
  ASSERT_EQ(unmap(kBase, MEM_PRESERVE_PLACEHOLDER), STATUS_SUCCESS);
  ASSERT_EQ(unmap(kBase + 3 * kPage, MEM_PRESERVE_PLACEHOLDER), STATUS_SUCCESS);
  EXPECT_EQ(machine_.check(), "");
}

TEST_F(Placeholders, AViewThatReplacedNoneLeavesNone) {
  PVOID base = nullptr;
  SIZE_T size = 0;
  ASSERT_EQ(NtMapViewOfSection(section_, NtCurrentProcess(), &base, 0, 0, nullptr, &size, ViewUnmap, 0, PAGE_READWRITE),
            STATUS_SUCCESS);
  EXPECT_EQ(unmap(bits_of(base), MEM_PRESERVE_PLACEHOLDER), STATUS_CONFLICTING_ADDRESSES);
  EXPECT_EQ(unmap(bits_of(base), MEM_UNMAP_WITH_TRANSIENT_BOOST), STATUS_SUCCESS);
  EXPECT_EQ(machine_.check(), "");
}

// --- Address requirements of views ---

struct Wish {
  const char* what;
  NTSTATUS status;
  std::uint64_t lowest = 0;
  std::uint64_t highest = 0;
  SIZE_T alignment = 0;
  ULONG type = 0;
  std::uint64_t placed = 0;
  std::uint64_t base = 0;
  SIZE_T size = 0;
};

TEST_F(Placeholders, ViewsLieWhereTheRequirementsSay) {
  const auto rows = std::to_array<Wish>({
      {"with a base", STATUS_INVALID_PARAMETER, 0x100000, 0, 0, 0, 0, 0x10000000},
      {"lowest not on 64 KB", STATUS_INVALID_PARAMETER, 0x101000},
      {"alignment no power of two", STATUS_INVALID_PARAMETER, 0, 0, 0x30000},
      {"lowest", STATUS_SUCCESS, 0x7000000, 0, 0, 0, 0x7000000},
      {"highest", STATUS_SUCCESS, 0, 0x6FFFFFF, 0, MEM_TOP_DOWN, 0x6FF0000},
      {"alignment", STATUS_SUCCESS, 0x7010000, 0, 0x1000000, 0, 0x8000000},
      {"what is taken is skipped", STATUS_SUCCESS, kBase, 0, 0, 0, kBase + 0x10000},
      {"no room", STATUS_NO_MEMORY, 0x20000, 0x20FFF, 0x10000},
      {"larger than the section", STATUS_INVALID_VIEW_SIZE, 0x7000000, 0, 0, 0, 0, 0, 5 * kPage},
  });
  for (const Wish& row : rows) {
    SCOPED_TRACE(row.what);
    MEM_ADDRESS_REQUIREMENTS wishes{NtMachine::pointer(row.lowest), NtMachine::pointer(row.highest), row.alignment};
    MEM_EXTENDED_PARAMETER parameter{};
    parameter.Type = MemExtendedParameterAddressRequirements;
    parameter.Pointer = &wishes;
    PVOID base = NtMachine::pointer(row.base);
    SIZE_T size = row.size;
    EXPECT_EQ(NtMapViewOfSectionEx(section_, NtCurrentProcess(), &base, nullptr, &size, row.type, PAGE_READWRITE,
                                   &parameter, 1),
              row.status);
    EXPECT_EQ(bits_of(base), NT_SUCCESS(row.status) ? row.placed : row.base);
    EXPECT_EQ(size, NT_SUCCESS(row.status) ? 4 * kPage : row.size);
  }
  EXPECT_EQ(machine_.check(), "");
}

TEST_F(Placeholders, WriteCombiningViewsOfPagingFileMemoryAreRefused) {
  PVOID base = nullptr;
  SIZE_T size = 0;
  EXPECT_EQ(NtMapViewOfSection(section_, NtCurrentProcess(), &base, 0, 0, nullptr, &size, ViewUnmap, 0,
                               PAGE_READWRITE | PAGE_WRITECOMBINE),
            STATUS_INVALID_PARAMETER_10);
  EXPECT_EQ(machine_.check(), "");
}

}  // namespace
}  // namespace pagoda::nt
