// NtCreateSection, NtOpenSection, NtQuerySection, NtExtendSection, NtMapViewOfSection, NtUnmapViewOfSection,
// NtFlushVirtualMemory, and files through them: beside reference/nt.md 6.1, 6.2 and 7.6.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kHighestVad = 0x7FFFFFDFFFF;

class NtSections : public ::testing::Test {
 protected:
  NtSections() {
    std::ofstream(directory_ / "data") << std::string(10000, 'd');
    std::ofstream(directory_ / "empty").close();
    machine_ = std::make_unique<NtMachine>(testing::NtMachineConfig{.directory = directory_});
    before_ = machine_->totals();
  }

  static HANDLE open_file(std::u16string name, ACCESS_MASK access) {
    UNICODE_STRING string{static_cast<USHORT>(name.size() * 2), static_cast<USHORT>(name.size() * 2), name.data()};
    OBJECT_ATTRIBUTES attributes{.Length = sizeof(OBJECT_ATTRIBUTES), .ObjectName = &string};
    IO_STATUS_BLOCK io{};
    HANDLE handle = nullptr;
    PAGODA_CHECK_EQ(NtOpenFile(&handle, access, &attributes, &io, 0, 0), STATUS_SUCCESS);
    return handle;
  }
  static NTSTATUS create(HANDLE& out, LONGLONG size, ULONG protect = PAGE_READWRITE, ULONG flags = SEC_COMMIT,
                         HANDLE file = nullptr, ACCESS_MASK access = SECTION_ALL_ACCESS) {
    LARGE_INTEGER maximum{};
    maximum.QuadPart = size;
    return NtCreateSection(&out, access, nullptr, &maximum, protect, flags, file);
  }
  static HANDLE section(LONGLONG size, ULONG protect = PAGE_READWRITE, ULONG flags = SEC_COMMIT, HANDLE file = nullptr,
                        ACCESS_MASK access = SECTION_ALL_ACCESS) {
    HANDLE out = nullptr;
    PAGODA_CHECK_EQ(create(out, size, protect, flags, file, access), STATUS_SUCCESS);
    return out;
  }
  static std::uint64_t map(HANDLE section, ULONG protect = PAGE_READWRITE, HANDLE process = NtCurrentProcess()) {
    PVOID base = nullptr;
    SIZE_T size = 0;
    PAGODA_CHECK_EQ(NtMapViewOfSection(section, process, &base, 0, 0, nullptr, &size, ViewUnmap, 0, protect),
                    STATUS_SUCCESS);
    return bits_of(base);
  }

  const testing::NtDirectory place_;  // Outlives the machine.
  const std::filesystem::path& directory_ = place_.path();
  std::unique_ptr<NtMachine> machine_;
  NtMachine::Totals before_;
};

enum class File : std::uint8_t { kNone, kData, kEmpty, kReadOnly, kBad, kProcess };

struct CreateMisuse {
  const char* what;
  NTSTATUS status;
  ULONG flags = SEC_COMMIT;
  ULONG protect = PAGE_READWRITE;
  File file = File::kNone;
  LONGLONG size = kPage;
  bool holds_lock_memory = true;
};

