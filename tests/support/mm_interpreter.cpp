#include "tests/support/mm_interpreter.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "pagoda/mm/testing/reap.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {

Interpreter::Interpreter(const World& world)
    : world_(world),
      machine_(*machine::SimMachine::create(world.machine_config())),
      manager_(*MemoryManager::create(*machine_, world.manager_config())),
      spaces_(world.spaces) {
  for (unsigned number = 0; number < world.files; ++number) {
    const std::string name = fmt::format("file{}", number);
    auto disk_file = *machine_->sim_disk(world.paging_files).create(name);
    PAGODA_CHECK(disk_file->resize(bytes_of(PageCount(world.file_pages))).has_value());
    files_.push_back(std::make_shared<ModelSegment>());
    files_.back()->file = std::make_shared<FileStream>(name, std::move(disk_file));
    files_.back()->resize(bytes_of(PageCount(world.file_pages)).value());
  }
  for (unsigned disk = 0; disk <= world.paging_files; ++disk) {
    machine::FaultInjection& injection = machine_->sim_disk(disk).injection();
    injection = machine::FaultInjection(world.seed + disk);
    injection.read_error_rate = world.read_errors;
    injection.write_error_rate = world.write_errors;
  }
  for (ModelSpace& space : spaces_) {
    space.manager = *manager_->create_space(machine_->processor(), {.limits = world.limits()});
    space.minimum = world.working_set_minimum;
  }
  for (unsigned number = 0; number < world.processors; ++number)
    if (world.yields) machine_->processor(number).set_waiting(Processor::Waiting::kYields);
}

std::uint64_t Interpreter::highest_user() const {
  return (mode().highest_user - ByteCount(kAllocationGranularity)).vpn().value();
}

std::uint64_t Interpreter::charged() const {
  std::uint64_t all = 0;
  for (const ModelSpace& space : spaces_)
    if (space.manager != nullptr) all += 1 + space.tables + space.committed;
  for (const auto& weak : segments_)
    if (const auto segment = weak.lock()) all += segment->charge();
  return all + charged_for_locks();
}

// Pages of files that are locked, and the pages of their prototype PTEs, once each (mm/backing/kept.h).
std::uint64_t Interpreter::charged_for_locks() const {
  std::uint64_t pages = 0;
  std::set<Vpn> prototypes;
  for (const ModelSpace& space : spaces_) {
    if (space.manager == nullptr || space.locked == 0) continue;
    const LockGuard guard(space.manager->lock);
    for (const auto& [number, page] : space.pages) {
      if (!page.is_locked() || page.is_private) continue;
      const Vad& vad = *space.manager->vads().find(Vpn(number));
      if (vad.control_area->kind() != SectionKind::kData) continue;
      ++pages;
      const PageCount in_section = vad.section_page_of(Vpn(number));
      prototypes.insert(vad.control_area->prototype_of(manager_->core().codec, in_section).vpn());
    }
  }
  return pages + prototypes.size();
}

bool Interpreter::may_not_stay(Status status, std::uint64_t pages) const {
  const std::uint64_t most = pages * (mode().levels + 1);  // With a path of tables each, and their prototype PTEs.
  if (status == Status::kWorkingSetQuota) return manager_->core().resident.available() < PageCount(most);
  return status == Status::kCommitmentLimit && is_refused(2 * pages);
}

std::uint64_t Interpreter::most_commit() const {
  std::uint64_t most = world_.frames - world_.commit_reserve;
  for (unsigned file = 0; file < world_.paging_files; ++file)
    most += world_.file_maximum - 1 - manager_->core().paging_files[file].retired().value();
  return most;
}

void Interpreter::add_segment(const std::shared_ptr<ModelSegment>& segment) {
  std::erase_if(segments_, [](const auto& other) { return other.expired(); });
  segments_.push_back(segment);
}

void Interpreter::take_apart(ModelSpace& space, const op::By& by) {
  if (space.manager != nullptr) {
    for (unsigned number = 0; number < world_.processors; ++number)
      if (manager_->attached(machine_->processor(number)) == space.manager)
        manager_->detach(machine_->processor(number));
    manager_->destroy_space(cpu(by), *space.manager);
  }
  while (!space.regions.empty()) space.forget_region(space.regions.begin(), mode());
  space = ModelSpace{};
}

Result<ProcessSpace*> Interpreter::make_space(const op::By& by) {
  return manager_->create_space(cpu(by), {.limits = world_.limits()});
}

std::string Interpreter::compare(const Operation& operation, std::string_view what, Status expected, Status got) {
  if (got == expected) return "";
  return fmt::format("{}: {} gives {}, expected {}", to_string(operation), what, to_string(got), to_string(expected));
}

std::string Interpreter::compare_file(const Operation& operation, const ModelSegment& segment, Pages pages) {
  for (std::uint64_t page = pages.first; page < std::min(pages.end(), segment.pages); ++page) {
    for (unsigned word = 0; word < kWords; ++word) {
      std::uint64_t got = 0;
      const std::uint64_t at = page * kPageBytes + word * kWordStride;
      const unsigned known = segment.known(page, word);
      if (known == 0) continue;
      const std::span<std::byte> bytes = std::as_writable_bytes(std::span(&got, 1)).first(known);
      const std::uint64_t expected = segment.word(page, word) & low_bytes(known);
      if (!segment.file->file().peek(FileOffset(at), bytes) || got != expected)
        return fmt::format("{}: the file has {:#x} at {:#x}, expected {:#x}", to_string(operation), got, at, expected);
    }
  }
  return "";
}

