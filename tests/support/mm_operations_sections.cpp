// Operations on sections, views and files.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "tests/support/mm_interpreter.h"

namespace pagoda::mm::testing::op {

namespace {

constexpr std::uint64_t kMostFileBytes = 4 * kPageBytes;
constexpr std::uint64_t kMostSectionBytes = 512 * kPageBytes;

}  // namespace

// --- Sections ---

std::string CreateSection::perform(Interpreter& in) const {
  ModelSection& open = in.section(section);
  const std::uint64_t wanted = size % kMostSectionBytes;
  const bool reserves = !of_file && reserve;
  if (open.section != nullptr || base_of(protection) == Protection::kNone || is_write_copy(protection) ||
      protection != base_of(protection))
    return "";
  const auto& file = in.file(section);
  Status expected = Status::kSuccess;
  std::uint64_t bytes = wanted;
  std::uint64_t prototypes = 0;
  if (of_file) {
    if (bytes == 0) bytes = file->file_size;
    if (bytes == 0) {
      expected = Status::kMappedFileSizeZero;
    } else if (bytes > file->file_size && !is_writable(protection)) {
      expected = Status::kSectionTooBig;
    }
  } else if (bytes == 0) {
    expected = Status::kInvalidParameter4;
  } else {
    bytes = pages_in(bytes) * kPageBytes;
    prototypes = pages_in(pages_in(bytes) * in.mode().entry_bytes);
    const std::uint64_t promised = reserves ? 0 : pages_in(bytes);
    if (in.is_refused(promised)) {
      expected = Status::kCommitmentLimit;
    } else if (in.is_refused(promised + prototypes)) {
      expected = Status::kInsufficientResources;
    }
  }
  SectionRequest request{.size = ByteCount(wanted), .protection = protection, .flags = {.reserve = reserves}};
  if (of_file) {
    request.kind = SectionKind::kData;
    request.file = file->file;
  }
  const auto result = in.insist(by, [&] { return in.manager().sections().create(in.cpu(by), request); });
  if (in.is_broken_promise(status_of(result))) return "";
  if (auto difference = in.compare(*this, "create", expected, status_of(result)); !difference.empty())
    return difference;
  if (!result) return "";
  open = {.section = *result, .segment = file, .size = bytes, .protection = protection};
  if (of_file) {
    if (bytes > file->file_size) file->resize(bytes);
    const LockGuard guard(in.manager().core().pfns.lock);
    if ((*result)->control_area().pages().value() != file->pages)
      return to_string(*this) + ": the segment does not end where its file does";
  } else {
    open.segment = std::make_shared<ModelSegment>();
    open.segment->pages = pages_in(bytes);
    open.segment->prototypes = prototypes;
    open.segment->reserve = reserves;
    in.add_segment(open.segment);
  }
  ++open.segment->sections;
  return (*result)->size().value() == bytes ? "" : to_string(*this) + ": not of the size that was asked for";
}

std::string CloseSection::perform(Interpreter& in) const {
  ModelSection& open = in.section(section);
  if (open.section == nullptr) return "";
  in.manager().sections().dereference(in.cpu(by), *open.section);
  --open.segment->sections;
  open = {};
  return "";
}

std::string Extend::perform(Interpreter& in) const {
  ModelSection& open = in.section(section);
  if (open.section == nullptr) return "";
  const bool of_file = open.segment->file != nullptr;
  const std::uint64_t bytes = size % kMostSectionBytes;
  const auto result =
      in.insist(by, [&] { return in.manager().sections().extend(in.cpu(by), *open.section, ByteCount(bytes)); });
  if (in.is_broken_promise(status_of(result))) return "";
  const Status expected = of_file ? Status::kSuccess : Status::kSectionNotExtended;
  if (auto difference = in.compare(*this, "extend", expected, status_of(result)); !difference.empty())
    return difference;
  if (!result) return "";
  if (bytes > open.size) {
    if (bytes > open.segment->file_size) open.segment->resize(bytes);
    open.size = bytes;
  }
  return result->value() == open.size ? "" : to_string(*this) + ": another size than was asked for";
}

// --- Views ---

// reference/nt.md 6.2.
std::string MapView::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  const ModelSection& open = in.section(section);
  if (open.section == nullptr || protection == Protection::kNone ||
      (base_of(protection) != protection && protection != Protection::kNoAccess))
    return "";
  const bool anywhere = where != Where::kAtBase;
  const bool top_down = where == Where::kTopDown;
  const bool of_file = open.segment->file != nullptr;
  const std::uint64_t base = range.address;
  const std::uint64_t limit = (in.highest_user() + 1) * kPageBytes;
  const std::uint64_t rest = open.size - std::min(open.size, offset);
  Pages pages{.first = base >> kPageShift, .count = pages_in(range.size == 0 ? rest : range.size)};

