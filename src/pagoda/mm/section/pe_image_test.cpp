#include "pagoda/mm/section/pe_image.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "pagoda/mm/testing/pe_builder.h"

namespace pagoda::mm {
namespace {

using testing::broken_invariant;
using testing::image_bytes;
using testing::kPeBss;
using testing::kPeData;
using testing::kPeRdata;
using testing::kPeShared;
using testing::kPeText;
using testing::pe_bytes;
using testing::PeBuilder;
namespace at = testing::pe_places;

using File = std::vector<std::byte>;

constexpr std::array<PeFormat, 2> kFormats = {PeFormat::kPe32, PeFormat::kPe32Plus};

// Text, data with zero fill behind it, and a section without bytes: pages 1, 2 to 4, 5 to 6.
PeBuilder small_image(PeFormat format) {
  PeBuilder pe(format);
  pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x3F0, 1)});
  pe.add({.name = ".data", .flags = kPeData, .bytes = pe_bytes(0x1234, 2), .virtual_size = 0x2FF0});
  pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = 0x1001});
  return pe;
}

ImageLayout parse_sound(const File& file) {
  const auto layout = parse_pe_image(file);
  EXPECT_TRUE(layout) << (layout ? "" : to_string(layout.error()));
  if (!layout) return {};
  EXPECT_EQ(broken_invariant(*layout, ByteCount(file.size())), "");
  return *layout;
}

void expect_subsection(const ImageSubsection& s, PageCount first, PageCount pages, std::uint64_t offset,
                       std::uint64_t bytes, Protection protection) {
  EXPECT_EQ(s.first_page, first);
  EXPECT_EQ(s.pages, pages);
  EXPECT_EQ(s.file_offset, FileOffset(offset));
  EXPECT_EQ(s.file_bytes, ByteCount(bytes));
  EXPECT_EQ(s.protection, protection) << to_string(s.protection);
}

TEST(PeImage, HeadersThenOneSubsectionForEachSection) {
  for (const PeFormat format : kFormats) {
    const File file = small_image(format).build();
    const ImageLayout layout = parse_sound(file);
    EXPECT_EQ(layout.pages, 7_pages);
    ASSERT_EQ(layout.subsections.size(), 4U);
    expect_subsection(layout.subsections[0], 0_pages, 1_pages, 0, 0x200, Protection::kReadOnly);
    expect_subsection(layout.subsections[1], 1_pages, 1_pages, 0x200, 0x400, Protection::kExecuteRead);
    expect_subsection(layout.subsections[2], 2_pages, 3_pages, 0x600, 0x1400, Protection::kWriteCopy);
    expect_subsection(layout.subsections[3], 5_pages, 2_pages, 0, 0, Protection::kWriteCopy);
    for (const ImageSubsection& s : layout.subsections) EXPECT_EQ(s.unused_pages, 0_pages);
  }
}

