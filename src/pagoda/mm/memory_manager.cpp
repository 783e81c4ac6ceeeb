#include "pagoda/mm/memory_manager.h"

#include <algorithm>
#include <expected>
#include <utility>

#include "pagoda/base/hash.h"
#include "pagoda/mm/combine/combiner.h"
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/threads/combine_thread.h"

namespace pagoda::mm {

namespace {

// Reference: the NtCreatePagingFile limits of reference/nt.md section 8.
constexpr ByteCount kSmallestPagingFile = 1_MiB;
constexpr PageCount kLargestPagingFileX86{(1U << 20) - 1};
constexpr PageCount kLargestPagingFile{(std::uint64_t{1} << 32) - 1};

// Write transfers that a processor short of pages starts before it waits. A choice.
constexpr int kTransfersInShortage = 8;
// Shortages in a row that gain nothing before a fault gives up. High enough for a disk that fails now and then.
constexpr unsigned kFruitlessShortages = 256;
// Rounds in which `flush_modified` may make no progress.
constexpr int kFlushRounds = 64;

}  // namespace

PageCount largest_paging_file(const machine::PagingMode& mode) {
  return mode.format == machine::PteFormat::kX86 ? kLargestPagingFileX86 : kLargestPagingFile;
}

Result<std::unique_ptr<MemoryManager>> MemoryManager::create(machine::Machine& machine,
                                                             const MemoryManagerConfig& config) {
  if (machine.frame_count() < kSmallestMachine) return fail(Status::kInsufficientResources);
  const Tunables tunables = config.tunables.value_or(Tunables::for_memory(machine.frame_count()));
  if (tunables.commit_reserve >= machine.frame_count()) return fail(Status::kInsufficientResources);
  std::unique_ptr<MemoryManager> manager(new MemoryManager(machine, tunables, config.depth));
  for (const PagingFileConfig& file : config.paging_files) PAGODA_TRY(manager->add_paging_file(file));
  for (Processor* cpu : machine.processors()) cpu->attach(*manager);
  return manager;
}

MemoryManager::MemoryManager(machine::Machine& machine, const Tunables& tunables, unsigned depth)
    : core_(machine, tunables, depth),
      spaces_(depth),
      sections_(core_, *this, *this),
      modified_writer_(core_),
      mapped_writer_(core_),
      combiner_(std::make_unique<Combiner>(core_, spaces_)),
      balance_set_manager_(core_, spaces_, *combiner_),
      zero_page_thread_(core_.pfns, core_.counters, core_.tunables, core_.machine.costs()),
      segment_reaper_(core_, sections_),
      combine_thread_(std::make_unique<CombineThread>(*combiner_, spaces_)),
      threads_{&segment_reaper_,      &modified_writer_,     &mapped_writer_,
               &balance_set_manager_, combine_thread_.get(), &zero_page_thread_},
      attached_(machine.processors().size()),
      asids_(machine::kAsidCount) {
  asids_.set(static_cast<std::size_t>(machine::kUntagged));
}

MemoryManager::~MemoryManager() = default;

machine::Asid MemoryManager::take_asid() {
  const std::size_t asid = asids_.next_clear(1);
  if (asid == asids_.size()) return machine::kUntagged;  // Flushed at every switch, but right.
  asids_.set(asid);
  return machine::Asid{static_cast<std::uint16_t>(asid)};
}

// A frame that the register for it can name.
Result<PfnDatabase::TakenFrame> MemoryManager::take_root(Processor& cpu) {
  const PageCount roots = core_.mode.root_frames();
  if (core_.pfns.frames() <= roots) return core_.pfns.take(cpu, Contents::kZeroed);
  return core_.pfns.take_below(cpu, Pfn(static_cast<std::uint32_t>(roots.value())));
}

Result<PfnDatabase::TakenFrame> MemoryManager::take_charged_root(Processor& cpu) {
  PAGODA_TRY(core_.resident.charge(core_.tables_that_stay()));
  if (const auto charged = core_.commit.charge(1_pages); !charged) {
    core_.resident.give_back(core_.tables_that_stay());
    return fail(charged.error());
  }
  const auto taken = take_root(cpu);
  if (!taken) {
    core_.commit.give_back(1_pages);
    core_.resident.give_back(core_.tables_that_stay());
  }
  return taken;
}

Result<ProcessSpace*> MemoryManager::create_space(Processor& cpu, const SpaceConfig& config) {
  const WorkingSet::Limits limits = config.limits.value_or(
      WorkingSet::Limits{.minimum = core_.tunables.working_set_minimum, .maximum = core_.tunables.working_set_maximum});
  if (limits.minimum > limits.maximum || limits.maximum.is_zero()) return fail(Status::kBadWorkingSetLimit);
  return with_memory(*this, cpu, [&]() -> Result<ProcessSpace*> {
    PfnDatabase::TakenFrame root{};
    {
      const LockGuard guard(core_.pfns.lock);
      if (core_.pfns.available() < kFaultReserve) return fail(Status::kNoMemory);
      const auto taken = take_charged_root(cpu);
      if (!taken) return fail(taken.error());
      root = *taken;
      core_.pfns.make_page_table(root.frame, PhysicalAddress(root.frame));
      ++core_.counters.page_tables_made;
    }
    if (!root.zeroed) cpu.physical().zero(root.frame);
    const LockGuard guard(spaces_.lock);
    spaces_.spaces.push_back(std::make_unique<ProcessSpace>(core_, *this, sections_,
                                                            ProcessSpace::Creation{.id = next_space_id_++,
                                                                                   .root = root.frame,
                                                                                   .asid = take_asid(),
                                                                                   .range = config.range,
                                                                                   .limits = limits,
                                                                                   .domain = config.domain}));
    ProcessSpace& space = *spaces_.spaces.back();
    const LockGuard space_guard(space.lock);
    spaces_.to_trim.watch(space);
    return &space;
  });
}

Result<ProcessSpace*> MemoryManager::clone_space(Processor& cpu, ProcessSpace& parent) {
  WorkingSet::Limits limits;
  {
    const LockGuard guard(parent.lock);
    limits = parent.working_set().limits();
  }
  const bool is_large = parent.highest_user() != highest_user_address(core_.mode, UserRange::kNormal);
  const UserRange range = is_large ? UserRange::kLarge : UserRange::kNormal;
  return with_memory(*this, cpu, [&]() -> Result<ProcessSpace*> {
    auto child = create_space(cpu, {.limits = limits, .range = range, .domain = parent.sharing_domain()});
    if (!child) return child;
    auto cloned = combiner_->allow_as(**child, parent);
    if (cloned) cloned = (*child)->clone_from(cpu, parent);
    if (!cloned) {
      destroy_space(cpu, **child);
      return std::unexpected(cloned.error());
    }
    return child;
  });
}

void MemoryManager::destroy_space(Processor& cpu, ProcessSpace& space) {
  for (const auto& other : attached_) PAGODA_CHECK(other.load(std::memory_order_relaxed) != &space);
  space.tear_down(cpu);
  const LockGuard guard(spaces_.lock);
  combiner_->forget(space);
  {
    const LockGuard pfn_guard(core_.pfns.lock);
    core_.pfns.free_page_table(space.root());
    ++core_.counters.page_tables_freed;
    core_.commit.give_back(1_pages);
    core_.resident.give_back(core_.tables_that_stay());
  }
  add(faults_of_the_dead_, space.statistics().faults);
  if (space.asid() != machine::kUntagged) asids_.clear(static_cast<std::size_t>(space.asid()));
  spaces_.spaces.erase(
      std::ranges::lower_bound(spaces_.spaces, space.id(), {}, [](const auto& candidate) { return candidate->id(); }));
}

void MemoryManager::attach(Processor& cpu, ProcessSpace& space) {
  auto old = machine::OldEntries::kForget;
  {
    const LockGuard guard(space.lock);
    old = space.enter(cpu);
  }
  if (PAGODA_FAULT_SWITCH(processors_come_back_with_old_entries)) old = machine::OldEntries::kKeep;
  ProcessSpace* const before = attached(cpu);
  cpu.load_root(space.root(), space.asid(), old);
  if (before != nullptr && before != &space) leave(cpu, *before);
  attached_[cpu.number()] = &space;
}

void MemoryManager::detach(Processor& cpu) {
  ProcessSpace* const before = attached(cpu);
  cpu.load_root(kNoPfn, machine::kUntagged);
  if (before != nullptr) leave(cpu, *before);
  attached_[cpu.number()] = nullptr;
}

void MemoryManager::leave(const Processor& cpu, ProcessSpace& space) {
  const LockGuard guard(space.lock);
  space.leave(cpu);
}

Result<> MemoryManager::add_paging_file(const PagingFileConfig& config) {
  if (config.minimum < kSmallestPagingFile) return fail(Status::kInvalidParameter2);
  if (config.maximum < config.minimum || pages_of(config.maximum) > largest_paging_file(core_.mode))
    return fail(Status::kInvalidParameter3);
  const auto disks = core_.machine.disks();
  if (config.disk >= disks.size()) return fail(Status::kInvalidParameter1);
  if (!core_.paging_files.has_room()) return fail(Status::kTooManyPagingFiles);
  auto file = disks[config.disk]->create(config.name);
  if (!file) return std::unexpected(file.error());
  const PageCount minimum = pages_of(config.minimum);
  PAGODA_TRY((*file)->resize(bytes_of(minimum)));
  const LockGuard guard(core_.pfns.lock);
  if (!core_.paging_files.has_room()) return fail(Status::kTooManyPagingFiles);  // Another thread's took it.
  return core_.paging_files.add(
      std::make_unique<PagingFile>(config.name, std::move(*file), minimum, pages_of(config.maximum)));
}

machine::FaultOutcome MemoryManager::resolve(Processor& cpu, const machine::PageFault& fault) {
  ProcessSpace* const space = attached(cpu);
  return space == nullptr ? Status::kAccessViolation : resolve_fault(*space, cpu, fault);
}

machine::FaultOutcome MemoryManager::refill(Processor& cpu, VirtualAddress va, machine::Access access,
                                            machine::Privilege privilege) {
  ProcessSpace* const space = attached(cpu);
  if (space == nullptr) return Status::kAccessViolation;
  std::expected<machine::Translation, machine::PageFault> walked;
  {
    // An entry that was walked is not invalidated before it is filled.
    const LockGuard guard(space->lock);
    walked = space->walk(cpu, va, access, privilege);
    if (walked && !PAGODA_FAULT_SWITCH(refill_outside_the_lock)) {
      cpu.fill_tlb(va, *walked);
      return Status::kSuccess;
    }
  }
  if (!walked) return resolve_fault(*space, cpu, walked.error());
  cpu.fill_tlb(va, *walked);  // The fault alone comes here.
  return Status::kSuccess;
}

ShortageRelief::Outcome MemoryManager::relieve(Processor& cpu, PageCount pages) {
  const Outcome outcome = relieve_by_paging(cpu, pages);
  if (outcome != Outcome::kHopeless) return outcome;
  LastResort* const resort = last_resort_.load(std::memory_order_acquire);
  return resort != nullptr && resort->release(cpu) ? Outcome::kTryAgain : outcome;
}

bool MemoryManager::relieve_commit(Processor& cpu) {
  LastResort* const resort = last_resort_.load(std::memory_order_acquire);
  return resort != nullptr && resort->release(cpu);
}

ShortageRelief::Outcome MemoryManager::relieve_by_paging(Processor& cpu, PageCount pages) {
  std::uint64_t listings = 0;
  const auto enough = [&]() PAGODA_REQUIRES(core_.pfns.lock) {
    core_.transfers.complete(cpu.now(), core_.pfns);
    if (core_.pfns.available() < pages) return false;
    fruitless_ = 0;
    return true;
  };
  {
    const LockGuard guard(core_.pfns.lock);
    if (enough()) return Outcome::kAvailable;
    ++core_.counters.shortages;
    listings = core_.pfns.listings();
    const std::uint64_t progress = core_.counters.page_file_pages_written + core_.counters.mapped_file_pages_written +
                                   core_.counters.zero_pages_found + core_.counters.pages_compressed +
                                   core_.pfns.repurposed();
    if (progress != progress_) fruitless_ = 0;
    progress_ = progress;
    if (++fruitless_ > kFruitlessShortages) {
      fruitless_ = 0;  // The next fault tries anew: the disk may have recovered.
      return Outcome::kHopeless;
    }
  }
  const PageCount goal = std::max(core_.tunables.plenty_free, pages);
  bool progress = !balance_set_manager_.trim(cpu, goal).is_zero();
  const bool trim_came_short = !balance_set_manager_.missing(goal).is_zero();
  progress |= bring_in_given_up(core_, cpu).progress;
  for (int transfers = 0; transfers < kTransfersInShortage; ++transfers) {
    const bool to_paging_file = modified_writer_.write_cluster(cpu);
    if (!mapped_writer_.write_cluster(cpu) && !to_paging_file) break;
    progress = true;
  }
  // What little there is to trim may be what the caller is about to bring in again, such as page tables.
  if (trim_came_short && modified_writer_.evict_cluster(cpu)) progress = true;
  if (!progress) progress = !balance_set_manager_.trim(cpu, goal, BalanceSetManager::Modified::kStay).is_zero();
  {
    const LockGuard guard(core_.pfns.lock);
    if (enough()) return Outcome::kAvailable;
    if (PAGODA_FAULT_SWITCH(no_memory_beside_a_write) && core_.transfers.next() == kNever)
      return progress ? Outcome::kTryAgain : Outcome::kHopeless;
    // With every slot in use what was trimmed may all be modified, and clean pages are still in working sets: go on.
    // Where there was nothing to do, another processor was at it, and may have used up already what it gained.
    progress |= core_.pfns.listings() != listings;
    if (!core_.transfers.wait_for_any(cpu, core_.pfns)) return progress ? Outcome::kTryAgain : Outcome::kHopeless;
  }
  if (cpu.is_blocked()) return Outcome::kYield;
  complete_io(cpu);
  return Outcome::kTryAgain;
}

void MemoryManager::collect_writes(Processor& cpu, const ControlArea& area) {
  {
    const LockGuard guard(core_.pfns.lock);
    if (area.mapped_views == 0) return;
  }
  const LockGuard guard(spaces_.lock);
  for (const auto& space : spaces_.spaces) space->collect_writes(cpu, area);
}

void MemoryManager::complete_io(const Processor& cpu) {
  const LockGuard guard(core_.pfns.lock);
  core_.transfers.complete(cpu.now(), core_.pfns);
}

Time MemoryManager::next_completion() const {
  const LockGuard guard(core_.pfns.lock);
  return core_.transfers.next();
}

bool MemoryManager::flush_modified(Processor& cpu) {
  for (int round = 0; round < kFlushRounds; ++round) {
    while (modified_writer_.write_cluster(cpu)) {
    }
    // Failed pages come back to their list when their transfer ends, so that this ends too.
    while (mapped_writer_.write_cluster(cpu)) {
    }
    for (Time next = next_completion(); next != kNever; next = next_completion()) {
      cpu.advance_to(next);
      complete_io(cpu);
    }
    const LockGuard guard(core_.pfns.lock);
    if (core_.pfns.count(PageState::kModified).is_zero()) return true;
  }
  return false;
}

void MemoryManager::pin(Pfn frame) {
  const LockGuard guard(core_.pfns.lock);
  core_.pfns.pin(frame);
}

void MemoryManager::unpin(Pfn frame, PteCodec::Dirty dirty) {
  const LockGuard guard(core_.pfns.lock);
  core_.pfns.unpin(frame, dirty);
}

Counters MemoryManager::counters() const {
  Counters all;
  {
    const LockGuard guard(core_.pfns.lock);
    all = core_.counters;
    all.pages_repurposed = core_.pfns.repurposed();
    all.commit_refusals = core_.commit.refusals();
    all.resident_refusals = core_.resident.refusals();
  }
  const LockGuard guard(spaces_.lock);
  all.faults = faults_of_the_dead_;
  for (const auto& space : spaces_.spaces) add(all.faults, space->statistics().faults);
  return all;
}

FrameCounts MemoryManager::frame_counts() const {
  const LockGuard guard(core_.pfns.lock);
  FrameCounts counts{.prototypes = {},
                     .shared_file = {},
                     .shared_page_file = {},
                     .compression_store = core_.store.frames(),
                     .drivers = {},
                     .transition = {},
                     .standby = {},
                     .modified = core_.pfns.count(PageState::kModified),
                     .modified_no_write = core_.pfns.count(PageState::kModifiedNoWrite),
                     .free = core_.pfns.count(PageState::kFree),
                     .zeroed = core_.pfns.count(PageState::kZeroed),
                     .bad = core_.pfns.count(PageState::kBad),
                     .system = 1_pages};
  PageCount elsewhere = counts.modified + counts.modified_no_write + counts.free + counts.zeroed + counts.bad + 1_pages;
  for (PagePriority priority = 0; priority < kPagePriorities; ++priority) {
    counts.standby[priority] = core_.pfns.lists().standby_count(priority);
    elsewhere += counts.standby[priority];
  }
  // Frames in transition are those that a transfer holds, and the few that became active meanwhile.
  core_.transfers.for_each([&](const Transfers::Transfer& transfer) {
    for (const Pfn frame : transfer.frames())
      if (core_.pfns.entry(frame).state == PageState::kTransition) ++counts.transition;
  });
  counts.page_tables = PageCount(core_.counters.page_tables_made - core_.counters.page_tables_freed -
                                 core_.counters.page_tables_paged_out + core_.counters.page_tables_paged_in);
  counts.prototypes = core_.prototypes.pages() + core_.prototypes.pool_tables();
  counts.drivers = core_.driver_frames.count_locked();
  counts.shared_file = core_.pfns.active_shared().file;
  counts.shared_page_file = core_.pfns.active_shared().page_file;
  counts.active = core_.pfns.frames() - elsewhere - counts.transition;
  return counts;
}

PageCount MemoryManager::available() const {
  const LockGuard guard(core_.pfns.lock);
  return core_.pfns.available();
}

std::vector<PagingFileInfo> MemoryManager::paging_files() const {
  const LockGuard guard(core_.pfns.lock);
  std::vector<PagingFileInfo> files;
  for (std::size_t number = 0; number < core_.paging_files.size(); ++number) {
    const PagingFile& file = core_.paging_files[number];
    files.push_back({.name = std::string(file.name()),
                     .minimum = file.minimum(),
                     .maximum = file.maximum(),
                     .size = file.size(),
                     .used = file.used(),
                     .peak_used = file.peak_used()});
  }
  return files;
}

MemoryManager::ResidentInfo MemoryManager::resident() const {
  return {core_.resident.charged(), core_.resident.peak(), core_.resident.limit()};
}

MemoryManager::CommitInfo MemoryManager::commit() const {
  const LockGuard guard(core_.pfns.lock);
  return {core_.commit.charged(), core_.commit.peak(), core_.commit.limit()};
}

std::uint64_t MemoryManager::state_hash(const Processor& cpu) const {
  StateHash hash;
  const LockGuard spaces_guard(spaces_.lock);
  for (const auto& space : spaces_.spaces) {
    const ProcessSpace::Statistics statistics = space->statistics();
    hash.add(space->id());
    hash.add(space->root().value());
    hash.add(statistics.working_set.value());
    hash.add(statistics.commit.value());
    for (const std::uint64_t count : statistics.faults) hash.add(count);
  }
  const LockGuard guard(core_.pfns.lock);
  for (std::uint32_t number = 0; number < core_.pfns.never_used().value(); ++number) {
    const PfnEntry& entry = core_.pfns.entry(Pfn(number));
    hash.add(std::as_bytes(std::span(&entry, 1)));
    if (number > 0 && entry.state != PageState::kFree)
      hash.add(cpu.physical().bytes(Pfn(number), machine::Access::kRead).bytes());
  }
  for (std::size_t file = 0; file < core_.paging_files.size(); ++file) {
    const PagingFile& paging_file = core_.paging_files[file];
    for (std::size_t slot = 0; slot < paging_file.slots().size(); ++slot)
      if (paging_file.slots().test(slot)) hash.add(slot);
  }
  core_.store.add_to(hash);
  combiner_->add_to(hash);
  hash.add(core_.commit.charged().value());
  hash.add(core_.transfers.next().value());
  return hash.digest();
}

}  // namespace pagoda::mm
