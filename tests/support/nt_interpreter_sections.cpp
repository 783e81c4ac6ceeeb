// The calls about sections and views: reference/nt.md section 6.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "pagoda/mm/check/check.h"
#include "tests/support/nt_model.h"
#include "tests/support/nt_rules.h"

namespace pagoda::nt::testing {

using machine::Access;
using mm::Protection;
using Call = NtOperation::Call;

namespace {

// A name as a call wants it; 0 and 4 to 7: none.
struct NamedAttributes {
  explicit NamedAttributes(std::uint64_t value) {
    if (value >= 1 && value <= kNames.size()) text = kNames.at(value - 1);
    name = {static_cast<USHORT>(text.size() * 2), static_cast<USHORT>(text.size() * 2), text.data()};
    attributes.Length = sizeof attributes;
    attributes.ObjectName = &name;
    attributes.Attributes = (value & 2) != 0 ? OBJ_OPENIF : 0;
    folded = text == u"\\ONE" ? u"\\One" : text;
  }
  NamedAttributes(const NamedAttributes&) = delete;
  NamedAttributes& operator=(const NamedAttributes&) = delete;
  [[nodiscard]] bool opens() const { return attributes.Attributes != 0; }

  std::u16string text;
  std::u16string folded;
  UNICODE_STRING name{};
  OBJECT_ATTRIBUTES attributes{};
};

AccessMask section_access(Protection protection) {
  if (base_of(protection) == Protection::kNone) return SECTION_MAP_READ;
  AccessMask access = 0;
  if (is_executable(protection)) access |= SECTION_MAP_EXECUTE;
  if (is_writable(protection)) return access | SECTION_MAP_WRITE;
  return base_of(protection) == Protection::kExecute ? access : access | SECTION_MAP_READ;
}

}  // namespace

std::string NtInterpreter::took_handle(const NtOperation& o, HANDLE handle, const ProcessPointer& owner, Entry entry) {
  const std::uint64_t value = bits_of(handle);
  if (value == 0 || value % 4 != 0 || owner->handles.contains(value))
    return fmt::format("{} gives handle {:#x}", to_string(o), value);
  owner->handles[value] = std::move(entry);
  h_[o.out] = handle;
  owners_[o.out] = owner;
  return "";
}

std::string NtInterpreter::create_section(const NtOperation& o) {
  if (!is_free(o.out)) return "";
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  const auto protection = protection_of(o.protect);
  const HANDLE file = h_[o.handle2];
  const std::uint64_t asked = no_size ? 0 : o.size;
  const std::uint64_t pages = asked / kPageBytes + (asked % kPageBytes != 0 ? 1 : 0);
  NamedAttributes named_by(o.value);
  const auto existing = named_by.folded.empty() ? nullptr : named(named_by.folded);
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (!is_section_type(o.type)) return STATUS_INVALID_PARAMETER_6;
    if (!protection || *protection == Protection::kNoAccess || base_of(*protection) != *protection)
      return STATUS_INVALID_PAGE_PROTECTION;
    if (no_out) return STATUS_ACCESS_VIOLATION;
    if (has(o.type, SEC_IMAGE) && file == nullptr) return STATUS_INVALID_FILE_FOR_SECTION;
    if (file == nullptr && asked == 0) return STATUS_INVALID_PARAMETER_4;
    if (file != nullptr)
      return current().handles.contains(bits_of(file) & ~std::uint64_t{3}) ? STATUS_OBJECT_TYPE_MISMATCH
                                                                           : STATUS_INVALID_HANDLE;
    if (existing != nullptr) return named_by.opens() ? STATUS_OBJECT_NAME_EXISTS : STATUS_OBJECT_NAME_COLLISION;
    return STATUS_SUCCESS;
  }();
  const bool reserve = has(o.type, SEC_RESERVE);
  const std::uint64_t limit = machine_->kernel().manager().commit().limit.value();
  const std::uint64_t refused = reserve ? std::uint64_t{1} << 34 : limit + 1;  // At the latest.
  if (expected == STATUS_SUCCESS && pages > kMostSectionPages && pages < refused) return "";
  HANDLE handle = nullptr;
  LARGE_INTEGER size{};
  size.QuadPart = static_cast<LONGLONG>(o.size);
  const NTSTATUS got = NtCreateSection(no_out ? nullptr : &handle, o.access, &named_by.attributes,
                                       no_size ? nullptr : &size, o.protect, o.type, file);
  if (auto difference = compare(o, expected, got, pages); !difference.empty()) return difference;
  if (!NT_SUCCESS(got)) return handle == nullptr ? "" : to_string(o) + " gives a handle";
  auto section = existing;
  if (section == nullptr) {
    section = std::make_shared<Section>();
    section->reserve = reserve;
    section->no_change = has(o.type, SEC_NO_CHANGE);
    section->pages = pages;
    section->protection = *protection;
    section->name = named_by.folded;
  }
  return took_handle(o, handle, runs_.back(),
                     {ObjectType::kSection, granted_access(ObjectType::kSection, o.access), nullptr, section});
}

