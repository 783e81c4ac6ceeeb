// The Interpreter's operations on sections, views and files.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "tests/support/mm_interpreter.h"
#include "tests/support/mm_operations.h"

namespace pagoda::mm::testing {

namespace {

constexpr std::uint64_t kMostFileBytes = 4 * kPageBytes;
constexpr std::uint64_t kMostSectionBytes = 512 * kPageBytes;

std::uint64_t pages_in(std::uint64_t bytes) { return bytes / kPageBytes + (bytes % kPageBytes != 0 ? 1 : 0); }

}  // namespace

// Commits pages of a section for all its views; this view's get the protection.
std::string Interpreter::commit_view(const Operation& operation, Space& space, const Region& region,
                                     std::uint64_t first, Pages pages) {
  Segment& segment = *region.segment;
  std::uint64_t promised = 0;
  const std::uint64_t at = region.section_page + (pages.first - first);
  for (std::uint64_t page = at; page < at + pages.count; ++page) promised += segment.is_committed(page) ? 0 : 1;
  const std::uint64_t before = charge_of(space, pages);
  const std::uint64_t after = charge_after_protect(space, region, pages, operation.protection);
  Status expected = may_protect(region, operation.protection);
  if (!segment.reserve) {
    expected = Status::kAlreadyCommitted;
  } else if (expected == Status::kSuccess && is_refused(promised + (after > before ? after - before : 0))) {
    expected = Status::kCommitmentLimit;
  }
  const auto result = settle(operation, [&] {
    return space.manager->commit(machine_->processor(operation.cpu), VirtualAddress(operation.address),
                                 ByteCount(operation.size), operation.protection);
  });
  if (!result || (status_of(*result) == Status::kNoMemory && broke_promise_)) return "";
  if (*result) {
    for (std::uint64_t page = at; page < at + pages.count; ++page) segment.committed[page] = true;
    for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
      Page& model = space.pages.at(page);
      set_protection(space, model, in_region(region, model, operation.protection));
    }
    space.committed = space.committed + after - before;
  }
  return compare(operation, "commit of a view", expected, status_of(*result));
}

std::string Interpreter::create_section(const Operation& operation) {
  OpenSection& open = sections_[operation.section];
  const std::uint64_t wanted = operation.size % kMostSectionBytes;
  const bool of_file = (operation.value & Operation::kOfFile) != 0;
  const bool reserve = !of_file && (operation.value & Operation::kReserved) != 0;
  if (open.section != nullptr || base_of(operation.protection) == Protection::kNone ||
      is_write_copy(operation.protection) || operation.protection != base_of(operation.protection))
    return "";
  const auto file = files_[operation.section % files_.size()];
  Status expected = Status::kSuccess;
  std::uint64_t size = wanted;
  std::uint64_t prototypes = 0;
  if (of_file) {
    if (size == 0) size = file->file_size;
    if (size == 0) {
      expected = Status::kMappedFileSizeZero;
    } else if (size > file->file_size && !is_writable(operation.protection)) {
      expected = Status::kSectionTooBig;
    }
  } else if (size == 0) {
    expected = Status::kInvalidParameter4;
  } else {
    size = pages_in(size) * kPageBytes;
    prototypes = pages_in(pages_in(size) * machine_->paging().entry_bytes);
    const std::uint64_t promised = reserve ? 0 : pages_in(size);
    if (is_refused(promised)) {
      expected = Status::kCommitmentLimit;
    } else if (is_refused(promised + prototypes)) {
      expected = Status::kInsufficientResources;
    }
  }
  SectionRequest request{.size = ByteCount(wanted), .protection = operation.protection, .flags = {.reserve = reserve}};
  if (of_file) {
    request.kind = SectionKind::kData;
    request.file = file->file;
  }
  Sections& sections = manager_->sections();
  const auto result = insist(operation, [&] { return sections.create(machine_->processor(operation.cpu), request); });
  if (status_of(result) == Status::kNoMemory && broke_promise_) return "";
  if (auto difference = compare(operation, "create", expected, status_of(result)); !difference.empty())
    return difference;
  if (!result) return "";
  open = {.section = *result, .segment = file, .size = size, .protection = operation.protection};
  if (of_file) {
    if (size > file->file_size) file->resize(size);
    // What the file had while somebody used it before may still be there.
    const LockGuard guard(manager_->core().pfns.lock);
    const std::uint64_t pages = (*result)->control_area().pages().value();
    if (pages < pages_in(file->file_size)) return to_string(operation) + ": the segment is smaller than its file";
    file->pages = pages;
  } else {
    open.segment = std::make_shared<Segment>();
    open.segment->pages = pages_in(size);
    open.segment->prototypes = prototypes;
    open.segment->reserve = reserve;
    std::erase_if(segments_, [](const auto& segment) { return segment.expired(); });
    segments_.push_back(open.segment);
  }
  return (*result)->size().value() == size ? "" : to_string(operation) + ": not of the size that was asked for";
}

