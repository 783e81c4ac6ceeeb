// What a file says about itself as a PE image: how NT lays it out in memory, subsection by subsection.
//
//   page 0                                                             layout.pages
//   | headers, RO | .text, XR | .data, WC: file's bytes ... zeros | .bss, WC: no bytes of the file |
//
// A pure function of the file's bytes, every one of which is untrusted: nothing outside of the file is read, and no
// sum wraps. What it lets through fulfils:
//   [PE1] Subsections lie end to end: each begins where the pages and unused pages of the one before end; the first
//         begins at page 0, and the last ends at layout.pages.
//   [PE2] Each has at least one page, and no more bytes of the file than its pages hold; they lie in the file.
//   [PE3] base is a multiple of 64 KB, and base + pages does not wrap.
// What only a loader needs is passed on as the file has it: the entry point may lie anywhere.
//
// Source: Microsoft PE/COFF specification (headers and their fields, 64 KB bases, at most 96 sections);
// reference/nt.md 6 (subsections, write copy) and 6.1 (statuses). Choices where these are silent, after what is known
// of NT 5.2: offsets of raw data are cut to sectors and their ends rounded to the file's alignment; raw data without an
// offset is none; a section without size is refused; headers may reach behind the end of the file, and read as zeros
// there; images aligned to less than a page are mapped flat, executable and write copy, their headers and sections
// where the file has them, and may have no sections.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/pte/protection.h"

namespace pagoda::mm {

enum class PeFormat : std::uint16_t { kPe32 = 0x10B, kPe32Plus = 0x20B };  // The optional header's magic.
enum class PeMachine : std::uint16_t { kI386 = 0x014C, kAmd64 = 0x8664 };  // IMAGE_FILE_MACHINE_.
enum class PeSubsystem : std::uint16_t { kNative = 1, kWindowsGui = 2, kWindowsCui = 3 };  // Others are kept too.

// Characteristics of an image. IMAGE_FILE_.
namespace pe_image_flags {
inline constexpr std::uint16_t kRelocationsStripped = 0x0001;
inline constexpr std::uint16_t kExecutableImage = 0x0002;
inline constexpr std::uint16_t kLargeAddressAware = 0x0020;
inline constexpr std::uint16_t kDll = 0x2000;
}  // namespace pe_image_flags

// Characteristics of a section. IMAGE_SCN_.
namespace pe_section_flags {
inline constexpr std::uint32_t kCode = 0x0000'0020;
inline constexpr std::uint32_t kInitializedData = 0x0000'0040;
inline constexpr std::uint32_t kUninitializedData = 0x0000'0080;
inline constexpr std::uint32_t kShared = 0x1000'0000;
inline constexpr std::uint32_t kExecute = 0x2000'0000;
inline constexpr std::uint32_t kRead = 0x4000'0000;
inline constexpr std::uint32_t kWrite = 0x8000'0000;
}  // namespace pe_section_flags

// NT: SUBSECTION of an image.
struct ImageSubsection {
  PageCount first_page;    // In the image.
  PageCount pages;         // Those that can be touched. NT: PtesInSubsection - UnusedPtes.
  PageCount unused_pages;  // Up to the section alignment, behind the others; no program may touch them.
  FileOffset file_offset;  // Where the first byte is: a multiple of 512, not of a page.
  ByteCount file_bytes;    // The rest of the pages is zeros. None: all of it is demand zero.
  Protection protection = Protection::kNoAccess;
};

struct ImageLayout {
  PeFormat format = PeFormat::kPe32;
  PeMachine machine = PeMachine::kI386;
  VirtualAddress base;      // Preferred. NT: ImageBase.
  PageCount pages;          // All that the image takes.
  ByteCount size_of_image;  // As the file says it: not always whole pages.
  ByteCount size_of_headers;
  ByteCount section_alignment;
  ByteCount file_alignment;
  std::vector<ImageSubsection> subsections;

  // The rest of what NtQuerySection tells (SECTION_IMAGE_INFORMATION).
  ByteCount entry_point;  // From the base; zero: none.
  ByteCount stack_reserve;
  ByteCount stack_commit;
  PeSubsystem subsystem = PeSubsystem::kNative;
  std::uint16_t subsystem_major = 0;
  std::uint16_t subsystem_minor = 0;
  std::uint16_t characteristics = 0;
  std::uint16_t dll_characteristics = 0;
  std::uint32_t checksum = 0;
  bool contains_code = false;       // The headers say so, or a section can be executed.
  bool has_com_descriptor = false;  // It is for the common language runtime (.NET).

  // Whether one subsection shows the file, since the sections are aligned to less than a page.
  [[nodiscard]] bool is_flat() const { return section_alignment < kPageSize; }
  [[nodiscard]] bool is_dll() const { return (characteristics & pe_image_flags::kDll) != 0; }
  [[nodiscard]] bool is_large_address_aware() const {
    return (characteristics & pe_image_flags::kLargeAddressAware) != 0;
  }
};

// Fills the bytes from the offset, all of which lie in the file. What it fails with, the parser fails with.
using ReadImageBytes = std::function<Result<>(FileOffset at, std::span<std::byte> into)>;

// The layout of an image. Reads headers only, usually once, at most a page at a time. `widest`: PE32 where addresses have
// 32 bits. Fails with kInvalidFileForSection (an empty file), kInvalidImageNotMz, kInvalidImageNeFormat,
// kInvalidImageWin16, kInvalidImageLeFormat, kInvalidImageProtect (other programs that begin with one of DOS),
// kInvalidImageWin64 (wider than `widest`), kInvalidImageFormat (all else that is wrong), and as `read` does.
Result<ImageLayout> parse_pe_image(ByteCount file_size, const ReadImageBytes& read,
                                   PeFormat widest = PeFormat::kPe32Plus);
// Parses a file that is in memory.
Result<ImageLayout> parse_pe_image(std::span<const std::byte> file, PeFormat widest = PeFormat::kPe32Plus);

// The rights of a section's pages by its IMAGE_SCN_MEM_ flags: written pages are copied first unless they are shared.
// NT: MmImageProtectionArray.
[[nodiscard]] Protection protection_of_pe_section(std::uint32_t section_flags);

}  // namespace pagoda::mm
