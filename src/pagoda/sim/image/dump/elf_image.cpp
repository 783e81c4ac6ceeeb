#include "pagoda/sim/image/dump/elf_image.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kNotesMost = 16 << 20;   // Bytes; a note for each of thousands of processors is less.
constexpr std::uint64_t kTablesMost = 64 << 20;  // Bytes of a header table.

struct ElfSegment {
  std::uint32_t type = 0;
  std::uint64_t place = 0;
  std::uint64_t address = 0;  // Physical.
  std::uint64_t in_file = 0;  // Bytes.
  std::uint64_t in_memory = 0;
};

struct ElfSection {
  std::uint32_t name = 0;
  std::uint32_t info = 0;
  std::uint64_t place = 0;
  std::uint64_t size = 0;
};

class ElfFile {
 public:
  static Input<ElfFile> open(std::shared_ptr<const StoredBytes> file);

  [[nodiscard]] const std::vector<ElfSegment>& segments() const { return segments_; }
  [[nodiscard]] bool is_core() const { return type_ == ET_CORE; }
  // makedumpfile ran out of space (reference formats.md 3.2).
  [[nodiscard]] bool is_incomplete() const { return (flags_ & 1) != 0; }
  // Whether a section has this name. What the file does not hold of its sections is not looked for.
  Input<bool> has_section(std::string_view name) const;
  // Calls `visit(owner, type)` for each note.
  template <class Visit>
  Input<> for_each_note(const Visit& visit) const;

 private:
  ElfFile(std::shared_ptr<const StoredBytes> file, bool is_64, std::endian order)
      : file_(std::move(file)), is_64_(is_64), order_(order) {}
  Input<> read_header();
  Input<> read_segments(std::uint64_t count);
  Input<std::vector<ElfSection>> read_sections(std::uint64_t count) const;
  Input<std::vector<std::byte>> read_table(std::uint64_t at, std::uint64_t count, std::size_t entry,
                                           std::string_view what) const;

  std::shared_ptr<const StoredBytes> file_;
  bool is_64_;
  std::endian order_;
  std::uint16_t type_ = 0;
  std::uint32_t flags_ = 0;
  std::uint64_t segments_at_ = 0, sections_at_ = 0;
  std::uint16_t segment_bytes_ = 0, section_bytes_ = 0;
  std::uint16_t section_count_ = 0, names_section_ = 0;
  std::vector<ElfSegment> segments_;
};

Input<ElfFile> ElfFile::open(std::shared_ptr<const StoredBytes> file) {
  const auto ident = PAGODA_TRY(file->read_all(0, EI_NIDENT, "the ELF header"));
  const auto wide = std::to_integer<unsigned>(ident[EI_CLASS]);
  const auto order = std::to_integer<unsigned>(ident[EI_DATA]);
  if ((wide != ELFCLASS32 && wide != ELFCLASS64) || (order != ELFDATA2LSB && order != ELFDATA2MSB))
    return file->damaged("damaged: an ELF file of no known class and byte order");
  ElfFile elf(std::move(file), wide == ELFCLASS64, order == ELFDATA2LSB ? std::endian::little : std::endian::big);
  PAGODA_TRY(elf.read_header());
  return elf;
}

// The header's own size is not looked at: QEMU writes a wrong one.
Input<> ElfFile::read_header() {
  const std::size_t bytes = is_64_ ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
  const auto header = PAGODA_TRY(file_->read_all(0, bytes, "the ELF header"));
  const ByteFields fields(header, order_);
  type_ = fields.u16(16);
  segments_at_ = fields.word(is_64_ ? 32 : 28, is_64_);
  sections_at_ = fields.word(is_64_ ? 40 : 32, is_64_);
  flags_ = fields.u32(is_64_ ? 48 : 36);
  segment_bytes_ = fields.u16(is_64_ ? 54 : 42);
  section_bytes_ = fields.u16(is_64_ ? 58 : 46);
  section_count_ = fields.u16(is_64_ ? 60 : 48);
  names_section_ = fields.u16(is_64_ ? 62 : 50);
  std::uint64_t count = fields.u16(is_64_ ? 56 : 44);
  if (count == PN_XNUM) {  // The true number is in the first section header.
    const auto first = PAGODA_TRY(read_sections(1));
    count = first.front().info;
  }
  return count == 0 ? Input<>{} : read_segments(count);
}

