#include "pagoda/mm/section/pe_image.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "pagoda/mm/testing/pe_images.h"

namespace pagoda::mm {
namespace {

using testing::File;
using testing::image_bytes;
using testing::kFormats;
using testing::kPeBss;
using testing::kPeData;
using testing::kPeRdata;
using testing::kPeShared;
using testing::kPeText;
using testing::parse_sound;
using testing::pe_bytes;
using testing::PeBuilder;
using testing::small_image;
namespace at = testing::pe_places;

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
    pe.entry_point = 0;  // It would be code.
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

// What lies where decides; order, gaps, overlaps and borders do not.
TEST(PeImage, SectionsOfAFlatImageLieWhereTheFileHasThem) {
  for (const PeFormat format : kFormats) {
    PeBuilder pe(format);
    pe.section_alignment = pe.file_alignment = 0x200;
    pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x200, 1)});
    pe.add({.name = ".data", .flags = kPeData, .bytes = pe_bytes(0x200, 2)});
    pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = 0x200});
    const File sound = pe.build();
    const auto expect_taken = [&](const char* what, const auto& change) {
      SCOPED_TRACE(what);
      File file = sound;
      change(file);
      const ImageLayout layout = parse_sound(file);
      ASSERT_EQ(layout.subsections.size(), 1U);
      EXPECT_EQ(layout.subsections[0].file_bytes, ByteCount(file.size()));
    };
    const auto place = [&](File& file, std::size_t section, std::uint64_t where, std::uint64_t size) {
      const std::size_t header = at::section(format, section);
      PeBuilder::poke(file, header + at::kVirtualAddress, where, 4);
      PeBuilder::poke(file, header + at::kVirtualSize, size, 4);
      PeBuilder::poke(file, header + at::kRawOffset, where, 4);
      PeBuilder::poke(file, header + at::kRawSize, 10, 4);
    };
    expect_taken("not aligned", [&](File& file) { place(file, 0, 0x170, 5); });
    expect_taken("in the headers", [&](File& file) { place(file, 0, 0x40, 0x100); });
    expect_taken("out of order", [&](File& file) { place(file, 0, 0x500, 0x80); });
    expect_taken("one over the other", [&](File& file) { place(file, 1, 0x210, 0x100); });
    expect_taken("up to the image's end", [&](File& file) { place(file, 1, 0x400, 0x400); });
    expect_taken("no headers", [&](File& file) { PeBuilder::poke(file, at::kSizeOfHeaders, 0, 4); });
    expect_taken("no sections", [&](File& file) { PeBuilder::poke(file, at::kSectionCount, 0, 2); });
    expect_taken("an image larger than its file",
                 [&](File& file) { PeBuilder::poke(file, at::kSizeOfImage, 0x20'0000, 4); });
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

TEST(PeImage, HeadersMayReachBehindTheEndOfTheFile) {
  for (const PeFormat format : kFormats) {
    PeBuilder pe(format);
    pe.section_alignment = 0x4000;
    pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = 0x1000});
    File file = pe.build();
    ASSERT_EQ(file.size(), 0x200U);
    for (const std::uint64_t size : {0x1FFU, 0x200U, 0x201U, 0x1000U, 0x3FFFU, 0x4000U}) {
      PeBuilder::poke(file, at::kSizeOfHeaders, size, 4);
      const ImageLayout layout = parse_sound(file);
      expect_subsection(layout.subsections[0], 0_pages, pages_of(ByteCount(size)), 0,
                        std::min<std::size_t>(size, 0x200), Protection::kReadOnly);
    }
    PeBuilder::poke(file, at::kSizeOfHeaders, 0x4001, 4);  // Into the section.
    EXPECT_FALSE(parse_pe_image(file));
  }
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