// reference/nt.md 6.1, in its order.
constexpr auto kCreateMisuses = std::to_array<CreateMisuse>({
    {"no type bit", STATUS_INVALID_PARAMETER_6, 0, 0},
    {"COMMIT and RESERVE", STATUS_INVALID_PARAMETER_6, SEC_COMMIT | SEC_RESERVE, 0},
    {"IMAGE and COMMIT", STATUS_INVALID_PARAMETER_6, SEC_IMAGE | SEC_COMMIT, 0},
    {"IMAGE and LARGE_PAGES", STATUS_INVALID_PARAMETER_6, SEC_IMAGE | SEC_LARGE_PAGES, 0},
    {"IMAGE and NO_CHANGE", STATUS_INVALID_PARAMETER_6, SEC_IMAGE | SEC_NO_CHANGE, 0},
    {"IMAGE_NO_EXECUTE and BASED", STATUS_INVALID_PARAMETER_6, SEC_IMAGE_NO_EXECUTE | SEC_BASED, 0},
    {"FILE", STATUS_INVALID_PARAMETER_6, SEC_COMMIT | SEC_FILE, 0},
    {"LARGE_PAGES without COMMIT", STATUS_INVALID_PARAMETER_6, SEC_RESERVE | SEC_LARGE_PAGES, 0},
    {"LARGE_PAGES with a file", STATUS_INVALID_PARAMETER_6, SEC_COMMIT | SEC_LARGE_PAGES, 0, File::kData},
    {"protection 0", STATUS_INVALID_PAGE_PROTECTION, SEC_IMAGE, 0},
    {"several protections", STATUS_INVALID_PAGE_PROTECTION, SEC_COMMIT, PAGE_READONLY | PAGE_READWRITE},
    {"NOACCESS", STATUS_INVALID_PAGE_PROTECTION, SEC_COMMIT, PAGE_NOACCESS},
    {"GUARD", STATUS_INVALID_PAGE_PROTECTION, SEC_COMMIT, PAGE_READWRITE | PAGE_GUARD},
    {"NOCACHE", STATUS_INVALID_PAGE_PROTECTION, SEC_COMMIT, PAGE_READWRITE | PAGE_NOCACHE},
    {"WRITECOMBINE", STATUS_INVALID_PAGE_PROTECTION, SEC_COMMIT, PAGE_READWRITE | PAGE_WRITECOMBINE},
    {"IMAGE without a file", STATUS_INVALID_FILE_FOR_SECTION, SEC_IMAGE, PAGE_READONLY, File::kNone, 0},
    {"no file, size 0", STATUS_INVALID_PARAMETER_4, SEC_COMMIT, PAGE_READWRITE, File::kNone, 0},
    {"LARGE_PAGES, size not a multiple", STATUS_INVALID_PARAMETER_4, SEC_COMMIT | SEC_LARGE_PAGES, PAGE_READWRITE,
     File::kNone, kPage, false},
    {"LARGE_PAGES without the privilege", STATUS_PRIVILEGE_NOT_HELD, SEC_COMMIT | SEC_LARGE_PAGES, PAGE_READWRITE,
     File::kNone, 2 << 20, false},
    {"bad file handle", STATUS_INVALID_HANDLE, SEC_COMMIT, PAGE_READWRITE, File::kBad},
    {"handle of a process", STATUS_OBJECT_TYPE_MISMATCH, SEC_COMMIT, PAGE_READWRITE, File::kProcess},
    {"file without the right to write", STATUS_ACCESS_DENIED, SEC_COMMIT, PAGE_READWRITE, File::kReadOnly},
    {"file without the right to execute", STATUS_ACCESS_DENIED, SEC_COMMIT, PAGE_EXECUTE_READ, File::kReadOnly},
    {"empty file, size 0", STATUS_MAPPED_FILE_SIZE_ZERO, SEC_COMMIT, PAGE_READWRITE, File::kEmpty, 0},
    {"larger than the file, read-only", STATUS_SECTION_TOO_BIG, SEC_COMMIT, PAGE_READONLY, File::kData, 10001},
    {"not even an address space holds it", STATUS_SECTION_TOO_BIG, SEC_RESERVE, PAGE_READWRITE, File::kNone, -1},
    {"limit", STATUS_COMMITMENT_LIMIT, SEC_COMMIT, PAGE_READWRITE, File::kNone, 1 << 30},
});

TEST_F(NtSections, CreateRefusesMisuseInOrderAndChangesNothing) {
  const std::array<HANDLE, 6> files{nullptr,
                                    open_file(u"\\data", FILE_READ_DATA | FILE_WRITE_DATA),
                                    open_file(u"\\empty", FILE_READ_DATA | FILE_WRITE_DATA),
                                    open_file(u"\\data", FILE_READ_DATA),
                                    NtMachine::bad_handle(),
                                    machine_->create_process()};
  for (const CreateMisuse& row : kCreateMisuses) {
    SCOPED_TRACE(row.what);
    PagodaSetPrivilege(NtCurrentProcess(), SE_LOCK_MEMORY_PRIVILEGE, row.holds_lock_memory ? 1 : 0, nullptr);
    const auto before = machine_->totals();
    HANDLE out = nullptr;
    EXPECT_EQ(create(out, row.size, row.protect, row.flags, files[static_cast<std::size_t>(row.file)]), row.status);
    EXPECT_EQ(out, nullptr);
    EXPECT_EQ(machine_->totals(), before);
    EXPECT_EQ(std::filesystem::file_size(directory_ / "data"), 10000U);
  }
  EXPECT_EQ(machine_->check(), "");
}

