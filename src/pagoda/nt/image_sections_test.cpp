// SEC_IMAGE sections on every paging mode: sizes, machines, what a file that is no image is said to be, what queries
// tell, images that are not to be executed, and which views show one file. Sources: issue 10; Microsoft's documentation
// of SEC_IMAGE_NO_EXECUTE and of the statuses.
#include <gtest/gtest.h>

#include <array>

#include "pagoda/mm/testing/pe_builder.h"
#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using mm::PeFormat;
using mm::testing::pe_bytes;
using mm::testing::PeBuilder;
using testing::NtMachine;
namespace at = mm::testing::pe_places;

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t kPage = 0x1000;

class ImageSections : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  ImageSections() : m({.paging = GetParam(), .directory = directory_.path()}), before_(m.totals()) {}

  static bool wide() { return GetParam() == machine::PteFormat::kAmd64; }
  static PeFormat native() { return wide() ? PeFormat::kPe32Plus : PeFormat::kPe32; }
  // .text, .data and .shared on the pages 1 to 3.
  static PeBuilder builder(PeFormat format = native()) {
    PeBuilder pe(format);
    pe.base = 0x10000000;
    pe.add({.name = ".text", .flags = mm::testing::kPeText, .bytes = pe_bytes(0x300, 1)});
    pe.add({.name = ".data", .flags = mm::testing::kPeData, .bytes = pe_bytes(0x200, 2)});
    pe.add({.name = ".shared", .flags = mm::testing::kPeShared, .bytes = pe_bytes(0x200, 3)});
    return pe;
  }

  HANDLE open(const Bytes& bytes, const std::string& name = "image") {
    directory_.write(name, bytes);
    HANDLE file = nullptr;
    PAGODA_CHECK_EQ(
        testing::open_file(file, u"\\" + std::u16string(name.begin(), name.end()), FILE_READ_DATA | FILE_EXECUTE),
        STATUS_SUCCESS);
    return file;
  }
  static NTSTATUS create(HANDLE& out, HANDLE file, LONGLONG size = 0, ULONG flags = SEC_IMAGE,
                         ULONG protect = PAGE_READONLY) {
    LARGE_INTEGER maximum{};
    maximum.QuadPart = size;
    return NtCreateSection(&out, SECTION_ALL_ACCESS, nullptr, &maximum, protect, flags, file);
  }
  HANDLE section(HANDLE file, ULONG flags = SEC_IMAGE) {
    HANDLE out = nullptr;
    PAGODA_CHECK_EQ(create(out, file, 0, flags), STATUS_SUCCESS);
    return out;
  }
  // The status of a section of the bytes, which is closed again.
  NTSTATUS status_of(const Bytes& bytes, const std::string& name) {
    const HANDLE file = open(bytes, name);
    HANDLE out = nullptr;
    const NTSTATUS status = create(out, file);
    if (NT_SUCCESS(status)) NtClose(out);
    NtClose(file);
    return status;
  }
  static NTSTATUS map(HANDLE section, std::uint64_t& base, ULONG protect = PAGE_READONLY, SIZE_T size = 0) {
    PVOID where = nullptr;
    const NTSTATUS status =
        NtMapViewOfSection(section, NtCurrentProcess(), &where, 0, 0, nullptr, &size, ViewShare, 0, protect);
    base = bits_of(where);
    return status;
  }
  static NTSTATUS unmap(std::uint64_t base) {
    return NtUnmapViewOfSection(NtCurrentProcess(), NtMachine::pointer(base));
  }
  static NTSTATUS change(std::uint64_t base, ULONG protection) {
    PVOID where = NtMachine::pointer(base);
    SIZE_T size = kPage;
    ULONG old = 0;
    return NtProtectVirtualMemory(NtCurrentProcess(), &where, &size, protection, &old);
  }
  static SECTION_BASIC_INFORMATION basic(HANDLE section) {
    SECTION_BASIC_INFORMATION info{};
    PAGODA_CHECK_EQ(NtQuerySection(section, SectionBasicInformation, &info, sizeof info, nullptr), STATUS_SUCCESS);
    return info;
  }
  static SECTION_IMAGE_INFORMATION image(HANDLE section) {
    SECTION_IMAGE_INFORMATION info{};
    PAGODA_CHECK_EQ(NtQuerySection(section, SectionImageInformation, &info, sizeof info, nullptr), STATUS_SUCCESS);
    return info;
  }

  const testing::NtDirectory directory_;  // Outlives the machine.
  NtMachine m;
  const NtMachine::Totals before_;
};

