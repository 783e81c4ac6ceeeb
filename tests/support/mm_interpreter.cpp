// The Interpreter: operations on the manager and on the model.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

#include "pagoda/mm/testing/test_machine.h"
#include "tests/support/mm_interpreter.h"

namespace pagoda::mm::testing {

namespace {

using machine::Access;
using Kind = Operation::Kind;

constexpr std::uint64_t kGranule = kAllocationGranularity >> kPageShift;
constexpr std::uint64_t kUnlockable = 8;  // Pages of the minimum that may not be locked (reference/nt.md 7.5).
constexpr std::uint64_t kTouchedMost = 64;

// Words lie so that each is in another cache line and none at the same place of its line.
VirtualAddress word_address(std::uint64_t page, std::uint64_t word) {
  return VirtualAddress(Vpn(page)) + ByteCount(word * kWordStride);
}
std::uint64_t word_of(std::uint64_t address) { return address >> 3 & 7; }

std::string hex(std::uint64_t value) { return fmt::format("{:#x}", value); }

machine::SimMachineConfig machine_config(const World& world) {
  machine::SimMachineConfig config{.frames = PageCount(world.frames),
                                   .paging = world.paging,
                                   .processors = world.processors,
                                   .tlb = world.tlb,
                                   .refill = world.refill};
  for (unsigned disk = 0; disk < world.paging_files; ++disk)
    config.disks.push_back({.name = fmt::format("disk{}", disk), .depth = 4});
  config.disks.push_back({.name = "files", .depth = 4});
  return config;
}

MemoryManagerConfig manager_config(const World& world) {
  MemoryManagerConfig config{
      .tunables = Tunables{.read_cluster = world.read_cluster,
                           .write_cluster = world.write_cluster,
                           .minimum_free = PageCount(world.minimum_free),
                           .plenty_free = PageCount(world.plenty_free),
                           .modified_maximum = PageCount(world.modified_maximum),
                           .commit_reserve = PageCount(world.commit_reserve),
                           .find_zero_pages = world.find_zero_pages,
                           .compression_budget = PageCount(world.compression_budget),
                           .most_compressed = ByteCount(world.most_compressed),
                           .victim = world.random_victims ? Tunables::Victim::kRandom : Tunables::Victim::kClock}};
  for (unsigned file = 0; file < world.paging_files; ++file)
    config.paging_files.push_back({.name = fmt::format("pagefile{}", file),
                                   .disk = file,
                                   .minimum = bytes_of(PageCount(world.file_minimum)),
                                   .maximum = bytes_of(PageCount(world.file_maximum))});
  return config;
}

WorkingSet::Limits limits_of(const World& world) {
  return {.minimum = PageCount(world.working_set_minimum),
          .maximum = PageCount(world.working_set_maximum),
          .kind = world.hard_maximum ? WorkingSet::Limits::Maximum::kHard : WorkingSet::Limits::Maximum::kSoft};
}

}  // namespace

// --- The model ---

Interpreter::Interpreter(const World& world)
    : world_(world),
      machine_(*machine::SimMachine::create(machine_config(world))),
      manager_(*MemoryManager::create(*machine_, manager_config(world))),
      spaces_(world.spaces) {
  for (unsigned file = 0; file < world.files; ++file) {
    auto disk_file = *machine_->sim_disk(world.paging_files).create(fmt::format("file{}", file));
    PAGODA_CHECK(disk_file->resize(bytes_of(PageCount(world.file_pages))).has_value());
    files_.push_back(std::make_shared<Segment>());
    files_.back()->file = std::make_shared<FileStream>(fmt::format("file{}", file), std::move(disk_file));
    files_.back()->resize(bytes_of(PageCount(world.file_pages)).value());
  }
  for (unsigned disk = 0; disk <= world.paging_files; ++disk) {
    machine::FaultInjection& injection = machine_->sim_disk(disk).injection();
    injection = machine::FaultInjection(world.seed + disk);
    injection.read_error_rate = world.read_errors;
    injection.write_error_rate = world.write_errors;
  }
  for (Space& space : spaces_) {
    space.manager = *manager_->create_space(machine_->processor(), {.limits = limits_of(world)});
    space.minimum = world.working_set_minimum;
  }
  for (unsigned cpu = 0; cpu < world.processors; ++cpu)
    if (world.yields) machine_->processor(cpu).set_waiting(Processor::Waiting::kYields);
}

std::uint64_t Interpreter::highest_user() const {
  return (machine_->paging().highest_user - ByteCount(kAllocationGranularity)).vpn().value();
}

std::optional<Interpreter::Pages> Interpreter::covering(std::uint64_t address, std::uint64_t size) {
  if (size == 0 || address + size - 1 < address) return std::nullopt;
  const std::uint64_t first = address >> kPageShift;
  return Pages{first, ((address + size - 1) >> kPageShift) - first + 1};
}

Interpreter::RegionPlace Interpreter::region_at(Space& space, std::uint64_t page) {
  auto after = space.regions.upper_bound(page);
  if (after == space.regions.begin()) return space.regions.end();
  --after;
  return page < after->first + after->second.count ? after : space.regions.end();
}

Interpreter::RegionPlace Interpreter::region_of(Space& space, Pages pages) {
  const auto region = region_at(space, pages.first);
  if (region == space.regions.end() || pages.end() > region->first + region->second.count) return space.regions.end();
  return region;
}

// First fit in 64 KB steps (reference/nt.md section 5).
std::optional<std::uint64_t> Interpreter::find_gap(const Space& space, std::uint64_t count, bool top_down) const {
  std::vector<Pages> gaps;
  std::uint64_t from = lowest_user();
  for (const auto& [first, region] : space.regions) {
    if (first > from) gaps.push_back({from, first - from});
    from = first + region.count;
  }
  if (from <= highest_user()) gaps.push_back({from, highest_user() + 1 - from});
  if (top_down) std::ranges::reverse(gaps);
  for (const Pages& gap : gaps) {
    if (gap.count < count) continue;
    const std::uint64_t start =
        top_down ? (gap.end() - count) / kGranule * kGranule : (gap.first + kGranule - 1) / kGranule * kGranule;
    if (start >= gap.first && start + count <= gap.end()) return start;
  }
  return std::nullopt;
}

std::uint64_t Interpreter::tables_spanned(const Space& space) const {
  const machine::PagingMode& mode = machine_->paging();
  std::set<std::pair<unsigned, std::uint64_t>> tables;
  for (const auto& [first, region] : space.regions) {
    for (unsigned level = 1; level < mode.levels; ++level) {
      const unsigned shift = mode.level[level + 1].shift - kPageShift;
      for (std::uint64_t table = first >> shift; table <= (first + region.count - 1) >> shift; ++table)
        tables.emplace(level, table);
    }
  }
  return tables.size();
}

std::uint64_t Interpreter::charged() const {
  std::uint64_t all = 0;
  for (const Space& space : spaces_)
    if (space.manager != nullptr) all += 1 + space.tables + space.committed;
  for (const auto& weak : segments_)
    if (const auto segment = weak.lock()) all += segment->charge();
  return all;
}

std::uint64_t Interpreter::most_commit() const {
  std::uint64_t most = world_.frames - world_.commit_reserve;
  for (unsigned file = 0; file < world_.paging_files; ++file)
    most += world_.file_maximum - 1 - manager_->core().paging_files[file].retired().value();
  return most;
}

bool Interpreter::is_allowed_on_private(Protection protection) {
  return (base_of(protection) != Protection::kNone || protection == Protection::kNoAccess) &&
         !is_write_copy(protection);
}

void Interpreter::unlock(Space& space, Page& page) {
  if (page.is_locked()) --space.locked;
  page.locked_in_ws = page.locked_in_memory = false;
}

void Interpreter::set_protection(Space& space, Page& page, Protection protection) {
  page.protection = protection;
  if (!is_mappable(protection)) unlock(space, page);
}

// The page's promise ends.
void Interpreter::forget(Space& space, Page& page) {
  if (page.is_committed()) --space.committed;
  unlock(space, page);
  page = Page{};
}

unsigned Interpreter::Segment::known(std::uint64_t page, std::uint64_t word) const {
  if (file == nullptr) return 8;
  const std::uint64_t at = page * kPageBytes + word * kWordStride;
  return at >= file_size ? 0 : static_cast<unsigned>(std::min<std::uint64_t>(8, file_size - at));
}

// What lies behind the old or the new end, whichever comes first, is zero afterwards.
void Interpreter::Segment::resize(std::uint64_t size) {
  const std::uint64_t bigger = std::max(file_size, size);
  file_size = std::min(file_size, size);
  for (auto entry = words.lower_bound(file_size / kPageBytes); entry != words.end(); ++entry)
    for (unsigned word = 0; word < kWords; ++word) entry->second[word] &= low_bytes(known(entry->first, word));
  if (size > file_size) file_size = bigger;
  pages = std::max(pages, (size + kPageBytes - 1) / kPageBytes);
}

Protection Interpreter::rights(const Region& region, std::uint64_t first, std::uint64_t page, const Page& model) {
  if (region.segment == nullptr) return model.protection;
  return region.segment->is_committed(region.section_page + (page - first)) ? model.protection : Protection::kNone;
}

Status Interpreter::may_protect(const Region& region, Protection protection) {
  if (region.segment == nullptr)
    return is_allowed_on_private(protection) ? Status::kSuccess : Status::kInvalidParameter4;
  if (is_no_cache(protection) || is_write_combine(protection)) return Status::kInvalidParameter4;
  return is_compatible(region.section_protection, protection) ? Status::kSuccess : Status::kSectionProtection;
}

Protection Interpreter::in_region(const Region& region, const Page& page, Protection wanted) {
  if (region.segment == nullptr || page.is_private) return unshared(wanted);
  return is_write_copy(region.protection) ? shared_by_fork(wanted) : wanted;
}

std::uint64_t Interpreter::charge_of(const Space& space, Pages pages) {
  std::uint64_t charge = 0;
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) charge += is_charged(space.pages.at(page)) ? 1 : 0;
  return charge;
}