TEST(PeImage, TheHeadersSayWhatItIs) {
  for (const PeFormat format : kFormats) {
    const bool wide = format == PeFormat::kPe32Plus;
    PeBuilder pe = small_image(format);
    pe.characteristics = pe_image_flags::kExecutableImage | pe_image_flags::kDll;
    pe.stack_reserve = wide ? 0x12'3456'7000 : 0x123'4000;
    pe.stack_commit = 0x5000;
    pe.entry_point = 0x1010;
    const ImageLayout layout = parse_sound(pe.build());
    EXPECT_EQ(layout.format, format);
    EXPECT_EQ(layout.machine, wide ? PeMachine::kAmd64 : PeMachine::kI386);
    EXPECT_EQ(layout.base, VirtualAddress(wide ? 0x1'4000'0000 : 0x40'0000));
    EXPECT_EQ(layout.size_of_image, 28_KiB);
    EXPECT_EQ(layout.size_of_headers, 512_B);
    EXPECT_EQ(layout.section_alignment, 4_KiB);
    EXPECT_EQ(layout.file_alignment, 512_B);
    EXPECT_EQ(layout.entry_point, ByteCount(0x1010));
    EXPECT_EQ(layout.stack_reserve, ByteCount(pe.stack_reserve));
    EXPECT_EQ(layout.stack_commit, ByteCount(0x5000));
    EXPECT_EQ(layout.subsystem, PeSubsystem::kWindowsCui);
    EXPECT_EQ(layout.subsystem_major, 5);
    EXPECT_EQ(layout.subsystem_minor, 2);
    EXPECT_TRUE(layout.contains_code);
    EXPECT_TRUE(layout.is_dll());
    EXPECT_FALSE(layout.is_large_address_aware());
    pe.characteristics = pe_image_flags::kExecutableImage | pe_image_flags::kLargeAddressAware;
    const ImageLayout aware = parse_sound(pe.build());
    EXPECT_FALSE(aware.is_dll());
    EXPECT_TRUE(aware.is_large_address_aware());
  }
}

TEST(PeImage, BytesOfTheFileThenZeros) {
  for (const PeFormat format : kFormats) {
    const File file = small_image(format).build();
    const File image = image_bytes(parse_sound(file), file);
    ASSERT_EQ(image.size(), 7 * kPageBytes);
    const File text = pe_bytes(0x3F0, 1);
    const File data = pe_bytes(0x1234, 2);
    EXPECT_TRUE(std::equal(file.begin(), file.begin() + 0x200, image.begin()));
    EXPECT_TRUE(std::equal(text.begin(), text.end(), image.begin() + 0x1000));
    EXPECT_TRUE(std::equal(data.begin(), data.end(), image.begin() + 0x2000));
    const auto is_zero = [](std::byte b) { return b == std::byte{0}; };
    EXPECT_TRUE(std::all_of(image.begin() + 0x200, image.begin() + 0x1000, is_zero));
    EXPECT_TRUE(std::all_of(image.begin() + 0x13F0, image.begin() + 0x2000, is_zero));
    EXPECT_TRUE(std::all_of(image.begin() + 0x3234, image.end(), is_zero));
  }
}

TEST(PeImage, ProtectionsByTheFourFlags) {
  using namespace pe_section_flags;
  struct Row {
    std::uint32_t flags;
    Protection alone;
    Protection shared;
  };
  for (const Row& row : {
           Row{0, Protection::kNoAccess, Protection::kNoAccess},
           Row{kRead, Protection::kReadOnly, Protection::kReadOnly},
           Row{kExecute, Protection::kExecute, Protection::kExecute},
           Row{kExecute | kRead, Protection::kExecuteRead, Protection::kExecuteRead},
           Row{kWrite, Protection::kWriteCopy, Protection::kReadWrite},
           Row{kRead | kWrite, Protection::kWriteCopy, Protection::kReadWrite},
           Row{kExecute | kWrite, Protection::kExecuteWriteCopy, Protection::kExecuteReadWrite},
           Row{kExecute | kRead | kWrite, Protection::kExecuteWriteCopy, Protection::kExecuteReadWrite},
       }) {
    for (const std::uint32_t other : {0U, kCode | kInitializedData, 0x0FFF'FFFFU}) {
      EXPECT_EQ(protection_of_pe_section(row.flags | other), row.alone) << std::hex << row.flags;
      EXPECT_EQ(protection_of_pe_section(row.flags | kShared | other), row.shared) << std::hex << row.flags;
    }
    PeBuilder pe(PeFormat::kPe32);
    pe.add({.name = "a", .flags = row.flags, .bytes = pe_bytes(9, 1)});
    pe.add({.name = "b", .flags = row.flags | kShared, .virtual_size = 9});
    const ImageLayout layout = parse_sound(pe.build());
    ASSERT_EQ(layout.subsections.size(), 3U);
    EXPECT_EQ(layout.subsections[1].protection, row.alone);
    EXPECT_EQ(layout.subsections[2].protection, row.shared);
    EXPECT_EQ(layout.contains_code, (row.flags & kExecute) != 0);
  }
}

TEST(PeImage, AVirtualSizeOfZeroIsThatOfTheFile) {
  File file = small_image(PeFormat::kPe32).build();
  PeBuilder::poke(file, at::section(PeFormat::kPe32, 0) + at::kVirtualSize, 0, 4);
  expect_subsection(parse_sound(file).subsections[1], 1_pages, 1_pages, 0x200, 0x400, Protection::kExecuteRead);
}

TEST(PeImage, BytesThatThePagesDoNotHoldAreNotMapped) {
  PeBuilder pe(PeFormat::kPe32);
  pe.add({.name = ".data", .flags = kPeData, .bytes = pe_bytes(0x3000, 1), .virtual_size = 0x1001});
  const ImageLayout layout = parse_sound(pe.build());
  expect_subsection(layout.subsections[1], 1_pages, 2_pages, 0x200, 0x2000, Protection::kWriteCopy);
}

TEST(PeImage, RawDataWithoutAnOffsetIsNone) {
  PeBuilder pe(PeFormat::kPe32);
  pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = 0x2000, .raw_size = 0x7000'0000});
  const ImageLayout layout = parse_sound(pe.build());
  expect_subsection(layout.subsections[1], 1_pages, 2_pages, 0, 0, Protection::kWriteCopy);
}

TEST(PeImage, RawDataBeginsAtASectorAndEndsAtTheFileAlignment) {
  PeBuilder pe(PeFormat::kPe32);
  pe.add({.name = ".a", .flags = kPeRdata, .bytes = pe_bytes(0x600, 1)});
  File file = pe.build();
  const std::size_t section = at::section(PeFormat::kPe32, 0);
  PeBuilder::poke(file, section + at::kRawOffset, 0x210, 4);
  PeBuilder::poke(file, section + at::kRawSize, 0x201, 4);
  expect_subsection(parse_sound(file).subsections[1], 1_pages, 1_pages, 0x200, 0x400, Protection::kReadOnly);
  // The end of the file ends it before the alignment does.
  PeBuilder::poke(file, section + at::kRawOffset, 0x200, 4);
  PeBuilder::poke(file, section + at::kRawSize, 0x500, 4);
  file.resize(0x700);
  expect_subsection(parse_sound(file).subsections[1], 1_pages, 1_pages, 0x200, 0x500, Protection::kReadOnly);
}

TEST(PeImage, PagesUpToALargerAlignmentAreUnused) {
  PeBuilder pe(PeFormat::kPe32Plus);
  pe.section_alignment = 0x1'0000;
  pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x1001, 1)});
  pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = 0x1'0001});
  const ImageLayout layout = parse_sound(pe.build());
  EXPECT_EQ(layout.pages, 64_pages);
  ASSERT_EQ(layout.subsections.size(), 3U);
  const std::array<std::array<std::uint64_t, 3>, 3> expected = {{{0, 1, 15}, {16, 2, 14}, {32, 17, 15}}};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(layout.subsections[i].first_page, PageCount(expected[i][0]));
    EXPECT_EQ(layout.subsections[i].pages, PageCount(expected[i][1]));
    EXPECT_EQ(layout.subsections[i].unused_pages, PageCount(expected[i][2]));
  }
}

