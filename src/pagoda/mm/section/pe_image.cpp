#include "pagoda/mm/section/pe_image.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

#include "pagoda/mm/section/pe_headers.h"

namespace pagoda::mm {

namespace {

constexpr std::uint64_t kSectorBytes = 512;            // NT: MMSECTOR_SHIFT 9.
constexpr std::uint64_t kImageBytesMax = 0x7700'0000;  // NT: MM_SIZE_OF_LARGEST_IMAGE.
constexpr std::size_t kSectionsMax = 96;               // PE/COFF specification, 3.3: the Windows loader's limit.
constexpr std::uint64_t kBaseAlignment = kAllocationGranularity;

// A section header. Offsets are of the PE/COFF specification; sizes in bytes.
namespace section_header {
constexpr std::size_t kBytes = 40;
constexpr std::size_t kVirtualSize = 8;
constexpr std::size_t kVirtualAddress = 12;
constexpr std::size_t kRawSize = 16;
constexpr std::size_t kRawOffset = 20;
constexpr std::size_t kFlags = 36;
}  // namespace section_header

// Numbers of 32 bits do not wrap here.
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}
constexpr PageCount whole_pages(std::uint64_t bytes) { return pages_of(ByteCount(bytes)); }

// What the numbers of the optional header must be among themselves. NT: MiVerifyImageHeader.
bool is_plausible(const ImageLayout& layout) {
  const std::uint64_t section_alignment = layout.section_alignment.value();
  const std::uint64_t file_alignment = layout.file_alignment.value();
  if (!std::has_single_bit(section_alignment) || !std::has_single_bit(file_alignment)) return false;
  if (section_alignment < file_alignment) return false;
  if (file_alignment != section_alignment && (file_alignment % kSectorBytes != 0 || layout.is_flat())) return false;
  const std::uint64_t size = layout.size_of_image.value();
  if (size == 0 || size > kImageBytesMax || layout.size_of_headers >= layout.size_of_image) return false;
  const std::uint64_t base = layout.base.value();
  const std::uint64_t limit = layout.format == PeFormat::kPe32 ? std::uint64_t{1} << 32 : ~kPageOffsetMask;
  return base % kBaseAlignment == 0 && base <= limit - round_up(size, std::max(section_alignment, kPageBytes));
}

struct PeSection {
  std::uint64_t address = 0;
  std::uint64_t size = 0;  // In memory.
  std::uint64_t raw_offset = 0;
  std::uint64_t raw_size = 0;
  std::uint32_t flags = 0;
};

PeSection section_of(const PeFields& fields) {
  PeSection section{.address = fields.u32(section_header::kVirtualAddress),
                    .size = fields.u32(section_header::kVirtualSize),
                    .raw_offset = fields.u32(section_header::kRawOffset),
                    .raw_size = fields.u32(section_header::kRawSize),
                    .flags = fields.u32(section_header::kFlags)};
  if (section.size == 0) section.size = section.raw_size;  // Old linkers left it out.
  if (section.raw_offset == 0) section.raw_size = 0;       // Borland's linker gave .bss a size in the file.
  return section;
}

bool is_in_file(const PeSection& section, ByteCount file_size) {
  return section.raw_size == 0 || section.raw_offset + section.raw_size <= file_size.value();
}

// The bytes of the file from `begin`, which lies in it, to `end`, as far as the file and the subsection's pages go.
void back_with_file(ImageSubsection& subsection, std::uint64_t begin, std::uint64_t end, ByteCount file_size) {
  subsection.file_offset = FileOffset(begin);
  subsection.file_bytes = std::min(ByteCount(std::min(end, file_size.value()) - begin), bytes_of(subsection.pages));
}

// Behind those that are there, which must be where `address` says.
Result<ImageSubsection> next_subsection(const ImageLayout& layout, std::uint64_t address, std::uint64_t size,
                                        Protection protection) {
  const ByteCount expected = layout.subsections.empty()
                                 ? ByteCount()
                                 : bytes_of(layout.subsections.back().first_page + layout.subsections.back().pages +
                                            layout.subsections.back().unused_pages);
  const std::uint64_t aligned = round_up(size, layout.section_alignment.value());
  if (address != expected.value() || size == 0) return fail(Status::kInvalidImageFormat);
  return ImageSubsection{.first_page = whole_pages(address),
                         .pages = whole_pages(size),
                         .unused_pages = whole_pages(aligned) - whole_pages(size),
                         .protection = protection};
}

Result<> add_headers(ImageLayout& layout, ByteCount file_size) {
  auto headers = next_subsection(layout, 0, layout.size_of_headers.value(), Protection::kReadOnly);
  if (!headers) return fail(headers.error());
  back_with_file(*headers, 0, layout.size_of_headers.value(), file_size);
  layout.subsections.push_back(*headers);
  return {};
}

Result<> add_section(ImageLayout& layout, const PeSection& section, ByteCount file_size) {
  auto subsection = next_subsection(layout, section.address, section.size, protection_of_pe_section(section.flags));
  if (!subsection) return fail(subsection.error());
  if (section.raw_size > 0) {
    back_with_file(*subsection, section.raw_offset - section.raw_offset % kSectorBytes,
                   round_up(section.raw_offset + section.raw_size, layout.file_alignment.value()), file_size);
  }
  layout.subsections.push_back(*subsection);
  return {};
}

// Checks a section of an image that is aligned to less than a page: all of the image is where the file has it, so that
// one subsection shows the file, in whatever order the sections stand.
Result<> check_flat_section(const ImageLayout& layout, const PeSection& section) {
  const bool is_moved = section.raw_size > 0 && section.raw_offset != section.address;
  if (is_moved || section.size == 0 || section.address + section.size > layout.size_of_image.value())
    return fail(Status::kInvalidImageFormat);
  return {};
}

void add_flat(ImageLayout& layout, ByteCount file_size) {
  ImageSubsection all{.pages = pages_of(layout.size_of_image), .protection = Protection::kExecuteWriteCopy};
  back_with_file(all, 0, file_size.value(), file_size);
  layout.subsections.push_back(all);
}

Result<> read_sections(PeWindow& file, const PeSectionTable& table, ImageLayout& layout) {
  const ByteCount file_size = file.file_size();
  // Headers alone are an image only where they show the file.
  if (table.count > kSectionsMax || (table.count == 0 && !layout.is_flat())) return fail(Status::kInvalidImageFormat);
  if (layout.is_flat()) {
    add_flat(layout, file_size);
  } else {
    PAGODA_TRY(add_headers(layout, file_size));
  }
  for (std::size_t i = 0; i < table.count; ++i) {
    const std::uint64_t at = table.begin + i * section_header::kBytes;
    if (!file.has(at, section_header::kBytes)) return fail(Status::kInvalidImageFormat);
    const PeSection section = section_of(PAGODA_TRY(file.get(at, section_header::kBytes)));
    if (!is_in_file(section, file_size)) return fail(Status::kInvalidImageFormat);
    if (is_executable(protection_of_pe_section(section.flags))) layout.contains_code = true;
    PAGODA_TRY(layout.is_flat() ? check_flat_section(layout, section) : add_section(layout, section, file_size));
  }
  const ImageSubsection& last = layout.subsections.back();
  layout.pages = last.first_page + last.pages + last.unused_pages;
  if (layout.pages != whole_pages(round_up(layout.size_of_image.value(), layout.section_alignment.value())))
    return fail(Status::kInvalidImageFormat);
  return {};
}

}  // namespace