std::string Interpreter::close_section(const Operation& operation) {
  OpenSection& open = sections_[operation.section];
  if (open.section == nullptr) return "";
  manager_->sections().dereference(machine_->processor(operation.cpu), *open.section);
  open = {};
  return "";
}

// reference/nt.md 6.2.
std::string Interpreter::map_view(const Operation& operation, Space& space) {
  const OpenSection& open = sections_[operation.section];
  if (open.section == nullptr || operation.protection == Protection::kNone ||
      (base_of(operation.protection) != operation.protection && operation.protection != Protection::kNoAccess))
    return "";
  const bool anywhere = (operation.value & Operation::kAnywhere) != 0;
  const bool top_down = (operation.value & Operation::kTopDown) != 0;
  const bool extendable = (operation.value & Operation::kExtendable) != 0;
  const bool of_file = open.segment->file != nullptr;
  const std::uint64_t base = operation.address;
  const std::uint64_t limit = (highest_user() + 1) * kPageBytes;
  const std::uint64_t rest = open.size - std::min(open.size, operation.offset);
  const std::uint64_t size = operation.size == 0 ? rest : operation.size;
  Pages pages{.first = base >> kPageShift, .count = pages_in(size)};

  Status expected = Status::kSuccess;
  if (!anywhere && (base >= limit || operation.size > limit - base)) {
    expected = Status::kInvalidParameter3;
  } else if ((!anywhere && base % kAllocationGranularity != 0) || operation.offset % kAllocationGranularity != 0) {
    expected = Status::kMappedAlignment;
  } else if (!is_compatible(open.protection, operation.protection)) {
    expected = Status::kSectionProtection;
  } else if (rest == 0 || (pages.count > pages_in(rest) && !(extendable && of_file))) {
    expected = Status::kInvalidViewSize;
  } else if (extendable && (!of_file || !is_writable(open.protection))) {
    expected = Status::kInvalidParameter9;
  } else if (anywhere) {
    const auto gap =
        pages.count > highest_user() + 1 - lowest_user() ? std::nullopt : find_gap(space, pages.count, top_down);
    if (gap) {
      pages.first = *gap;
    } else {
      expected = Status::kNoMemory;
    }
  } else if (pages.first < lowest_user() || pages.end() - 1 > highest_user()) {
    expected = Status::kInvalidParameter3;
  } else {
    const auto after = space.regions.lower_bound(pages.first);
    if (region_at(space, pages.first) != space.regions.end() ||
        (after != space.regions.end() && after->first < pages.end()))
      expected = Status::kConflictingAddresses;
  }
  // Beyond what a test has room for.
  if (expected == Status::kSuccess && pages.count > kMostSectionBytes / kPageBytes) return "";
  const std::uint64_t charge = is_write_copy(operation.protection) ? pages.count : 0;
  std::uint64_t tables = 0;
  if (expected == Status::kSuccess) {
    Space with;
    with.regions = space.regions;
    with.regions[pages.first] = {.count = pages.count};
    tables = tables_spanned(with);
    if (is_refused(tables - space.tables + charge)) expected = Status::kCommitmentLimit;
  }
  ViewRequest request{.offset = ByteCount(operation.offset),
                      .size = ByteCount(operation.size),
                      .protection = operation.protection,
                      .direction = top_down ? Direction::kTopDown : Direction::kBottomUp,
                      .extendable = extendable};
  if (!anywhere) request.base = VirtualAddress(base);
  const auto result = settle(
      operation, [&] { return space.manager->map_view(machine_->processor(operation.cpu), *open.section, request); });
  if (!result || (status_of(*result) == Status::kNoMemory && broke_promise_)) return "";
  if (auto difference = compare(operation, "map", expected, status_of(*result)); !difference.empty()) return difference;
  if (!*result) return "";
  if ((*result)->first.value() != pages.first || (*result)->count.value() != pages.count)
    return fmt::format("{}: mapped {:#x}+{:#x}, expected {:#x}+{:#x}", to_string(operation), (*result)->first.value(),
                       (*result)->count.value(), pages.first, pages.count);
  space.regions[pages.first] = {.count = pages.count,
                                .protection = operation.protection,
                                .segment = open.segment,
                                .section_page = operation.offset / kPageBytes,
                                .section_protection = open.protection};
  ++open.segment->views;
  space.tables = tables;
  space.committed += charge;
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
    Page& model = space.pages[page];
    model.protection = operation.protection;
    model.is_private = false;
  }
  return "";
}