TEST(PeImage, ASizeOfImageThatIsNotAlignedIsRoundedUp) {
  File file = small_image(PeFormat::kPe32).build();
  PeBuilder::poke(file, at::kSizeOfImage, 0x6001, 4);
  const ImageLayout layout = parse_sound(file);
  EXPECT_EQ(layout.pages, 7_pages);
  EXPECT_EQ(layout.size_of_image, ByteCount(0x6001));
}

TEST(PeImage, AlignedToLessThanAPageIsOneFlatSubsection) {
  for (const PeFormat format : kFormats) {
    for (const std::uint32_t alignment : {1U, 0x20U, 0x200U, 0x800U}) {
      PeBuilder pe(format);
      pe.section_alignment = alignment;
      pe.file_alignment = alignment;
      pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x1230, 1)});
      pe.add({.name = ".data", .flags = kPeData, .bytes = pe_bytes(0x80, 2)});
      pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = 0x3000});
      const File file = pe.build();
      const ImageLayout layout = parse_sound(file);
      ASSERT_EQ(layout.subsections.size(), 1U);
      expect_subsection(layout.subsections[0], 0_pages, layout.pages, 0, file.size(), Protection::kExecuteWriteCopy);
      EXPECT_EQ(layout.pages, pages_of(layout.size_of_image));
      const File image = image_bytes(layout, file);
      EXPECT_TRUE(std::equal(file.begin(), file.end(), image.begin()));
      EXPECT_TRUE(layout.contains_code);
    }
  }
}

TEST(PeImage, AFlatImageShowsNoMoreThanItsPages) {
  PeBuilder pe(PeFormat::kPe32);
  pe.section_alignment = pe.file_alignment = 0x20;
  pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x100, 1)});
  File file = pe.build();
  file.resize(0x2345);
  const ImageLayout layout = parse_sound(file);
  expect_subsection(layout.subsections[0], 0_pages, 1_pages, 0, 0x1000, Protection::kExecuteWriteCopy);
}