std::uint64_t Interpreter::charge_after_protect(const Space& space, const Region& region, Pages pages,
                                                Protection wanted) {
  std::uint64_t charge = 0;
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
    const Page& model = space.pages.at(page);
    charge += model.is_private || is_write_copy(in_region(region, model, wanted)) ? 1 : 0;
  }
  return charge;
}

// All of a region: what it promised ends.
void Interpreter::forget_region(Space& space, RegionPlace region) {
  const Pages pages{region->first, region->second.count};
  if (region->second.segment != nullptr) {
    space.committed -= charge_of(space, pages);
    --region->second.segment->views;
  }
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
    Page& model = space.pages.at(page);
    if (region->second.segment != nullptr) model.protection = Protection::kNone;
    forget(space, model);
    space.pages.erase(page);
  }
  space.regions.erase(region);
  space.tables = tables_spanned(space);
}

Status Interpreter::access_of_model(Space& space, std::uint64_t number, Access access) {
  const auto region = region_at(space, number);
  if (region == space.regions.end()) return Status::kAccessViolation;
  Page& page = space.pages.at(number);
  const Protection protection = rights(region->second, region->first, number, page);
  if (!allows(protection, access, machine_->paging().has_no_execute)) return Status::kAccessViolation;
  if (is_guard(protection)) {
    page.protection = without_guard(protection);
    return Status::kGuardPageViolation;
  }
  const Segment* const segment = region->second.segment.get();
  if (segment == nullptr || page.is_private) return Status::kSuccess;
  const std::uint64_t at = region->second.section_page + (number - region->first);
  if (segment->is_behind_end(at)) return Status::kInPageError;
  if (access != Access::kWrite || !is_write_copy(protection)) return Status::kSuccess;
  page.is_private = true;
  page.protection = unshared(protection);
  const auto words = segment->words.find(at);
  page.words = words == segment->words.end() ? Words{} : words->second;
  for (unsigned word = 0; word < kWords; ++word) page.known[word] = static_cast<std::uint8_t>(segment->known(at, word));
  return Status::kSuccess;
}