enum class Who : std::uint8_t { kGood, kBad, kWrongType, kWrongRights };

struct MapMisuse {
  const char* what;
  NTSTATUS status;
  ULONG inherit = ViewUnmap;
  ULONG type = 0;
  ULONG protect = PAGE_READWRITE;
  std::uint64_t base = 0;
  SIZE_T size = 0;
  ULONG_PTR zero_bits = 0;
  LONGLONG offset = 0;
  SIZE_T commit = 0;
  Who section = Who::kGood;
  Who process = Who::kGood;
};

// reference/nt.md 6.2, in its order, for a SEC_COMMIT section of four pages, READWRITE.
constexpr std::uint64_t kTaken = 0x60000000;
constexpr auto kMapMisuses = std::to_array<MapMisuse>({
    {"inherit 0", STATUS_INVALID_PARAMETER_8, 0, 0x10},
    {"inherit 3", STATUS_INVALID_PARAMETER_8, 3, 0x10},
    {"type", STATUS_INVALID_PARAMETER_9, ViewUnmap, MEM_COMMIT, 0},
    {"protection", STATUS_INVALID_PAGE_PROTECTION, ViewUnmap, 0, 0, kHighestVad + 1},
    {"base above the highest", STATUS_INVALID_PARAMETER_3, ViewUnmap, 0, PAGE_READWRITE, kHighestVad + 1, 0, 22},
    {"base and size beyond", STATUS_INVALID_PARAMETER_3, ViewUnmap, 0, PAGE_READWRITE, kHighestVad, kPage, 22},
    {"22 zero bits", STATUS_INVALID_PARAMETER_4, ViewUnmap, 0, PAGE_READWRITE, 0, 0, 22, 0, 0, Who::kBad},
    {"base against zero bits", STATUS_INVALID_PARAMETER_4, ViewUnmap, 0, PAGE_READWRITE, 0x10000000, 0, 8, 0, 0,
     Who::kBad},
    {"no process", STATUS_INVALID_HANDLE, ViewUnmap, 0, PAGE_READWRITE, 0, 0, 0, 1, 0, Who::kWrongType, Who::kBad},
    {"no section", STATUS_INVALID_HANDLE, ViewUnmap, 0, PAGE_READWRITE, 0, 0, 0, 1, 0, Who::kBad},
    {"section handle of a process", STATUS_OBJECT_TYPE_MISMATCH, ViewUnmap, 0, PAGE_READWRITE, 0, 0, 0, 1, 0,
     Who::kWrongType},
    {"process without VM_OPERATION", STATUS_ACCESS_DENIED, ViewUnmap, 0, PAGE_READWRITE, 0, 0, 0, 1, 0, Who::kGood,
     Who::kWrongRights},
    {"section without MAP_WRITE", STATUS_ACCESS_DENIED, ViewUnmap, 0, PAGE_READWRITE, 0, 0, 0, 1, 0, Who::kWrongRights},
    {"base not on 64 KB", STATUS_MAPPED_ALIGNMENT, ViewUnmap, 0, PAGE_EXECUTE_READ, 0x10001000},
    {"offset not on 64 KB", STATUS_MAPPED_ALIGNMENT, ViewUnmap, 0, PAGE_EXECUTE_READ, 0, 0, 0, 0x1000},
    {"not allowed by the section", STATUS_SECTION_PROTECTION, ViewUnmap, 0, PAGE_EXECUTE_READ, 0, 5 * kPage},
    {"larger than the section", STATUS_INVALID_VIEW_SIZE, ViewUnmap, 0, PAGE_READWRITE, 0, 5 * kPage, 0, 0,
     100 * kPage},
    {"beyond the section", STATUS_INVALID_VIEW_SIZE, ViewUnmap, 0, PAGE_READWRITE, 0, 0, 0, 0x10000, 100 * kPage},
    {"commit larger than the view", STATUS_INVALID_PARAMETER_5, ViewUnmap, MEM_RESERVE, PAGE_READWRITE, 0, kPage, 0, 0,
     2 * kPage},
    {"RESERVE on page-file memory", STATUS_INVALID_PARAMETER_9, ViewUnmap, MEM_RESERVE},
    {"overlap", STATUS_CONFLICTING_ADDRESSES, ViewUnmap, 0, PAGE_READWRITE, kTaken},
    {"no gap", STATUS_NO_MEMORY, ViewUnmap, 0, PAGE_READWRITE, 0, 0, 16},
});

