// Operations on private memory, as the manager and the model perform them.
#include <fmt/format.h>

#include <optional>
#include <tuple>

#include "tests/support/mm_interpreter.h"

namespace pagoda::mm::testing::op {

// reference/nt.md 7.1.
std::string Reserve::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  const auto& [base, size] = range;
  const bool top_down = where == Where::kTopDown;
  Status expected = Status::kSuccess;
  Pages pages;
  if (!is_allowed_on_private_page(protection)) {
    expected = Status::kInvalidPageProtection;
  } else if (where != Where::kAtBase) {
    pages.count = pages_in(size);
    if (size == 0 || pages.count > in.highest_user() + 1 - in.lowest_user()) {
      expected = Status::kInvalidParameter4;
    } else if (const auto gap = space.find_gap(pages.count, top_down, in.lowest_user(), in.highest_user())) {
      pages.first = *gap;
    } else {
      expected = Status::kNoMemory;
    }
  } else {
    const std::uint64_t down = base & ~(kAllocationGranularity - 1);
    const auto wanted = Pages::covering(base, size);
    if (base >> kPageShift > in.highest_user()) {
      expected = Status::kInvalidParameter2;
    } else if (!wanted || wanted->end() - 1 > in.highest_user()) {
      expected = Status::kInvalidParameter4;
    } else if (down == 0) {
      expected = Status::kInvalidParameter2;
    } else {
      pages = *Pages::covering(down, base - down + size);
      if (space.overlaps(pages)) expected = Status::kConflictingAddresses;
    }
  }
  std::uint64_t tables = 0;
  if (expected == Status::kSuccess) {
    tables = space.tables_spanned_with(pages, in.mode());
    if (in.is_refused(tables - space.tables + (committed ? pages.count : 0))) expected = Status::kCommitmentLimit;
  }

  ReserveRequest request{.size = ByteCount(size),
                         .protection = protection,
                         .commit = committed ? MemCommit::kYes : MemCommit::kNo,
                         .direction = top_down ? Direction::kTopDown : Direction::kBottomUp};
  if (where == Where::kAtBase) request.base = VirtualAddress(base);
  const auto result = space.manager->reserve(request);
  if (auto difference = in.compare(*this, "reserve", expected, status_of(result)); !difference.empty())
    return difference;
  if (!result) return "";
  if (result->first.value() != pages.first || result->count.value() != pages.count)
    return fmt::format("{}: reserved {:#x}+{:#x}, expected {:#x}+{:#x}", to_string(*this), result->first.value(),
                       result->count.value(), pages.first, pages.count);
  space.regions[pages.first] = {.count = pages.count, .protection = protection};
  space.tables = tables;
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
    ModelPage& model = space.pages[page];
    if (committed) model.protection = protection;
  }
  if (committed) space.committed += pages.count;
  return "";
}

namespace {

// Commits pages of a section for all its views; this view's get the protection.
std::string commit_view(Interpreter& in, const Commit& o, ModelSpace::RegionPlace place, Pages pages) {
  ModelSpace& space = in.space(o.by);
  const ModelRegion& region = place->second;
  ModelSegment& segment = *region.segment;
  std::uint64_t promised = 0;
  const std::uint64_t at = ModelSpace::section_page(place, pages.first);
  if (segment.reserve)
    for (std::uint64_t page = at; page < at + pages.count; ++page) promised += segment.is_committed(page) ? 0 : 1;
  const std::uint64_t before = space.charge_of(pages);
  const std::uint64_t after = space.charge_after_protect(region, pages, o.protection);
  Status expected = region.may_protect(o.protection);
  if (segment.file != nullptr && !region.extendable) {
    expected = Status::kAlreadyCommitted;
  } else if (expected == Status::kSuccess && in.is_refused(promised + (after > before ? after - before : 0))) {
    expected = Status::kCommitmentLimit;
  }
  const auto result = in.settle(o.by, [&] {
    return space.manager->commit(in.cpu(o.by), VirtualAddress(o.range.address), ByteCount(o.range.size), o.protection);
  });
  if (!result || in.is_broken_promise(status_of(*result))) return "";
  if (*result) {
    if (segment.reserve) {
      for (std::uint64_t page = at; page < at + pages.count; ++page) segment.committed[page] = true;
    } else if (const std::uint64_t end = (at + pages.count) * kPageBytes;
               segment.file != nullptr && end > segment.file_size) {
      segment.resize(end);
    }
    for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
      ModelPage& model = space.pages.at(page);
      space.set_protection(model, region.for_page(model, o.protection));
    }
    space.committed = space.committed + after - before;
  }
  return in.compare(o, "commit of a view", expected, status_of(*result));
}

}  // namespace