// --- The manager ---

std::string Interpreter::compare(const Operation& operation, std::string_view what, Status expected, Status got) const {
  if (got == expected) return "";
  return fmt::format("{}: {} gives {}, expected {}", to_string(operation), what, to_string(got), to_string(expected));
}

std::string Interpreter::perform(const Operation& operation) {
  if (operation.cpu >= world_.processors || operation.space >= world_.spaces ||
      operation.section >= Operation::kSections)
    return "";
  Space& space = spaces_[operation.space];
  machine::SimProcessor& cpu = machine_->processor(operation.cpu);
  given_up_.reset();
  if (cpu.is_blocked()) cpu.advance_to(cpu.take_blocked_until());
  switch (operation.kind) {
    case Kind::kRecreate:
      return recreate(operation, space);
    case Kind::kCreateSection:
      return create_section(operation);
    case Kind::kCloseSection:
      return close_section(operation);
    case Kind::kExtend:
      return extend(operation);
    case Kind::kReadFile:
      return read_file(operation);
    case Kind::kWriteFile:
      return write_file(operation);
    case Kind::kResizeFile:
      return resize_file(operation);
    case Kind::kDropUnused:
      manager_->sections().drop_unused(cpu);
      if (cpu.is_blocked()) cpu.advance_to(cpu.take_blocked_until());
      return "";
    default:
      break;
  }
  if (space.manager == nullptr) return "";
  if (manager_->attached(cpu) != space.manager) manager_->attach(cpu, *space.manager);
  if (charged() > manager_->commit().limit.value()) broke_promise_ = true;

  switch (operation.kind) {
    case Kind::kReserve:
      return reserve(operation, space);
    case Kind::kCommit:
      return commit(operation, space);
    case Kind::kDecommit:
    case Kind::kRelease:
      return free(operation, space);
    case Kind::kProtect:
      return protect(operation, space);
    case Kind::kLoad:
    case Kind::kStore:
    case Kind::kFetch:
      return access(operation, space);
    case Kind::kQuery:
      return query(operation, space);
    case Kind::kEmpty: {
      space.manager->empty_working_set(cpu);
      const std::uint64_t left = space.manager->statistics().working_set.value();
      return left == space.locked
                 ? ""
                 : fmt::format("{}: {} pages stay, {} are locked", to_string(operation), left, space.locked);
    }
    case Kind::kSetLimits:
      return set_limits(operation, space);
    case Kind::kLock:
      return lock(operation, space);
    case Kind::kUnlock:
      return unlock(operation, space);
    case Kind::kRunThreads:
      for (SystemThread* thread : manager_->system_threads())
        if (thread->due(cpu.now()) <= cpu.now()) thread->run(cpu);
      return "";
    case Kind::kAdvance:
      cpu.advance_to(cpu.now() + Duration(operation.value % 10'000'000 * 1000));
      manager_->complete_io(cpu);
      return "";
    case Kind::kFlush: {
      // Slots may all be taken; and a disk that fails now and then may fail each time.
      const bool flushed = manager_->flush_modified(cpu);
      const bool may_fail = world_.write_errors > 0 || manager_->core().paging_files.free_slots().is_zero();
      return flushed || may_fail ? "" : to_string(operation) + ": pages stay modified";
    }
    case Kind::kMapView:
      return map_view(operation, space);
    case Kind::kUnmapView:
      return unmap_view(operation, space);
    case Kind::kFlushView:
      return flush_view(operation, space);
    default:
      break;
  }
  return "";
}