std::string NtInterpreter::open_section(const NtOperation& o) {
  if (!is_free(o.out)) return "";
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  NamedAttributes named_by(o.value % 8);
  const auto existing = named_by.folded.empty() ? nullptr : named(named_by.folded);
  const NTSTATUS expected = no_out                    ? STATUS_ACCESS_VIOLATION
                            : named_by.folded.empty() ? STATUS_OBJECT_NAME_INVALID
                            : existing == nullptr     ? STATUS_OBJECT_NAME_NOT_FOUND
                                                      : STATUS_SUCCESS;
  HANDLE handle = nullptr;
  const NTSTATUS got = NtOpenSection(no_out ? nullptr : &handle, o.access, &named_by.attributes);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  return took_handle(o, handle, runs_.back(),
                     {ObjectType::kSection, granted_access(ObjectType::kSection, o.access), nullptr, existing});
}

std::string NtInterpreter::query_section(const NtOperation& o) {
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  const auto what = static_cast<SECTION_INFORMATION_CLASS>(o.type & 0x7FFFFFFF);
  std::array<std::byte, 128> buffer{};
  const SIZE_T size = std::min<SIZE_T>(o.size, buffer.size());
  Entry entry;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (what != SectionBasicInformation && what != SectionImageInformation) return STATUS_INVALID_INFO_CLASS;
    if (size <
        (what == SectionBasicInformation ? sizeof(SECTION_BASIC_INFORMATION) : sizeof(SECTION_IMAGE_INFORMATION)))
      return STATUS_INFO_LENGTH_MISMATCH;
    if (no_out) return STATUS_ACCESS_VIOLATION;
    const NTSTATUS status = find(current(), h_[o.handle], ObjectType::kSection, SECTION_QUERY, entry);
    if (status != STATUS_SUCCESS) return status;
    return what == SectionBasicInformation ? STATUS_SUCCESS : STATUS_SECTION_NOT_IMAGE;
  }();
  const NTSTATUS got = NtQuerySection(h_[o.handle], what, no_out ? nullptr : buffer.data(), size, nullptr);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  SECTION_BASIC_INFORMATION info{};
  std::memcpy(&info, buffer.data(), sizeof info);
  const Section& section = *entry.section;
  const ULONG attributes = (section.reserve ? SEC_RESERVE : SEC_COMMIT) | (section.no_change ? SEC_NO_CHANGE : 0);
  const bool same = info.BaseAddress == nullptr && info.AllocationAttributes == attributes &&
                    static_cast<std::uint64_t>(info.MaximumSize.QuadPart) == section.pages * kPageBytes;
  return same ? "" : to_string(o) + ": another section";
}