// --- Sizes ---

TEST_P(ImageSections, KeepTheMaximumSizeThatWasAskedForAndShowAllOfTheImage) {
  const HANDLE file = open(builder().build());
  constexpr LONGLONG kWhole = 4 * kPage;
  for (const LONGLONG size : {LONGLONG{0}, LONGLONG{1}, LONGLONG{42}, LONGLONG{0x1001}, kWhole - 1, kWhole}) {
    SCOPED_TRACE(size);
    HANDLE section = nullptr;
    ASSERT_EQ(create(section, file, size), STATUS_SUCCESS);
    EXPECT_EQ(basic(section).MaximumSize.QuadPart, size == 0 ? kWhole : size);
    std::uint64_t base = 0;
    EXPECT_EQ(map(section, base), STATUS_SUCCESS);
    EXPECT_EQ(NtMachine::query(base + 3 * kPage).State, MEM_COMMIT);
    std::uint64_t value = 0;
    EXPECT_EQ(NtMachine::get(base + 3 * kPage, value), STATUS_SUCCESS);
    EXPECT_EQ(unmap(base), STATUS_SUCCESS);
    EXPECT_EQ(NtClose(section), STATUS_SUCCESS);
  }
  for (const LONGLONG size : {kWhole + 1, LONGLONG{1} << 40, LONGLONG{-1}, LONGLONG{-42}}) {
    HANDLE section = nullptr;
    EXPECT_EQ(create(section, file, size), STATUS_SECTION_TOO_BIG) << size;
    EXPECT_EQ(section, nullptr);
  }
  // What is no image is said to be none, however large it should be.
  const HANDLE none = open(pe_bytes(100, 1), "none");
  HANDLE section = nullptr;
  EXPECT_EQ(create(section, none, -1), STATUS_INVALID_IMAGE_NOT_MZ);
  EXPECT_EQ(NtClose(none), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(file), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

// --- What is none ---

TEST_P(ImageSections, AFileThatIsNoneIsSaidToBeWhatItIs) {
  const Bytes sound = builder().build();
  const auto with = [&](std::uint32_t signature, unsigned ne_system) {
    Bytes bytes = sound;
    PeBuilder::poke(bytes, at::kSignature, signature, 4);
    PeBuilder::poke(bytes, at::kSignature + 0x36, ne_system, 1);
    return bytes;
  };
  EXPECT_EQ(status_of({}, "empty"), STATUS_INVALID_FILE_FOR_SECTION);
  EXPECT_EQ(status_of(pe_bytes(0x400, 1), "text"), STATUS_INVALID_IMAGE_NOT_MZ);
  EXPECT_EQ(status_of(Bytes(sound.begin(), sound.begin() + 63), "stub"), STATUS_INVALID_IMAGE_NOT_MZ);
  EXPECT_EQ(status_of(Bytes(sound.begin(), sound.begin() + 64), "dos"), STATUS_INVALID_IMAGE_PROTECT);
  EXPECT_EQ(status_of(with(0x454E, 1), "os2"), STATUS_INVALID_IMAGE_NE_FORMAT);
  EXPECT_EQ(status_of(with(0x454E, 2), "win16"), STATUS_INVALID_IMAGE_WIN_16);
  EXPECT_EQ(status_of(with(0x454E, 5), "extended"), STATUS_INVALID_IMAGE_PROTECT);
  EXPECT_EQ(status_of(with(0x454C, 0), "vxd"), STATUS_INVALID_IMAGE_LE_FORMAT);
  EXPECT_EQ(status_of(with(0x584C, 0), "os2-32"), STATUS_INVALID_IMAGE_PROTECT);
  EXPECT_EQ(status_of(Bytes(sound.begin(), sound.begin() + 0x100), "cut"), STATUS_INVALID_IMAGE_FORMAT);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(m.totals().handles, before_.handles);
}

// --- Machines ---

TEST_P(ImageSections, OfAnotherMachineAreMappedAndSaidToBeOrRefused) {
  const HANDLE narrow = open(builder(PeFormat::kPe32).build(), "narrow");
  const HANDLE of_narrow = section(narrow);
  EXPECT_EQ(image(of_narrow).Machine, 0x14CU);
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  EXPECT_EQ(map(of_narrow, first), wide() ? STATUS_IMAGE_MACHINE_TYPE_MISMATCH : STATUS_SUCCESS);
  EXPECT_EQ(first, 0x10000000U);
  // Not at its base either: the machine is what is told.
  EXPECT_EQ(map(of_narrow, second), wide() ? STATUS_IMAGE_MACHINE_TYPE_MISMATCH : STATUS_IMAGE_NOT_AT_BASE);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(second, value), STATUS_SUCCESS);
  EXPECT_EQ(value & 0xFFFF, 0x5A4DU);
  EXPECT_EQ(unmap(first), STATUS_SUCCESS);
  EXPECT_EQ(unmap(second), STATUS_SUCCESS);

  Bytes wider = builder(PeFormat::kPe32Plus).build();
  EXPECT_EQ(status_of(wider, "wide"), wide() ? STATUS_SUCCESS : STATUS_INVALID_IMAGE_WIN_64);
  PeBuilder::poke(wider, at::kMachine, 0x0200, 2);  // Itanium.
  EXPECT_EQ(status_of(wider, "itanium"), wide() ? STATUS_INVALID_IMAGE_FORMAT : STATUS_INVALID_IMAGE_WIN_64);
  for (const unsigned machine : {0x0000U, 0x01C4U, 0x8664U, 0xAA64U, 0xDEADU}) {
    Bytes other = builder(PeFormat::kPe32).build();
    PeBuilder::poke(other, at::kMachine, machine, 2);
    EXPECT_EQ(status_of(other, "other" + std::to_string(machine)), STATUS_INVALID_IMAGE_FORMAT) << machine;
  }
  EXPECT_EQ(m.check(), "");
}

// --- What queries tell ---

TEST_P(ImageSections, QueriesTellWhetherThereIsCodeAndWhetherItIsForDotNet) {
  PeBuilder data(native());
  data.entry_point = 0;
  data.add({.name = ".data", .flags = mm::testing::kPeData, .bytes = pe_bytes(0x200, 1)});
  const Bytes plain = data.build();
  const HANDLE of_plain = section(open(plain, "plain"));
  EXPECT_EQ(image(of_plain).ImageContainsCode, 0U);
  EXPECT_EQ(image(of_plain).LoaderFlags, 0U);
  for (const std::size_t field : {at::kEntryPoint, at::kSizeOfCode}) {
    Bytes code = plain;
    PeBuilder::poke(code, field, 0x1000, 4);
    EXPECT_EQ(image(section(open(code, "code" + std::to_string(field)))).ImageContainsCode, 1U);
  }
  Bytes clr = plain;
  PeBuilder::poke(clr, at::directory(native(), 14), 0x1000, 4);
  PeBuilder::poke(clr, at::directory(native(), 14) + 4, 72, 4);
  EXPECT_EQ(image(section(open(clr, "clr"))).LoaderFlags, 1U);
  data.section_alignment = data.file_alignment = 0x200;
  const HANDLE flat = section(open(data.build(), "flat"));
  EXPECT_EQ(image(flat).ImageContainsCode, 1U);
  EXPECT_EQ(image(of_plain).ImageFlags, 0U);
  EXPECT_EQ(m.check(), "");
}

// --- Aligned to less than a page ---

TEST_P(ImageSections, AFlatImageIsTheFileThenZeros) {
  PeBuilder pe(native());
  pe.base = 0x10000000;
  pe.section_alignment = pe.file_alignment = 0x20;
  Bytes bytes = pe.build();  // No sections.
  const std::size_t size = bytes.size();
  PeBuilder::poke(bytes, at::kSizeOfImage, 0x2345, 4);
  PeBuilder::poke(bytes, at::kSizeOfHeaders, 0x1800, 4);  // Behind the end of the file.
  const HANDLE flat = section(open(bytes));
  EXPECT_EQ(basic(flat).MaximumSize.QuadPart, 0x3000);
  std::uint64_t base = 0;
  ASSERT_EQ(map(flat, base), STATUS_SUCCESS);
  const MEMORY_BASIC_INFORMATION info = NtMachine::query(base);
  EXPECT_EQ(info.RegionSize, 0x3000U);
  EXPECT_EQ(info.Protect, PAGE_EXECUTE_WRITECOPY);
  EXPECT_EQ(info.Type, MEM_IMAGE);
  Bytes shown(0x3000);
  EXPECT_EQ(PagodaLoad(NtMachine::pointer(base), shown.data(), shown.size()), STATUS_SUCCESS);
  bytes.resize(0x3000);
  EXPECT_EQ(shown, bytes);
  EXPECT_EQ(NtMachine::put(base + 0x2000, 1), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(unmap(base), STATUS_SUCCESS);
  EXPECT_EQ(std::filesystem::file_size(directory_.path() / "image"), size);
}

// --- SEC_IMAGE_NO_EXECUTE ---

TEST_P(ImageSections, ThatAreNotToBeExecutedAreNot) {
  const HANDLE file = open(builder().build());
  const HANDLE runs = section(file);
  const HANDLE rests = section(file, SEC_IMAGE_NO_EXECUTE);
  EXPECT_EQ(basic(rests).AllocationAttributes, SEC_FILE | SEC_IMAGE_NO_EXECUTE);
  EXPECT_EQ(basic(runs).AllocationAttributes, SEC_FILE | SEC_IMAGE);
  std::uint64_t executed = 0;
  std::uint64_t base = 0;
  ASSERT_EQ(map(runs, executed), STATUS_SUCCESS);
  ASSERT_EQ(map(rests, base), STATUS_IMAGE_NOT_AT_BASE);
  // Both views show the same pages.
  constexpr std::array<ULONG, 4> kRuns{PAGE_READONLY, PAGE_EXECUTE_READ, PAGE_WRITECOPY, PAGE_READWRITE};
  constexpr std::array<ULONG, 4> kRests{PAGE_READONLY, PAGE_READONLY, PAGE_WRITECOPY, PAGE_READWRITE};
  for (std::uint64_t page = 0; page < 4; ++page) {
    SCOPED_TRACE(page);
    EXPECT_EQ(NtMachine::query(executed + page * kPage).Protect, kRuns.at(page));
    EXPECT_EQ(NtMachine::query(base + page * kPage).Protect, kRests.at(page));
    EXPECT_EQ(NtMachine::query(base + page * kPage).AllocationProtect, PAGE_WRITECOPY);
    std::uint64_t there = 0;
    std::uint64_t here = 0;
    EXPECT_EQ(NtMachine::get(executed + page * kPage, there), STATUS_SUCCESS);
    EXPECT_EQ(NtMachine::get(base + page * kPage, here), STATUS_SUCCESS);
    EXPECT_EQ(here, there);
  }
  EXPECT_EQ(PagodaFetch(NtMachine::pointer(executed + kPage)), STATUS_SUCCESS);
  // Processors of x86 execute what they can read.
  const bool no_execute = GetParam() != machine::PteFormat::kX86;
  EXPECT_EQ(PagodaFetch(NtMachine::pointer(base + kPage)), no_execute ? STATUS_ACCESS_VIOLATION : STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
  for (const ULONG allowed : {PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY})
    EXPECT_EQ(change(base + kPage, allowed), STATUS_SUCCESS) << allowed;
  for (const ULONG refused : {PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY})
    EXPECT_EQ(change(base + kPage, refused), STATUS_SECTION_PROTECTION) << refused;
  EXPECT_EQ(NtMachine::put(base + 2 * kPage, 1), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(base + 2 * kPage).Protect, PAGE_READWRITE);
  EXPECT_EQ(m.check(), "");
  // What it shows stays so when the pages have left the working set.
  QUOTA_LIMITS empty{};
  empty.MinimumWorkingSetSize = empty.MaximumWorkingSetSize = ~SIZE_T{0};
  ASSERT_EQ(NtSetInformationProcess(NtCurrentProcess(), ProcessQuotaLimits, &empty, sizeof empty), STATUS_SUCCESS);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(base + kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(base + 3 * kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(base + 3 * kPage).Protect, PAGE_READWRITE);
  EXPECT_EQ(m.check(), "");
}

TEST_P(ImageSections, ThatAreNotToBeExecutedAreReadOnlySectionsOfNothingElse) {
  const HANDLE file = open(builder().build());
  HANDLE out = nullptr;
  for (const ULONG bad : {PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_WRITECOPY, PAGE_WRITECOPY})
    EXPECT_EQ(create(out, file, 0, SEC_IMAGE_NO_EXECUTE, bad), STATUS_INVALID_PAGE_PROTECTION) << bad;
  for (const ULONG more : {SEC_BASED, SEC_NO_CHANGE, SEC_COMMIT, SEC_RESERVE, SEC_WRITECOMBINE, SEC_LARGE_PAGES})
    EXPECT_EQ(create(out, file, 0, SEC_IMAGE_NO_EXECUTE | more), STATUS_INVALID_PARAMETER_6) << more;
  EXPECT_EQ(create(out, nullptr, 0, SEC_IMAGE_NO_EXECUTE), STATUS_INVALID_FILE_FOR_SECTION);
  EXPECT_EQ(out, nullptr);
  const HANDLE rests = section(file, SEC_IMAGE_NO_EXECUTE);
  std::uint64_t base = 0;
  for (const ULONG refused : {PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_WRITECOPY, PAGE_READWRITE})
    EXPECT_EQ(map(rests, base, refused), STATUS_SECTION_PROTECTION) << refused;
  HANDLE process = nullptr;
  EXPECT_EQ(NtCreateProcess(&process, PROCESS_ALL_ACCESS, nullptr, NtCurrentProcess(), 0, rests, nullptr, nullptr),
            STATUS_SECTION_PROTECTION);
  EXPECT_EQ(map(rests, base, PAGE_WRITECOPY), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

// --- NtAreMappedFilesTheSame ---

TEST_P(ImageSections, FilesAreTheSameIfOneIsTheImageOfTheOther) {
  const HANDLE file = open(builder().build());
  const HANDLE other = open(builder().build(), "other");
  const auto mapped = [&](HANDLE of, ULONG flags) {
    std::uint64_t base = 0;
    PAGODA_CHECK(NT_SUCCESS(map(section(of, flags), base)));
    return base;
  };
  const std::uint64_t image = mapped(file, SEC_IMAGE);
  const std::uint64_t again = mapped(file, SEC_IMAGE);
  const std::uint64_t resources = mapped(file, SEC_IMAGE_NO_EXECUTE);
  const std::uint64_t data = mapped(file, SEC_COMMIT);
  const std::uint64_t more_data = mapped(file, SEC_COMMIT);
  const std::uint64_t other_image = mapped(other, SEC_IMAGE);
  const std::uint64_t other_data = mapped(other, SEC_COMMIT);
  const auto compare = [](std::uint64_t first, std::uint64_t second) {
    return NtAreMappedFilesTheSame(NtMachine::pointer(first), NtMachine::pointer(second));
  };
  for (const std::uint64_t same : {image, image + 3 * kPage, again + 5, resources, data, more_data + kPage - 1})
    EXPECT_EQ(compare(image + kPage, same), STATUS_SUCCESS);
  EXPECT_EQ(compare(data, data + 5), STATUS_SUCCESS);  // One view.
  EXPECT_EQ(compare(data, more_data), STATUS_NOT_SAME_DEVICE);
  EXPECT_EQ(compare(data, image), STATUS_NOT_SAME_DEVICE);
  for (const std::uint64_t different : {other_image, other_data})
    EXPECT_EQ(compare(image, different), STATUS_NOT_SAME_DEVICE);

  HANDLE memory = nullptr;
  LARGE_INTEGER size{};
  size.QuadPart = kPage;
  ASSERT_EQ(NtCreateSection(&memory, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr),
            STATUS_SUCCESS);
  std::uint64_t pages = 0;
  ASSERT_EQ(map(memory, pages), STATUS_SUCCESS);
  const std::uint64_t private_memory = m.allocate(0, kPage);
  for (const std::uint64_t no_file : {pages, private_memory}) {
    EXPECT_EQ(compare(image, no_file), STATUS_CONFLICTING_ADDRESSES);
    EXPECT_EQ(compare(no_file, image), STATUS_CONFLICTING_ADDRESSES);
  }
  // No region at all is found first.
  for (const std::uint64_t nowhere : {std::uint64_t{0}, std::uint64_t{0x60000000}, ~std::uint64_t{0}}) {
    EXPECT_EQ(compare(image, nowhere), STATUS_INVALID_ADDRESS);
    EXPECT_EQ(compare(nowhere, image), STATUS_INVALID_ADDRESS);
    EXPECT_EQ(compare(nowhere, private_memory), STATUS_INVALID_ADDRESS);
    EXPECT_EQ(compare(private_memory, nowhere), STATUS_INVALID_ADDRESS);
  }
  EXPECT_EQ(m.check(), "");
}

INSTANTIATE_TEST_SUITE_P(All, ImageSections,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& test) { return std::string(machine::paging_mode(test.param).name); });

}  // namespace
}  // namespace pagoda::nt
