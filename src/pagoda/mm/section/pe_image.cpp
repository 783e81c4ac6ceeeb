#include "pagoda/mm/section/pe_image.h"

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>

namespace pagoda::mm {

namespace {

constexpr std::uint64_t kSectorBytes = 512;            // NT: MMSECTOR_SHIFT 9.
constexpr std::uint64_t kImageBytesMax = 0x7700'0000;  // NT: MM_SIZE_OF_LARGEST_IMAGE.
constexpr std::size_t kSectionsMax = 96;               // PE/COFF specification, 3.3: the Windows loader's limit.
constexpr std::uint64_t kBaseAlignment = kAllocationGranularity;

// The headers. Offsets are of the PE/COFF specification; sizes in bytes.
namespace dos_header {
constexpr std::size_t kBytes = 64;
constexpr std::size_t kPeOffset = 60;  // e_lfanew.
constexpr std::uint16_t kMagic = 0x5A4D;
}  // namespace dos_header

constexpr std::uint32_t kPeSignature = 0x0000'4550;
constexpr std::size_t kSignatureBytes = 4;

namespace file_header {
constexpr std::size_t kBytes = 20;
constexpr std::size_t kMachine = 0;
constexpr std::size_t kSectionCount = 2;
constexpr std::size_t kOptionalHeaderBytes = 16;
constexpr std::size_t kCharacteristics = 18;
}  // namespace file_header

namespace optional_header {
constexpr std::size_t kPe32Bytes = 96;  // Without data directories.
constexpr std::size_t kPe32PlusBytes = 112;
constexpr std::size_t kMagic = 0;
constexpr std::size_t kSizeOfCode = 4;
constexpr std::size_t kEntryPoint = 16;
constexpr std::size_t kImageBase32 = 28;
constexpr std::size_t kImageBase64 = 24;
constexpr std::size_t kSectionAlignment = 32;
constexpr std::size_t kFileAlignment = 36;
constexpr std::size_t kSubsystemMajor = 48;
constexpr std::size_t kSubsystemMinor = 50;
constexpr std::size_t kSizeOfImage = 56;
constexpr std::size_t kSizeOfHeaders = 60;
constexpr std::size_t kChecksum = 64;
constexpr std::size_t kSubsystem = 68;
constexpr std::size_t kDllCharacteristics = 70;
constexpr std::size_t kStackReserve = 72;
constexpr std::size_t kStackCommit32 = 76;
constexpr std::size_t kStackCommit64 = 80;
constexpr std::size_t kLoaderFlags32 = 88;
constexpr std::size_t kLoaderFlags64 = 104;
}  // namespace optional_header

namespace section_header {
constexpr std::size_t kBytes = 40;
constexpr std::size_t kVirtualSize = 8;
constexpr std::size_t kVirtualAddress = 12;
constexpr std::size_t kRawSize = 16;
constexpr std::size_t kRawOffset = 20;
constexpr std::size_t kFlags = 36;
}  // namespace section_header

// Little-endian numbers in a header whose bytes are all there.
class Fields {
 public:
  explicit Fields(std::span<const std::byte> bytes) : bytes_(bytes) {}

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
class HeaderWindow {
 public:
  HeaderWindow(ByteCount file_size, const ReadImageBytes& read) : file_size_(file_size.value()), read_(read) {}

  // The bytes, until the next call; kInvalidImageFormat if the file ends before they do.
  Result<Fields> get(std::uint64_t at, std::size_t size) {
    PAGODA_CHECK_LE(size, page_.size());
    if (at > file_size_ || size > file_size_ - at) return fail(Status::kInvalidImageFormat);
    if (at < begin_ || at + size > end_) {
      begin_ = at;
      end_ = at + std::min<std::uint64_t>(page_.size(), file_size_ - at);
      PAGODA_TRY(read_(FileOffset(at), std::span(page_).first(end_ - begin_)));
    }
    return Fields(std::span<const std::byte>(page_).subspan(at - begin_, size));
  }

