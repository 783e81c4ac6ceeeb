// The headers of a PE file as they stand in it: found, read, and taken apart, not yet judged as an image's layout.
//
//   DOS header --e_lfanew--> "PE", file header | optional header, its first fields fixed | section table
//
// Every byte is untrusted. Headers may overlap, as those of hand-made programs do: the fields are what stands where they
// belong. The fixed part of the optional header may be cut by the end of the file, and is zeros from there on, as in the
// zeroed page that NT reads it into. Source: Microsoft PE/COFF specification; of files that are no PE, its statuses'
// public documentation and that of the NE format.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "pagoda/mm/section/pe_image.h"

namespace pagoda::mm {

// Little-endian numbers in a header whose bytes are all there.
class PeFields {
 public:
  explicit PeFields(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] std::uint16_t u16(std::size_t at) const { return load<std::uint16_t>(at); }
  [[nodiscard]] std::uint32_t u32(std::size_t at) const { return load<std::uint32_t>(at); }
  [[nodiscard]] std::uint64_t u64(std::size_t at) const { return load<std::uint64_t>(at); }

 private:
  template <std::unsigned_integral T>
  [[nodiscard]] T load(std::size_t at) const {
    PAGODA_CHECK_LE(at + sizeof(T), bytes_.size());
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      value = static_cast<T>(value | static_cast<T>(std::to_integer<std::uint64_t>(bytes_[at + i]) << (8 * i)));
    return value;
  }

  std::span<const std::byte> bytes_;
};

// A page of the file at a time: the headers of nearly all images lie in the first one.
class PeWindow {
 public:
  PeWindow(ByteCount file_size, const ReadImageBytes& read) : file_size_(file_size.value()), read_(read) {}

  [[nodiscard]] ByteCount file_size() const { return ByteCount(file_size_); }
  // Whether the file has all of the bytes.
  [[nodiscard]] bool has(std::uint64_t at, std::size_t size) const {
    return at <= file_size_ && size <= file_size_ - at;
  }
  // The bytes, zeros behind the end of the file, until the next call. Fails as the read does.
  Result<PeFields> get(std::uint64_t at, std::size_t size);

 private:
  const std::uint64_t file_size_;
  const ReadImageBytes& read_;
  bool is_filled_ = false;
  std::uint64_t begin_ = 0;
  std::array<std::byte, kPageBytes> page_{};
};

// Where the section table is, all of which may lie behind the end of the file.
struct PeSectionTable {
  std::uint64_t begin = 0;
  std::size_t count = 0;
};

// Reads what stands before the section table into the layout. Fails with: kInvalidFileForSection (an empty file),
// kInvalidImageNotMz; kInvalidImageNeFormat, kInvalidImageWin16, kInvalidImageLeFormat, kInvalidImageProtect (programs
// of other systems, and those of DOS); kInvalidImageWin64 (PE32+, where `widest` is PE32); kInvalidImageFormat (no
// program, of an unknown format or for another machine); and as the read does.
Result<PeSectionTable> read_pe_headers(PeWindow& file, PeFormat widest, ImageLayout& layout);

}  // namespace pagoda::mm