std::string NtInterpreter::extend_section(const NtOperation& o) {
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  Entry entry;
  NTSTATUS expected = STATUS_ACCESS_VIOLATION;
  if (!no_size) {
    expected = find(current(), h_[o.handle], ObjectType::kSection, SECTION_EXTEND_SIZE, entry);
    if (expected == STATUS_SUCCESS) expected = STATUS_SECTION_NOT_EXTENDED;
  }
  LARGE_INTEGER size{};
  size.QuadPart = static_cast<LONGLONG>(o.size);
  const NTSTATUS got = NtExtendSection(h_[o.handle], no_size ? nullptr : &size);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  return static_cast<std::uint64_t>(size.QuadPart) == o.size ? "" : to_string(o) + " changes the size";
}

// reference/nt.md 6.2.
std::string NtInterpreter::map_view(const NtOperation& o) {
  const bool no_base = (o.nulls & NtOperation::kNoBase) != 0;
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  const bool no_offset = (o.nulls & NtOperation::kNoOut) != 0;
  const auto protection = protection_of(o.protect);
  const std::uint64_t offset = no_offset ? 0 : o.offset;
  const auto inherit = static_cast<ULONG>(o.value & 0xFF);
  Limits limits = all();
  limits.top_down = has(o.type, MEM_TOP_DOWN);
  ProcessPointer process;
  Entry entry;
  Pages pages;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (inherit != ViewShare && inherit != ViewUnmap) return STATUS_INVALID_PARAMETER_8;
    if (has(o.type, ~(MEM_TOP_DOWN | MEM_LARGE_PAGES | MEM_DOS_LIM | SEC_NO_CHANGE | MEM_RESERVE)))
      return STATUS_INVALID_PARAMETER_9;
    if (!protection) return STATUS_INVALID_PAGE_PROTECTION;
    if (no_base || no_size) return STATUS_ACCESS_VIOLATION;
    if (o.base > highest_vad_ || (o.size != 0 && o.size - 1 > highest_vad_ - o.base)) return STATUS_INVALID_PARAMETER_3;
    if (o.zero_bits != 0) {
      const auto ceiling = ceiling_of(highest_user_ > ~std::uint32_t{0}, o.zero_bits);
      if (!ceiling || o.base > *ceiling) return STATUS_INVALID_PARAMETER_4;
      limits.last = std::min(limits.last, *ceiling >> kPageShift);
    }
    if (const NTSTATUS status = find_space(h_[o.handle2], PROCESS_VM_OPERATION, process); status != STATUS_SUCCESS)
      return status;
    const NTSTATUS status = find(current(), h_[o.handle], ObjectType::kSection, section_access(*protection), entry);
    if (status != STATUS_SUCCESS) return status;
    const Section& section = *entry.section;
    if (o.base % kAllocationGranularity != 0 || offset % kAllocationGranularity != 0) return STATUS_MAPPED_ALIGNMENT;
    if (!is_compatible(section.protection, *protection)) return STATUS_SECTION_PROTECTION;
    if (offset >= section.pages * kPageBytes) return STATUS_INVALID_VIEW_SIZE;
    const std::uint64_t rest = section.pages - offset / kPageBytes;
    pages.count = o.size == 0 ? rest : covering(0, o.size).count;
    if (pages.count > rest) return STATUS_INVALID_VIEW_SIZE;
    if (o.commit > pages.count * kPageBytes) return STATUS_INVALID_PARAMETER_5;
    if (has(o.type, MEM_RESERVE)) return STATUS_INVALID_PARAMETER_9;
    if (is_write_combine(*protection)) return STATUS_INVALID_PARAMETER_10;
    if (o.base == 0) {
      const auto gap = find_gap(*process, pages.count, limits);
      if (!gap) return STATUS_NO_MEMORY;
      pages.first = *gap;
      return STATUS_SUCCESS;
    }
    pages.first = o.base >> kPageShift;
    if (pages.end() - 1 > all().last) return STATUS_INVALID_PARAMETER_3;
    return overlaps(*process, pages) ? STATUS_CONFLICTING_ADDRESSES : STATUS_SUCCESS;
  }();
  PVOID base = NtMachine::pointer(o.base);
  SIZE_T size = o.size;
  LARGE_INTEGER at{};
  at.QuadPart = static_cast<LONGLONG>(o.offset);
  const NTSTATUS got = NtMapViewOfSection(h_[o.handle], h_[o.handle2], no_base ? nullptr : &base, o.zero_bits, o.commit,
                                          no_offset ? nullptr : &at, no_size ? nullptr : &size,
                                          static_cast<SECTION_INHERIT>(inherit), o.type, o.protect);
  if (auto difference = compare(o, expected, got, 2 * pages.count); !difference.empty()) return difference;
  if (auto difference = compare_in_out(o, pages, got == STATUS_SUCCESS, base, size); !difference.empty())
    return difference;
  if (got != STATUS_SUCCESS) return "";
  process->regions[pages.first] = {.count = pages.count,
                                   .protection = *protection,
                                   .section = entry.section,
                                   .section_page = offset / kPageBytes,
                                   .no_change = entry.section->no_change || has(o.type, SEC_NO_CHANGE)};
  for (std::uint64_t page = pages.first; page < pages.end(); ++page)
    process->pages[page] = {.protection = *protection, .is_private = false, .locked = {}};
  const std::uint64_t committed = o.commit / kPageBytes + (o.commit % kPageBytes != 0 ? 1 : 0);
  for (std::uint64_t i = 0; entry.section->reserve && i < committed; ++i)
    entry.section->committed.insert(offset / kPageBytes + i);
  return "";
}

