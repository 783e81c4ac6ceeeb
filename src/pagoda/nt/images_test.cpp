// SEC_IMAGE sections, their views, and their files: beside reference/nt.md 6, 6.1 and 6.2.
#include <gtest/gtest.h>

#include <array>

#include "pagoda/mm/testing/pe_builder.h"
#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using mm::testing::PeBuilder;
using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;

class NtImages : public ::testing::Test {
 protected:
  NtImages() : pe_(mm::PeFormat::kPe32Plus) {
    pe_.add({.name = ".text", .flags = mm::testing::kPeText, .bytes = mm::testing::pe_bytes(0x300, 1)});
    pe_.add({.name = ".data", .flags = mm::testing::kPeData, .bytes = mm::testing::pe_bytes(0x200, 2)});
    pe_.entry_point = 0x1010;
    pe_.characteristics |= mm::pe_image_flags::kDll;
    file_ = pe_.build();
    directory_.write("library.dll", file_);
    directory_.write("text", mm::testing::pe_bytes(100, 3));
    directory_.write("empty", {});
    directory_.write("broken", std::span(file_).first(0x100));
    machine_ = std::make_unique<NtMachine>(testing::NtMachineConfig{.directory = directory_.path()});
  }

  static HANDLE image(ACCESS_MASK access = SECTION_ALL_ACCESS) {
    HANDLE out = nullptr;
    PAGODA_CHECK_EQ(testing::create_image(out, u"\\library.dll", access), STATUS_SUCCESS);
    return out;
  }
  static NTSTATUS map(HANDLE section, std::uint64_t& base, HANDLE process = NtCurrentProcess()) {
    PVOID at = NtMachine::pointer(base);
    SIZE_T size = 0;
    const NTSTATUS status =
        NtMapViewOfSection(section, process, &at, 0, 0, nullptr, &size, ViewShare, 0, PAGE_READONLY);
    base = bits_of(at);
    return status;
  }
  static NTSTATUS unmap(std::uint64_t base) {
    return NtUnmapViewOfSection(NtCurrentProcess(), NtMachine::pointer(base));
  }
  static NTSTATUS open(ACCESS_MASK access, ULONG disposition = FILE_OPEN) {
    HANDLE file = nullptr;
    const NTSTATUS status = testing::open_file(file, u"\\library.dll", access, disposition);
    if (NT_SUCCESS(status)) NtClose(file);
    return status;
  }

  PeBuilder pe_;
  std::vector<std::byte> file_;
  testing::NtDirectory directory_;
  std::unique_ptr<NtMachine> machine_;
};

TEST_F(NtImages, FilesThatAreNoneAreRefused) {
  const auto before = machine_->totals();
  HANDLE section = nullptr;
  EXPECT_EQ(testing::create_image(section, u"\\text"), STATUS_INVALID_IMAGE_NOT_MZ);
  EXPECT_EQ(testing::create_image(section, u"\\broken"), STATUS_INVALID_IMAGE_FORMAT);
  EXPECT_EQ(testing::create_image(section, u"\\empty"), STATUS_INVALID_FILE_FOR_SECTION);
  EXPECT_EQ(section, nullptr);
  EXPECT_EQ(machine_->totals().handles, before.handles);
  EXPECT_EQ(machine_->check(), "");
}

TEST_F(NtImages, QueryTellsWhatTheFileSays) {
  const HANDLE section = image();
  SECTION_IMAGE_INFORMATION info{};
  SIZE_T size = 0;
  EXPECT_EQ(NtQuerySection(section, SectionImageInformation, &info, sizeof info - 1, nullptr),
            STATUS_INFO_LENGTH_MISMATCH);
  EXPECT_EQ(NtQuerySection(image(SECTION_MAP_READ), SectionImageInformation, &info, sizeof info, nullptr),
            STATUS_ACCESS_DENIED);
  ASSERT_EQ(NtQuerySection(section, SectionImageInformation, &info, sizeof info, &size), STATUS_SUCCESS);
  EXPECT_EQ(size, sizeof info);
  EXPECT_EQ(bits_of(info.TransferAddress), pe_.base + 0x1010);
  EXPECT_EQ(info.MaximumStackSize, pe_.stack_reserve);
  EXPECT_EQ(info.CommittedStackSize, pe_.stack_commit);
  EXPECT_EQ(info.SubSystemType, 3U);
  EXPECT_EQ(info.SubSystemMajorVersion, 5U);
  EXPECT_EQ(info.SubSystemMinorVersion, 2U);
  EXPECT_EQ(info.ImageCharacteristics, pe_.characteristics);
  EXPECT_EQ(info.Machine, 0x8664U);
  EXPECT_EQ(info.ImageContainsCode, 1U);
  EXPECT_EQ(info.ImageFileSize, file_.size());
  SECTION_BASIC_INFORMATION basic{};
  ASSERT_EQ(NtQuerySection(section, SectionBasicInformation, &basic, sizeof basic, nullptr), STATUS_SUCCESS);
  EXPECT_EQ(basic.AllocationAttributes, SEC_FILE | SEC_IMAGE);
}

