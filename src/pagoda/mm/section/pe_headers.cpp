#include "pagoda/mm/section/pe_headers.h"

#include <algorithm>

namespace pagoda::mm {

namespace {

// Offsets are of the PE/COFF specification; sizes in bytes.
namespace dos_header {
constexpr std::size_t kBytes = 64;
constexpr std::size_t kPeOffset = 60;  // e_lfanew.
constexpr std::uint16_t kMagic = 0x5A4D;
}  // namespace dos_header

constexpr std::uint32_t kPeSignature = 0x0000'4550;
constexpr std::size_t kSignatureBytes = 4;

// What other programs have in place of "PE".
namespace old_header {
constexpr std::uint16_t kNeMagic = 0x454E;  // "NE": 16-bit OS/2 and Windows.
constexpr std::uint16_t kLeMagic = 0x454C;  // "LE": drivers of Windows 3 and 95.
constexpr std::size_t kNeSystem = 0x36;     // ne_exetyp.
constexpr std::uint16_t kWindows = 2;
constexpr std::uint16_t kDosExtender = 5;  // Borland's.
}  // namespace old_header

namespace file_header {
constexpr std::size_t kBytes = 20;
constexpr std::size_t kMachine = 0;
constexpr std::size_t kSectionCount = 2;
constexpr std::size_t kOptionalHeaderBytes = 16;
constexpr std::size_t kCharacteristics = 18;
}  // namespace file_header

namespace optional_header {
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
constexpr std::size_t kDirectoryCount32 = 92;
constexpr std::size_t kDirectoryCount64 = 108;
constexpr std::size_t kDirectories32 = 96;
constexpr std::size_t kDirectories64 = 112;
constexpr std::size_t kDirectoryBytes = 8;                             // An address and a size.
constexpr std::size_t kComDescriptor = 14;                             // IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR.
constexpr std::size_t kBytes = kDirectories64 + 16 * kDirectoryBytes;  // All that is read of either format.
}  // namespace optional_header

// What a file without a PE signature is said to be.
Result<Status> status_of_other(PeWindow& file, std::uint64_t at) {
  namespace old = old_header;
  const auto magic = PAGODA_TRY(file.get(at, kSignatureBytes)).u16(0);
  if (magic == old::kLeMagic) return Status::kInvalidImageLeFormat;
  if (magic != old::kNeMagic) return Status::kInvalidImageProtect;
  // A byte, read with the one behind it.
  const unsigned system = PAGODA_TRY(file.get(at + old::kNeSystem, sizeof(std::uint16_t))).u16(0) & 0xFFU;
  if (system == old::kWindows) return Status::kInvalidImageWin16;
  return system == old::kDosExtender ? Status::kInvalidImageProtect : Status::kInvalidImageNeFormat;
}

struct Places {
  std::uint64_t optional_header = 0;
  std::size_t optional_header_bytes = 0;  // As the file says.
  PeSectionTable sections;
};

Result<Places> read_file_header(PeWindow& file, ImageLayout& layout) {
  if (file.file_size().is_zero()) return fail(Status::kInvalidFileForSection);
  if (!file.has(0, dos_header::kBytes)) return fail(Status::kInvalidImageNotMz);
  const auto dos = PAGODA_TRY(file.get(0, dos_header::kBytes));
  if (dos.u16(0) != dos_header::kMagic) return fail(Status::kInvalidImageNotMz);
  const std::uint64_t pe = dos.u32(dos_header::kPeOffset);
  if (!file.has(pe, kSignatureBytes + file_header::kBytes)) return fail(Status::kInvalidImageProtect);
  if (PAGODA_TRY(file.get(pe, kSignatureBytes)).u32(0) != kPeSignature)
    return fail(PAGODA_TRY(status_of_other(file, pe)));
  if (pe % 4 != 0) return fail(Status::kInvalidImageFormat);

  const auto fields = PAGODA_TRY(file.get(pe + kSignatureBytes, file_header::kBytes));
  layout.machine = static_cast<PeMachine>(fields.u16(file_header::kMachine));
  layout.characteristics = fields.u16(file_header::kCharacteristics);
  if ((layout.characteristics & pe_image_flags::kExecutableImage) == 0) return fail(Status::kInvalidImageFormat);
  const std::uint64_t optional = pe + kSignatureBytes + file_header::kBytes;
  const std::size_t optional_bytes = fields.u16(file_header::kOptionalHeaderBytes);
  return Places{.optional_header = optional,
                .optional_header_bytes = optional_bytes,
                .sections = {.begin = optional + optional_bytes, .count = fields.u16(file_header::kSectionCount)}};
}

// The format decides the machine, too: what is known to run neither PE32 nor PE32+ code of a processor is refused.
Result<PeFormat> format_of(std::uint16_t magic, PeMachine machine, PeFormat widest) {
  const auto format = static_cast<PeFormat>(magic);
  if (format == PeFormat::kPe32Plus && widest == PeFormat::kPe32) return fail(Status::kInvalidImageWin64);
  const bool matches = (format == PeFormat::kPe32 && machine == PeMachine::kI386) ||
                       (format == PeFormat::kPe32Plus && machine == PeMachine::kAmd64);
  if (!matches) return fail(Status::kInvalidImageFormat);
  return format;
}

// Whether the optional header has the directory of a program for the common language runtime, as far as both its sizes
// say: what lies behind them is the section table.
bool has_com_descriptor(const PeFields& fields, bool wide, std::size_t header_bytes) {
  namespace oh = optional_header;
  const std::size_t at = (wide ? oh::kDirectories64 : oh::kDirectories32) + oh::kComDescriptor * oh::kDirectoryBytes;
  if (fields.u32(wide ? oh::kDirectoryCount64 : oh::kDirectoryCount32) <= oh::kComDescriptor) return false;
  return at + oh::kDirectoryBytes <= header_bytes && fields.u32(at) != 0 && fields.u32(at + 4) != 0;
}

Result<> read_optional_header(PeWindow& file, const Places& places, PeFormat widest, ImageLayout& layout) {
  namespace oh = optional_header;
  const PeFields f = PAGODA_TRY(file.get(places.optional_header, oh::kBytes));
  layout.format = PAGODA_TRY(format_of(f.u16(oh::kMagic), layout.machine, widest));
  const bool wide = layout.format == PeFormat::kPe32Plus;
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
  layout.checksum = f.u32(oh::kChecksum);
  layout.has_com_descriptor = has_com_descriptor(f, wide, places.optional_header_bytes);
  layout.contains_code = f.u32(oh::kSizeOfCode) != 0 || !layout.entry_point.is_zero() || layout.is_flat();
  return {};
}

}  // namespace

Result<PeFields> PeWindow::get(std::uint64_t at, std::size_t size) {
  PAGODA_CHECK_LE(size, page_.size());
  if (!is_filled_ || at < begin_ || at + size > begin_ + page_.size()) {
    begin_ = at;
    const std::uint64_t there = at < file_size_ ? std::min<std::uint64_t>(page_.size(), file_size_ - at) : 0;
    page_.fill({});
    is_filled_ = false;  // Until the read has succeeded.
    if (there > 0) PAGODA_TRY(read_(FileOffset(at), std::span(page_).first(there)));
    is_filled_ = true;
  }
  return PeFields(std::span<const std::byte>(page_).subspan(at - begin_, size));
}

Result<PeSectionTable> read_pe_headers(PeWindow& file, PeFormat widest, ImageLayout& layout) {
  const Places places = PAGODA_TRY(read_file_header(file, layout));
  PAGODA_TRY(read_optional_header(file, places, widest, layout));
  return places.sections;
}

}  // namespace pagoda::mm