  Status expected = Status::kSuccess;
  if (!anywhere && (base >= limit || range.size > limit - base)) {
    expected = Status::kInvalidParameter3;
  } else if ((!anywhere && base % kAllocationGranularity != 0) || offset % kAllocationGranularity != 0) {
    expected = Status::kMappedAlignment;
  } else if (!is_compatible(open.protection, protection)) {
    expected = Status::kSectionProtection;
  } else if (rest == 0 || (range.size > rest && !(extendable && of_file))) {
    expected = Status::kInvalidViewSize;
  } else if (extendable && !of_file) {
    expected = Status::kInvalidParameter9;
  } else if (extendable && !is_writable(open.protection)) {
    expected = Status::kSectionProtection;
  } else if (anywhere) {
    const auto gap = pages.count > in.highest_user() + 1 - in.lowest_user()
                         ? std::nullopt
                         : space.find_gap(pages.count, top_down, in.lowest_user(), in.highest_user());
    if (gap) {
      pages.first = *gap;
    } else {
      expected = Status::kNoMemory;
    }
  } else if (pages.first < in.lowest_user() || pages.end() - 1 > in.highest_user()) {
    expected = Status::kInvalidParameter3;
  } else if (space.overlaps(pages)) {
    expected = Status::kConflictingAddresses;
  }
  // Beyond what a test has room for.
  if (expected == Status::kSuccess && pages.count > kMostSectionBytes / kPageBytes) return "";
  const std::uint64_t charge = is_write_copy(protection) ? pages.count : 0;
  std::uint64_t tables = 0;
  if (expected == Status::kSuccess) {
    tables = space.tables_spanned_with(pages, in.mode());
    if (in.is_refused(tables - space.tables + charge)) expected = Status::kCommitmentLimit;
  }
  ViewRequest request{.offset = ByteCount(offset),
                      .size = ByteCount(range.size),
                      .protection = protection,
                      .direction = top_down ? Direction::kTopDown : Direction::kBottomUp,
                      .extendable = extendable};
  if (!anywhere) request.base = VirtualAddress(base);
  const auto result = in.settle(by, [&] { return space.manager->map_view(in.cpu(by), *open.section, request); });
  if (!result || in.is_broken_promise(status_of(*result))) return "";
  if (auto difference = in.compare(*this, "map", expected, status_of(*result)); !difference.empty()) return difference;
  if (!*result) return "";
  if ((*result)->first.value() != pages.first || (*result)->count.value() != pages.count)
    return fmt::format("{}: mapped {:#x}+{:#x}, expected {:#x}+{:#x}", to_string(*this), (*result)->first.value(),
                       (*result)->count.value(), pages.first, pages.count);
  space.regions[pages.first] = {.count = pages.count,
                                .protection = protection,
                                .segment = open.segment,
                                .section_page = offset / kPageBytes,
                                .extendable = extendable};
  ++open.segment->views;
  space.tables = tables;
  space.committed += charge;
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
    ModelPage& model = space.pages[page];
    model.protection = protection;
    model.is_private = false;
  }
  return "";
}

std::string UnmapView::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  const auto region = space.region_at(address >> kPageShift);
  const bool is_view = region != space.regions.end() && region->second.is_view();
  const auto result = in.settle(by, [&] { return space.manager->unmap_view(in.cpu(by), VirtualAddress(address)); });
  if (!result) return "";
  if (*result && is_view) space.forget_region(region, in.mode());
  return in.compare(*this, "unmap", is_view ? Status::kSuccess : Status::kNotMappedView, status_of(*result));
}

std::string FlushView::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  const std::uint64_t first = range.address >> kPageShift;
  const auto region = space.region_at(first);
  Status expected = Status::kSuccess;
  Pages pages{.first = first, .count = 0};
  if (region == space.regions.end()) {
    expected = Status::kNotMappedView;
  } else if (!region->second.is_view() || region->second.segment->file == nullptr) {
    expected = Status::kNotMappedData;
  } else {
    const std::uint64_t end = region->first + region->second.count;
    pages.count = end - first;
    if (range.size != 0) {
      const auto named = Pages::covering(range.address, range.size);
      if (!named || named->end() > end) {
        expected = Status::kInvalidParameter;
      } else {
        pages = *named;
      }
    }
  }
  const auto result = in.insist(
      by, [&] { return space.manager->flush_view(in.cpu(by), VirtualAddress(range.address), ByteCount(range.size)); });
  if (auto difference = in.compare(*this, "flush", expected, status_of(result)); !difference.empty()) return difference;
  // Another view may have written to a page again, which only its own entry knows.
  if (!result || region->second.segment->views > 1) return "";
  return in.compare_file(*this, *region->second.segment, {ModelSpace::section_page(region, pages.first), pages.count});
}

// --- Files ---

namespace {

// What is done in pieces: calls until all is done, or the file ends.
template <class Call>
Result<ByteCount> piecewise(Interpreter& in, const By& by, std::uint64_t size, Call&& call) {
  for (std::uint64_t done = 0;;) {
    const auto result = in.insist(by, [&] { return call(done); });
    if (!result && result.error() == Status::kEndOfFile && done > 0) return ByteCount(done);
    if (!result) return result;
    done += result->value();
    if (result->value() == 0 || done == size) return ByteCount(done);
  }
}

}  // namespace

