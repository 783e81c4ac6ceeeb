// What a program may do with a view and its file, as calls of the native API say it: issue 10, section 1; reference nt.md
// 6.2, 7.1, 7.3.
#include <gtest/gtest.h>

#include <array>

#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::size_t kFileBytes = 2 * kPage + 0x345;

// Of NtMapViewOfSection's parameters.
struct Wish {
  SIZE_T size = 0;
  SIZE_T commit = 0;
  ULONG type = 0;
  ULONG protect = PAGE_READWRITE;
};

class NtViewRules : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  NtViewRules() {
    directory_.write("data", std::vector<std::byte>(kFileBytes, std::byte{'d'}));
    machine_ =
        std::make_unique<NtMachine>(testing::NtMachineConfig{.paging = GetParam(), .directory = directory_.path()});
  }

  static NTSTATUS open(HANDLE& file, ULONG disposition = FILE_OPEN, ACCESS_MASK access = GENERIC_READ | GENERIC_WRITE) {
    return testing::open_file(file, u"\\data", access, disposition);
  }
  static HANDLE opened() {
    HANDLE file = nullptr;
    PAGODA_CHECK_EQ(open(file), STATUS_SUCCESS);
    return file;
  }
  // Size 0: the file's.
  static HANDLE section(HANDLE file, LONGLONG size = 0, ULONG protect = PAGE_READWRITE, ULONG flags = SEC_COMMIT,
                        ACCESS_MASK access = SECTION_ALL_ACCESS) {
    HANDLE out = nullptr;
    LARGE_INTEGER maximum{};
    maximum.QuadPart = size;
    PAGODA_CHECK_EQ(NtCreateSection(&out, access, nullptr, &maximum, protect, flags, file), STATUS_SUCCESS);
    return out;
  }
  // `base`: the wished one, then the view's.
  static NTSTATUS map(HANDLE section, std::uint64_t& base, const Wish& wish) {
    PVOID at = NtMachine::pointer(base);
    SIZE_T size = wish.size;
    const NTSTATUS status = NtMapViewOfSection(section, NtCurrentProcess(), &at, 0, wish.commit, nullptr, &size,
                                               ViewShare, wish.type, wish.protect);
    if (NT_SUCCESS(status)) base = bits_of(at);
    return status;
  }
  static NTSTATUS map(HANDLE section, const Wish& wish) {
    std::uint64_t base = 0;
    return map(section, base, wish);
  }
  static std::uint64_t view(HANDLE section, const Wish& wish = {}) {
    std::uint64_t base = 0;
    PAGODA_CHECK_EQ(map(section, base, wish), STATUS_SUCCESS);
    return base;
  }
  static NTSTATUS unmap(std::uint64_t base) {
    return NtUnmapViewOfSection(NtCurrentProcess(), NtMachine::pointer(base));
  }
  static NTSTATUS protect(std::uint64_t base, SIZE_T size, ULONG protection) {
    PVOID at = NtMachine::pointer(base);
    ULONG old = 0;
    return NtProtectVirtualMemory(NtCurrentProcess(), &at, &size, protection, &old);
  }
  static NTSTATUS allocate(std::uint64_t base, SIZE_T size, ULONG type, ULONG protection) {
    PVOID at = NtMachine::pointer(base);
    return NtAllocateVirtualMemory(NtCurrentProcess(), &at, 0, &size, type, protection);
  }
  static NTSTATUS set_size(HANDLE file, LONGLONG size) {
    FILE_END_OF_FILE_INFORMATION end{};
    end.EndOfFile.QuadPart = size;
    IO_STATUS_BLOCK io{};
    return NtSetInformationFile(file, &io, &end, sizeof end, FileEndOfFileInformation);
  }
  static LONGLONG size_of(HANDLE file) {
    FILE_STANDARD_INFORMATION info{};
    IO_STATUS_BLOCK io{};
    PAGODA_CHECK_EQ(NtQueryInformationFile(file, &io, &info, sizeof info, FileStandardInformation), STATUS_SUCCESS);
    return info.EndOfFile.QuadPart;
  }

  testing::NtDirectory directory_;
  std::unique_ptr<NtMachine> machine_;
};

