#include "tests/support/nt_model.h"

#include <ranges>

#include "pagoda/nt/testing/nt_machine.h"
#include "tests/support/nt_rules.h"

namespace pagoda::nt::testing {

using machine::Access;
using mm::Protection;

Pages Pages::covering(std::uint64_t base, std::uint64_t size) {
  const std::uint64_t first = base >> kPageShift;
  return {first, ((base + size - 1) >> kPageShift) - first + 1};
}

NTSTATUS ModelRegion::may_protect(Protection wanted) const {
  if (!is_view()) return is_write_copy(wanted) ? STATUS_INVALID_PARAMETER_4 : STATUS_SUCCESS;
  if (is_no_cache(wanted) || is_write_combine(wanted)) return STATUS_INVALID_PARAMETER_4;
  if (!is_compatible(protection, wanted)) return STATUS_SECTION_PROTECTION;
  return no_change ? STATUS_INVALID_PAGE_PROTECTION : STATUS_SUCCESS;
}

Protection ModelRegion::for_page(const ModelPage& page, Protection wanted) const {
  if (!is_view()) return unshared(wanted);
  // A view says once how it is cached.
  const Protection in_view = cached_as(wanted, cache_attribute(protection));
  return page.is_private ? unshared(in_view) : in_view;
}

// --- Handles ---

std::uint64_t ModelProcess::value_of(HANDLE handle) { return bits_of(handle) & ~std::uint64_t{3}; }

const ModelEntry* ModelProcess::find(HANDLE handle) const {
  const auto found = handles.find(value_of(handle));
  return found == handles.end() ? nullptr : &found->second;
}

NTSTATUS ModelProcess::find(HANDLE handle, ObjectType type, AccessMask needed, ModelEntry& out) const {
  if (handle == NtCurrentProcess() && type != ObjectType::kProcess) return STATUS_OBJECT_TYPE_MISMATCH;
  const ModelEntry* const found = find(handle);
  if (found == nullptr) return STATUS_INVALID_HANDLE;
  if (found->type != type) return STATUS_OBJECT_TYPE_MISMATCH;
  if ((needed & ~found->access) != 0) return STATUS_ACCESS_DENIED;
  out = *found;
  return STATUS_SUCCESS;
}

// --- Regions ---

ModelProcess::RegionPlace ModelProcess::region_at(std::uint64_t page) {
  auto after = regions.upper_bound(page);
  if (after == regions.begin()) return regions.end();
  --after;
  return page < after->first + after->second.count ? after : regions.end();
}

ModelProcess::RegionPlace ModelProcess::region_of(Pages range) {
  const auto region = region_at(range.first);
  if (region == regions.end() || range.end() > region->first + region->second.count) return regions.end();
  return region;
}

bool ModelProcess::overlaps(Pages range) const {
  const auto after = regions.lower_bound(range.first);
  if (after != regions.end() && after->first < range.end()) return true;
  if (after == regions.begin()) return false;
  const auto before = std::prev(after);
  return before->first + before->second.count > range.first;
}

std::optional<std::uint64_t> ModelProcess::find_gap(std::uint64_t count, const Limits& limits) const {
  const auto down = [&](std::uint64_t page) { return page / limits.alignment * limits.alignment; };
  const auto up = [&](std::uint64_t page) { return down(page + limits.alignment - 1); };
  if (limits.first > limits.last || count > limits.last - limits.first + 1) return std::nullopt;
  if (limits.top_down) {
    std::uint64_t at = down(limits.last + 1 - count);
    for (const auto& [first, region] : std::views::reverse(regions)) {
      if (first >= at + count || first + region.count <= at) continue;
      if (first < count) return std::nullopt;
      at = down(first - count);
    }
    return at < limits.first ? std::nullopt : std::optional(at);
  }
  std::uint64_t at = up(limits.first);
  for (const auto& [first, region] : regions)
    if (first < at + count && first + region.count > at) at = up(first + region.count);
  return at + count - 1 > limits.last ? std::nullopt : std::optional(at);
}

void ModelProcess::forget_region(RegionPlace region) {
  for (std::uint64_t page = region->first; page < region->first + region->second.count; ++page) {
    forget(page);
    pages.erase(page);
  }
  regions.erase(region);
}

void ModelProcess::forget_all_regions() {
  regions.clear();
  pages.clear();
  contents.clear();
}

// --- Pages ---

Protection ModelProcess::rights(RegionPlace region, std::uint64_t page) {
  if (!region->second.is_view() || region->second.section->is_committed(section_page(region, page)))
    return pages.at(page).protection;
  return Protection::kNone;
}

// What may not be touched is not locked.
void ModelProcess::set_protection(ModelPage& page, Protection protection) {
  page.protection = protection;
  if (is_mappable(protection)) return;
  if (page.is_locked()) --locked;
  page.locked = {};
}

void ModelProcess::set_locked(ModelPage& page, std::size_t kind, bool is_locked) {
  if (page.is_locked()) --locked;
  page.locked.at(kind) = is_locked;
  if (page.is_locked()) ++locked;
}

void ModelProcess::forget(std::uint64_t page) {
  ModelPage& model = pages.at(page);
  if (model.is_locked()) --locked;
  model = {};
  contents.erase(page);
}

NTSTATUS ModelProcess::touch(std::uint64_t number, Access access, bool from_outside, bool has_no_execute) {
  const auto region = region_at(number);
  if (region == regions.end()) return STATUS_ACCESS_VIOLATION;
  ModelPage& page = pages.at(number);
  const Protection protection = rights(region, number);
  if (!allows(protection, access, has_no_execute)) return STATUS_ACCESS_VIOLATION;
  if (is_guard(protection)) {
    if (from_outside) return STATUS_ACCESS_VIOLATION;
    page.protection = without_guard(protection);
    return STATUS_GUARD_PAGE_VIOLATION;
  }
  if (access != Access::kWrite || page.is_private || !is_write_copy(protection)) return STATUS_SUCCESS;
  const ModelContents& shared = region->second.section->contents;
  if (const auto bytes = shared.find(section_page(region, number)); bytes != shared.end())
    contents[number] = bytes->second;
  page.is_private = true;
  page.protection = unshared(protection);
  return STATUS_SUCCESS;
}

ModelBytes* ModelProcess::bytes_of_page(std::uint64_t number, bool make) {
  const auto region = region_at(number);
  const bool shared = region->second.is_view() && !pages.at(number).is_private;
  ModelContents& all = shared ? region->second.section->contents : contents;
  const std::uint64_t at = shared ? section_page(region, number) : number;
  if (make) return &all[at];
  const auto found = all.find(at);
  return found == all.end() ? nullptr : &found->second;
}

// reference/nt.md 7.4.
MEMORY_BASIC_INFORMATION ModelProcess::information(std::uint64_t page, std::uint64_t highest) {
  MEMORY_BASIC_INFORMATION info{};
  info.BaseAddress = NtMachine::pointer(page * kPageBytes);
  std::uint64_t end = page + 1;
  const auto region = region_at(page);
  if (region == regions.end()) {
    const auto after = regions.upper_bound(page);
    end = after == regions.end() ? (highest >> kPageShift) + 1 : after->first;
    info.State = MEM_FREE;
    info.Protect = PAGE_NOACCESS;
  } else {
    const Protection protection = rights(region, page);
    while (end < region->first + region->second.count && rights(region, end) == protection) ++end;
    info.AllocationBase = NtMachine::pointer(region->first * kPageBytes);
    info.AllocationProtect = page_from_protection(region->second.protection);
    info.State = protection == Protection::kNone ? MEM_RESERVE : MEM_COMMIT;
    info.Protect = protection == Protection::kNone ? 0 : page_from_protection(protection);
    info.Type = region->second.is_view() ? MEM_MAPPED : MEM_PRIVATE;
  }
  info.RegionSize = (end - page) * kPageBytes;
  return info;
}

}  // namespace pagoda::nt::testing
