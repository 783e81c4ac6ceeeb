// The model: what NtInterpreter believes about processes, handles, regions and pages.
#include "tests/support/nt_model.h"

#include <algorithm>
#include <utility>

namespace pagoda::nt::testing {

using machine::Access;
using mm::Protection;

namespace {

constexpr std::uint64_t kGranule = kAllocationGranularity / kPageBytes;

}  // namespace

NTSTATUS NtInterpreter::find(const Process& process, HANDLE handle, ObjectType type, AccessMask needed,
                             Entry& out) const {
  const auto found = process.handles.find(bits_of(handle) & ~std::uint64_t{3});
  if (found == process.handles.end()) return STATUS_INVALID_HANDLE;
  if (found->second.type != type) return STATUS_OBJECT_TYPE_MISMATCH;
  if ((needed & ~found->second.access) != 0) return STATUS_ACCESS_DENIED;
  out = found->second;
  return STATUS_SUCCESS;
}

NTSTATUS NtInterpreter::find_process(HANDLE handle, AccessMask needed, ProcessPointer& out) const {
  if (handle == NtCurrentProcess()) {
    out = runs_.back();
    return STATUS_SUCCESS;
  }
  Entry entry;
  const NTSTATUS status = find(current(), handle, ObjectType::kProcess, needed, entry);
  out = entry.process;
  return status;
}

NTSTATUS NtInterpreter::find_space(HANDLE handle, AccessMask needed, ProcessPointer& out) const {
  const NTSTATUS status = find_process(handle, needed, out);
  if (status != STATUS_SUCCESS) return status;
  return out->ended ? STATUS_PROCESS_IS_TERMINATING : STATUS_SUCCESS;
}

bool NtInterpreter::is_free(std::uint8_t slot) const {
  if (slot < Handles::kFirstMade || slot >= Handles::kCount) return false;
  const auto owner = owners_[slot].lock();
  return owner == nullptr || !owner->handles.contains(bits_of(h_[slot]));
}

// Closing the last handle removes the name.
std::shared_ptr<NtInterpreter::Section> NtInterpreter::named(const std::u16string& name) const {
  for (const auto& weak : processes_)
    if (const auto process = weak.lock())
      for (const auto& [value, entry] : process->handles)
        if (entry.section != nullptr && entry.section->name == name) return entry.section;
  return nullptr;
}

NtInterpreter::Pages NtInterpreter::covering(std::uint64_t base, std::uint64_t size) {
  const std::uint64_t first = base >> kPageShift;
  return {first, ((base + size - 1) >> kPageShift) - first + 1};
}

NtInterpreter::RegionPlace NtInterpreter::region_at(Process& process, std::uint64_t page) {
  auto after = process.regions.upper_bound(page);
  if (after == process.regions.begin()) return process.regions.end();
  --after;
  return page < after->first + after->second.count ? after : process.regions.end();
}

NtInterpreter::RegionPlace NtInterpreter::region_of(Process& process, Pages pages) {
  const auto region = region_at(process, pages.first);
  if (region == process.regions.end() || pages.end() > region->first + region->second.count)
    return process.regions.end();
  return region;
}

bool NtInterpreter::overlaps(const Process& process, Pages pages) {
  const auto after = process.regions.lower_bound(pages.first);
  if (after != process.regions.end() && after->first < pages.end()) return true;
  if (after == process.regions.begin()) return false;
  const auto before = std::prev(after);
  return before->first + before->second.count > pages.first;
}

NtInterpreter::Limits NtInterpreter::all() const {
  return {.first = kGranule, .last = highest_vad_ >> kPageShift, .alignment = kGranule, .top_down = false};
}

std::optional<std::uint64_t> NtInterpreter::find_gap(const Process& process, std::uint64_t count,
                                                     const Limits& limits) {
  const auto down = [&](std::uint64_t page) { return page / limits.alignment * limits.alignment; };
  const auto up = [&](std::uint64_t page) { return down(page + limits.alignment - 1); };
  if (limits.first > limits.last || count > limits.last - limits.first + 1) return std::nullopt;
  if (limits.top_down) {
    std::uint64_t at = down(limits.last + 1 - count);
    for (auto region = process.regions.rbegin(); region != process.regions.rend(); ++region) {
      if (region->first >= at + count || region->first + region->second.count <= at) continue;
      if (region->first < count) return std::nullopt;
      at = down(region->first - count);
    }
    return at < limits.first ? std::nullopt : std::optional(at);
  }
  std::uint64_t at = up(limits.first);
  for (const auto& [first, region] : process.regions)
    if (first < at + count && first + region.count > at) at = up(first + region.count);
  return at + count - 1 > limits.last ? std::nullopt : std::optional(at);
}

// What a page may be used for now; kNone if it is not committed.
Protection NtInterpreter::rights(const Region& region, std::uint64_t first, std::uint64_t page, const Page& model) {
  if (region.section == nullptr || region.section->is_committed(region.section_page + (page - first)))
    return model.protection;
  return Protection::kNone;
}

// reference/nt.md 7.3: writable means by a copy in a view of a write-copy kind.
Protection NtInterpreter::in_region(const Region& region, const Page& page, Protection wanted) {
  if (region.section == nullptr || page.is_private) return unshared(wanted);
  return is_write_copy(region.protection) ? shared_by_fork(wanted) : wanted;
}

NTSTATUS NtInterpreter::may_protect(const Region& region, Protection protection) {
  if (region.section == nullptr) return is_write_copy(protection) ? STATUS_INVALID_PARAMETER_4 : STATUS_SUCCESS;
  if (is_no_cache(protection) || is_write_combine(protection)) return STATUS_INVALID_PARAMETER_4;
  if (!is_compatible(region.section->protection, protection)) return STATUS_SECTION_PROTECTION;
  return region.no_change ? STATUS_INVALID_PAGE_PROTECTION : STATUS_SUCCESS;
}

// What may not be touched is not locked.
void NtInterpreter::set_protection(Process& process, Page& page, Protection protection) {
  page.protection = protection;
  if (is_mappable(protection)) return;
  if (page.is_locked()) --process.locked;
  page.locked = {};
}

// The page's promise ends.
void NtInterpreter::forget(Process& process, std::uint64_t page) {
  Page& model = process.pages.at(page);
  if (model.is_locked()) --process.locked;
  model = {};
  process.contents.erase(page);
}

void NtInterpreter::forget_region(Process& process, RegionPlace region) {
  for (std::uint64_t page = region->first; page < region->first + region->second.count; ++page) {
    forget(process, page);
    process.pages.erase(page);
  }
  process.regions.erase(region);
}

NTSTATUS NtInterpreter::touch(Process& process, std::uint64_t number, Access access, bool from_outside) {
  const auto region = region_at(process, number);
  if (region == process.regions.end()) return STATUS_ACCESS_VIOLATION;
  Page& page = process.pages.at(number);
  const Protection protection = rights(region->second, region->first, number, page);
  if (!allows(protection, access, has_no_execute_)) return STATUS_ACCESS_VIOLATION;
  if (is_guard(protection)) {
    if (from_outside) return STATUS_ACCESS_VIOLATION;
    page.protection = without_guard(protection);
    return STATUS_GUARD_PAGE_VIOLATION;
  }
  if (access != Access::kWrite || page.is_private || !is_write_copy(protection)) return STATUS_SUCCESS;
  const auto shared = region->second.section->contents.find(region->second.section_page + (number - region->first));
  if (shared != region->second.section->contents.end()) process.contents[number] = shared->second;
  page.is_private = true;
  page.protection = unshared(protection);
  return STATUS_SUCCESS;
}

NtInterpreter::Bytes* NtInterpreter::bytes_of_page(Process& process, std::uint64_t number, bool make) {
  const auto region = region_at(process, number);
  const bool shared = region->second.section != nullptr && !process.pages.at(number).is_private;
  Contents& contents = shared ? region->second.section->contents : process.contents;
  const std::uint64_t at = shared ? region->second.section_page + (number - region->first) : number;
  if (make) return &contents[at];
  const auto found = contents.find(at);
  return found == contents.end() ? nullptr : &found->second;
}

// reference/nt.md 7.4.
MEMORY_BASIC_INFORMATION NtInterpreter::information(Process& process, std::uint64_t page) const {
  MEMORY_BASIC_INFORMATION info{};
  info.BaseAddress = NtMachine::pointer(page * kPageBytes);
  std::uint64_t end = page + 1;
  const auto region = region_at(process, page);
  if (region == process.regions.end()) {
    const auto after = process.regions.upper_bound(page);
    end = after == process.regions.end() ? (highest_user_ >> kPageShift) + 1 : after->first;
    info.State = MEM_FREE;
    info.Protect = PAGE_NOACCESS;
  } else {
    const auto rights_at = [&](std::uint64_t at) {
      return rights(region->second, region->first, at, process.pages.at(at));
    };
    const Protection protection = rights_at(page);
    while (end < region->first + region->second.count && rights_at(end) == protection) ++end;
    info.AllocationBase = NtMachine::pointer(region->first * kPageBytes);
    info.AllocationProtect = page_from_protection(region->second.protection);
    info.State = protection == Protection::kNone ? MEM_RESERVE : MEM_COMMIT;
    info.Protect = protection == Protection::kNone ? 0 : page_from_protection(protection);
    info.Type = region->second.section != nullptr ? MEM_MAPPED : MEM_PRIVATE;
  }
  info.RegionSize = (end - page) * kPageBytes;
  return info;
}

// A region's page tables and a section's prototype PTEs cost something beside its pages.
bool NtInterpreter::is_short(std::uint64_t pages) const {
  constexpr std::uint64_t kOverhead = 16;
  const auto commit = machine_->kernel().manager().commit();
  return commit.charged.value() + pages + pages / 128 + kOverhead > commit.limit.value();
}

}  // namespace pagoda::nt::testing
