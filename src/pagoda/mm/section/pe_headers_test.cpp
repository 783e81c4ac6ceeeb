// What a file is by its headers: a program of another system, an image for another machine, code or data, .NET's; and
// headers that overlap or end early.
#include "pagoda/mm/section/pe_headers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "pagoda/mm/testing/pe_images.h"

namespace pagoda::mm {
namespace {

using testing::File;
using testing::kFormats;
using testing::kPeData;
using testing::kPeText;
using testing::parse_sound;
using testing::pe_bytes;
using testing::PeBuilder;
using testing::small_image;
namespace at = testing::pe_places;

constexpr std::size_t kNeSystem = 0x36;  // ne_exetyp, behind the signature.

Status refusal(const File& file, PeFormat widest = PeFormat::kPe32Plus) {
  const auto layout = parse_pe_image(file, widest);
  return layout ? Status::kSuccess : layout.error();
}

// --- Programs that are no PE images ---

TEST(PeHeaders, AnNeProgramIsOfTheSystemThatItNames) {
  for (unsigned system = 0; system < 256; ++system) {
    File file = small_image(PeFormat::kPe32).build();
    PeBuilder::poke(file, at::kSignature, 0x1205'454E, 4);  // And the linker's version.
    PeBuilder::poke(file, at::kSignature + kNeSystem, 0xFF00 | system, 2);
    EXPECT_EQ(refusal(file), system == 2   ? Status::kInvalidImageWin16
                             : system == 5 ? Status::kInvalidImageProtect
                                           : Status::kInvalidImageNeFormat)
        << system;
  }
}

TEST(PeHeaders, WhatHasNoPeSignatureIsSaidToBeWhatItHas) {
  for (const auto& [signature, status] : std::vector<std::pair<std::uint32_t, Status>>{
           {0x0000'454C, Status::kInvalidImageLeFormat},
           {0x1234'454C, Status::kInvalidImageLeFormat},
           {0x0000'584C, Status::kInvalidImageProtect},  // LX
           {0x0000'4551, Status::kInvalidImageProtect},
           {0x0001'4550, Status::kInvalidImageProtect},  // PE, and no zeros.
           {0x5045'0000, Status::kInvalidImageProtect},
           {0x0000'5A4D, Status::kInvalidImageProtect},  // MZ
           {0x0000'0000, Status::kInvalidImageProtect},
           {0xDEAD'BEEF, Status::kInvalidImageProtect},
       }) {
    File file = small_image(PeFormat::kPe32Plus).build();
    PeBuilder::poke(file, at::kSignature, signature, 4);
    EXPECT_EQ(refusal(file), status) << std::hex << signature;
    // On two bytes, too: only a PE header must lie on four.
    std::copy_backward(file.begin() + 64, file.begin() + 0x1F0, file.begin() + 0x1F2);
    PeBuilder::poke(file, at::kPeOffset, 66, 4);
    EXPECT_EQ(refusal(file), status) << std::hex << signature;
  }
}

TEST(PeHeaders, AnNeHeaderMayBeCutByTheEndOfTheFile) {
  File file(64 + 0x100);
  PeBuilder::poke(file, 0, 0x5A4D, 2);
  PeBuilder::poke(file, at::kPeOffset, 64, 4);
  PeBuilder::poke(file, at::kSignature, 0x454E, 2);
  PeBuilder::poke(file, at::kSignature + kNeSystem, 2, 1);
  for (std::size_t size = file.size(); size-- > 64;) {
    file.resize(size);
    EXPECT_EQ(refusal(file), size > 64 + kNeSystem ? Status::kInvalidImageWin16
                             : size >= 64 + 24     ? Status::kInvalidImageNeFormat
                                                   : Status::kInvalidImageProtect)
        << size;
  }
}

TEST(PeHeaders, ADosProgramIsAProgramOfDos) {
  File file = pe_bytes(0x300, 1);
  PeBuilder::poke(file, 0, 0x5A4D, 2);
  for (const std::uint32_t offset : {0U, 0x1CU, 0x2FDU, 0x300U, 0x9876'0000U, 0xFFFF'FFFFU}) {
    PeBuilder::poke(file, at::kPeOffset, offset, 4);
    EXPECT_EQ(refusal(file), Status::kInvalidImageProtect) << std::hex << offset;
  }
}

// --- Machines ---

TEST(PeHeaders, AWiderImageThanAddressesIsOneOfAWiderSystem) {
  const File narrow = small_image(PeFormat::kPe32).build();
  const File wide = small_image(PeFormat::kPe32Plus).build();
  EXPECT_EQ(refusal(narrow, PeFormat::kPe32), Status::kSuccess);
  EXPECT_EQ(refusal(wide, PeFormat::kPe32), Status::kInvalidImageWin64);
  // Whatever else is wrong with it.
  for (const auto& [place, value, bytes] :
       std::vector<std::tuple<std::size_t, std::uint64_t, std::size_t>>{{at::kMachine, 0x014C, 2},
                                                                        {at::kMachine, 0x0200, 2},
                                                                        {at::kSectionAlignment, 3, 4},
                                                                        {at::kSizeOfImage, 0, 4}}) {
    File file = wide;
    PeBuilder::poke(file, place, value, bytes);
    EXPECT_EQ(refusal(file, PeFormat::kPe32), Status::kInvalidImageWin64);
    EXPECT_EQ(refusal(file), Status::kInvalidImageFormat);
  }
  File file = wide;
  PeBuilder::poke(file, at::kMagic, 0xDEAD, 2);
  EXPECT_EQ(refusal(file, PeFormat::kPe32), Status::kInvalidImageFormat);
}

// --- Code, and .NET ---

TEST(PeHeaders, CodeIsWhatTheHeadersOrASectionSay) {
  for (const PeFormat format : kFormats) {
    PeBuilder data(format);
    data.entry_point = 0;
    data.add({.name = ".data", .flags = kPeData, .bytes = pe_bytes(0x200, 1)});
    const File file = data.build();
    EXPECT_FALSE(parse_sound(file).contains_code);
    for (const std::size_t field : {at::kSizeOfCode, at::kEntryPoint}) {
      File code = file;
      PeBuilder::poke(code, field, 0x1000, 4);
      EXPECT_TRUE(parse_sound(code).contains_code);
    }
    PeBuilder text(format);
    text.entry_point = 0;
    text.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x200, 1)});
    EXPECT_TRUE(parse_sound(text.build()).contains_code);
    data.section_alignment = 0x200;  // A flat image can be executed everywhere.
    EXPECT_TRUE(parse_sound(data.build()).contains_code);
  }
}

TEST(PeHeaders, AComDescriptorIsADirectoryWithAnAddressAndASize) {
  struct Row {
    std::uint32_t address;
    std::uint32_t size;
    std::uint32_t directories;
    bool found;
  };
  for (const PeFormat format : kFormats) {
    for (const Row& row : {Row{0x1000, 72, 16, true}, Row{0x1000, 1, 15, true}, Row{0xFFFF'FFFF, 0xFFFF'FFFF, 16, true},
                           Row{0, 0, 16, false}, Row{0, 72, 16, false}, Row{0x1000, 0, 16, false},
                           Row{0x1000, 72, 14, false}, Row{0x1000, 72, 0, false}}) {
      File file = small_image(format).build();
      PeBuilder::poke(file, at::directory_count(format), row.directories, 4);
      PeBuilder::poke(file, at::directory(format, 14), row.address, 4);
      PeBuilder::poke(file, at::directory(format, 14) + 4, row.size, 4);
      EXPECT_EQ(parse_sound(file).has_com_descriptor, row.found)
          << row.address << " " << row.size << " " << row.directories;
    }
    // Where the optional header ends, the section table begins.
    for (const std::size_t bytes :
         {at::directory(format, 15) - at::kOptionalHeader, at::directory(format, 15) - at::kOptionalHeader - 1}) {
      File file = small_image(format).build();
      PeBuilder::poke(file, at::directory(format, 14), 0x1000, 4);
      PeBuilder::poke(file, at::directory(format, 14) + 4, 72, 4);
      const auto table = file.begin() + static_cast<std::ptrdiff_t>(at::section(format, 0));
      const File sections(table, table + 120);
      std::ranges::copy(sections, file.begin() + static_cast<std::ptrdiff_t>(at::kOptionalHeader + bytes));
      PeBuilder::poke(file, at::kOptionalHeaderBytes, bytes, 2);
      EXPECT_EQ(parse_sound(file).has_com_descriptor, bytes % 2 == 0);
    }
  }
}

// --- Headers that overlap or end early ---

TEST(PeHeaders, TheOptionalHeaderMayBeOfAnyLength) {
  for (const PeFormat format : kFormats) {
    // The sections stand over fields that no image needs.
    for (const std::size_t bytes : {64U, 68U, 95U, 96U, 111U, 112U, 115U, 239U}) {
      File file = small_image(format).build();
      const auto table = file.begin() + static_cast<std::ptrdiff_t>(at::section(format, 0));
      const File sections(table, table + 120);
      std::ranges::copy(sections, file.begin() + static_cast<std::ptrdiff_t>(at::kOptionalHeader + bytes));
      PeBuilder::poke(file, at::kOptionalHeaderBytes, bytes, 2);
      EXPECT_EQ(parse_sound(file).pages, 7_pages) << bytes;
    }
  }
}

// The PE header begins in the DOS header: where the one has its section alignment, 4, the other says where it is.
File tiny_image(PeFormat format, std::uint32_t size_of_image) {
  PeBuilder pe(format);
  pe.section_alignment = pe.file_alignment = 4;
  const File plain = pe.build();
  File file(4 + plain.size() - at::kSignature);
  std::copy(plain.begin() + at::kSignature, plain.end(), file.begin() + 4);
  PeBuilder::poke(file, 0, 0x5A4D, 2);
  PeBuilder::poke(file, 4 + at::kOptionalHeaderBytes - at::kSignature, 8, 2);
  PeBuilder::poke(file, 4 + at::kSizeOfImage - at::kSignature, size_of_image, 4);
  PeBuilder::poke(file, 4 + at::kSizeOfHeaders - at::kSignature, 0, 4);
  return file;
}

TEST(PeHeaders, HeadersMayOverlap) {
  for (const PeFormat format : kFormats) {
    for (const std::uint32_t size : {1U, 0x40U, 0x200U, 0x1001U, 0x20'0000U}) {
      const File file = tiny_image(format, size);
      const ImageLayout layout = parse_sound(file);
      EXPECT_EQ(layout.pages, pages_of(ByteCount(size)));
      EXPECT_EQ(layout.subsections[0].file_bytes, ByteCount(file.size()));
      EXPECT_EQ(layout.format, format);
    }
    EXPECT_EQ(refusal(tiny_image(format, 0)), Status::kInvalidImageFormat);
  }
}

TEST(PeHeaders, BehindTheEndOfTheFileTheFixedPartIsZeros) {
  for (const PeFormat format : kFormats) {
    const File whole = tiny_image(format, 0x20'0000);
    std::size_t taken = 0;
    for (std::size_t size = 64; size <= whole.size(); ++size) {
      const File cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      File padded = cut;
      padded.resize(kPageBytes);
      const auto layout = parse_pe_image(cut);
      const auto with_zeros = parse_pe_image(padded);
      ASSERT_EQ(layout.has_value(), with_zeros.has_value()) << size;
      if (!layout) {
        EXPECT_EQ(layout.error(), Status::kInvalidImageFormat);
        continue;
      }
      ++taken;
      EXPECT_EQ(layout->stack_reserve, with_zeros->stack_reserve);
      EXPECT_EQ(layout->subsystem, with_zeros->subsystem);
      EXPECT_EQ(layout->base, with_zeros->base);
    }
    // From the third byte of the image's size on: the last one that is not zero.
    EXPECT_EQ(taken, whole.size() - (4 + at::kSizeOfImage - at::kSignature + 3) + 1);
  }
}

}  // namespace
}  // namespace pagoda::mm