TEST_F(NtSections, MapRefusesMisuseInOrderAndChangesNothing) {
  const HANDLE good = section(4 * kPage);
  const HANDLE reading = section(4 * kPage, PAGE_READWRITE, SEC_COMMIT, nullptr, SECTION_MAP_READ);
  const HANDLE process = machine_->create_process();
  const HANDLE restricted = machine_->with_access(process, PROCESS_VM_READ);
  machine_->allocate(kTaken, 0x10000, MEM_RESERVE);
  const std::array<HANDLE, 4> sections{good, NtMachine::bad_handle(), process, reading};
  const std::array<HANDLE, 4> processes{NtCurrentProcess(), NtMachine::bad_handle(), good, restricted};
  for (const MapMisuse& row : kMapMisuses) {
    SCOPED_TRACE(row.what);
    const std::string before = machine_->regions();
    const auto totals = machine_->totals();
    PVOID base = NtMachine::pointer(row.base);
    SIZE_T size = row.size;
    LARGE_INTEGER offset{};
    offset.QuadPart = row.offset;
    EXPECT_EQ(NtMapViewOfSection(sections[static_cast<std::size_t>(row.section)],
                                 processes[static_cast<std::size_t>(row.process)], &base, row.zero_bits, row.commit,
                                 &offset, &size, static_cast<SECTION_INHERIT>(row.inherit), row.type, row.protect),
              row.status);
    EXPECT_EQ(bits_of(base), row.base);
    EXPECT_EQ(size, row.size);
    EXPECT_EQ(offset.QuadPart, row.offset);
    EXPECT_EQ(machine_->regions(), before);
    EXPECT_EQ(machine_->totals(), totals);
  }
  PVOID base = nullptr;
  SIZE_T size = 0;
  EXPECT_EQ(NtMapViewOfSection(good, NtCurrentProcess(), nullptr, 0, 0, nullptr, &size, ViewUnmap, 0, PAGE_READWRITE),
            STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtMapViewOfSection(good, NtCurrentProcess(), &base, 0, 0, nullptr, nullptr, ViewUnmap, 0, PAGE_READWRITE),
            STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(machine_->check(), "");
}

TEST_F(NtSections, UnmapAndFreeTellViewsFromPrivateMemory) {
  const HANDLE handle = section(2 * kPage);
  const std::uint64_t view = map(handle);
  machine_->allocate(kTaken, kPage);
  const auto unmap = [](std::uint64_t address) {
    return NtUnmapViewOfSection(NtCurrentProcess(), NtMachine::pointer(address));
  };
  EXPECT_EQ(unmap(kTaken), STATUS_NOT_MAPPED_VIEW);
  EXPECT_EQ(unmap(0x10000000), STATUS_NOT_MAPPED_VIEW);
  EXPECT_EQ(unmap(~std::uint64_t{0}), STATUS_NOT_MAPPED_VIEW);
  EXPECT_EQ(NtUnmapViewOfSection(NtMachine::bad_handle(), NtMachine::pointer(view)), STATUS_INVALID_HANDLE);
  PVOID base = NtMachine::pointer(view);
  SIZE_T size = 0;
  EXPECT_EQ(NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE), STATUS_UNABLE_TO_DELETE_SECTION);
  EXPECT_EQ(unmap(view + kPage + 1), STATUS_SUCCESS);
  EXPECT_EQ(unmap(view), STATUS_NOT_MAPPED_VIEW);
  EXPECT_EQ(machine_->check(), "");
}