std::string Interpreter::access(const Operation& operation, Space& space) {
  machine::SimProcessor& cpu = machine_->processor(operation.cpu);
  const auto pages = covering(operation.address,
                              std::clamp<std::uint64_t>(operation.size, 1, bytes_of(PageCount(kTouchedMost)).value()));
  if (!pages) return "";
  const std::uint64_t word = word_of(operation.address);
  for (std::uint64_t i = 0; i < pages->count; ++i) {
    const std::uint64_t page = pages->first + i;
    const VirtualAddress va = word_address(page, word);
    std::uint64_t got = 0;
    const auto once = [&]() -> Result<> {
      switch (operation.kind) {
        case Kind::kStore:
          return cpu.store<std::uint64_t>(va, operation.value + i);
        case Kind::kFetch:
          return cpu.fetch(va);
        default: {
          const auto loaded = cpu.load<std::uint64_t>(va);
          if (!loaded) return fail(loaded.error());
          got = *loaded;
          return {};
        }
      }
    };
    std::optional<Result<>> result;
    for (int tries = 0; tries < kReadRetries; ++tries) {
      result = settle(operation, once);
      if (!result) return "";
      if (*result || result->error() != Status::kInPageError || world_.read_errors == 0) break;
    }
    const Status status = status_of(*result);
    if (status == Status::kNoMemory && broke_promise_) return "";
    const Access kind = operation.kind == Kind::kStore   ? Access::kWrite
                        : operation.kind == Kind::kFetch ? Access::kExecute
                                                         : Access::kRead;
    const Status expected =
        machine_->paging().is_canonical(va) ? access_of_model(space, page, kind) : Status::kAccessViolation;
    if (auto difference = compare(operation, "page " + hex(page), expected, status); !difference.empty())
      return difference;
    if (status != Status::kSuccess) return "";  // A program would stop here too.
    Page& model = space.pages.at(page);
    const auto region = region_at(space, page);
    Segment* const segment = model.is_private ? nullptr : region->second.segment.get();
    const std::uint64_t at = region->second.section_page + (page - region->first);
    if (operation.kind == Kind::kStore) {
      (segment == nullptr ? model.words : segment->words[at])[word] = operation.value + i;
      model.known[word] = 8;
    } else if (operation.kind == Kind::kLoad) {
      std::uint64_t value = model.words[word];
      std::uint64_t mask = low_bytes(model.known[word]);
      if (segment != nullptr) {
        const auto words = segment->words.find(at);
        value = words == segment->words.end() ? 0 : words->second[word];
        mask = low_bytes(segment->known(at, word));
      }
      if (((got ^ value) & mask) != 0)
        return fmt::format("{}: word {} of page {:#x} reads {:#x}, expected {:#x}", to_string(operation), word, page,
                           got & mask, value & mask);
    }
  }
  return "";
}

