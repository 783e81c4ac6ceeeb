#include "tests/support/mm_model.h"

#include <set>
#include <utility>

namespace pagoda::mm::testing {

std::optional<Pages> Pages::covering(std::uint64_t address, std::uint64_t size) {
  if (size == 0 || address + size - 1 < address) return std::nullopt;
  const std::uint64_t first = address >> kPageShift;
  return Pages{first, ((address + size - 1) >> kPageShift) - first + 1};
}

bool is_page_protection(Protection protection) {
  return base_of(protection) != Protection::kNone || protection == Protection::kNoAccess;
}

bool is_allowed_on_private_page(Protection protection) {
  return is_page_protection(protection) && !is_write_copy(protection);
}

// --- Segments ---

unsigned ModelSegment::known(std::uint64_t page, std::uint64_t word) const {
  if (file == nullptr) return 8;
  const std::uint64_t at = page * kPageBytes + word * kWordStride;
  return at >= file_size ? 0 : static_cast<unsigned>(std::min<std::uint64_t>(8, file_size - at));
}

std::uint64_t ModelSegment::word(std::uint64_t page, std::uint64_t number) const {
  const auto found = words.find(page);
  return found == words.end() ? 0 : found->second[number];
}

// What lies behind the old or the new end, whichever comes first, is zero afterwards.
void ModelSegment::resize(std::uint64_t size) {
  const std::uint64_t bigger = std::max(file_size, size);
  file_size = std::min(file_size, size);
  for (auto entry = words.lower_bound(file_size / kPageBytes); entry != words.end(); ++entry)
    for (unsigned word = 0; word < kWords; ++word) entry->second[word] &= low_bytes(known(entry->first, word));
  if (size > file_size) file_size = bigger;
  pages = pages_in(size);
}

// --- Regions ---

Status ModelRegion::may_protect(Protection wanted) const {
  if (!is_view()) return is_allowed_on_private_page(wanted) ? Status::kSuccess : Status::kInvalidParameter4;
  if (is_no_cache(wanted) || is_write_combine(wanted)) return Status::kInvalidParameter4;
  return is_compatible(protection, wanted) ? Status::kSuccess : Status::kSectionProtection;
}

Protection ModelRegion::for_page(const ModelPage& page, Protection wanted) const {
  return !is_view() || page.is_private ? unshared(wanted) : wanted;
}

ModelSpace::RegionPlace ModelSpace::region_at(std::uint64_t page) {
  auto after = regions.upper_bound(page);
  if (after == regions.begin()) return regions.end();
  --after;
  return page < after->first + after->second.count ? after : regions.end();
}

ModelSpace::RegionPlace ModelSpace::region_of(Pages range) {
  const auto region = region_at(range.first);
  if (region == regions.end() || range.end() > region->first + region->second.count) return regions.end();
  return region;
}

bool ModelSpace::overlaps(Pages range) {
  const auto after = regions.lower_bound(range.first);
  return region_at(range.first) != regions.end() || (after != regions.end() && after->first < range.end());
}

std::optional<std::uint64_t> ModelSpace::find_gap(std::uint64_t count, bool top_down, std::uint64_t lowest,
                                                  std::uint64_t highest) const {
  std::vector<Pages> gaps;
  std::uint64_t from = lowest;
  for (const auto& [first, region] : regions) {
    if (first > from) gaps.push_back({from, first - from});
    from = first + region.count;
  }
  if (from <= highest) gaps.push_back({from, highest + 1 - from});
  if (top_down) std::ranges::reverse(gaps);
  for (const Pages& gap : gaps) {
    if (gap.count < count) continue;
    const std::uint64_t start =
        top_down ? (gap.end() - count) / kGranule * kGranule : (gap.first + kGranule - 1) / kGranule * kGranule;
    if (start >= gap.first && start + count <= gap.end()) return start;
  }
  return std::nullopt;
}

std::uint64_t ModelSpace::tables_spanned(const machine::PagingMode& mode) const {
  std::set<std::pair<unsigned, std::uint64_t>> spanned;
  for (const auto& [first, region] : regions) {
    for (unsigned level = 1; level < mode.levels; ++level) {
      const unsigned shift = mode.level[level + 1].shift - kPageShift;
      for (std::uint64_t table = first >> shift; table <= (first + region.count - 1) >> shift; ++table)
        spanned.emplace(level, table);
    }
  }
  return spanned.size();
}

std::uint64_t ModelSpace::tables_spanned_with(Pages region, const machine::PagingMode& mode) const {
  ModelSpace with;
  with.regions = regions;
  with.regions[region.first] = {.count = region.count};
  return with.tables_spanned(mode);
}

// All of a region: what it promised ends.
void ModelSpace::forget_region(RegionPlace region, const machine::PagingMode& mode) {
  const Pages range{region->first, region->second.count};
  if (region->second.is_view()) {
    committed -= charge_of(range);
    --region->second.segment->views;
  }
  for (std::uint64_t number = range.first; number < range.end(); ++number) {
    ModelPage& page = pages.at(number);
    if (region->second.is_view()) page.protection = Protection::kNone;
    forget(page);
    pages.erase(number);
  }
  regions.erase(region);
  tables = tables_spanned(mode);
}

// --- Pages ---

Protection ModelSpace::rights(RegionPlace region, std::uint64_t page) {
  const Protection protection = pages.at(page).protection;
  if (!region->second.is_view()) return protection;
  return region->second.segment->is_committed(section_page(region, page)) ? protection : Protection::kNone;
}

std::uint64_t ModelSpace::charge_of(Pages range) const {
  std::uint64_t charge = 0;
  for (std::uint64_t page = range.first; page < range.end(); ++page) charge += pages.at(page).is_charged() ? 1 : 0;
  return charge;
}

std::uint64_t ModelSpace::charge_after_protect(const ModelRegion& region, Pages range, Protection wanted) const {
  std::uint64_t charge = 0;
  for (std::uint64_t number = range.first; number < range.end(); ++number) {
    const ModelPage& page = pages.at(number);
    charge += page.is_private || is_write_copy(region.for_page(page, wanted)) ? 1 : 0;
  }
  return charge;
}

void ModelSpace::unlock(ModelPage& page) {
  if (page.is_locked()) --locked;
  page.locked_in_ws = page.locked_in_memory = false;
}

void ModelSpace::set_protection(ModelPage& page, Protection protection) {
  page.protection = protection;
  if (!is_mappable(protection)) unlock(page);
}

void ModelSpace::forget(ModelPage& page) {
  if (page.is_committed()) --committed;
  unlock(page);
  page = ModelPage{};
}

Status ModelSpace::access(std::uint64_t number, machine::Access access, bool has_no_execute) {
  const auto region = region_at(number);
  if (region == regions.end()) return Status::kAccessViolation;
  ModelPage& page = pages.at(number);
  const Protection protection = rights(region, number);
  if (!allows(protection, access, has_no_execute)) return Status::kAccessViolation;
  if (is_guard(protection)) {
    page.protection = without_guard(protection);
    return Status::kGuardPageViolation;
  }
  if (!region->second.is_view() || page.is_private) return Status::kSuccess;
  const ModelSegment& segment = *region->second.segment;
  const std::uint64_t at = section_page(region, number);
  if (access != machine::Access::kWrite || !is_write_copy(protection)) return Status::kSuccess;
  page.is_private = true;
  page.protection = unshared(protection);
  for (unsigned word = 0; word < kWords; ++word) {
    page.words[word] = segment.word(at, word);
    page.known[word] = static_cast<std::uint8_t>(segment.known(at, word));
  }
  return Status::kSuccess;
}

}  // namespace pagoda::mm::testing