// Found by the random test.
TEST_F(NtSections, AViewsUncommittedPageHasNoGuardYet) {
  const HANDLE handle = section(2 * kPage, PAGE_READWRITE, SEC_RESERVE);
  const std::uint64_t base = map(handle, PAGE_READWRITE | PAGE_GUARD);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(base, value), STATUS_ACCESS_VIOLATION);
  PVOID at = NtMachine::pointer(base);
  SIZE_T size = kPage;
  ASSERT_EQ(NtAllocateVirtualMemory(NtCurrentProcess(), &at, 0, &size, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD),
            STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(base, value), STATUS_GUARD_PAGE_VIOLATION);
  EXPECT_EQ(NtMachine::get(base, value), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(base + kPage, value), STATUS_ACCESS_VIOLATION);
  ASSERT_EQ(NtUnmapViewOfSection(NtCurrentProcess(), NtMachine::pointer(base)), STATUS_SUCCESS);
  ASSERT_EQ(NtClose(handle), STATUS_SUCCESS);
  EXPECT_EQ(machine_->check(), "");
}

TEST_F(NtSections, QueryTellsBaseAttributesAndSize) {
  const HANDLE handle = section(5000, PAGE_READWRITE, SEC_RESERVE);
  SECTION_BASIC_INFORMATION info{};
  SIZE_T written = 0;
  ASSERT_EQ(NtQuerySection(handle, SectionBasicInformation, &info, sizeof info, &written), STATUS_SUCCESS);
  EXPECT_EQ(written, sizeof info);
  EXPECT_EQ(info.AllocationAttributes, SEC_RESERVE);
  EXPECT_EQ(info.BaseAddress, nullptr);
  EXPECT_EQ(info.MaximumSize.QuadPart, 0x2000);  // Page-file sizes round up.
  const HANDLE file = open_file(u"\\data", FILE_READ_DATA);
  const HANDLE data = section(0, PAGE_READONLY, SEC_RESERVE, file);
  ASSERT_EQ(NtQuerySection(data, SectionBasicInformation, &info, sizeof info, nullptr), STATUS_SUCCESS);
  EXPECT_EQ(info.AllocationAttributes, SEC_FILE);
  EXPECT_EQ(info.MaximumSize.QuadPart, 10000);  // File sections keep the byte.

  SECTION_IMAGE_INFORMATION image{};
  const HANDLE blind = section(kPage, PAGE_READWRITE, SEC_COMMIT, nullptr, SECTION_MAP_READ);
  EXPECT_EQ(NtQuerySection(handle, static_cast<SECTION_INFORMATION_CLASS>(9), nullptr, 0, nullptr),
            STATUS_INVALID_INFO_CLASS);
  EXPECT_EQ(NtQuerySection(handle, SectionBasicInformation, nullptr, 23, nullptr), STATUS_INFO_LENGTH_MISMATCH);
  EXPECT_EQ(NtQuerySection(handle, SectionBasicInformation, nullptr, 24, nullptr), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtQuerySection(blind, SectionBasicInformation, &info, 24, nullptr), STATUS_ACCESS_DENIED);
  EXPECT_EQ(NtQuerySection(handle, SectionImageInformation, &image, sizeof image, nullptr), STATUS_SECTION_NOT_IMAGE);
}