TEST(PeImage, HeadersMayLieFarIntoTheFile) {
  // What a large DOS program in front does.
  const File sound = small_image(PeFormat::kPe32Plus).build();
  constexpr std::size_t kPe = 0x1'2344;
  File file(kPe + 0x2000);
  std::copy_n(sound.begin(), 64, file.begin());
  PeBuilder::poke(file, at::kPeOffset, kPe, 4);
  std::copy(sound.begin() + 64, sound.begin() + 0x200, file.begin() + kPe);
  std::vector<std::pair<std::uint64_t, std::size_t>> reads;
  const auto layout =
      parse_pe_image(ByteCount(file.size()), [&](FileOffset offset, std::span<std::byte> into) -> Result<> {
        reads.emplace_back(offset.value(), into.size());
        std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(offset.value()), into.size(), into.begin());
        return {};
      });
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->pages, 7_pages);
  EXPECT_EQ(reads, (std::vector<std::pair<std::uint64_t, std::size_t>>{{0, 4096}, {kPe, 4096}}));
}

TEST(PeImage, WhatReadingFailsWithIsPassedOn) {
  const File file = small_image(PeFormat::kPe32).build();
  const auto failing = [](FileOffset, std::span<std::byte>) -> Result<> { return fail(Status::kIoDeviceError); };
  EXPECT_EQ(parse_pe_image(ByteCount(file.size()), failing).error(), Status::kIoDeviceError);
}

TEST(PeImage, AsManySectionsAsTheLoaderAllows) {
  for (const std::size_t count : {std::size_t{96}, std::size_t{97}}) {
    PeBuilder pe(PeFormat::kPe32Plus);
    for (std::size_t i = 0; i < count; ++i)
      pe.add({.name = "s" + std::to_string(i), .flags = kPeShared, .bytes = pe_bytes(10 + i, i)});
    const auto layout = parse_pe_image(pe.build());
    ASSERT_EQ(layout.has_value(), count == 96);
    if (!layout) {
      EXPECT_EQ(layout.error(), Status::kInvalidImageFormat);
    } else {
      EXPECT_EQ(layout->subsections.size(), 97U);
    }
  }
}

// --- Misuse ---

// What makes a sound small_image a bad one.
struct Misuse {
  const char* what;
  std::function<void(File&, PeFormat)> spoil;
  Status status = Status::kInvalidImageFormat;
};

auto poke(std::size_t place, std::uint64_t value, std::size_t bytes) {
  return [=](File& file, PeFormat) { PeBuilder::poke(file, place, value, bytes); };
}
auto poke_section(std::size_t index, std::size_t field, std::uint64_t value) {
  return [=](File& file, PeFormat format) { PeBuilder::poke(file, at::section(format, index) + field, value, 4); };
}
auto poke_base(std::uint64_t value) {
  return [=](File& file, PeFormat format) {
    const bool wide = format == PeFormat::kPe32Plus;
    PeBuilder::poke(file, wide ? at::kImageBase64 : at::kImageBase32, value, wide ? 8 : 4);
  };
}
auto both(std::function<void(File&, PeFormat)> a, std::function<void(File&, PeFormat)> b) {
  return [a = std::move(a), b = std::move(b)](File& file, PeFormat format) {
    a(file, format);
    b(file, format);
  };
}

void expect_refused(const std::vector<Misuse>& rows, const std::function<PeBuilder(PeFormat)>& sound) {
  for (const PeFormat format : kFormats) {
    for (const Misuse& row : rows) {
      File file = sound(format).build();
      static_cast<void>(parse_sound(file));
      row.spoil(file, format);
      const auto layout = parse_pe_image(file);
      ASSERT_FALSE(layout) << row.what;
      EXPECT_EQ(layout.error(), row.status) << row.what << ": " << to_string(layout.error());
    }
  }
}

