// What a file is, by its bytes: one table of all formats that can be told, those that Pagoda reads and those that it
// names and refuses.
//
// Nothing is guessed: a file is raw memory if the user says so, or if it begins with nothing that is known. The order of
// the table is the order in which formats are tried: what is surest first.
// Source: reference formats.md 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/memory_image.h"
#include "pagoda/sim/image/stored_bytes.h"

namespace pagoda::sim {

enum class FormatUse : std::uint8_t {
  kMemory,      // Holds a machine's memory: `open` reads it.
  kPageMap,     // VPM1.
  kArchive,     // tar, zip: holds files.
  kCompressed,  // Holds one file.
  kRefused,     // Is not memory, or not in a form that can be read; `advice` says what to do.
  kRaw,         // Memory as it is: the last row.
};

// What takes the compression off a kCompressed file.
enum class Packing : std::uint8_t { kLibarchive, kZstd, kZlib };

// Bytes that a format has at a place of the file.
struct Magic {
  std::size_t at = 0;
  std::string_view bytes;
};

// What is looked at: the first bytes of a file, and the last ones if they can be had.
struct FileEnds {
  std::span<const std::byte> first;
  std::span<const std::byte> last;
};

struct ImageFormat {
  std::string_view name;  // As docs/images.md has it.
  FormatUse use = FormatUse::kRefused;
  std::vector<Magic> magics;  // Any of them.
  // What tells it where bytes at a place do not; may be null.
  bool (*also)(const FileEnds& ends) = nullptr;
  Input<std::unique_ptr<MemoryImage>> (*open)(const std::shared_ptr<const StoredBytes>& file) = nullptr;  // kMemory.
  std::string_view advice;                                                                                // kRefused.
  Packing packing = Packing::kLibarchive;  // kCompressed.
};

// How much of a file's beginning, and of its end, find_format looks at.
inline constexpr std::size_t kFirstBytes = 0x11000;
inline constexpr std::size_t kLastBytes = 512;

// All formats, in the order in which they are tried.
const std::vector<ImageFormat>& image_formats();
// The first that fits; the last row fits everything.
const ImageFormat& find_format(const FileEnds& ends);
const ImageFormat& raw_format();

}  // namespace pagoda::sim