TEST_F(NtSections, FileReadsWritesAndViewsSeeTheSameBytes) {
  const HANDLE file = open_file(u"\\data", GENERIC_READ | GENERIC_WRITE);
  const HANDLE data = section(0, PAGE_READWRITE, SEC_COMMIT, file);
  const std::uint64_t view = map(data);
  EXPECT_EQ(NtMachine::put(view + 8, 0x4141414141414141), STATUS_SUCCESS);
  std::array<char, 16> bytes{};
  IO_STATUS_BLOCK io{};
  LARGE_INTEGER offset{};
  ASSERT_EQ(NtReadFile(file, nullptr, nullptr, nullptr, &io, bytes.data(), bytes.size(), &offset, nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(io.Information, 16U);
  EXPECT_EQ(std::string_view(bytes.data(), 16), "ddddddddAAAAAAAA");
  offset.QuadPart = 5000;
  std::array<char, 8> text{'w', 'r', 'i', 't', 't', 'e', 'n', '!'};
  ASSERT_EQ(NtWriteFile(file, nullptr, nullptr, nullptr, &io, text.data(), text.size(), &offset, nullptr),
            STATUS_SUCCESS);
  std::array<char, 8> seen{};
  EXPECT_EQ(PagodaLoad(NtMachine::pointer(view + 5000), seen.data(), seen.size()), STATUS_SUCCESS);
  EXPECT_EQ(seen, text);
  // Flushed, both are in the host's file.
  PVOID base = NtMachine::pointer(view + 1);
  SIZE_T size = 0;
  ASSERT_EQ(NtFlushVirtualMemory(NtCurrentProcess(), &base, &size, &io), STATUS_SUCCESS);
  EXPECT_EQ(bits_of(base), view);
  std::ifstream host(directory_ / "data");
  const std::string contents((std::istreambuf_iterator<char>(host)), std::istreambuf_iterator<char>());
  EXPECT_EQ(contents.substr(8, 8), "AAAAAAAA");
  EXPECT_EQ(contents.substr(5000, 8), "written!");
  // At the end there is nothing to read; truncation under a view is refused.
  offset.QuadPart = 10000;
  EXPECT_EQ(NtReadFile(file, nullptr, nullptr, nullptr, &io, bytes.data(), bytes.size(), &offset, nullptr),
            STATUS_END_OF_FILE);
  FILE_END_OF_FILE_INFORMATION end{};
  end.EndOfFile.QuadPart = 1;
  EXPECT_EQ(NtSetInformationFile(file, &io, &end, sizeof end, FileEndOfFileInformation), STATUS_USER_MAPPED_FILE);
  // The view's file by name.
  std::array<std::byte, 256> buffer{};
  ASSERT_EQ(NtQueryVirtualMemory(NtCurrentProcess(), NtMachine::pointer(view), MemoryMappedFilenameInformation,
                                 buffer.data(), buffer.size(), nullptr),
            STATUS_SUCCESS);
  UNICODE_STRING name{};
  std::memcpy(&name, buffer.data(), sizeof name);
  EXPECT_EQ(std::u16string_view(name.Buffer, name.Length / 2), u"\\Device\\HarddiskVolume1\\data");
  EXPECT_EQ(NtQueryVirtualMemory(NtCurrentProcess(), NtMachine::pointer(view), MemoryMappedFilenameInformation,
                                 buffer.data(), 20, nullptr),
            STATUS_BUFFER_OVERFLOW);
  EXPECT_EQ(machine_->check(), "");
}

TEST_F(NtSections, ExtendMakesDataSectionsLonger) {
  const HANDLE file = open_file(u"\\data", GENERIC_READ | GENERIC_WRITE);
  const HANDLE data = section(0, PAGE_READWRITE, SEC_COMMIT, file);
  LARGE_INTEGER size{};
  size.QuadPart = 100;
  EXPECT_EQ(NtExtendSection(data, &size), STATUS_SUCCESS);
  EXPECT_EQ(size.QuadPart, 10000);
  size.QuadPart = 50000;
  EXPECT_EQ(NtExtendSection(data, &size), STATUS_SUCCESS);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "data"), 50000U);
  EXPECT_EQ(NtExtendSection(section(kPage), &size), STATUS_SECTION_NOT_EXTENDED);
  EXPECT_EQ(NtExtendSection(data, nullptr), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtExtendSection(section(0, PAGE_READONLY, SEC_COMMIT, file, SECTION_QUERY), &size), STATUS_ACCESS_DENIED);
  EXPECT_EQ(machine_->check(), "");
}

TEST_F(NtSections, FlushRefusesMisuseInOrder) {
  const std::uint64_t view = map(section(kPage));
  machine_->allocate(kTaken, kPage);
  const auto flush = [](HANDLE process, std::uint64_t address, SIZE_T size) {
    PVOID base = NtMachine::pointer(address);
    IO_STATUS_BLOCK io{};
    return NtFlushVirtualMemory(process, &base, &size, &io);
  };
  EXPECT_EQ(NtFlushVirtualMemory(NtCurrentProcess(), nullptr, nullptr, nullptr), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(flush(NtMachine::bad_handle(), view, ~SIZE_T{0}), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(flush(NtMachine::bad_handle(), view, 0), STATUS_INVALID_HANDLE);
  EXPECT_EQ(flush(NtCurrentProcess(), 0x10000000, 0), STATUS_NOT_MAPPED_VIEW);
  EXPECT_EQ(flush(NtCurrentProcess(), kTaken, 0), STATUS_NOT_MAPPED_DATA);
  EXPECT_EQ(flush(NtCurrentProcess(), view, 0), STATUS_NOT_MAPPED_DATA);
}

}  // namespace
}  // namespace pagoda::nt