std::string Interpreter::perform(const Operation& operation) {
  return std::visit(
      [&]<class Op>(const Op& o) -> std::string {
        if (o.by.cpu >= world_.processors || o.by.space >= world_.spaces) return "";
        if constexpr (requires { o.section; })
          if (o.section >= kSections) return "";
        auto& processor = cpu(o.by);
        given_up_.reset();
        gave_up_ = false;
        if (processor.is_blocked()) processor.advance_to(processor.take_blocked_until());
        if constexpr (Op::kInSpace) {
          ProcessSpace* const manager = space(o.by).manager;
          if (manager == nullptr) return "";
          if (manager_->attached(processor) != manager) manager_->attach(processor, *manager);
          if (charged() > manager_->commit().limit.value()) broke_promise_ = true;
        }
        std::string difference = o.perform(*this);
        if (gave_up_) given_up_ = operation;
        return difference;
      },
      operation);
}

std::string Interpreter::check() {
  std::string findings;
  const auto& cpu = machine_->processor();
  if (manager_->commit().charged.value() != charged())
    findings += fmt::format("charged {}, expected {}\n", manager_->commit().charged.value(), charged());
  for (const ModelSpace& space : spaces_) {
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

// --- The end ---

// Every word, whatever the pages' protections have become.
std::string Interpreter::read_everything_back() {
  for (unsigned number = 0; number < spaces_.size(); ++number) {
    ModelSpace& space = spaces_[number];
    if (space.manager == nullptr) continue;
    std::vector<std::uint64_t> committed;
    for (const auto& [page, model] : space.pages) {
      const auto region = space.region_at(page);
      if (space.rights(region, page) != Protection::kNone) committed.push_back(page);
    }
    const op::By by{.space = number};
    for (const std::uint64_t page : committed) {
      const std::uint64_t address = page << kPageShift;
      const op::Protect open{.by = by, .range = {address, 1}, .protection = Protection::kReadOnly};
      if (auto difference = perform(open); !difference.empty()) return difference;
      for (std::uint64_t word = 0; word < kWords; ++word) {
        const op::Load load{.by = by, .range = {address + word * 8, 8}};
        if (auto difference = perform(load); !difference.empty()) return difference;
      }
    }
  }
  return "";
}

// All sections are closed: files hold what was written, and nothing stays.
std::string Interpreter::finish_sections() {
  for (unsigned section = 0; section < kSections; ++section)
    if (auto difference = perform(op::CloseSection{.by = {}, .section = section}); !difference.empty())
      return difference;
  auto& cpu = machine_->processor();
  Sections& sections = manager_->sections();
  for (int rounds = 0; rounds < 100; ++rounds) {
    sections.drop_unused(cpu);
    if (cpu.is_blocked()) cpu.advance_to(cpu.take_blocked_until());
  }
  for (const auto& file : files_)
    if (auto difference = compare_file(op::DropUnused{}, *file, {0, pages_in(file->file_size)}); !difference.empty())
      return difference;
  const LockGuard guard(sections.lock);
  if (!sections.areas().empty()) return fmt::format("{} control areas stay\n", sections.areas().size());
  return sections.section_count() == 0 ? "" : "sections stay\n";
}

std::string Interpreter::leftovers() {
  std::string findings;
  const FrameCounts frames = manager_->frame_counts();
  if (const PageCount back = frames.free + frames.zeroed + frames.system; back.value() != world_.frames)
    findings += fmt::format("{} of {} frames came back\n", back.value(), world_.frames);
  const LockGuard guard(manager_->core().pfns.lock);
  if (const PageCount used = manager_->core().paging_files.used(); !used.is_zero())
    findings += fmt::format("{} slots stay in use\n", used.value());
  return findings;
}

std::string Interpreter::finish() {
  for (unsigned disk = 0; disk <= world_.paging_files; ++disk) {
    machine::FaultInjection& injection = machine_->sim_disk(disk).injection();
    injection.read_error_rate = injection.write_error_rate = 0;
  }
  if (auto difference = read_everything_back(); !difference.empty()) return difference;
  if (auto findings = check(); !findings.empty()) return findings;

  for (unsigned number = 0; number < world_.processors; ++number) manager_->detach(machine_->processor(number));
  for (ModelSpace& space : spaces_) take_apart(space, {});
  if (auto difference = finish_sections(); !difference.empty()) return difference;
  auto& cpu = machine_->processor();
  reap(*manager_, cpu);
  for (Time next = manager_->next_completion(); next != kNever; next = manager_->next_completion()) {
    cpu.advance_to(next);
    manager_->complete_io(cpu);
  }
  std::string findings = check();
  findings += leftovers();
  return findings;
}

}  // namespace pagoda::mm::testing