Input<std::vector<std::byte>> ElfFile::read_table(std::uint64_t at, std::uint64_t count, std::size_t entry,
                                                  std::string_view what) const {
  if (count > kTablesMost / entry) return file_->damaged(fmt::format("damaged: {} {} in an ELF file", count, what));
  return file_->read_all(at, count * entry, fmt::format("the table of its {} {}", count, what));
}

Input<> ElfFile::read_segments(std::uint64_t count) {
  if (segment_bytes_ < (is_64_ ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
    return file_->damaged("damaged: its ELF segments have no room for their fields");
  const auto table = PAGODA_TRY(read_table(segments_at_, count, segment_bytes_, "segments"));
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto row = std::span(table).subspan(i * segment_bytes_, segment_bytes_);
    const ByteFields fields(row, order_);
    segments_.push_back({.type = fields.u32(0),
                         .place = fields.word(is_64_ ? 8 : 4, is_64_),
                         .address = fields.word(is_64_ ? 24 : 12, is_64_),
                         .in_file = fields.word(is_64_ ? 32 : 16, is_64_),
                         .in_memory = fields.word(is_64_ ? 40 : 20, is_64_)});
  }
  return {};
}

Input<std::vector<ElfSection>> ElfFile::read_sections(std::uint64_t count) const {
  if (section_bytes_ < (is_64_ ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr)))
    return file_->damaged("damaged: its ELF sections have no room for their fields");
  const auto table = PAGODA_TRY(read_table(sections_at_, count, section_bytes_, "sections"));
  std::vector<ElfSection> sections;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto row = std::span(table).subspan(i * section_bytes_, section_bytes_);
    const ByteFields fields(row, order_);
    sections.push_back({.name = fields.u32(0),
                        .info = fields.u32(is_64_ ? 44 : 28),
                        .place = fields.word(is_64_ ? 24 : 16, is_64_),
                        .size = fields.word(is_64_ ? 32 : 20, is_64_)});
  }
  return sections;
}

Input<bool> ElfFile::has_section(std::string_view name) const {
  // A core that was cut has lost its names; they stand at its end.
  const std::uint64_t end = sum_or_most(sections_at_, std::uint64_t{section_count_} * section_bytes_);
  if (section_count_ == 0 || end > file_->size()) return false;
  const auto sections = PAGODA_TRY(read_sections(section_count_));
  if (names_section_ >= sections.size()) return false;
  const ElfSection& names = sections[names_section_];
  if (names.size > kTablesMost || sum_or_most(names.place, names.size) > file_->size()) return false;
  const auto text = PAGODA_TRY(file_->read_all(names.place, names.size, "the table of section names"));
  const std::string_view all(reinterpret_cast<const char*>(text.data()), text.size());
  return std::ranges::any_of(sections, [&](const ElfSection& section) {
    if (section.name >= all.size()) return false;
    const std::string_view rest = all.substr(section.name);
    return rest.substr(0, rest.find('\0')) == name;
  });
}

template <class Visit>
Input<> ElfFile::for_each_note(const Visit& visit) const {
  constexpr std::size_t kHeader = 12;
  for (const ElfSegment& segment : segments_) {
    if (segment.type != PT_NOTE) continue;
    if (segment.in_file > kNotesMost)
      return file_->damaged(fmt::format("damaged: {} bytes of notes in an ELF file", segment.in_file));
    const auto notes = PAGODA_TRY(file_->read_all(segment.place, segment.in_file, "the notes"));
    const ByteFields fields(notes, order_);
    for (std::uint64_t at = 0; at + kHeader <= notes.size();) {
      const std::uint64_t name_bytes = fields.u32(at);
      const std::uint64_t body_bytes = fields.u32(at + 4);
      const std::uint32_t type = fields.u32(at + 8);
      const std::uint64_t body_at = at + kHeader + parts_of(name_bytes, 4) * 4;
      if (body_at + body_bytes > notes.size()) return file_->damaged("damaged: an ELF note goes past its segment");
      const std::string_view owner = fields.text(at + kHeader, name_bytes);
      visit(owner.substr(0, owner.find('\0')), type);
      at = body_at + parts_of(body_bytes, 4) * 4;
    }
  }
  return {};
}