std::string Commit::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  Status expected = Status::kSuccess;
  const auto pages = Pages::covering(range.address, range.size);
  std::uint64_t promised = 0;
  if (!is_page_protection(protection)) {
    expected = Status::kInvalidPageProtection;
  } else if (range.address >> kPageShift > in.highest_user()) {
    expected = Status::kInvalidParameter2;
  } else if (!pages) {
    expected = Status::kInvalidParameter4;
  } else if (const auto region = space.region_of(*pages); region == space.regions.end()) {
    expected = Status::kConflictingAddresses;
  } else if (region->second.is_view()) {
    return commit_view(in, *this, region, *pages);
  } else if (!is_allowed_on_private_page(protection)) {
    expected = Status::kInvalidPageProtection;
  } else {
    for (std::uint64_t page = pages->first; page < pages->end(); ++page)
      if (!space.pages.at(page).is_committed()) ++promised;
    if (in.is_refused(promised)) expected = Status::kCommitmentLimit;
  }
  const auto result = in.settle(by, [&] {
    return space.manager->commit(in.cpu(by), VirtualAddress(range.address), ByteCount(range.size), protection);
  });
  if (!result || in.is_broken_promise(status_of(*result))) return "";
  if (*result) {
    for (std::uint64_t page = pages->first; page < pages->end(); ++page)
      space.set_protection(space.pages[page], protection);
    space.committed += promised;
  }
  return in.compare(*this, "commit", expected, status_of(*result));
}

namespace {

// reference/nt.md 7.2. What a call frees, and the region that it is of.
struct ToFree {
  Status expected = Status::kSuccess;
  ModelSpace::RegionPlace region;
  Pages pages;
};

ToFree to_free(Interpreter& in, ModelSpace& space, const Range& range) {
  ToFree freed{.region = space.region_at(range.address >> kPageShift), .pages = {}};
  if (range.address >> kPageShift > in.highest_user()) {
    freed.expected = Status::kInvalidParameter2;
  } else if (range.address + range.size < range.address) {
    freed.expected = Status::kInvalidParameter3;
  } else if (freed.region == space.regions.end()) {
    freed.expected = Status::kMemoryNotAllocated;
  } else if (range.size == 0) {
    freed.pages = {freed.region->first, freed.region->second.count};
    if (freed.region->second.is_view())
      freed.expected = Status::kUnableToDeleteSection;
    else if (range.address >> kPageShift != freed.region->first)
      freed.expected = Status::kFreeVmNotAtBase;
  } else {
    freed.pages = *Pages::covering(range.address, range.size);
    if (freed.pages.end() > freed.region->first + freed.region->second.count)
      freed.expected = Status::kUnableToFreeVm;
    else if (freed.region->second.is_view())
      freed.expected = Status::kUnableToDeleteSection;
  }
  return freed;
}

// Whether it was freed; nothing: the operation is over. A difference in `difference`.
template <class Op, class Call>
bool free_pages(Interpreter& in, const Op& o, ModelSpace& space, const ToFree& freed, std::string& difference,
                const Call& call) {
  const auto result = in.settle(o.by, call);
  if (!result || in.is_broken_promise(status_of(*result))) return false;
  difference = in.compare(o, "free", freed.expected, status_of(*result));
  if (!difference.empty() || !*result) return false;
  for (std::uint64_t page = freed.pages.first; page < freed.pages.end(); ++page) space.forget(space.pages.at(page));
  return true;
}

}  // namespace

std::string Decommit::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  std::string difference;
  free_pages(in, *this, space, to_free(in, space, range), difference,
             [&] { return space.manager->decommit(in.cpu(by), VirtualAddress(range.address), ByteCount(range.size)); });
  return difference;
}

std::string Release::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  const ToFree freed = to_free(in, space, range);
  const Pages pages = freed.pages;
  std::string difference;
  const bool is_freed = free_pages(in, *this, space, freed, difference, [&] {
    return space.manager->release(in.cpu(by), VirtualAddress(range.address), ByteCount(range.size));
  });
  if (!is_freed) return difference;
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) space.pages.erase(page);
  const ModelRegion whole = freed.region->second;
  const std::uint64_t first = freed.region->first;
  space.regions.erase(freed.region);
  if (first < pages.first) space.regions[first] = {.count = pages.first - first, .protection = whole.protection};
  if (pages.end() < first + whole.count)
    space.regions[pages.end()] = {.count = first + whole.count - pages.end(), .protection = whole.protection};
  space.tables = space.tables_spanned(in.mode());
  return "";
}

