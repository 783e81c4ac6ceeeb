// Operations on sections and views, as the kernel and the model perform them: reference/nt.md section 6.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "tests/support/nt_interpreter.h"
#include "tests/support/nt_rules.h"

namespace pagoda::nt::testing::op {

using mm::Protection;

namespace {

// A name as a call wants it.
struct NamedAttributes {
  explicit NamedAttributes(std::uint8_t which) {
    if ((which & 3) != 0) text = kNames.at((which & 3) - 1);
    name = {static_cast<USHORT>(text.size() * 2), static_cast<USHORT>(text.size() * 2), text.data()};
    attributes.Length = sizeof attributes;
    attributes.ObjectName = &name;
    attributes.Attributes = ((which & 2) != 0 ? OBJ_OPENIF : 0) | ((which & 4) != 0 ? OBJ_CASE_INSENSITIVE : 0);
  }
  NamedAttributes(const NamedAttributes&) = delete;
  NamedAttributes& operator=(const NamedAttributes&) = delete;

  [[nodiscard]] bool opens() const { return has(attributes.Attributes, OBJ_OPENIF); }
  // Null: there is none, or it has no name.
  [[nodiscard]] std::shared_ptr<ModelSection> existing(const Interpreter& in) const {
    const bool ignored = has(attributes.Attributes, OBJ_CASE_INSENSITIVE);
    return text.empty() ? nullptr : in.named(text, ignored ? Interpreter::Case::kIgnored : Interpreter::Case::kCounts);
  }