Protection protection_of_pe_section(std::uint32_t section_flags) {
  using enum Protection;
  // By WRITE, READ, EXECUTE, SHARED, from the highest bit.
  static constexpr std::array<Protection, 16> kByFlags = {
      kNoAccess,  kNoAccess,  kExecute,          kExecute,           //
      kReadOnly,  kReadOnly,  kExecuteRead,      kExecuteRead,       //
      kWriteCopy, kReadWrite, kExecuteWriteCopy, kExecuteReadWrite,  //
      kWriteCopy, kReadWrite, kExecuteWriteCopy, kExecuteReadWrite,
  };
  return kByFlags[section_flags >> 28];
}

Result<ImageLayout> parse_pe_image(ByteCount file_size, const ReadImageBytes& read, PeFormat widest) {
  PeWindow file(file_size, read);
  ImageLayout layout;
  const PeSectionTable table = PAGODA_TRY(read_pe_headers(file, widest, layout));
  if (!is_plausible(layout)) return fail(Status::kInvalidImageFormat);
  PAGODA_TRY(read_sections(file, table, layout));
  return layout;
}

Result<ImageLayout> parse_pe_image(std::span<const std::byte> file, PeFormat widest) {
  const auto read = [file](FileOffset at, std::span<std::byte> into) -> Result<> {
    std::ranges::copy(file.subspan(at.value(), into.size()), into.begin());
    return {};
  };
  return parse_pe_image(ByteCount(file.size()), read, widest);
}

}  // namespace pagoda::mm