std::string Interpreter::unmap_view(const Operation& operation, Space& space) {
  const auto region = region_at(space, operation.address >> kPageShift);
  const bool is_view = region != space.regions.end() && region->second.segment != nullptr;
  const auto result = settle(operation, [&] {
    return space.manager->unmap_view(machine_->processor(operation.cpu), VirtualAddress(operation.address));
  });
  if (!result) return "";
  if (*result && is_view) forget_region(space, region);
  return compare(operation, "unmap", is_view ? Status::kSuccess : Status::kNotMappedView, status_of(*result));
}

std::string Interpreter::extend(const Operation& operation) {
  OpenSection& open = sections_[operation.section];
  if (open.section == nullptr) return "";
  const bool of_file = open.segment->file != nullptr;
  const std::uint64_t size = operation.size % kMostSectionBytes;
  const auto result = insist(operation, [&] {
    return manager_->sections().extend(machine_->processor(operation.cpu), *open.section, ByteCount(size));
  });
  if (status_of(result) == Status::kNoMemory && broke_promise_) return "";
  const Status expected = of_file ? Status::kSuccess : Status::kSectionNotExtended;
  if (auto difference = compare(operation, "extend", expected, status_of(result)); !difference.empty())
    return difference;
  if (!result) return "";
  if (size > open.size) {
    if (size > open.segment->file_size) open.segment->resize(size);
    open.segment->pages = std::max(open.segment->pages, pages_in(size));
    open.size = size;
  }
  return result->value() == open.size ? "" : to_string(operation) + ": another size than was asked for";
}

std::string Interpreter::compare_file(const Operation& operation, const Segment& segment, Pages pages) const {
  for (std::uint64_t page = pages.first; page < pages.end() && !segment.is_behind_end(page); ++page) {
    const auto words = segment.words.find(page);
    for (unsigned word = 0; word < kWords; ++word) {
      std::uint64_t got = 0;
      const std::uint64_t at = page * kPageBytes + word * kWordStride;
      const unsigned known = segment.known(page, word);
      if (known == 0) continue;
      const std::span<std::byte> bytes = std::as_writable_bytes(std::span(&got, 1)).first(known);
      const std::uint64_t expected = words == segment.words.end() ? 0 : words->second[word] & low_bytes(known);
      if (!segment.file->file().peek(FileOffset(at), bytes) || got != expected)
        return fmt::format("{}: the file has {:#x} at {:#x}, expected {:#x}", to_string(operation), got, at, expected);
    }
  }
  return "";
}