  std::u16string text;
  UNICODE_STRING name{};
  OBJECT_ATTRIBUTES attributes{};
};

LARGE_INTEGER large(std::uint64_t value) {
  LARGE_INTEGER large{};
  large.QuadPart = static_cast<LONGLONG>(value);
  return large;
}

std::uint64_t pages_in(std::uint64_t bytes) { return bytes / kPageBytes + (bytes % kPageBytes != 0 ? 1 : 0); }

ModelEntry entry_of(std::shared_ptr<ModelSection> section, std::uint32_t access) {
  return {ObjectType::kSection, granted_access(ObjectType::kSection, access), nullptr, std::move(section)};
}

// What a view with the protection needs.
AccessMask section_access(Protection protection) {
  if (base_of(protection) == Protection::kNone) return SECTION_MAP_READ;
  AccessMask access = 0;
  if (is_executable(protection)) access |= SECTION_MAP_EXECUTE;
  if (is_writable(protection)) return access | SECTION_MAP_WRITE;
  return base_of(protection) == Protection::kExecute ? access : access | SECTION_MAP_READ;
}

}  // namespace

// --- Sections ---

void CreateSection::keep_to_model() {
  if (is_section_type(attributes)) attributes &= SEC_COMMIT | SEC_RESERVE | SEC_IMAGE | SEC_NO_CHANGE | SEC_NOCACHE;
}

std::string CreateSection::perform(Interpreter& in) const {
  if (!in.is_free(out)) return "";
  const auto protection = protection_of(protect);
  const HANDLE file_handle = in.handle(file);
  const std::uint64_t asked = no_size ? 0 : size;
  const std::uint64_t pages = pages_in(asked);
  NamedAttributes named_by(name);
  const auto existing = named_by.existing(in);
  const NTSTATUS made = [&]() -> NTSTATUS {
    if (!is_section_type(attributes)) return STATUS_INVALID_PARAMETER_6;
    if (!protection || *protection == Protection::kNoAccess || base_of(*protection) != *protection)
      return STATUS_INVALID_PAGE_PROTECTION;
    if (no_handle) return STATUS_ACCESS_VIOLATION;
    if (has(attributes, SEC_IMAGE) && file_handle == nullptr) return STATUS_INVALID_FILE_FOR_SECTION;
    if (file_handle == nullptr && asked == 0) return STATUS_INVALID_PARAMETER_4;
    if (file_handle != nullptr)
      return file_handle == NtCurrentProcess() || in.current().find(file_handle) != nullptr
                 ? STATUS_OBJECT_TYPE_MISMATCH
                 : STATUS_INVALID_HANDLE;
    if (existing != nullptr) return named_by.opens() ? STATUS_OBJECT_NAME_EXISTS : STATUS_OBJECT_NAME_COLLISION;
    return STATUS_SUCCESS;
  }();
  const bool reserve = has(attributes, SEC_RESERVE);
  const std::uint64_t refused = reserve ? std::uint64_t{1} << 34 : in.commit_limit() + 1;  // At the latest.
  if (made == STATUS_SUCCESS && pages > kMostSectionPages && pages < refused) return "";
  const NTSTATUS expected = in.with_handle(made);
  HANDLE handle = nullptr;
  LARGE_INTEGER maximum = large(size);
  const NTSTATUS got = NtCreateSection(no_handle ? nullptr : &handle, access, &named_by.attributes,
                                       no_size ? nullptr : &maximum, protect, attributes, file_handle);
  if (auto difference = in.compare(*this, expected, got, pages); !difference.empty()) return difference;
  if (!NT_SUCCESS(got)) return handle == nullptr ? "" : to_string(*this) + " gives a handle";
  auto section = existing;
  if (section == nullptr) {
    section = std::make_shared<ModelSection>();
    section->reserve = reserve;
    section->no_change = has(attributes, SEC_NO_CHANGE);
    section->no_cache = has(attributes, SEC_NOCACHE);
    section->pages = pages;
    section->protection = *protection;
    section->name = named_by.text;
    section->number = in.next_section_number();
  }
  return in.take_handle(*this, out, handle, in.current_process(), entry_of(section, access));
}

std::string OpenSection::perform(Interpreter& in) const {
  if (!in.is_free(out)) return "";
  NamedAttributes named_by(name);
  const auto existing = named_by.existing(in);
  const NTSTATUS expected = no_handle               ? STATUS_ACCESS_VIOLATION
                            : named_by.text.empty() ? STATUS_OBJECT_NAME_INVALID
                            : existing == nullptr   ? STATUS_OBJECT_NAME_NOT_FOUND
                                                    : in.with_handle(STATUS_SUCCESS);
  HANDLE handle = nullptr;
  const NTSTATUS got = NtOpenSection(no_handle ? nullptr : &handle, access, &named_by.attributes);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  return in.take_handle(*this, out, handle, in.current_process(), entry_of(existing, access));
}

std::string QuerySection::perform(Interpreter& in) const {
  const auto what_class = static_cast<SECTION_INFORMATION_CLASS>(what & 0x7FFFFFFF);
  std::array<std::byte, 128> buffer{};
  const SIZE_T bytes = std::min<SIZE_T>(size, buffer.size());
  ModelEntry entry;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (what_class != SectionBasicInformation && what_class != SectionImageInformation)
      return STATUS_INVALID_INFO_CLASS;
    if (bytes <
        (what_class == SectionBasicInformation ? sizeof(SECTION_BASIC_INFORMATION) : sizeof(SECTION_IMAGE_INFORMATION)))
      return STATUS_INFO_LENGTH_MISMATCH;
    if (no_buffer) return STATUS_ACCESS_VIOLATION;
    const NTSTATUS status = in.find(in.handle(section), ObjectType::kSection, SECTION_QUERY, entry);
    if (status != STATUS_SUCCESS) return status;
    return what_class == SectionBasicInformation ? STATUS_SUCCESS : STATUS_SECTION_NOT_IMAGE;
  }();
  const NTSTATUS got =
      NtQuerySection(in.handle(section), what_class, no_buffer ? nullptr : buffer.data(), bytes, nullptr);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  SECTION_BASIC_INFORMATION info{};
  std::memcpy(&info, buffer.data(), sizeof info);
  const ModelSection& model = *entry.section;
  const ULONG attributes = (model.reserve ? SEC_RESERVE : SEC_COMMIT) | (model.no_change ? SEC_NO_CHANGE : 0) |
                           (model.no_cache ? SEC_NOCACHE : 0);
  const bool same = info.BaseAddress == nullptr && info.AllocationAttributes == attributes &&
                    static_cast<std::uint64_t>(info.MaximumSize.QuadPart) == model.pages * kPageBytes;
  return same ? "" : to_string(*this) + ": another section";
}