// reference/nt.md 7.1.
std::string Interpreter::reserve(const Operation& operation, Space& space) {
  const bool committed = (operation.value & Operation::kCommitted) != 0;
  const bool anywhere = (operation.value & Operation::kAnywhere) != 0;
  const bool top_down = (operation.value & Operation::kTopDown) != 0;
  const std::uint64_t base = operation.address;
  const std::uint64_t size = operation.size;

  Status expected = Status::kSuccess;
  Pages pages;
  if (!is_allowed_on_private(operation.protection)) {
    expected = Status::kInvalidPageProtection;
  } else if (anywhere) {
    pages.count = size / kPageBytes + (size % kPageBytes != 0 ? 1 : 0);
    if (size == 0 || pages.count > highest_user() + 1 - lowest_user()) {
      expected = Status::kInvalidParameter4;
    } else if (const auto gap = find_gap(space, pages.count, top_down)) {
      pages.first = *gap;
    } else {
      expected = Status::kNoMemory;
    }
  } else {
    const std::uint64_t down = base & ~(kAllocationGranularity - 1);
    const auto wanted = covering(base, size);
    if (base >> kPageShift > highest_user()) {
      expected = Status::kInvalidParameter2;
    } else if (!wanted || wanted->end() - 1 > highest_user()) {
      expected = Status::kInvalidParameter4;
    } else if (down == 0) {
      expected = Status::kInvalidParameter2;
    } else {
      pages = *covering(down, base - down + size);
      const auto after = space.regions.lower_bound(pages.first);
      const bool overlaps = region_at(space, pages.first) != space.regions.end() ||
                            (after != space.regions.end() && after->first < pages.end());
      if (overlaps) expected = Status::kConflictingAddresses;
    }
  }
  std::uint64_t tables = 0;
  if (expected == Status::kSuccess) {
    Space with;
    with.regions = space.regions;
    with.regions[pages.first] = {.count = pages.count};
    tables = tables_spanned(with);
    if (is_refused(tables - space.tables + (committed ? pages.count : 0))) expected = Status::kCommitmentLimit;
  }

  ReserveRequest request{.size = ByteCount(size),
                         .protection = operation.protection,
                         .commit = committed ? MemCommit::kYes : MemCommit::kNo,
                         .direction = top_down ? Direction::kTopDown : Direction::kBottomUp};
  if (!anywhere) request.base = VirtualAddress(base);
  const auto result = space.manager->reserve(request);
  if (auto difference = compare(operation, "reserve", expected, status_of(result)); !difference.empty())
    return difference;
  if (!result) return "";
  if (result->first.value() != pages.first || result->count.value() != pages.count)
    return fmt::format("{}: reserved {:#x}+{:#x}, expected {:#x}+{:#x}", to_string(operation), result->first.value(),
                       result->count.value(), pages.first, pages.count);
  space.regions[pages.first] = {.count = pages.count, .protection = operation.protection};
  space.tables = tables;
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
    Page& model = space.pages[page];
    if (committed) model.protection = operation.protection;
  }
  if (committed) space.committed += pages.count;
  return "";
}

std::string Interpreter::commit(const Operation& operation, Space& space) {
  Status expected = Status::kSuccess;
  const auto pages = covering(operation.address, operation.size);
  std::uint64_t promised = 0;
  if (!is_allowed_on_private(operation.protection)) {
    expected = Status::kInvalidPageProtection;
  } else if (operation.address >> kPageShift > highest_user()) {
    expected = Status::kInvalidParameter2;
  } else if (!pages) {
    expected = Status::kInvalidParameter4;
  } else if (region_of(space, *pages) == space.regions.end()) {
    expected = Status::kConflictingAddresses;
  } else if (const auto region = region_of(space, *pages); region->second.segment != nullptr) {
    return commit_view(operation, space, region->second, region->first, *pages);
  } else {
    for (std::uint64_t page = pages->first; page < pages->end(); ++page)
      if (!space.pages.at(page).is_committed()) ++promised;
    if (is_refused(promised)) expected = Status::kCommitmentLimit;
  }
  const auto result = settle(operation, [&] {
    return space.manager->commit(machine_->processor(operation.cpu), VirtualAddress(operation.address),
                                 ByteCount(operation.size), operation.protection);
  });
  if (!result || (status_of(*result) == Status::kNoMemory && broke_promise_)) return "";
  if (*result) {
    for (std::uint64_t page = pages->first; page < pages->end(); ++page)
      set_protection(space, space.pages[page], operation.protection);
    space.committed += promised;
  }
  return compare(operation, "commit", expected, status_of(*result));
}

// reference/nt.md 7.2.
std::string Interpreter::free(const Operation& operation, Space& space) {
  Status expected = Status::kSuccess;
  const auto region = region_at(space, operation.address >> kPageShift);
  Pages pages;
  if (operation.address >> kPageShift > highest_user()) {
    expected = Status::kInvalidParameter2;
  } else if (operation.address + operation.size < operation.address) {
    expected = Status::kInvalidParameter3;
  } else if (region == space.regions.end()) {
    expected = Status::kMemoryNotAllocated;
  } else if (operation.size == 0) {
    pages = {region->first, region->second.count};
    if (region->second.segment != nullptr)
      expected = Status::kUnableToDeleteSection;
    else if (operation.address >> kPageShift != region->first)
      expected = Status::kFreeVmNotAtBase;
  } else {
    pages = *covering(operation.address, operation.size);
    if (pages.end() > region->first + region->second.count)
      expected = Status::kUnableToFreeVm;
    else if (region->second.segment != nullptr)
      expected = Status::kUnableToDeleteSection;
  }
  machine::SimProcessor& cpu = machine_->processor(operation.cpu);
  const VirtualAddress base(operation.address);
  const ByteCount size(operation.size);
  const bool releases = operation.kind == Kind::kRelease;
  const auto result = settle(operation, [&] {
    return releases ? space.manager->release(cpu, base, size) : space.manager->decommit(cpu, base, size);
  });
  if (!result || (status_of(*result) == Status::kNoMemory && broke_promise_)) return "";
  if (auto difference = compare(operation, "free", expected, status_of(*result)); !difference.empty())
    return difference;
  if (!*result) return "";
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) forget(space, space.pages.at(page));
  if (!releases) return "";
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) space.pages.erase(page);
  const Region whole = region->second;
  const std::uint64_t first = region->first;
  space.regions.erase(region);
  if (first < pages.first) space.regions[first] = {.count = pages.first - first, .protection = whole.protection};
  if (pages.end() < first + whole.count)
    space.regions[pages.end()] = {.count = first + whole.count - pages.end(), .protection = whole.protection};
  space.tables = tables_spanned(space);
  return "";
}