 private:
  const std::uint64_t file_size_;
  const ReadImageBytes& read_;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
  std::array<std::byte, kPageBytes> page_{};
};

// Numbers of 32 bits do not wrap here.
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}
constexpr PageCount whole_pages(std::uint64_t bytes) { return pages_of(ByteCount(bytes)); }

// Where the headers are, after the DOS and the file header.
struct Places {
  std::uint64_t optional_header = 0;
  std::uint64_t section_table = 0;
  std::size_t section_count = 0;
};

Result<Places> read_file_header(HeaderWindow& headers, ByteCount file_size, ImageLayout& layout) {
  if (file_size.is_zero()) return fail(Status::kInvalidFileForSection);
  if (file_size.value() < dos_header::kBytes) return fail(Status::kInvalidImageNotMz);
  const auto dos = headers.get(0, dos_header::kBytes);
  if (!dos) return fail(dos.error());
  if (dos->u16(0) != dos_header::kMagic) return fail(Status::kInvalidImageNotMz);
  const std::uint64_t pe = dos->u32(dos_header::kPeOffset);
  if (pe % 4 != 0) return fail(Status::kInvalidImageFormat);

  const auto signature = headers.get(pe, kSignatureBytes);
  if (!signature) return fail(signature.error());
  if (signature->u32(0) != kPeSignature) return fail(Status::kInvalidImageFormat);
  const auto file = headers.get(pe + kSignatureBytes, file_header::kBytes);
  if (!file) return fail(file.error());
  layout.machine = static_cast<PeMachine>(file->u16(file_header::kMachine));
  layout.characteristics = file->u16(file_header::kCharacteristics);
  const std::size_t section_count = file->u16(file_header::kSectionCount);
  if ((layout.characteristics & pe_image_flags::kExecutableImage) == 0 || section_count == 0 ||
      section_count > kSectionsMax)
    return fail(Status::kInvalidImageFormat);

  const std::uint64_t optional = pe + kSignatureBytes + file_header::kBytes;
  return Places{.optional_header = optional,
                .section_table = optional + file->u16(file_header::kOptionalHeaderBytes),
                .section_count = section_count};
}

// The format decides the machine, too: what is known to run neither PE32 nor PE32+ code of a processor is refused.
Result<PeFormat> format_of(std::uint16_t magic, PeMachine machine) {
  const auto format = static_cast<PeFormat>(magic);
  const bool matches = (format == PeFormat::kPe32 && machine == PeMachine::kI386) ||
                       (format == PeFormat::kPe32Plus && machine == PeMachine::kAmd64);
  if (!matches) return fail(Status::kInvalidImageFormat);
  return format;
}

Result<> read_optional_header(HeaderWindow& headers, const Places& places, ImageLayout& layout) {
  namespace oh = optional_header;
  const std::uint64_t header_bytes = places.section_table - places.optional_header;
  const auto magic = headers.get(places.optional_header, sizeof(std::uint16_t));
  if (!magic) return fail(magic.error());
  const auto format = format_of(magic->u16(oh::kMagic), layout.machine);
  if (!format) return fail(format.error());
  layout.format = *format;
  const bool wide = *format == PeFormat::kPe32Plus;
  const std::size_t fixed_bytes = wide ? oh::kPe32PlusBytes : oh::kPe32Bytes;
  if (header_bytes < fixed_bytes) return fail(Status::kInvalidImageFormat);
  const auto fields = headers.get(places.optional_header, fixed_bytes);
  if (!fields) return fail(fields.error());

  const Fields& f = *fields;
  layout.base = VirtualAddress(wide ? f.u64(oh::kImageBase64) : f.u32(oh::kImageBase32));
  layout.size_of_image = ByteCount(f.u32(oh::kSizeOfImage));
  layout.size_of_headers = ByteCount(f.u32(oh::kSizeOfHeaders));
  layout.section_alignment = ByteCount(f.u32(oh::kSectionAlignment));
  layout.file_alignment = ByteCount(f.u32(oh::kFileAlignment));
  layout.entry_point = ByteCount(f.u32(oh::kEntryPoint));
  layout.stack_reserve = ByteCount(wide ? f.u64(oh::kStackReserve) : f.u32(oh::kStackReserve));
  layout.stack_commit = ByteCount(wide ? f.u64(oh::kStackCommit64) : f.u32(oh::kStackCommit32));
  layout.subsystem = static_cast<PeSubsystem>(f.u16(oh::kSubsystem));
  layout.subsystem_major = f.u16(oh::kSubsystemMajor);
  layout.subsystem_minor = f.u16(oh::kSubsystemMinor);
  layout.dll_characteristics = f.u16(oh::kDllCharacteristics);
  layout.loader_flags = f.u32(wide ? oh::kLoaderFlags64 : oh::kLoaderFlags32);
  layout.checksum = f.u32(oh::kChecksum);
  layout.contains_code = f.u32(oh::kSizeOfCode) != 0;
  return {};
}

bool is_flat(const ImageLayout& layout) { return layout.section_alignment < kPageSize; }

// What the numbers of the optional header must be among themselves. NT: MiVerifyImageHeader.
bool is_plausible(const ImageLayout& layout, ByteCount file_size) {
  const std::uint64_t section_alignment = layout.section_alignment.value();
  const std::uint64_t file_alignment = layout.file_alignment.value();
  if (!std::has_single_bit(section_alignment) || !std::has_single_bit(file_alignment)) return false;
  if (section_alignment < file_alignment) return false;
  if (file_alignment != section_alignment && (file_alignment % kSectorBytes != 0 || is_flat(layout))) return false;
  const std::uint64_t size = layout.size_of_image.value();
  if (size > kImageBytesMax) return false;
  if (layout.size_of_headers.is_zero() || layout.size_of_headers > file_size) return false;
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

PeSection section_of(const Fields& fields) {
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

// The bytes of the file from `begin` to `end`, as far as the file and the subsection's pages go.
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
// one subsection shows the file.
// `end` is where the sections before this one end.
Result<std::uint64_t> check_flat_section(const ImageLayout& layout, const PeSection& section, std::uint64_t end) {
  const std::uint64_t section_end = section.address + section.size;
  if (section.size == 0 || section.address < end || section_end > layout.size_of_image.value() ||
      section.address % layout.section_alignment.value() != 0 ||
      (section.raw_size > 0 && section.raw_offset != section.address))
    return fail(Status::kInvalidImageFormat);
  return section_end;
}

void add_flat(ImageLayout& layout, ByteCount file_size) {
  ImageSubsection all{.pages = pages_of(layout.size_of_image), .protection = Protection::kExecuteWriteCopy};
  back_with_file(all, 0, file_size.value(), file_size);
  layout.subsections.push_back(all);
}

Result<> read_sections(HeaderWindow& headers, const Places& places, ByteCount file_size, ImageLayout& layout) {
  std::uint64_t flat_end = layout.size_of_headers.value();
  if (is_flat(layout))
    add_flat(layout, file_size);
  else
    PAGODA_TRY(add_headers(layout, file_size));
  for (std::size_t i = 0; i < places.section_count; ++i) {
    const auto fields = headers.get(places.section_table + i * section_header::kBytes, section_header::kBytes);
    if (!fields) return fail(fields.error());
    const PeSection section = section_of(*fields);
    if (!is_in_file(section, file_size)) return fail(Status::kInvalidImageFormat);
    if (is_executable(protection_of_pe_section(section.flags))) layout.contains_code = true;
    if (is_flat(layout)) {
      const auto end = check_flat_section(layout, section, flat_end);
      if (!end) return fail(end.error());
      flat_end = *end;
    } else {
      PAGODA_TRY(add_section(layout, section, file_size));
    }
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

Result<ImageLayout> parse_pe_image(ByteCount file_size, const ReadImageBytes& read) {
  HeaderWindow headers(file_size, read);
  ImageLayout layout;
  const auto places = read_file_header(headers, file_size, layout);
  if (!places) return fail(places.error());
  PAGODA_TRY(read_optional_header(headers, *places, layout));
  if (!is_plausible(layout, file_size)) return fail(Status::kInvalidImageFormat);
  PAGODA_TRY(read_sections(headers, *places, file_size, layout));
  return layout;
}

Result<ImageLayout> parse_pe_image(std::span<const std::byte> file) {
  return parse_pe_image(ByteCount(file.size()), [file](FileOffset at, std::span<std::byte> into) -> Result<> {
    std::ranges::copy(file.subspan(at.value(), into.size()), into.begin());
    return {};
  });
}

}  // namespace pagoda::mm
