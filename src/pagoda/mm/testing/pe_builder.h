// For tests: PE files of chosen sections, PE32 and PE32+, small enough to read in a dump.
//
//   PeBuilder pe(PeFormat::kPe32Plus);
//   pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x300, 1)});
//   pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = 0x2345});
//   const std::vector<std::byte> file = pe.build();
//
// Sections are laid end to end, in memory and in the file; what a section sets itself is taken as it is. A broken file
// is a sound one with some bytes changed (PeBuilder::poke, with the places in pe_places).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/section/pe_image.h"

namespace pagoda::mm::testing {

// Flags of the usual sections.
inline constexpr std::uint32_t kPeText = pe_section_flags::kCode | pe_section_flags::kExecute | pe_section_flags::kRead;
inline constexpr std::uint32_t kPeRdata = pe_section_flags::kInitializedData | pe_section_flags::kRead;
inline constexpr std::uint32_t kPeData = kPeRdata | pe_section_flags::kWrite;
inline constexpr std::uint32_t kPeBss =
    pe_section_flags::kUninitializedData | pe_section_flags::kRead | pe_section_flags::kWrite;
inline constexpr std::uint32_t kPeShared = kPeData | pe_section_flags::kShared;

// So many bytes, none of them zero, so that zero fill shows.
inline std::vector<std::byte> pe_bytes(std::size_t size, std::uint64_t seed) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(1 + Random::mix(seed + i) % 255);
  return bytes;
}

// Where PeBuilder puts things.
namespace pe_places {
inline constexpr std::size_t kPeOffset = 60;  // e_lfanew.
inline constexpr std::size_t kSignature = 64;
inline constexpr std::size_t kMachine = 68;
inline constexpr std::size_t kSectionCount = 70;
inline constexpr std::size_t kOptionalHeaderBytes = 84;
inline constexpr std::size_t kCharacteristics = 86;
inline constexpr std::size_t kOptionalHeader = 88;
inline constexpr std::size_t kMagic = kOptionalHeader;
inline constexpr std::size_t kSizeOfCode = kOptionalHeader + 4;
inline constexpr std::size_t kEntryPoint = kOptionalHeader + 16;
inline constexpr std::size_t kImageBase64 = kOptionalHeader + 24;
inline constexpr std::size_t kImageBase32 = kOptionalHeader + 28;
inline constexpr std::size_t kSectionAlignment = kOptionalHeader + 32;
inline constexpr std::size_t kFileAlignment = kOptionalHeader + 36;
inline constexpr std::size_t kSizeOfImage = kOptionalHeader + 56;
inline constexpr std::size_t kSizeOfHeaders = kOptionalHeader + 60;
// In a section header.
inline constexpr std::size_t kVirtualSize = 8;
inline constexpr std::size_t kVirtualAddress = 12;
inline constexpr std::size_t kRawSize = 16;
inline constexpr std::size_t kRawOffset = 20;
inline constexpr std::size_t kFlags = 36;

inline constexpr std::size_t optional_header_bytes(PeFormat format) { return format == PeFormat::kPe32 ? 224 : 240; }
inline constexpr std::size_t directory_count(PeFormat format) {
  return kOptionalHeader + (format == PeFormat::kPe32 ? 92 : 108);
}
// A data directory: an address and a size.
inline constexpr std::size_t directory(PeFormat format, std::size_t index) {
  return directory_count(format) + 4 + index * 8;
}
inline constexpr std::size_t section(PeFormat format, std::size_t index) {
  return kOptionalHeader + optional_header_bytes(format) + index * 40;
}
}  // namespace pe_places

struct PeSectionSpec {
  std::string name;
  std::uint32_t flags = kPeRdata;
  std::vector<std::byte> bytes;    // In the file; filled with zeros to the file alignment.
  std::uint32_t virtual_size = 0;  // Zero: as many as there are bytes.
  std::optional<std::uint32_t> virtual_address;
  std::optional<std::uint32_t> raw_size;
};