// reference/nt.md 7.3.
std::string Interpreter::protect(const Operation& operation, Space& space) {
  Status expected = Status::kSuccess;
  const Protection wanted = operation.protection;
  const auto pages = covering(operation.address, operation.size);
  RegionPlace region = space.regions.end();
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  if (base_of(wanted) == Protection::kNone && wanted != Protection::kNoAccess) {
    expected = Status::kInvalidPageProtection;
  } else if (operation.address >> kPageShift > highest_user()) {
    expected = Status::kInvalidParameter2;
  } else if (!pages) {
    expected = Status::kInvalidParameter3;
  } else if (region = region_of(space, *pages); region == space.regions.end()) {
    expected = Status::kConflictingAddresses;
  } else {
    expected = may_protect(region->second, wanted);
    for (std::uint64_t page = pages->first; page < pages->end(); ++page)
      if (rights(region->second, region->first, page, space.pages.at(page)) == Protection::kNone)
        expected = Status::kNotCommitted;
    if (region->second.segment != nullptr) {
      before = charge_of(space, *pages);
      after = charge_after_protect(space, region->second, *pages, wanted);
      if (expected == Status::kSuccess && after > before && is_refused(after - before))
        expected = Status::kCommitmentLimit;
    }
  }
  const auto result = settle(operation, [&] {
    return space.manager->protect(machine_->processor(operation.cpu), VirtualAddress(operation.address),
                                  ByteCount(operation.size), wanted);
  });
  if (!result || (status_of(*result) == Status::kNoMemory && broke_promise_)) return "";
  if (auto difference = compare(operation, "protect", expected, status_of(*result)); !difference.empty())
    return difference;
  if (!*result) return "";
  const Protection old = space.pages.at(pages->first).protection;
  for (std::uint64_t page = pages->first; page < pages->end(); ++page) {
    Page& model = space.pages.at(page);
    set_protection(space, model, in_region(region->second, model, wanted));
  }
  space.committed = space.committed + after - before;
  return **result == old
             ? ""
             : fmt::format("{}: was {}, expected {}", to_string(operation), to_string(**result), to_string(old));
}

// reference/nt.md 7.4.
std::string Interpreter::query(const Operation& operation, Space& space) {
  const std::uint64_t page = operation.address >> kPageShift;
  const auto result = space.manager->query(machine_->processor(operation.cpu), VirtualAddress(operation.address));
  const std::uint64_t last = machine_->paging().highest_user.vpn().value();
  const Status expected = page > last ? Status::kInvalidParameter : Status::kSuccess;
  if (auto difference = compare(operation, "query", expected, status_of(result)); !difference.empty())
    return difference;
  if (!result) return "";

  RegionInfo info{.base = VirtualAddress(Vpn(page))};
  std::uint64_t end = page + 1;
  const auto region = region_at(space, page);
  if (region == space.regions.end()) {
    const auto after = space.regions.upper_bound(page);
    end = after == space.regions.end() ? last + 1 : after->first;
  } else {
    const auto rights_at = [&](std::uint64_t at) {
      return rights(region->second, region->first, at, space.pages.at(at));
    };
    const Protection protection = rights_at(page);
    if (region->second.segment != nullptr) info.type = MemoryType::kMapped;
    info.state = protection == Protection::kNone ? MemoryState::kReserved : MemoryState::kCommitted;
    info.protection = protection;
    info.allocation_base = VirtualAddress(Vpn(region->first));
    info.allocation_protection = region->second.protection;
    while (end < region->first + region->second.count && rights_at(end) == protection) ++end;
  }
  info.size = bytes_of(PageCount(end - page));
  const auto fields = [](const RegionInfo& i) {
    return std::tuple(i.base, i.size, i.state, i.protection, i.allocation_base, i.allocation_protection, i.type);
  };
  if (fields(info) == fields(*result)) return "";
  const auto print = [](const RegionInfo& i) {
    return fmt::format("{} {} state {} {} of {} {} type {}", to_string(i.base), to_string(i.size),
                       static_cast<int>(i.state), to_string(i.protection), to_string(i.allocation_base),
                       to_string(i.allocation_protection), static_cast<int>(i.type));
  };
  return fmt::format("{}: {}, expected {}", to_string(operation), print(*result), print(info));
}