std::string NtInterpreter::unmap_view(const NtOperation& o) {
  ProcessPointer process;
  RegionPlace region;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (const NTSTATUS status = find_space(h_[o.handle], PROCESS_VM_OPERATION, process); status != STATUS_SUCCESS)
      return status;
    if (o.base > highest_user_) return STATUS_NOT_MAPPED_VIEW;
    region = region_at(*process, o.base >> kPageShift);
    const bool is_view = region != process->regions.end() && region->second.section != nullptr;
    return is_view ? STATUS_SUCCESS : STATUS_NOT_MAPPED_VIEW;
  }();
  const PVOID base = NtMachine::pointer(o.base);
  const NTSTATUS got =
      o.type != 0 ? NtUnmapViewOfSectionEx(h_[o.handle], base, 0) : NtUnmapViewOfSection(h_[o.handle], base);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got == STATUS_SUCCESS) forget_region(*process, region);
  return "";
}

std::string NtInterpreter::flush(const NtOperation& o) {
  const bool no_base = (o.nulls & NtOperation::kNoBase) != 0;
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (no_base || no_size || no_out) return STATUS_ACCESS_VIOLATION;
    if (o.base > highest_user_ || (o.size != 0 && o.size - 1 > highest_user_ - o.base)) return STATUS_INVALID_PARAMETER;
    ProcessPointer process;
    if (const NTSTATUS status = find_space(h_[o.handle], PROCESS_VM_OPERATION, process); status != STATUS_SUCCESS)
      return status;
    const auto region = region_at(*process, o.base >> kPageShift);
    return region == process->regions.end() ? STATUS_NOT_MAPPED_VIEW : STATUS_NOT_MAPPED_DATA;
  }();
  PVOID base = NtMachine::pointer(o.base);
  SIZE_T size = o.size;
  IO_STATUS_BLOCK io{};
  const NTSTATUS got =
      NtFlushVirtualMemory(h_[o.handle], no_base ? nullptr : &base, no_size ? nullptr : &size, no_out ? nullptr : &io);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  return compare_in_out(o, {}, false, base, size);
}

}  // namespace pagoda::nt::testing