class PeBuilder {
 public:
  explicit PeBuilder(PeFormat pe_format)
      : format(pe_format), base(pe_format == PeFormat::kPe32 ? 0x40'0000 : 0x1'4000'0000) {}

  // To be set before build().
  const PeFormat format;
  std::uint64_t base;
  std::uint32_t section_alignment = 0x1000;
  std::uint32_t file_alignment = 0x200;
  std::uint32_t entry_point = 0x1000;
  std::uint16_t characteristics = pe_image_flags::kExecutableImage;
  PeSubsystem subsystem = PeSubsystem::kWindowsCui;
  std::uint64_t stack_reserve = 0x10'0000;
  std::uint64_t stack_commit = 0x1000;

  PeBuilder& add(PeSectionSpec section) {
    sections_.push_back(std::move(section));
    return *this;
  }

  [[nodiscard]] std::vector<std::byte> build() const {
    const std::size_t table = pe_places::section(format, 0);
    const std::uint64_t headers = round_up(table + sections_.size() * 40, file_alignment);
    std::vector<std::byte> file(headers);
    std::uint64_t address = round_up(headers, section_alignment);
    for (std::size_t i = 0; i < sections_.size(); ++i) {
      const PeSectionSpec& section = sections_[i];
      const std::size_t header = table + i * 40;
      for (std::size_t c = 0; c < std::min<std::size_t>(section.name.size(), 8); ++c)
        file[header + c] = static_cast<std::byte>(section.name[c]);
      const std::uint64_t size = section.virtual_size != 0 ? section.virtual_size : section.bytes.size();
      const std::uint64_t raw_size = round_up(section.bytes.size(), file_alignment);
      address = section.virtual_address.value_or(static_cast<std::uint32_t>(address));
      // A flat image has its bytes where they are in memory.
      if (section_alignment < kPageBytes && raw_size > 0) file.resize(address);
      poke(file, header + pe_places::kVirtualSize, section.virtual_size, 4);
      poke(file, header + pe_places::kVirtualAddress, address, 4);
      poke(file, header + pe_places::kRawSize, section.raw_size.value_or(static_cast<std::uint32_t>(raw_size)), 4);
      poke(file, header + pe_places::kRawOffset, raw_size > 0 ? file.size() : 0, 4);
      poke(file, header + pe_places::kFlags, section.flags, 4);
      file.insert(file.end(), section.bytes.begin(), section.bytes.end());
      file.resize(round_up(file.size(), file_alignment));
      address = round_up(address + size, section_alignment);
    }
    fill_headers(file, headers, address);
    return file;
  }

  // Puts a little-endian number of so many bytes into the file.
  static void poke(std::span<std::byte> file, std::size_t at, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) file[at + i] = static_cast<std::byte>(value >> (8 * i));
  }

 private:
  static std::uint64_t round_up(std::uint64_t value, std::uint64_t alignment) {
    return (value + alignment - 1) / alignment * alignment;
  }

  void fill_headers(std::span<std::byte> file, std::uint64_t headers, std::uint64_t image_bytes) const {
    namespace at = pe_places;
    const bool wide = format == PeFormat::kPe32Plus;
    poke(file, 0, 0x5A4D, 2);
    poke(file, at::kPeOffset, at::kSignature, 4);
    poke(file, at::kSignature, 0x4550, 4);
    poke(file, at::kMachine, wide ? 0x8664 : 0x014C, 2);
    poke(file, at::kSectionCount, sections_.size(), 2);
    poke(file, at::kOptionalHeaderBytes, at::optional_header_bytes(format), 2);
    poke(file, at::kCharacteristics, characteristics, 2);
    poke(file, at::kMagic, static_cast<std::uint16_t>(format), 2);
    poke(file, at::kEntryPoint, entry_point, 4);
    if (wide)
      poke(file, at::kImageBase64, base, 8);
    else
      poke(file, at::kImageBase32, base, 4);
    poke(file, at::kSectionAlignment, section_alignment, 4);
    poke(file, at::kFileAlignment, file_alignment, 4);
    poke(file, at::kOptionalHeader + 40, 5, 2);  // Operating system 5.2.
    poke(file, at::kOptionalHeader + 42, 2, 2);
    poke(file, at::kOptionalHeader + 48, 5, 2);  // Subsystem 5.2.
    poke(file, at::kOptionalHeader + 50, 2, 2);
    poke(file, at::kSizeOfImage, image_bytes, 4);
    poke(file, at::kSizeOfHeaders, headers, 4);
    poke(file, at::kOptionalHeader + 68, static_cast<std::uint16_t>(subsystem), 2);
    poke(file, at::kOptionalHeader + 72, stack_reserve, wide ? 8 : 4);
    poke(file, at::kOptionalHeader + (wide ? 80 : 76), stack_commit, wide ? 8 : 4);
    poke(file, at::kOptionalHeader + (wide ? 108 : 92), 16, 4);  // Data directories, all of them empty.
  }

  std::vector<PeSectionSpec> sections_;
};

// Which invariant of ImageLayout is broken; empty if none.
inline std::string broken_invariant(const ImageLayout& layout, ByteCount file_size) {
  PageCount next;
  for (const ImageSubsection& subsection : layout.subsections) {
    if (subsection.first_page != next) return "PE1";
    if (subsection.pages.is_zero() || subsection.file_bytes > bytes_of(subsection.pages)) return "PE2";
    if (subsection.file_offset.value() > file_size.value() ||
        subsection.file_bytes.value() > file_size.value() - subsection.file_offset.value())
      return "PE2";
    if (subsection.file_offset.value() % 512 != 0) return "PE2";
    next = next + subsection.pages + subsection.unused_pages;
  }
  if (layout.subsections.empty() || next != layout.pages) return "PE1";
  const std::uint64_t base = layout.base.value();
  if (base % kAllocationGranularity != 0 || base + bytes_of(layout.pages).value() < base) return "PE3";
  return "";
}

// The bytes of the whole image as a process sees them before it writes, by a reading of the layout alone.
inline std::vector<std::byte> image_bytes(const ImageLayout& layout, std::span<const std::byte> file) {
  std::vector<std::byte> image(bytes_of(layout.pages).value());
  for (const ImageSubsection& subsection : layout.subsections) {
    const auto bytes = file.subspan(subsection.file_offset.value(), subsection.file_bytes.value());
    std::ranges::copy(bytes, image.begin() + static_cast<std::ptrdiff_t>(bytes_of(subsection.first_page).value()));
  }
  return image;
}

}  // namespace pagoda::mm::testing