// reference/nt.md 7.5.
std::string Interpreter::lock(const Operation& operation, Space& space) {
  const bool in_memory = (operation.value & Operation::kInMemory) != 0;
  const auto pages = covering(operation.address, operation.size);
  const auto is_locked = [&](const Page& page) { return in_memory ? page.locked_in_memory : page.locked_in_ws; };
  machine::SimProcessor& cpu = machine_->processor(operation.cpu);
  std::optional<Result<>> result;
  for (int tries = 0; tries < kReadRetries; ++tries) {
    result = settle(operation, [&] {
      return space.manager->lock_pages(cpu, VirtualAddress(operation.address), ByteCount(operation.size),
                                       in_memory ? LockKind::kInMemory : LockKind::kInWorkingSet);
    });
    if (!result) return "";
    if (*result || result->error() != Status::kInPageError || world_.read_errors == 0) break;
  }
  const Status status = status_of(*result);
  if (status == Status::kNoMemory && broke_promise_) return "";

  Status expected = Status::kSuccess;
  if (!pages || pages->end() - 1 > highest_user()) {
    expected = Status::kInvalidParameter;
  } else if (region_of(space, *pages) == space.regions.end()) {
    expected = Status::kAccessViolation;
  } else {
    std::uint64_t new_locks = 0;
    for (std::uint64_t at = pages->first; at < pages->end(); ++at) {
      const Page& page = space.pages.at(at);
      if (base_of(page.protection) == Protection::kNone) expected = Status::kAccessViolation;
      if (!page.is_locked()) ++new_locks;
    }
    if (expected == Status::kSuccess && space.locked + new_locks + kUnlockable > space.minimum)
      expected = Status::kWorkingSetQuota;
    for (std::uint64_t at = pages->first; expected == Status::kSuccess && at < pages->end(); ++at)
      expected = access_of_model(space, at, Access::kRead);
    if (expected == Status::kSuccess) {
      for (std::uint64_t at = pages->first; at < pages->end(); ++at) {
        Page& page = space.pages.at(at);
        if (is_locked(page)) expected = Status::kWasLocked;
        if (!page.is_locked()) ++space.locked;
        (in_memory ? page.locked_in_memory : page.locked_in_ws) = true;
      }
    }
  }
  return compare(operation, "lock", expected, status);
}

std::string Interpreter::unlock(const Operation& operation, Space& space) {
  const bool in_memory = (operation.value & Operation::kInMemory) != 0;
  const auto pages = covering(operation.address, operation.size);
  Status expected = Status::kSuccess;
  if (!pages || pages->end() - 1 > highest_user()) {
    expected = Status::kInvalidParameter;
  } else {
    for (std::uint64_t at = pages->first; at < pages->end() && expected == Status::kSuccess; ++at) {
      const auto page = space.pages.find(at);
      const bool locked =
          page != space.pages.end() && (in_memory ? page->second.locked_in_memory : page->second.locked_in_ws);
      if (!locked) expected = Status::kNotLocked;
    }
  }
  const auto result =
      space.manager->unlock_pages(machine_->processor(operation.cpu), VirtualAddress(operation.address),
                                  ByteCount(operation.size), in_memory ? LockKind::kInMemory : LockKind::kInWorkingSet);
  if (auto difference = compare(operation, "unlock", expected, status_of(result)); !difference.empty())
    return difference;
  if (!result) return "";
  for (std::uint64_t at = pages->first; at < pages->end(); ++at) {
    Page& page = space.pages.at(at);
    (in_memory ? page.locked_in_memory : page.locked_in_ws) = false;
    if (!page.is_locked()) --space.locked;
  }
  return "";
}

std::string Interpreter::set_limits(const Operation& operation, Space& space) {
  const WorkingSet::Limits limits{
      .minimum = PageCount(operation.address),
      .maximum = PageCount(operation.size),
      .kind = (operation.value & 1) != 0 ? WorkingSet::Limits::Maximum::kHard : WorkingSet::Limits::Maximum::kSoft};
  Status expected = Status::kSuccess;
  if (limits.minimum > limits.maximum) {
    expected = Status::kBadWorkingSetLimit;
  } else if (operation.address > world_.frames - world_.commit_reserve) {
    expected = Status::kInsufficientResources;
  } else if (space.locked > 0 && operation.address < space.locked + kUnlockable) {
    expected = Status::kBadWorkingSetLimit;
  }
  const auto result = space.manager->set_limits(machine_->processor(operation.cpu), limits);
  if (result) {
    space.minimum = operation.address;
    const std::uint64_t size = space.manager->statistics().working_set.value();
    if (size > std::max(operation.size, space.locked))
      return fmt::format("{}: {} pages stay", to_string(operation), size);
  }
  return compare(operation, "set_limits", expected, status_of(result));
}