enum class ElfOrigin : std::uint8_t { kMachine, kProcess, kXen };

// Steps 1 to 4 of the reference's decision. Register notes are in cores of both kinds and say nothing.
Input<ElfOrigin> origin_of(const ElfFile& elf) {
  for (const std::string_view section : {".xen_pages", ".note.Xen"}) {
    const auto found = PAGODA_TRY(elf.has_section(section));
    if (found) return ElfOrigin::kXen;
  }
  bool process = false, machine = false;
  PAGODA_TRY(elf.for_each_note([&](std::string_view owner, std::uint32_t type) {
    process |= owner == "CORE" && (type == NT_PRPSINFO || type == NT_AUXV || type == NT_FILE);
    machine |= (owner == "QEMU" && type == 0) || owner == "VMCOREINFO" || owner == "VBCORE";
  }));
  if (process) return ElfOrigin::kProcess;
  if (machine) return ElfOrigin::kMachine;
  std::size_t loads = 0;
  for (const ElfSegment& segment : elf.segments()) {
    if (segment.type != PT_LOAD) continue;
    if (segment.address != 0) return ElfOrigin::kMachine;
    ++loads;
  }
  return loads > 1 ? ElfOrigin::kProcess : ElfOrigin::kMachine;
}

}  // namespace

Input<std::unique_ptr<MemoryImage>> open_elf(const std::shared_ptr<const StoredBytes>& file) {
  const auto elf = PAGODA_TRY(ElfFile::open(file));
  const auto refuse = [&](std::string_view what) { return bad_input(fmt::format("{}: {}", file->name(), what)); };
  if (!elf.is_core())
    return refuse(
        "an ELF file that is no core (a program, a library or an object), not the memory of a machine; give what "
        "\"virsh dump --memory-only\" writes, or say --raw if these are bytes of memory");
  const auto origin = PAGODA_TRY(origin_of(elf));
  if (origin == ElfOrigin::kProcess)
    return refuse(
        "the core of a process, which knows virtual addresses only, not the memory of a machine; dump the guest with "
        "\"virsh dump --memory-only\" or QEMU's dump-guest-memory");
  if (origin == ElfOrigin::kXen)
    return refuse(
        "a Xen core (xl dump-core), which Pagoda does not read; run LiME or AVML inside the guest and give what they "
        "write");
  auto image = std::make_unique<PlainRanges>(file);
  std::uint64_t named = 0, not_stored = 0;  // Bytes.
  for (const ElfSegment& segment : elf.segments()) {
    if (segment.type != PT_LOAD) continue;
    image->add({.first = segment.address, .bytes = segment.in_file, .place = segment.place});
    named = sum_or_most(named, segment.in_file);
    if (segment.in_memory > segment.in_file) not_stored = sum_or_most(not_stored, segment.in_memory - segment.in_file);
  }
  if (named == 0)
    return refuse(
        "an ELF core without memory in it (no LOAD segments; QEMU writes such with -p where the guest's page tables "
        "are odd); dump the guest again without -p");
  image->warn_of_cut();
  if (not_stored != 0) {
    const PageCount pages(parts_of(not_stored, kPageBytes));
    image->add_absent(pages);
    image->warn(fmt::format("{} pages of its segments are not stored; they are not counted", pages.value()));
  }
  if (elf.is_incomplete()) image->warn("makedumpfile ran out of space: the dump is incomplete");
  return image;
}

}  // namespace pagoda::sim