TEST_F(NtImages, AViewThatIsNotAtItsBaseIsASuccessThatSaysSo) {
  const HANDLE section = image();
  std::uint64_t first = 0;
  EXPECT_EQ(map(section, first), STATUS_SUCCESS);
  EXPECT_EQ(first, pe_.base);
  EXPECT_EQ(NtMachine::query(first).Type, MEM_IMAGE);
  std::uint64_t second = 0;
  EXPECT_EQ(map(section, second), STATUS_IMAGE_NOT_AT_BASE);
  EXPECT_NE(second, first);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(second, value), STATUS_SUCCESS);
  EXPECT_EQ(value & 0xFFFF, 0x5A4DU);
  // Another process has the base free.
  const HANDLE child = machine_->create_process();
  std::uint64_t there = 0;
  EXPECT_EQ(map(section, there, child), STATUS_SUCCESS);
  EXPECT_EQ(there, pe_.base);
  // Where the caller says.
  std::uint64_t wished = 0x20000000;
  EXPECT_EQ(map(section, wished), STATUS_IMAGE_NOT_AT_BASE);
  EXPECT_EQ(wished, 0x20000000U);
  EXPECT_EQ(machine_->check(), "");
  for (const std::uint64_t view : {first, second, wished}) EXPECT_EQ(unmap(view), STATUS_SUCCESS);
}

TEST_F(NtImages, AddressRequirementsComeBeforeTheImagesBase) {
  const HANDLE section = image();
  const auto map_above = [&](std::uint64_t lowest, std::uint64_t highest, std::uint64_t& base) {
    MEM_ADDRESS_REQUIREMENTS wishes{NtMachine::pointer(lowest), NtMachine::pointer(highest), 0};
    MEM_EXTENDED_PARAMETER parameter{};
    parameter.Type = MemExtendedParameterAddressRequirements;
    parameter.Pointer = &wishes;
    PVOID at = nullptr;
    SIZE_T size = 0;
    const NTSTATUS status =
        NtMapViewOfSectionEx(section, NtCurrentProcess(), &at, nullptr, &size, 0, PAGE_READONLY, &parameter, 1);
    base = bits_of(at);
    return status;
  };
  std::uint64_t base = 0;
  EXPECT_EQ(map_above(0, 0x7FFFFFFF, base), STATUS_IMAGE_NOT_AT_BASE);
  EXPECT_LT(base, 0x80000000U);
  EXPECT_EQ(map_above(0x10000000, 0, base), STATUS_SUCCESS);
  EXPECT_EQ(base, pe_.base);
  EXPECT_EQ(map_above(0x10000000, 0, base), STATUS_IMAGE_NOT_AT_BASE);
  EXPECT_EQ(base, 0x10000000U);
  EXPECT_EQ(machine_->check(), "");
}

TEST_F(NtImages, WritesToAViewAreItsProcesssOwn) {
  const HANDLE section = image();
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  ASSERT_EQ(map(section, first), STATUS_SUCCESS);
  ASSERT_EQ(map(section, second), STATUS_IMAGE_NOT_AT_BASE);
  EXPECT_EQ(NtMachine::put(first + kPage, 1), STATUS_ACCESS_VIOLATION);  // .text
  EXPECT_EQ(PagodaFetch(NtMachine::pointer(first + kPage)), STATUS_SUCCESS);
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  EXPECT_EQ(NtMachine::get(second + 2 * kPage, before), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::put(first + 2 * kPage, 1), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(second + 2 * kPage, after), STATUS_SUCCESS);
  EXPECT_EQ(after, before);
  EXPECT_EQ(machine_->check(), "");
}

TEST_F(NtImages, AFileThatIsAnImageNowIsNotOpenedForWriting) {
  EXPECT_EQ(open(FILE_READ_DATA | FILE_WRITE_DATA), STATUS_SUCCESS);
  const HANDLE section = image();
  EXPECT_EQ(open(FILE_READ_DATA | FILE_EXECUTE), STATUS_SUCCESS);
  EXPECT_EQ(open(FILE_WRITE_DATA), STATUS_SHARING_VIOLATION);
  EXPECT_EQ(open(FILE_APPEND_DATA), STATUS_SHARING_VIOLATION);
  EXPECT_EQ(open(GENERIC_WRITE), STATUS_SHARING_VIOLATION);
  EXPECT_EQ(open(FILE_READ_DATA, FILE_OVERWRITE), STATUS_SHARING_VIOLATION);
  EXPECT_EQ(std::filesystem::file_size(directory_.path() / "library.dll"), file_.size());
  // A request for all that may be granted gets no right to write.
  HANDLE whatever = nullptr;
  ASSERT_EQ(testing::open_file(whatever, u"\\library.dll", MAXIMUM_ALLOWED), STATUS_SUCCESS);
  IO_STATUS_BLOCK io{};
  LARGE_INTEGER start{};
  std::array<char, 4> bytes{};
  EXPECT_EQ(NtWriteFile(whatever, nullptr, nullptr, nullptr, &io, bytes.data(), bytes.size(), &start, nullptr),
            STATUS_ACCESS_DENIED);
  EXPECT_EQ(NtReadFile(whatever, nullptr, nullptr, nullptr, &io, bytes.data(), bytes.size(), &start, nullptr),
            STATUS_SUCCESS);
  // A view counts as much as a section.
  std::uint64_t base = 0;
  ASSERT_EQ(map(section, base), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(section), STATUS_SUCCESS);
  EXPECT_EQ(open(FILE_WRITE_DATA), STATUS_SHARING_VIOLATION);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(base, value), STATUS_SUCCESS);
  EXPECT_EQ(unmap(base), STATUS_SUCCESS);
  EXPECT_EQ(open(FILE_WRITE_DATA), STATUS_SUCCESS);
  EXPECT_EQ(machine_->check(), "");
}

}  // namespace
}  // namespace pagoda::nt