std::string Interpreter::recreate(const Operation& operation, Space& space) {
  machine::SimProcessor& cpu = machine_->processor(operation.cpu);
  if (space.manager != nullptr) {
    for (unsigned number = 0; number < world_.processors; ++number)
      if (manager_->attached(machine_->processor(number)) == space.manager)
        manager_->detach(machine_->processor(number));
    manager_->destroy_space(cpu, *space.manager);
  }
  while (!space.regions.empty()) forget_region(space, space.regions.begin());
  space = Space{};
  const Status expected = is_refused(1) ? Status::kCommitmentLimit : Status::kSuccess;
  const auto result = settle(operation, [&] { return manager_->create_space(cpu, {.limits = limits_of(world_)}); });
  if (!result || (status_of(*result) == Status::kNoMemory && broke_promise_)) return "";
  if (*result) {
    space.manager = **result;
    space.minimum = world_.working_set_minimum;
  }
  return compare(operation, "create_space", expected, status_of(*result));
}

std::string Interpreter::check() {
  std::string findings;
  const machine::SimProcessor& cpu = machine_->processor();
  if (manager_->commit().charged.value() != charged())
    findings += fmt::format("charged {}, expected {}\n", manager_->commit().charged.value(), charged());
  for (const Space& space : spaces_) {
    if (space.manager == nullptr) continue;
    const ProcessSpace::Statistics statistics = space.manager->statistics();
    if (statistics.commit.value() != space.committed)
      findings += fmt::format("space {} committed {}, expected {}\n", space.manager->id(), statistics.commit.value(),
                              space.committed);
    const LockGuard guard(space.manager->lock);
    if (space.manager->working_set().locked().value() != space.locked)
      findings += fmt::format("space {} locked {}, expected {}\n", space.manager->id(),
                              space.manager->working_set().locked().value(), space.locked);
    if (space.locked == 0) continue;
    for (const auto& [number, page] : space.pages) {
      if (!page.is_locked()) continue;
      const PhysicalAddress pte = space.manager->tables().find(cpu, Vpn(number));
      if (pte == PageTables::kNone || !PteCodec::is_valid(manager_->core().load(cpu, pte)))
        findings += fmt::format("space {} page {:#x} is locked and not there\n", space.manager->id(), number);
    }
  }
  return findings + TestMachine::check_manager(*manager_, cpu);
}

std::string Interpreter::finish() {
  for (unsigned disk = 0; disk <= world_.paging_files; ++disk) {
    machine::FaultInjection& injection = machine_->sim_disk(disk).injection();
    injection.read_error_rate = injection.write_error_rate = 0;
  }
  machine::SimProcessor& cpu = machine_->processor();
  for (unsigned number = 0; number < spaces_.size(); ++number) {
    Space& space = spaces_[number];
    if (space.manager == nullptr) continue;
    std::vector<std::uint64_t> committed;
    for (const auto& [page, model] : space.pages) {
      const auto region = region_at(space, page);
      const Segment* const segment = region->second.segment.get();
      const bool behind_end = segment != nullptr && !model.is_private &&
                              segment->is_behind_end(region->second.section_page + (page - region->first));
      if (rights(region->second, region->first, page, model) != Protection::kNone && !behind_end)
        committed.push_back(page);
    }
    for (const std::uint64_t page : committed) {
      // Every word, whatever the page's protection has become.
      const Operation opened{.kind = Kind::kProtect,
                             .space = number,
                             .address = page << kPageShift,
                             .size = 1,
                             .protection = Protection::kReadOnly};
      if (auto difference = perform(opened); !difference.empty()) return difference;
      for (std::uint64_t word = 0; word < 8; ++word) {
        const Operation load{
            .kind = Kind::kLoad, .space = number, .address = (page << kPageShift) + word * 8, .size = 8};
        if (auto difference = perform(load); !difference.empty()) return difference;
      }
    }
  }
  if (auto findings = check(); !findings.empty()) return findings;

  for (unsigned number = 0; number < world_.processors; ++number) manager_->detach(machine_->processor(number));
  for (Space& space : spaces_) {
    if (space.manager == nullptr) continue;
    manager_->destroy_space(cpu, *space.manager);
    while (!space.regions.empty()) forget_region(space, space.regions.begin());
    space = Space{};
  }
  if (auto difference = finish_sections(); !difference.empty()) return difference;
  for (Time next = manager_->next_completion(); next != kNever; next = manager_->next_completion()) {
    cpu.advance_to(next);
    manager_->complete_io(cpu);
  }
  std::string findings = check();
  const FrameCounts frames = manager_->frame_counts();
  if (const PageCount back = frames.free + frames.zeroed + frames.system; back.value() != world_.frames)
    findings += fmt::format("{} of {} frames came back\n", back.value(), world_.frames);
  const LockGuard guard(manager_->core().pfns.lock);
  if (const PageCount used = manager_->core().paging_files.used(); !used.is_zero())
    findings += fmt::format("{} slots stay in use\n", used.value());
  return findings;
}

}  // namespace pagoda::mm::testing