TEST(PeImage, MisuseOfTheFile) {
  const auto cut = [](std::size_t size) { return [=](File& file, PeFormat) { file.resize(size); }; };
  expect_refused(
      {
          {"empty", cut(0), Status::kInvalidFileForSection},
          {"one byte", cut(1), Status::kInvalidImageNotMz},
          {"less than a DOS header", cut(63), Status::kInvalidImageNotMz},
          {"only a DOS header", cut(64)},
          {"not MZ", poke(0, 0x5A4E, 2), Status::kInvalidImageNotMz},
          {"ZM", poke(0, 0x4D5A, 2), Status::kInvalidImageNotMz},
          {"ELF", poke(0, 0x464C'457F, 4), Status::kInvalidImageNotMz},
          {"e_lfanew past the end", poke(at::kPeOffset, 0x10'0000, 4)},
          {"e_lfanew at the end", [](File& f, PeFormat) { PeBuilder::poke(f, at::kPeOffset, f.size(), 4); }},
          {"e_lfanew just before the end",
           [](File& f, PeFormat) { PeBuilder::poke(f, at::kPeOffset, f.size() - 4, 4); }},
          {"e_lfanew that wraps", poke(at::kPeOffset, 0xFFFF'FFFC, 4)},
          {"e_lfanew zero", poke(at::kPeOffset, 0, 4)},
          {"e_lfanew not aligned", poke(at::kPeOffset, 66, 4)},
          {"no PE signature", poke(at::kSignature, 0x4551, 4)},
          {"an OS/2 program", poke(at::kSignature, 0x454E, 4)},
          {"PE and no zeros", poke(at::kSignature, 0x1'4550, 4)},
      },
      small_image);
}

TEST(PeImage, MisuseOfTheHeaders) {
  const auto other_machine = [](File& file, PeFormat format) {
    PeBuilder::poke(file, at::kMachine, format == PeFormat::kPe32 ? 0x8664 : 0x014C, 2);
  };
  const auto other_magic = [](File& file, PeFormat format) {
    PeBuilder::poke(file, at::kMagic, format == PeFormat::kPe32 ? 0x20B : 0x10B, 2);
  };
  const auto short_header = [](File& file, PeFormat format) {
    PeBuilder::poke(file, at::kOptionalHeaderBytes, format == PeFormat::kPe32 ? 95 : 111, 2);
  };
  expect_refused(
      {
          {"no machine", poke(at::kMachine, 0, 2)},
          {"Itanium", poke(at::kMachine, 0x200, 2)},
          {"ARM64", poke(at::kMachine, 0xAA64, 2)},
          {"the other machine", other_machine},
          {"the other magic", other_magic},
          {"no magic", poke(at::kMagic, 0, 2)},
          {"a ROM image", poke(at::kMagic, 0x107, 2)},
          {"an object file", poke(at::kCharacteristics, 0, 2)},
          {"no sections", both(poke(at::kSectionCount, 0, 2), poke(at::kSizeOfImage, 0x1000, 4))},
          {"97 sections", poke(at::kSectionCount, 97, 2)},
          {"65535 sections", poke(at::kSectionCount, 65535, 2)},
          {"a section too many", poke(at::kSectionCount, 4, 2)},
          {"a section too few", poke(at::kSectionCount, 2, 2)},
          {"no optional header", poke(at::kOptionalHeaderBytes, 0, 2)},
          {"an optional header too short", short_header},
          {"section table elsewhere", poke(at::kOptionalHeaderBytes, 300, 2)},
          {"section table past the end", poke(at::kOptionalHeaderBytes, 65535, 2)},
          {"section alignment 0", poke(at::kSectionAlignment, 0, 4)},
          {"section alignment no power of two", poke(at::kSectionAlignment, 0x1800, 4)},
          {"section alignment below a page, not the file's", poke(at::kSectionAlignment, 0x800, 4)},
          {"section alignment below a page, the file's", poke(at::kSectionAlignment, 0x200, 4)},
          {"section alignment larger than the sections'", poke(at::kSectionAlignment, 0x2000, 4)},
          {"section alignment huge", poke(at::kSectionAlignment, 0x8000'0000, 4)},
          {"file alignment 0", poke(at::kFileAlignment, 0, 4)},
          {"file alignment no power of two", poke(at::kFileAlignment, 0x600, 4)},
          {"file alignment below a sector", poke(at::kFileAlignment, 0x100, 4)},
          {"file alignment above the sections'", poke(at::kFileAlignment, 0x2000, 4)},
          {"base not on 64 KB", poke_base(0x40'1000)},
          {"base odd", poke_base(1)},
          {"image size 0", poke(at::kSizeOfImage, 0, 4)},
          {"image size a page short", poke(at::kSizeOfImage, 0x6000, 4)},
          {"image size a page long", poke(at::kSizeOfImage, 0x7001, 4)},
          {"image size huge", poke(at::kSizeOfImage, 0x7700'1000, 4)},
          {"image size that wraps when rounded", poke(at::kSizeOfImage, 0xFFFF'FFFF, 4)},
          {"header size 0", poke(at::kSizeOfHeaders, 0, 4)},
          {"header size past the first section", poke(at::kSizeOfHeaders, 0x1001, 4)},
          {"header size past the file", poke(at::kSizeOfHeaders, 0x6000, 4)},
          {"header size of the image", poke(at::kSizeOfHeaders, 0x7000, 4)},
          {"header size that wraps", poke(at::kSizeOfHeaders, 0xFFFF'FFFF, 4)},
      },
      small_image);
}

TEST(PeImage, AnImageEndsBelowTheEndOfItsAddresses) {
  for (const PeFormat format : kFormats) {
    for (const std::uint32_t bss : {0xB000U, 0x1'0000U}) {
      PeBuilder pe(format);
      pe.base = format == PeFormat::kPe32 ? 0xFFFF'0000 : 0xFFFF'FFFF'FFFF'0000;
      pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x3F0, 1)});
      pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = bss});
      EXPECT_EQ(parse_pe_image(pe.build()).has_value(), bss == 0xB000);
    }
  }
}

TEST(PeImage, MisuseOfSections) {
  expect_refused(
      {
          {"a gap before the first", poke_section(0, at::kVirtualAddress, 0x2000)},
          {"the first over the headers", poke_section(0, at::kVirtualAddress, 0)},
          {"not aligned", poke_section(0, at::kVirtualAddress, 0x1200)},
          {"overlap", poke_section(1, at::kVirtualAddress, 0x1000)},
          {"a gap", poke_section(1, at::kVirtualAddress, 0x3000)},
          {"out of order",
           both(poke_section(0, at::kVirtualAddress, 0x2000), poke_section(1, at::kVirtualAddress, 0x1000))},
          {"far away", poke_section(2, at::kVirtualAddress, 0xFFFF'F000)},
          {"too long for its place", poke_section(0, at::kVirtualSize, 0x1001)},
          {"too short for its place", poke_section(1, at::kVirtualSize, 0x2000)},
          {"past the image", poke_section(2, at::kVirtualSize, 0x2001)},
          {"not up to the image's end", poke_section(2, at::kVirtualSize, 0x1000)},
          {"a size that wraps", poke_section(2, at::kVirtualSize, 0xFFFF'FFFF)},
          {"no size at all", poke_section(2, at::kVirtualSize, 0)},
          {"raw data past the file", poke_section(1, at::kRawOffset, 0x601)},
          {"raw data wholly past the file", poke_section(1, at::kRawOffset, 0x10'0000)},
          {"raw data too long for the file", poke_section(1, at::kRawSize, 0x1401)},
          {"raw data that wraps",
           both(poke_section(1, at::kRawOffset, 0xFFFF'FE00), poke_section(1, at::kRawSize, 0x400))},
          {"raw size that wraps", poke_section(1, at::kRawSize, 0xFFFF'FFFF)},
          {"file cut", [](File& file, PeFormat) { file.resize(file.size() - 1); }},
      },
      small_image);
}

TEST(PeImage, MisuseOfFlatImages) {
  const auto flat = [](PeFormat format) {
    PeBuilder pe(format);
    pe.section_alignment = pe.file_alignment = 0x80;
    pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x100, 1)});
    pe.add({.name = ".data", .flags = kPeData, .bytes = pe_bytes(0x80, 2)});
    return pe;
  };
  const auto unaligned = both(poke_section(1, at::kVirtualAddress, 0x310),
                              both(poke_section(1, at::kRawSize, 0), poke_section(1, at::kVirtualSize, 0x10)));
  const auto shift_raw = [](File& file, PeFormat format) {
    PeBuilder::poke(file, at::section(format, 0) + at::kRawOffset, 0x80, 4);
  };
  const auto swap = [](File& file, PeFormat format) {
    const auto first = file.begin() + static_cast<std::ptrdiff_t>(at::section(format, 0));
    std::swap_ranges(first, first + 40, first + 40);
  };
  expect_refused(
      {
          {"the file's alignment is another", poke(at::kFileAlignment, 0x40, 4)},
          {"raw data is not where the section is", shift_raw},
          {"sections out of order", swap},
          {"over the headers", poke_section(0, at::kVirtualAddress, 0x80)},
          {"not aligned", unaligned},
          {"header size 0", poke(at::kSizeOfHeaders, 0, 4)},
          {"header size of the image", poke(at::kSizeOfHeaders, 0x380, 4)},
          {"header size past the file", poke(at::kSizeOfHeaders, 0x10'0000, 4)},
          {"image size 0", poke(at::kSizeOfImage, 0, 4)},
          {"past the image", poke_section(1, at::kVirtualSize, 0x1000)},
          {"no size at all", both(poke_section(1, at::kVirtualSize, 0), poke_section(1, at::kRawSize, 0))},
          {"raw data past the file", poke_section(1, at::kRawSize, 0x81)},
          {"raw data that wraps", poke_section(1, at::kRawSize, 0xFFFF'FFFF)},
          {"image size that is no end", poke(at::kSizeOfImage, 0x180, 4)},
      },
      flat);
}

// The misuses whose only fault is the one that is named: all else of the image agrees with it.

PeBuilder only_bss(PeFormat format, std::uint32_t size) {
  PeBuilder pe(format);
  pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = size});
  return pe;
}

TEST(PeImage, ThePeHeaderLiesOnFourBytes) {
  for (const PeFormat format : kFormats) {
    for (const std::size_t shift : {1U, 2U, 3U, 4U, 8U}) {
      File file = small_image(format).build();
      std::copy_backward(file.begin() + 64, file.begin() + 0x1F0, file.begin() + 0x1F0 + static_cast<int>(shift));
      PeBuilder::poke(file, at::kPeOffset, 64 + shift, 4);
      EXPECT_EQ(parse_pe_image(file).has_value(), shift % 4 == 0) << shift;
    }
  }
}

TEST(PeImage, TheOptionalHeaderHasItsFixedPart) {
  for (const PeFormat format : kFormats) {
    const std::size_t fixed = format == PeFormat::kPe32 ? 96 : 112;
    for (const std::size_t bytes : {fixed - 1, fixed, fixed + 3}) {
      File file = small_image(format).build();
      const auto table = file.begin() + static_cast<std::ptrdiff_t>(at::section(format, 0));
      std::copy_n(table, 120, file.begin() + static_cast<std::ptrdiff_t>(at::kOptionalHeader + bytes));
      PeBuilder::poke(file, at::kOptionalHeaderBytes, bytes, 2);
      EXPECT_EQ(parse_pe_image(file).has_value(), bytes >= fixed) << bytes;
    }
  }
}

TEST(PeImage, TheFileHasTheWholeSectionTable) {
  for (const PeFormat format : kFormats) {
    File file = only_bss(format, 0x1000).build();
    PeBuilder::poke(file, at::kSizeOfHeaders, 0x100, 4);
    for (std::size_t size = 0x100; size < file.size(); ++size) {
      const File cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_EQ(parse_pe_image(cut).has_value(), size >= at::section(format, 1)) << size;
    }
  }
}

TEST(PeImage, TheFileHasAllHeaders) {
  for (const std::uint64_t size : {0x200U, 0x201U}) {
    File file = only_bss(PeFormat::kPe32, 0x1000).build();
    PeBuilder::poke(file, at::kSizeOfHeaders, size, 4);
    EXPECT_EQ(parse_pe_image(file).has_value(), size == file.size());
  }
}

TEST(PeImage, AnAlignmentThatIsNoPowerOfTwoIsRefusedWhateverTheSizes) {
  // Rounding with a mask of 0x2FFF makes 0x1000 of the headers, 0x4000 of the section, and 0x5000 of the image.
  File file = only_bss(PeFormat::kPe32, 0x2000).build();
  PeBuilder::poke(file, at::kSectionAlignment, 0x3000, 4);
  EXPECT_FALSE(parse_pe_image(file));
}

TEST(PeImage, FlatImagesHaveOneAlignment) {
  PeBuilder pe(PeFormat::kPe32);
  pe.section_alignment = pe.file_alignment = 0x800;
  pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x800, 1)});
  File file = pe.build();
  static_cast<void>(parse_sound(file));
  PeBuilder::poke(file, at::kFileAlignment, 0x200, 4);
  EXPECT_FALSE(parse_pe_image(file));
}

TEST(PeImage, TheLargestImage) {
  EXPECT_EQ(parse_sound(only_bss(PeFormat::kPe32Plus, 0x76FF'F000).build()).size_of_image, ByteCount(0x7700'0000));
  EXPECT_FALSE(parse_pe_image(only_bss(PeFormat::kPe32Plus, 0x76FF'F001).build()));
}

TEST(PeImage, ASectionWithoutSizeIsRefusedAtTheEndToo) {
  PeBuilder pe = small_image(PeFormat::kPe32);
  pe.add({.name = ".none"});
  EXPECT_FALSE(parse_pe_image(pe.build()));
}

// --- Any bytes ---

TEST(PeImage, CutAnywhereItIsRefusedOrKeepsItsInvariants) {
  for (const PeFormat format : kFormats) {
    const File whole = small_image(format).build();
    for (std::size_t size = 0; size < whole.size(); ++size) {
      // A copy of exactly that size, so that a sanitizer sees a read beyond.
      const File file(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      const auto layout = parse_pe_image(file);
      ASSERT_FALSE(layout) << size;
      ASSERT_EQ(layout.error(), size == 0   ? Status::kInvalidFileForSection
                                : size < 64 ? Status::kInvalidImageNotMz
                                            : Status::kInvalidImageFormat)
          << size;
    }
  }
}

TEST(PeImage, EveryByteOfTheHeadersMayBeAnything) {
  for (const PeFormat format : kFormats) {
    const File sound = small_image(format).build();
    std::size_t accepted = 0;
    for (std::size_t place = 0; place < 0x200; ++place) {
      for (const unsigned value : {0x00U, 0x01U, 0x10U, 0x7FU, 0x80U, 0xF0U, 0xFFU}) {
        File file = sound;
        file[place] = static_cast<std::byte>(value);
        const auto layout = parse_pe_image(file);
        if (!layout) continue;
        ++accepted;
        ASSERT_EQ(broken_invariant(*layout, ByteCount(file.size())), "") << place << " " << value;
      }
    }
    EXPECT_GT(accepted, 1000U);  // Most fields are the loader's.
  }
}

// --- Real files ---

std::vector<std::filesystem::path> real_images() {
  std::vector<std::filesystem::path> found;
  for (const char* directory : {"/usr/x86_64-w64-mingw32/lib", "/usr/i686-w64-mingw32/lib",
                                "/usr/lib/gcc/x86_64-w64-mingw32", "/usr/lib/gcc/i686-w64-mingw32"}) {
    std::error_code none;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, none)) {
      const auto extension = entry.path().extension();
      if (entry.is_regular_file() && (extension == ".dll" || extension == ".exe")) found.push_back(entry.path());
    }
  }
  std::ranges::sort(found);
  return found;
}

File contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::uint64_t number(const File& file, std::size_t place, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(file[place + i]);
  return value;
}

// Read again without the parser: each section's bytes are at its address, as objdump -h would list them.
void expect_image_of(const File& file, const ImageLayout& layout) {
  const std::size_t pe = number(file, 0x3C, 4);
  const std::size_t count = number(file, pe + 6, 2);
  const std::size_t table = pe + 24 + number(file, pe + 20, 2);
  EXPECT_EQ(layout.subsections.size(), count + 1);
  const File image = image_bytes(layout, file);
  EXPECT_EQ(image.size(), number(file, pe + 24 + 56, 4));
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t header = table + 40 * i;
    const std::size_t address = number(file, header + 12, 4);
    const std::size_t raw = number(file, header + 20, 4);
    const std::size_t size = raw == 0 ? 0 : std::min(number(file, header + 8, 4), number(file, header + 16, 4));
    EXPECT_TRUE(std::equal(file.begin() + static_cast<std::ptrdiff_t>(raw),
                           file.begin() + static_cast<std::ptrdiff_t>(raw + size),
                           image.begin() + static_cast<std::ptrdiff_t>(address)));
    EXPECT_EQ(is_write_copy(layout.subsections[i + 1].protection),
              (file[header + 39] & std::byte{0x80}) != std::byte{0});
  }
}

TEST(PeImage, RealFiles) {
  const auto images = real_images();
  if (images.empty()) GTEST_SKIP() << "no PE files of mingw-w64 here: apt-get install libz-mingw-w64";
  for (const auto& path : images) {
    SCOPED_TRACE(path);
    const File file = contents(path);
    const ImageLayout layout = parse_sound(file);
    EXPECT_EQ(layout.format, path.native().contains("x86_64") ? PeFormat::kPe32Plus : PeFormat::kPe32);
    EXPECT_EQ(layout.is_dll(), path.extension() == ".dll");
    EXPECT_TRUE(layout.contains_code);
    expect_image_of(file, layout);
  }
}

}  // namespace
}  // namespace pagoda::mm