std::string ExtendSection::perform(Interpreter& in) const {
  ModelEntry entry;
  NTSTATUS expected = STATUS_ACCESS_VIOLATION;
  if (!no_size) {
    expected = in.find(in.handle(section), ObjectType::kSection, SECTION_EXTEND_SIZE, entry);
    if (expected == STATUS_SUCCESS) expected = STATUS_SECTION_NOT_EXTENDED;
  }
  LARGE_INTEGER in_out = large(size);
  const NTSTATUS got = NtExtendSection(in.handle(section), no_size ? nullptr : &in_out);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  return static_cast<std::uint64_t>(in_out.QuadPart) == size ? "" : to_string(*this) + " changes the size";
}

// --- Views: reference/nt.md 6.2 ---

namespace {

// MEM_DOS_LIM: on a page, wherever in it the caller points.
std::uint64_t view_base(const MapViewOfSection& o) {
  return has(o.type, MEM_DOS_LIM) ? o.range.base & ~kPageOffsetMask : o.range.base;
}

// What the call says to the section and the place, once its parameters are good; `pages` becomes the view.
NTSTATUS expect_view(const MapViewOfSection& o, const ModelSection& section, Protection protection,
                     std::uint64_t offset, const ModelProcess& whose, const Limits& limits, std::uint64_t last_page,
                     Pages& pages) {
  const Range range{.base = view_base(o), .size = o.range.size};
  const std::uint64_t alignment = has(o.type, MEM_DOS_LIM) ? kPageBytes : kAllocationGranularity;
  if (range.base % alignment != 0 || offset % kAllocationGranularity != 0) return STATUS_MAPPED_ALIGNMENT;
  if (!is_compatible(section.protection, protection)) return STATUS_SECTION_PROTECTION;
  if (offset >= section.pages * kPageBytes) return STATUS_INVALID_VIEW_SIZE;
  const std::uint64_t rest = section.pages - offset / kPageBytes;
  pages.count = range.size == 0 ? rest : Pages::covering(0, range.size).count;
  if (pages.count > rest) return STATUS_INVALID_VIEW_SIZE;
  if (o.commit > (range.size == 0 ? rest * kPageBytes : range.size)) return STATUS_INVALID_PARAMETER_5;
  if (has(o.type, MEM_RESERVE)) return STATUS_INVALID_PARAMETER_9;
  if (is_write_combine(protection)) return STATUS_INVALID_PARAMETER_10;
  if (range.base == 0) {
    const auto gap = whose.find_gap(pages.count, limits);
    if (!gap) return STATUS_NO_MEMORY;
    pages.first = *gap;
    return STATUS_SUCCESS;
  }
  pages.first = range.base >> kPageShift;
  if (pages.first < limits.first || pages.end() - 1 > last_page) return STATUS_INVALID_PARAMETER_3;
  return whose.overlaps(pages) ? STATUS_CONFLICTING_ADDRESSES : STATUS_SUCCESS;
}

}  // namespace