std::string Interpreter::flush_view(const Operation& operation, Space& space) {
  const std::uint64_t first = operation.address >> kPageShift;
  const auto region = region_at(space, first);
  Status expected = Status::kSuccess;
  Pages pages{.first = first, .count = 0};
  if (region == space.regions.end()) {
    expected = Status::kNotMappedView;
  } else if (region->second.segment == nullptr || region->second.segment->file == nullptr) {
    expected = Status::kNotMappedData;
  } else {
    const std::uint64_t end = region->first + region->second.count;
    pages.count = end - first;
    if (operation.size != 0) {
      const auto named = covering(operation.address, operation.size);
      if (!named || named->end() > end) {
        expected = Status::kInvalidParameter;
      } else {
        pages = *named;
      }
    }
  }
  const auto result = insist(operation, [&] {
    return space.manager->flush_view(machine_->processor(operation.cpu), VirtualAddress(operation.address),
                                     ByteCount(operation.size));
  });
  if (auto difference = compare(operation, "flush", expected, status_of(result)); !difference.empty())
    return difference;
  // Another view may have written to a page again, which only its own entry knows.
  if (!result || region->second.segment->views > 1) return "";
  return compare_file(operation, *region->second.segment,
                      {region->second.section_page + (pages.first - region->first), pages.count});
}

template <class Call>
Result<ByteCount> Interpreter::piecewise(const Operation& operation, std::uint64_t size, Call&& call) {
  for (std::uint64_t done = 0;;) {
    const auto result = insist(operation, [&] { return call(done); });
    if (!result && result.error() == Status::kEndOfFile && done > 0) return ByteCount(done);
    if (!result) return result;
    done += result->value();
    if (result->value() == 0 || done == size) return ByteCount(done);
  }
}

std::string Interpreter::read_file(const Operation& operation) {
  const Segment& segment = *files_[operation.section % files_.size()];
  const std::uint64_t size = operation.size % (kMostFileBytes + 1);
  const std::uint64_t offset = operation.offset % kMostSectionBytes;
  std::vector<std::byte> bytes(size, std::byte{0xAA});
  const auto result = piecewise(operation, size, [&](std::uint64_t done) {
    return manager_->sections().read(machine_->processor(operation.cpu), segment.file, FileOffset(offset + done),
                                     std::span(bytes).subspan(done));
  });
  if (status_of(result) == Status::kNoMemory && broke_promise_) return "";
  const Status expected = size > 0 && offset >= segment.file_size ? Status::kEndOfFile : Status::kSuccess;
  if (auto difference = compare(operation, "read", expected, status_of(result)); !difference.empty()) return difference;
  if (!result) return "";
  const std::uint64_t there = size == 0 ? 0 : std::min(size, segment.file_size - offset);
  if (result->value() != there)
    return fmt::format("{}: read {} bytes of {}", to_string(operation), result->value(), there);
  for (std::uint64_t page = offset / kPageBytes; page * kPageBytes < offset + there; ++page) {
    const auto words = segment.words.find(page);
    for (unsigned word = 0; word < kWords; ++word) {
      const std::uint64_t at = page * kPageBytes + word * kWordStride;
      if (at < offset || at + 8 > offset + there) continue;
      std::uint64_t got = 0;
      std::memcpy(&got, bytes.data() + (at - offset), sizeof got);
      const std::uint64_t value = words == segment.words.end() ? 0 : words->second[word];
      if (got != value)
        return fmt::format("{}: the word at {:#x} reads {:#x}, expected {:#x}", to_string(operation), at, got, value);
    }
  }
  return "";
}

