// Files that are no images, or no sound ones: each is refused, with the status of its mistake.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "pagoda/mm/section/pe_image.h"
#include "pagoda/mm/testing/pe_images.h"

namespace pagoda::mm {
namespace {

using testing::broken_invariant;
using testing::File;
using testing::kFormats;
using testing::kPeBss;
using testing::kPeData;
using testing::kPeText;
using testing::parse_sound;
using testing::pe_bytes;
using testing::PeBuilder;
using testing::small_image;
namespace at = testing::pe_places;

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
          {"only a DOS header", cut(64), Status::kInvalidImageProtect},
          {"no whole file header", cut(87), Status::kInvalidImageProtect},
          {"no optional header", cut(88)},
          {"not MZ", poke(0, 0x5A4E, 2), Status::kInvalidImageNotMz},
          {"ZM", poke(0, 0x4D5A, 2), Status::kInvalidImageNotMz},
          {"ELF", poke(0, 0x464C'457F, 4), Status::kInvalidImageNotMz},
          {"e_lfanew past the end", poke(at::kPeOffset, 0x10'0000, 4), Status::kInvalidImageProtect},
          {"e_lfanew at the end", [](File& f, PeFormat) { PeBuilder::poke(f, at::kPeOffset, f.size(), 4); },
           Status::kInvalidImageProtect},
          {"e_lfanew just before the end",
           [](File& f, PeFormat) { PeBuilder::poke(f, at::kPeOffset, f.size() - 4, 4); }, Status::kInvalidImageProtect},
          {"e_lfanew that wraps", poke(at::kPeOffset, 0xFFFF'FFFC, 4), Status::kInvalidImageProtect},
          {"e_lfanew zero", poke(at::kPeOffset, 0, 4), Status::kInvalidImageProtect},
          {"e_lfanew beside the header", poke(at::kPeOffset, 66, 4), Status::kInvalidImageProtect},
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
  const auto shift_raw = [](File& file, PeFormat format) {
    PeBuilder::poke(file, at::section(format, 0) + at::kRawOffset, 0x80, 4);
  };
  expect_refused(
      {
          {"the file's alignment is another", poke(at::kFileAlignment, 0x40, 4)},
          {"raw data is not where the section is", shift_raw},
          {"a section that is not where its raw data is", poke_section(0, at::kVirtualAddress, 0x80)},
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
                                : size < 88 ? Status::kInvalidImageProtect
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

}  // namespace
}  // namespace pagoda::mm