TEST_P(NtViewRules, AHandleThatReadsGivesNoViewThatWrites) {
  const HANDLE file = opened();
  for (const HANDLE whole : {section(file), section(nullptr, 4 * kPage)}) {
    const HANDLE reading = machine_->with_access(whole, SECTION_MAP_READ);
    EXPECT_EQ(map(reading, {.protect = PAGE_READWRITE}), STATUS_ACCESS_DENIED);
    const std::uint64_t base = view(reading, {.protect = PAGE_READONLY});
    EXPECT_EQ(protect(base, kPage, PAGE_READWRITE), STATUS_SECTION_PROTECTION);
    EXPECT_EQ(NtMachine::put(base, 1), STATUS_ACCESS_VIOLATION);
    EXPECT_EQ(protect(base, kPage, PAGE_READONLY | PAGE_GUARD), STATUS_SUCCESS);
    EXPECT_EQ(protect(base, kPage, PAGE_WRITECOPY), STATUS_SUCCESS);
    EXPECT_EQ(NtMachine::put(base, 1), STATUS_SUCCESS);  // Its own copy.
    EXPECT_EQ(NtMachine::query(base).Protect, PAGE_READWRITE);
    EXPECT_EQ(protect(base, kPage, PAGE_READWRITE), STATUS_SECTION_PROTECTION);
    std::uint64_t shown = 1;
    EXPECT_EQ(NtMachine::get(view(whole), shown), STATUS_SUCCESS);
    EXPECT_NE(shown, 1U);
  }
  EXPECT_EQ(machine_->check(), "");
}

TEST_P(NtViewRules, SizesOfFileViewsAreExactToTheByte) {
  const HANDLE file = opened();
  const HANDLE exact = section(file, kPage + 0x452, PAGE_READONLY);
  EXPECT_EQ(map(exact, {.size = kPage + 0x452, .protect = PAGE_READONLY}), STATUS_SUCCESS);
  EXPECT_EQ(map(exact, {.size = kPage + 0x453, .protect = PAGE_READONLY}), STATUS_INVALID_VIEW_SIZE);
  EXPECT_EQ(map(exact, {.size = 2 * kPage, .protect = PAGE_READONLY}), STATUS_INVALID_VIEW_SIZE);
  const HANDLE whole = section(file);
  EXPECT_EQ(map(whole, {.size = kFileBytes + 1}), STATUS_INVALID_VIEW_SIZE);
  EXPECT_EQ(map(whole, {.size = kFileBytes, .commit = kFileBytes}), STATUS_SUCCESS);
  EXPECT_EQ(map(whole, {.size = kFileBytes, .commit = kFileBytes + 1}), STATUS_INVALID_PARAMETER_5);
  EXPECT_EQ(map(whole, {.commit = kFileBytes + 1}), STATUS_INVALID_PARAMETER_5);
  EXPECT_EQ(map(whole, {.size = kFileBytes + 1, .commit = 5 * kPage}), STATUS_INVALID_VIEW_SIZE);
  // A paging-file section is of whole pages, and its views too.
  const HANDLE pages = section(nullptr, kPage + 1);
  EXPECT_EQ(map(pages, {.size = 2 * kPage, .commit = 2 * kPage}), STATUS_SUCCESS);
  EXPECT_EQ(map(pages, {.size = 2 * kPage + 1}), STATUS_INVALID_VIEW_SIZE);
  EXPECT_EQ(map(pages, {.size = kPage + 1, .commit = kPage + 2}), STATUS_INVALID_PARAMETER_5);
  EXPECT_EQ(machine_->check(), "");
}