std::string Interpreter::write_file(const Operation& operation) {
  Segment& segment = *files_[operation.section % files_.size()];
  const std::uint64_t size = operation.size % (kMostFileBytes + 1);
  const std::uint64_t offset = operation.offset % kMostSectionBytes;
  std::vector<std::byte> bytes(size);
  // Each byte of a word that is written: which word, which of its bytes, where in `bytes`.
  const auto for_each_byte = [&](auto&& visit) {
    for (std::uint64_t page = offset / kPageBytes; page * kPageBytes < offset + size; ++page) {
      for (unsigned i = 0; i < 8 * kWords; ++i) {
        const std::uint64_t at = page * kPageBytes + i / 8 * kWordStride + i % 8;
        if (at >= offset && at < offset + size) visit(page, i / 8, i % 8, at - offset);
      }
    }
  };
  const std::uint64_t first = offset / kPageBytes * kWords;
  const auto value_of = [&](std::uint64_t page, unsigned word, unsigned byte) {
    return (operation.value + page * kWords + word - first) >> 8 * byte & 0xFF;
  };
  for_each_byte([&](std::uint64_t page, unsigned word, unsigned byte, std::uint64_t at) {
    bytes[at] = static_cast<std::byte>(value_of(page, word, byte));
  });
  const auto result = piecewise(operation, size, [&](std::uint64_t done) {
    return manager_->sections().write(machine_->processor(operation.cpu), segment.file, FileOffset(offset + done),
                                      std::span<const std::byte>(bytes).subspan(done));
  });
  if (status_of(result) == Status::kNoMemory && broke_promise_) return "";
  if (auto difference = compare(operation, "write", Status::kSuccess, status_of(result)); !difference.empty())
    return difference;
  if (result->value() != size) return fmt::format("{}: wrote {} bytes", to_string(operation), result->value());
  if (size > 0 && offset + size > segment.file_size) segment.resize(offset + size);
  for_each_byte([&](std::uint64_t page, unsigned word, unsigned byte, std::uint64_t) {
    std::uint64_t& model = segment.words[page][word];
    model = (model & ~(std::uint64_t{0xFF} << 8 * byte)) | value_of(page, word, byte) << 8 * byte;
  });
  return "";
}

std::string Interpreter::resize_file(const Operation& operation) {
  Segment& segment = *files_[operation.section % files_.size()];
  const std::uint64_t size = operation.size % kMostSectionBytes;
  const Status expected = size < segment.file_size && segment.views > 0 ? Status::kUserMappedFile : Status::kSuccess;
  const auto result = insist(operation, [&] {
    return manager_->sections().set_file_size(machine_->processor(operation.cpu), *segment.file, ByteCount(size));
  });
  if (status_of(result) == Status::kNoMemory && broke_promise_) return "";
  if (result) segment.resize(size);
  if (auto difference = compare(operation, "resize", expected, status_of(result)); !difference.empty())
    return difference;
  return segment.file->size().value() == segment.file_size ? "" : to_string(operation) + ": the file has another size";
}

// All sections are closed: files hold what was written, and nothing stays.
std::string Interpreter::finish_sections() {
  const Operation last{.kind = Operation::Kind::kDropUnused};
  for (unsigned section = 0; section < Operation::kSections; ++section) {
    const Operation close{.kind = Operation::Kind::kCloseSection, .section = section};
    if (auto difference = perform(close); !difference.empty()) return difference;
  }
  machine::SimProcessor& cpu = machine_->processor();
  Sections& sections = manager_->sections();
  for (int rounds = 0; rounds < 100; ++rounds) {
    sections.drop_unused(cpu);
    if (cpu.is_blocked()) cpu.advance_to(cpu.take_blocked_until());
  }
  for (const auto& file : files_)
    if (auto difference = compare_file(last, *file, {0, pages_in(file->file_size)}); !difference.empty())
      return difference;
  const LockGuard guard(sections.lock);
  if (!sections.areas().empty()) return fmt::format("{} control areas stay\n", sections.areas().size());
  return sections.section_count() == 0 ? "" : "sections stay\n";
}

}  // namespace pagoda::mm::testing