// reference/nt.md 7.3.
std::string Protect::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  Status expected = Status::kSuccess;
  const auto pages = Pages::covering(range.address, range.size);
  ModelSpace::RegionPlace region = space.regions.end();
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  if (!is_page_protection(protection)) {
    expected = Status::kInvalidPageProtection;
  } else if (range.address >> kPageShift > in.highest_user()) {
    expected = Status::kInvalidParameter2;
  } else if (!pages) {
    expected = Status::kInvalidParameter3;
  } else if (region = space.region_of(*pages); region == space.regions.end()) {
    expected = Status::kConflictingAddresses;
  } else {
    // A view asks for the rights before it asks whether the pages are committed, private memory behind that.
    expected = region->second.may_protect(protection);
    for (std::uint64_t page = pages->first; page < pages->end(); ++page) {
      const bool decided = region->second.is_view() && expected != Status::kSuccess;
      if (!decided && space.rights(region, page) == Protection::kNone) expected = Status::kNotCommitted;
    }
    if (region->second.is_view()) {
      before = space.charge_of(*pages);
      after = space.charge_after_protect(region->second, *pages, protection);
      if (expected == Status::kSuccess && after > before && in.is_refused(after - before))
        expected = Status::kCommitmentLimit;
    }
  }
  const auto result = in.settle(by, [&] {
    return space.manager->protect(in.cpu(by), VirtualAddress(range.address), ByteCount(range.size), protection);
  });
  if (!result || in.is_broken_promise(status_of(*result))) return "";
  if (auto difference = in.compare(*this, "protect", expected, status_of(*result)); !difference.empty())
    return difference;
  if (!*result) return "";
  const Protection old = space.pages.at(pages->first).protection;
  for (std::uint64_t page = pages->first; page < pages->end(); ++page) {
    ModelPage& model = space.pages.at(page);
    space.set_protection(model, region->second.for_page(model, protection));
  }
  space.committed = space.committed + after - before;
  return **result == old
             ? ""
             : fmt::format("{}: was {}, expected {}", to_string(*this), to_string(**result), to_string(old));
}

// reference/nt.md 7.4.
std::string Query::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  const std::uint64_t page = address >> kPageShift;
  const auto result = space.manager->query(in.cpu(by), VirtualAddress(address));
  const std::uint64_t last = in.mode().highest_user.vpn().value();
  const Status expected = page > last ? Status::kInvalidParameter : Status::kSuccess;
  if (auto difference = in.compare(*this, "query", expected, status_of(result)); !difference.empty()) return difference;
  if (!result) return "";

  RegionInfo info{.base = VirtualAddress(Vpn(page))};
  std::uint64_t end = page + 1;
  const auto region = space.region_at(page);
  if (region == space.regions.end()) {
    const auto after = space.regions.upper_bound(page);
    end = after == space.regions.end() ? last + 1 : after->first;
  } else {
    const Protection protection = space.rights(region, page);
    if (region->second.is_view()) info.type = MemoryType::kMapped;
    info.state = protection == Protection::kNone ? MemoryState::kReserved : MemoryState::kCommitted;
    info.protection = protection;
    info.allocation_base = VirtualAddress(Vpn(region->first));
    info.allocation_protection = region->second.protection;
    while (end < region->first + region->second.count && space.rights(region, end) == protection) ++end;
  }
  info.size = bytes_of(PageCount(end - page));
  const auto fields_of = [](const RegionInfo& i) {
    return std::tuple(i.base, i.size, i.state, i.protection, i.allocation_base, i.allocation_protection, i.type);
  };
  if (fields_of(info) == fields_of(*result)) return "";
  const auto print = [](const RegionInfo& i) {
    return fmt::format("{} {} state {} {} of {} {} type {}", to_string(i.base), to_string(i.size),
                       static_cast<int>(i.state), to_string(i.protection), to_string(i.allocation_base),
                       to_string(i.allocation_protection), static_cast<int>(i.type));
  };
  return fmt::format("{}: {}, expected {}", to_string(*this), print(*result), print(info));
}

}  // namespace pagoda::mm::testing::op