std::string MapViewOfSection::perform(Interpreter& in) const {
  const auto protection = protection_of(protect);
  const std::uint64_t from = no_offset ? 0 : offset;
  Limits limits = in.limits();
  limits.top_down = has(type, MEM_TOP_DOWN);
  ProcessPointer whose;
  ModelEntry entry;
  Pages pages;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (inherit != ViewShare && inherit != ViewUnmap) return STATUS_INVALID_PARAMETER_8;
    if (has(type, ~(MEM_TOP_DOWN | MEM_LARGE_PAGES | MEM_DOS_LIM | SEC_NO_CHANGE | MEM_RESERVE)))
      return STATUS_INVALID_PARAMETER_9;
    if (has(type, MEM_DOS_LIM) && in.is_64_bit()) return STATUS_INVALID_PARAMETER_9;
    if (!protection) return STATUS_INVALID_PAGE_PROTECTION;
    if (range.no_base || range.no_size) return STATUS_ACCESS_VIOLATION;
    const std::uint64_t base = view_base(*this);
    if (base > in.highest_vad() || (range.size != 0 && range.size - 1 > in.highest_vad() - base))
      return STATUS_INVALID_PARAMETER_3;
    if (zero_bits != 0) {
      const auto ceiling = ceiling_of(in.is_64_bit(), zero_bits);
      if (!ceiling || base > *ceiling) return STATUS_INVALID_PARAMETER_4;
      limits.last = std::min(limits.last, *ceiling >> kPageShift);
    }
    NTSTATUS status = in.find_space(in.handle(process), PROCESS_VM_OPERATION, whose);
    if (status != STATUS_SUCCESS) return status;
    status = in.find(in.handle(section), ObjectType::kSection, section_access(*protection), entry);
    if (status != STATUS_SUCCESS) return status;
    return expect_view(*this, *entry.section, *protection, from, *whose, limits, in.limits().last, pages);
  }();
  InOut in_out(range);
  LARGE_INTEGER at = large(offset);
  const NTSTATUS got = NtMapViewOfSection(in.handle(section), in.handle(process), in_out.base(), zero_bits, commit,
                                          no_offset ? nullptr : &at, in_out.size(),
                                          static_cast<SECTION_INHERIT>(inherit), type, protect);
  if (auto difference = in.compare(*this, expected, got, 2 * pages.count); !difference.empty()) return difference;
  if (auto difference = in_out.compare(*this, got == STATUS_SUCCESS, pages); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  const bool as_section = entry.section->no_cache && cache_attribute(*protection) == mm::CacheAttribute::kCached;
  const Protection rights = as_section ? cached_as(*protection, mm::CacheAttribute::kNotCached) : *protection;
  whose->regions[pages.first] = {.count = pages.count,
                                 .protection = rights,
                                 .section = entry.section,
                                 .section_page = from / kPageBytes,
                                 .no_change = entry.section->no_change || has(type, SEC_NO_CHANGE)};
  for (std::uint64_t page = pages.first; page < pages.end(); ++page)
    whose->pages[page] = {.protection = rights, .is_private = false, .locked = {}};
  for (std::uint64_t i = 0; entry.section->reserve && i < pages_in(commit); ++i)
    entry.section->committed.insert(from / kPageBytes + i);
  return "";
}

std::string UnmapViewOfSection::perform(Interpreter& in) const {
  ProcessPointer whose;
  ModelProcess::RegionPlace region;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    const NTSTATUS status = in.find_space(in.handle(process), PROCESS_VM_OPERATION, whose);
    if (status != STATUS_SUCCESS) return status;
    if (address > in.highest_user()) return STATUS_NOT_MAPPED_VIEW;
    region = whose->region_at(address >> kPageShift);
    const bool is_view = region != whose->regions.end() && region->second.is_view();
    return is_view ? STATUS_SUCCESS : STATUS_NOT_MAPPED_VIEW;
  }();
  PVOID base = NtMachine::pointer(address);
  const NTSTATUS got =
      extended ? NtUnmapViewOfSectionEx(in.handle(process), base, 0) : NtUnmapViewOfSection(in.handle(process), base);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got == STATUS_SUCCESS) whose->forget_region(region);
  return "";
}

std::string FlushVirtualMemory::perform(Interpreter& in) const {
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (range.no_base || range.no_size || no_io) return STATUS_ACCESS_VIOLATION;
    if (range.base > in.highest_user() || (range.size != 0 && range.size - 1 > in.highest_user() - range.base))
      return STATUS_INVALID_PARAMETER;
    ProcessPointer whose;
    const NTSTATUS status = in.find_space(in.handle(process), PROCESS_VM_OPERATION, whose);
    if (status != STATUS_SUCCESS) return status;
    const auto region = whose->region_at(range.base >> kPageShift);
    return region == whose->regions.end() ? STATUS_NOT_MAPPED_VIEW : STATUS_NOT_MAPPED_DATA;
  }();
  InOut in_out(range);
  IO_STATUS_BLOCK io{};
  const NTSTATUS got = NtFlushVirtualMemory(in.handle(process), in_out.base(), in_out.size(), no_io ? nullptr : &io);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  return in_out.compare(*this, false, {});
}

}  // namespace pagoda::nt::testing::op