std::string ReadFile::perform(Interpreter& in) const {
  const ModelSegment& segment = *in.file(file);
  const std::uint64_t wanted = size % (kMostFileBytes + 1);
  const std::uint64_t from = offset % kMostSectionBytes;
  std::vector<std::byte> bytes(wanted, std::byte{0xAA});
  const auto result = piecewise(in, by, wanted, [&](std::uint64_t done) {
    return in.manager().sections().read(in.cpu(by), segment.file, FileOffset(from + done),
                                        std::span(bytes).subspan(done));
  });
  if (in.is_broken_promise(status_of(result))) return "";
  const Status expected = wanted > 0 && from >= segment.file_size ? Status::kEndOfFile : Status::kSuccess;
  if (auto difference = in.compare(*this, "read", expected, status_of(result)); !difference.empty()) return difference;
  if (!result) return "";
  const std::uint64_t there = wanted == 0 ? 0 : std::min(wanted, segment.file_size - from);
  if (result->value() != there) return fmt::format("{}: read {} bytes of {}", to_string(*this), result->value(), there);
  for (std::uint64_t page = from / kPageBytes; page * kPageBytes < from + there; ++page) {
    for (unsigned word = 0; word < kWords; ++word) {
      const std::uint64_t at = page * kPageBytes + word * kWordStride;
      if (at < from || at + 8 > from + there) continue;
      std::uint64_t got = 0;
      std::memcpy(&got, bytes.data() + (at - from), sizeof got);
      if (const std::uint64_t value = segment.word(page, word); got != value)
        return fmt::format("{}: the word at {:#x} reads {:#x}, expected {:#x}", to_string(*this), at, got, value);
    }
  }
  return "";
}

std::string WriteFile::perform(Interpreter& in) const {
  ModelSegment& segment = *in.file(file);
  const std::uint64_t wanted = size % (kMostFileBytes + 1);
  const std::uint64_t from = offset % kMostSectionBytes;
  std::vector<std::byte> bytes(wanted);
  // Each byte of a word that is written: which word, which of its bytes, where in `bytes`.
  const auto for_each_byte = [&](auto&& visit) {
    for (std::uint64_t page = from / kPageBytes; page * kPageBytes < from + wanted; ++page) {
      for (unsigned i = 0; i < 8 * kWords; ++i) {
        const std::uint64_t at = page * kPageBytes + i / 8 * kWordStride + i % 8;
        if (at >= from && at < from + wanted) visit(page, i / 8, i % 8, at - from);
      }
    }
  };
  const std::uint64_t first = from / kPageBytes * kWords;
  const auto value_of = [&](std::uint64_t page, unsigned word, unsigned byte) {
    return (value + page * kWords + word - first) >> 8 * byte & 0xFF;
  };
  for_each_byte([&](std::uint64_t page, unsigned word, unsigned byte, std::uint64_t at) {
    bytes[at] = static_cast<std::byte>(value_of(page, word, byte));
  });
  const auto result = piecewise(in, by, wanted, [&](std::uint64_t done) {
    return in.manager().sections().write(in.cpu(by), segment.file, FileOffset(from + done),
                                         std::span<const std::byte>(bytes).subspan(done));
  });
  if (in.is_broken_promise(status_of(result))) return "";
  if (auto difference = in.compare(*this, "write", Status::kSuccess, status_of(result)); !difference.empty())
    return difference;
  if (result->value() != wanted) return fmt::format("{}: wrote {} bytes", to_string(*this), result->value());
  if (wanted > 0 && from + wanted > segment.file_size) segment.resize(from + wanted);
  for_each_byte([&](std::uint64_t page, unsigned word, unsigned byte, std::uint64_t) {
    std::uint64_t& model = segment.words[page][word];
    model = (model & ~(std::uint64_t{0xFF} << 8 * byte)) | value_of(page, word, byte) << 8 * byte;
  });
  return "";
}

std::string ResizeFile::perform(Interpreter& in) const {
  ModelSegment& segment = *in.file(file);
  const std::uint64_t bytes = size % kMostSectionBytes;
  const bool is_used = segment.views > 0 || segment.sections > 0;
  const Status expected = bytes < segment.file_size && is_used ? Status::kUserMappedFile : Status::kSuccess;
  const auto result =
      in.insist(by, [&] { return in.manager().sections().set_file_size(in.cpu(by), *segment.file, ByteCount(bytes)); });
  if (in.is_broken_promise(status_of(result))) return "";
  if (result) segment.resize(bytes);
  if (auto difference = in.compare(*this, "resize", expected, status_of(result)); !difference.empty())
    return difference;
  return segment.file->size().value() == segment.file_size ? "" : to_string(*this) + ": the file has another size";
}

std::string DropUnused::perform(Interpreter& in) const {
  auto& cpu = in.cpu(by);
  in.manager().sections().drop_unused(cpu);
  if (cpu.is_blocked()) cpu.advance_to(cpu.take_blocked_until());
  return "";
}

}  // namespace pagoda::mm::testing::op