TEST_P(NtViewRules, ReserveIsForFilesThatMayBeWritten) {
  const HANDLE file = opened();
  const HANDLE reading = section(file, 0, PAGE_READONLY);
  EXPECT_EQ(map(reading, {.type = MEM_RESERVE, .protect = PAGE_READONLY}), STATUS_SECTION_PROTECTION);
  EXPECT_EQ(map(section(file, 0, PAGE_WRITECOPY), {.size = 0x10000, .type = MEM_RESERVE, .protect = PAGE_READONLY}),
            STATUS_SECTION_PROTECTION);
  EXPECT_EQ(map(section(nullptr, kPage, PAGE_READONLY), {.type = MEM_RESERVE, .protect = PAGE_READONLY}),
            STATUS_INVALID_PARAMETER_9);
  // A view that only reads may be longer than its file all the same, if the section writes.
  EXPECT_EQ(map(section(file), {.size = 0x10000, .type = MEM_RESERVE, .protect = PAGE_READONLY}), STATUS_SUCCESS);
  EXPECT_EQ(machine_->check(), "");
}

// As a database does that maps more than its file has, and commits as it grows.
TEST_P(NtViewRules, CommitInAnExtendableViewExtendsTheFile) {
  const HANDLE file = opened();
  const HANDLE whole = section(file, 0, PAGE_READWRITE, SEC_RESERVE);
  const std::uint64_t base = view(whole, {.size = 0x40000, .type = MEM_RESERVE});
  ASSERT_EQ(NtClose(whole), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(base + 3 * kPage).State, static_cast<ULONG>(MEM_RESERVE));
  EXPECT_EQ(allocate(base + 5 * kPage, 2 * kPage, MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
  EXPECT_EQ(size_of(file), static_cast<LONGLONG>(7 * kPage));
  EXPECT_EQ(NtMachine::query(base).RegionSize, 7 * kPage);
  EXPECT_EQ(NtMachine::put(base + 6 * kPage, 66), STATUS_SUCCESS);
  EXPECT_EQ(allocate(base, kPage, MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
  EXPECT_EQ(allocate(base + 7 * kPage, kPage, MEM_COMMIT, PAGE_EXECUTE_READ), STATUS_SECTION_PROTECTION);
  EXPECT_EQ(allocate(base + 0x3F000, 2 * kPage, MEM_COMMIT, PAGE_READWRITE), STATUS_CONFLICTING_ADDRESSES);
  EXPECT_EQ(size_of(file), static_cast<LONGLONG>(7 * kPage));
  EXPECT_EQ(unmap(base), STATUS_SUCCESS);
  EXPECT_EQ(machine_->check(), "");
  std::uint64_t word = 0;
  EXPECT_EQ(NtMachine::get(view(section(file)) + 6 * kPage, word), STATUS_SUCCESS);
  EXPECT_EQ(word, 66U);
}

TEST_P(NtViewRules, CommitRefusesWriteCopyOnlyOfPrivateMemory) {
  const std::uint64_t own = machine_->allocate(0, 4 * kPage, MEM_RESERVE);
  const std::uint64_t of_file = view(section(opened()));
  const std::uint64_t pages = view(section(nullptr, 4 * kPage));
  for (const ULONG protection : {ULONG{PAGE_WRITECOPY}, ULONG{PAGE_EXECUTE_WRITECOPY}}) {
    EXPECT_EQ(allocate(own, kPage, MEM_COMMIT, protection), STATUS_INVALID_PAGE_PROTECTION);
    EXPECT_EQ(allocate(of_file, kPage, MEM_COMMIT, protection), STATUS_ALREADY_COMMITTED);
    // What reserves is private.
    EXPECT_EQ(allocate(0, kPage, MEM_COMMIT, protection), STATUS_INVALID_PAGE_PROTECTION);
    EXPECT_EQ(allocate(0, kPage, MEM_COMMIT | MEM_RESERVE, protection), STATUS_INVALID_PAGE_PROTECTION);
    EXPECT_EQ(allocate(0, kPage, MEM_RESERVE, protection), STATUS_INVALID_PAGE_PROTECTION);
  }
  EXPECT_EQ(allocate(pages, kPage, MEM_COMMIT, PAGE_WRITECOPY), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(pages).Protect, PAGE_WRITECOPY);
  EXPECT_EQ(allocate(pages, 4 * kPage, MEM_COMMIT, PAGE_READONLY), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(pages).RegionSize, 4 * kPage);
  EXPECT_EQ(machine_->check(), "");
}

TEST_P(NtViewRules, ResetGoesByWhatAViewShows) {
  const std::uint64_t of_file = view(section(opened()));
  const std::uint64_t pages = view(section(nullptr, 4 * kPage));
  for (const ULONG type : {ULONG{MEM_RESET}, ULONG{MEM_RESET_UNDO}}) {
    EXPECT_EQ(allocate(of_file, kPage, type, PAGE_NOACCESS), STATUS_USER_MAPPED_FILE);
    EXPECT_EQ(allocate(of_file, 4 * kPage, type, PAGE_NOACCESS), STATUS_CONFLICTING_ADDRESSES);
  }
  EXPECT_EQ(NtMachine::put(pages, 1), STATUS_SUCCESS);
  EXPECT_EQ(allocate(pages, kPage, MEM_RESET, PAGE_READONLY), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(pages).Protect, PAGE_READWRITE);
  EXPECT_EQ(machine_->check(), "");
}

TEST_P(NtViewRules, ASectionProtectsItsFile) {
  const HANDLE file = opened();
  const HANDLE whole = section(file, 0, PAGE_READONLY);
  constexpr std::array<ULONG, 3> kOverwriting{FILE_OVERWRITE, FILE_OVERWRITE_IF, FILE_SUPERSEDE};
  const auto expect = [&](NTSTATUS status) {
    for (const ULONG disposition : kOverwriting) {
      HANDLE other = nullptr;
      EXPECT_EQ(open(other, disposition), status);
      if (NT_SUCCESS(status)) NtClose(other);
    }
  };
  EXPECT_EQ(set_size(file, kPage), STATUS_USER_MAPPED_FILE);
  EXPECT_EQ(set_size(file, kFileBytes), STATUS_SUCCESS);
  expect(STATUS_USER_MAPPED_FILE);
  EXPECT_EQ(size_of(file), static_cast<LONGLONG>(kFileBytes));
  HANDLE other = nullptr;
  ASSERT_EQ(open(other), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(other), STATUS_SUCCESS);
  const std::uint64_t base = view(whole, {.protect = PAGE_READONLY});
  EXPECT_EQ(NtClose(whole), STATUS_SUCCESS);
  expect(STATUS_USER_MAPPED_FILE);
  EXPECT_EQ(set_size(file, 0), STATUS_USER_MAPPED_FILE);
  std::uint64_t word = 0;
  EXPECT_EQ(NtMachine::get(base, word), STATUS_SUCCESS);
  EXPECT_EQ(unmap(base), STATUS_SUCCESS);
  EXPECT_EQ(set_size(file, kPage), STATUS_SUCCESS);
  expect(STATUS_SUCCESS);
  EXPECT_EQ(size_of(file), 0);
  EXPECT_EQ(machine_->check(), "");
}

// However a file became shorter, a later view ends where it does.
TEST_P(NtViewRules, EndWhereTheFileDoes) {
  HANDLE file = opened();
  const auto expect_end = [&](std::uint64_t pages) {
    const HANDLE whole = section(file, 0, PAGE_READWRITE, SEC_RESERVE);
    const std::uint64_t base = view(whole, {.size = 0x40000, .type = MEM_RESERVE});
    EXPECT_EQ(NtMachine::query(base).RegionSize, pages * kPage);
    EXPECT_EQ(NtMachine::query(base + pages * kPage).State, static_cast<ULONG>(MEM_RESERVE));
    std::uint64_t word = 0;
    EXPECT_EQ(NtMachine::get(base + pages * kPage, word), STATUS_ACCESS_VIOLATION);
    EXPECT_EQ(NtMachine::put(base + (pages - 1) * kPage, pages), STATUS_SUCCESS);
    EXPECT_EQ(unmap(base), STATUS_SUCCESS);
    EXPECT_EQ(NtClose(whole), STATUS_SUCCESS);
    EXPECT_EQ(machine_->check(), "");
  };
  expect_end(3);
  ASSERT_EQ(set_size(file, 9 * kPage), STATUS_SUCCESS);
  expect_end(9);
  ASSERT_EQ(set_size(file, 2 * kPage), STATUS_SUCCESS);
  expect_end(2);
  for (const ULONG disposition : {ULONG{FILE_OVERWRITE}, ULONG{FILE_OVERWRITE_IF}, ULONG{FILE_SUPERSEDE}}) {
    ASSERT_EQ(set_size(file, 8 * kPage), STATUS_SUCCESS);
    expect_end(8);
    ASSERT_EQ(NtClose(file), STATUS_SUCCESS);
    ASSERT_EQ(open(file, disposition), STATUS_SUCCESS);
    ASSERT_EQ(set_size(file, kPage), STATUS_SUCCESS);
    expect_end(1);
  }
}

TEST_P(NtViewRules, CacheAttributesOfASectionReachItsViews) {
  for (const auto& [flag, bit] : {std::pair{ULONG{SEC_NOCACHE}, ULONG{PAGE_NOCACHE}},
                                  std::pair{ULONG{SEC_WRITECOMBINE}, ULONG{PAGE_WRITECOMBINE}}}) {
    for (const HANDLE file : {HANDLE{}, opened()}) {
      const HANDLE whole = section(file, kPage, PAGE_READWRITE, SEC_COMMIT | flag);
      const std::uint64_t base = view(whole);
      EXPECT_EQ(NtMachine::query(base).Protect, PAGE_READWRITE | bit);
      EXPECT_EQ(NtMachine::query(base).AllocationProtect, PAGE_READWRITE | bit);
      EXPECT_EQ(NtMachine::put(base, 1), STATUS_SUCCESS);
      EXPECT_EQ(protect(base, kPage, PAGE_READONLY), STATUS_SUCCESS);
      EXPECT_EQ(NtMachine::query(base).Protect, PAGE_READONLY | bit);
      EXPECT_EQ(protect(base, kPage, PAGE_READWRITE | PAGE_NOCACHE), STATUS_INVALID_PARAMETER_4);
      EXPECT_EQ(NtMachine::query(view(whole, {.protect = PAGE_NOACCESS})).Protect, static_cast<ULONG>(PAGE_NOACCESS));
    }
  }
  EXPECT_EQ(machine_->check(), "");
}

// An old name of the flag: AT_ROUND_TO_PAGE.
TEST_P(NtViewRules, DosLimRoundsTheBaseToAPageOn32Bits) {
  const HANDLE pages = section(nullptr, kPage);
  std::uint64_t base = 0x30000000;
  if (GetParam() == machine::PteFormat::kAmd64) {
    EXPECT_EQ(map(pages, base, {.type = MEM_DOS_LIM}), STATUS_INVALID_PARAMETER_9);
    EXPECT_EQ(map(pages, {.type = MEM_DOS_LIM, .protect = 0}), STATUS_INVALID_PARAMETER_9);
    return;
  }
  for (const std::uint64_t wish : {0x30001000, 0x40002042, 0x50000FFF}) {
    base = wish;
    EXPECT_EQ(map(pages, base, {.type = MEM_DOS_LIM}), STATUS_SUCCESS);
    EXPECT_EQ(base, wish & ~(kPage - 1));
    EXPECT_EQ(NtMachine::put(base, 1), STATUS_SUCCESS);
  }
  base = 0x30001042;
  EXPECT_EQ(map(pages, base, {.type = MEM_DOS_LIM}), STATUS_CONFLICTING_ADDRESSES);
  base = 0x60001000;
  EXPECT_EQ(map(pages, base, {}), STATUS_MAPPED_ALIGNMENT);
  EXPECT_EQ(map(pages, {.type = MEM_DOS_LIM}), STATUS_SUCCESS);  // Without a base there is nothing to round.
  EXPECT_EQ(machine_->check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, NtViewRules,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& mode) { return std::string(machine::paging_mode(mode.param).name); });

}  // namespace
}  // namespace pagoda::nt
