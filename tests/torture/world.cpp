#include "tests/torture/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pagoda/mm/check/check.h"
#include "pagoda/mm/combine/combiner.h"
#include "pagoda/mm/testing/reap.h"
#include "tests/torture/keeper.h"
#include "tests/torture/worker.h"

namespace pagoda::mm::torture {

namespace {

// Where regions lie: above what the manager chooses for views, below the end of a program's addresses on x86.
constexpr VirtualAddress kFirstRegion{0x40000000};
constexpr ByteCount kGranularity = 64_KiB;

machine::SimMachineConfig machine_config(const WorldConfig& config) {
  return {
      .frames = config.frames,
      .paging = config.paging,
      .processors = config.workers + static_cast<unsigned>(config.keepers.size()),
      .tlb = config.tlb,
      .refill = config.refill,
      .driving = machine::Driving::kThreads,
      .disks = {{.name = "paging", .latency = config.disk_latency}, {.name = "files", .latency = config.disk_latency}}};
}

}  // namespace

std::string_view name(Operation operation) {
  static constexpr std::array<std::string_view, kOperations> kNames{
      "read own",  "write own",  "read other", "read shared",    "write shared",      "write copy",
      "read copy", "commit",     "decommit",   "release",        "protect",           "lock",
      "unlock",    "discard",    "trim range", "make resident",  "empty working set", "query",
      "remap",     "flush view", "fork",       "flush modified", "write cluster",     "reuse standby"};
  return kNames[static_cast<std::size_t>(operation)];
}

Weights all_operations() {
  Weights weights{};
  const auto set = [&](Operation operation, unsigned weight) { weights[static_cast<std::size_t>(operation)] = weight; };
  set(Operation::kReadOwn, 6000);
  set(Operation::kWriteOwn, 6000);
  set(Operation::kReadOther, 3000);
  set(Operation::kReadShared, 5000);
  set(Operation::kWriteShared, 3000);
  set(Operation::kReadCopy, 1500);
  set(Operation::kWriteCopy, 1000);
  set(Operation::kCommit, 150);
  set(Operation::kDecommit, 60);
  set(Operation::kRelease, 8);
  set(Operation::kProtect, 100);
  set(Operation::kLock, 20);
  set(Operation::kUnlock, 20);
  set(Operation::kDiscard, 20);
  set(Operation::kTrimRange, 30);
  set(Operation::kMakeResident, 20);
  set(Operation::kEmptyWorkingSet, 4);
  set(Operation::kQuery, 100);
  set(Operation::kRemap, 10);
  set(Operation::kFlushView, 10);
  set(Operation::kFork, 4);
  set(Operation::kFlushModified, 1);
  set(Operation::kWriteCluster, 10);
  set(Operation::kReuseStandby, 2);
  return weights;
}

World::World(const WorldConfig& config)
    : config_(config),
      machine_(*machine::SimMachine::create(machine_config(config))),
      manager_(*MemoryManager::create(*machine_, {.tunables = config.tunables})) {
  add_paging_file();
  for (unsigned process = 0; process < config.processes; ++process) spaces_.push_back(add_space());
  make_sections();
  regions_.resize(config.workers);
  const std::uint32_t twin = number_pages(1);
  ByteCount stride = config.region_stride;
  if (stride.is_zero()) stride = kGranularity * ((bytes_of(config.region_pages) + kGranularity - 1_B) / kGranularity);
  for (unsigned worker = 0; worker < config.workers; ++worker) {
    for (unsigned region = 0; region < config.regions; ++region) {
      RegionPlace place{.base = kFirstRegion + stride * (worker * config.regions + region),
                        .pages = std::vector<Page>(config.region_pages.value())};
      for (Page& page : place.pages) page.number = config.twins ? twin : number_pages(1);
      regions_[worker].push_back(std::move(place));
    }
    manager_->attach(cpu(worker), space(process_of(worker)));
  }
  for (unsigned worker = 0; worker < config.workers; ++worker)
    workers_.push_back(std::make_unique<Worker>(*this, worker));
  unsigned processor = config.workers;
  for (const unsigned keeper : config.keepers)
    keepers_.push_back(std::make_unique<Keeper>(*this, *manager_->system_threads()[keeper], cpu(processor++)));
  for (unsigned disk = 0; disk < 2; ++disk) {
    machine::FaultInjection& injection = machine_->sim_disk(disk).injection();
    injection = machine::FaultInjection(Random::mix(config.seed + disk));
    injection.read_error_rate = config.read_error_rate;
    injection.write_error_rate = config.write_error_rate;
  }
}

ProcessSpace* World::add_space() {
  ProcessSpace* const space = *manager_->create_space(
      cpu(0), {.limits = config_.limits, .domain = config_.twins ? std::optional(named_domain(1)) : std::nullopt});
  if (config_.twins) PAGODA_CHECK(manager_->combiner().allow(*space).has_value());
  return space;
}

World::~World() {
  if (has_failed()) abandon();
}

void World::abandon() {
  for (auto& worker : workers_) static_cast<void>(worker.release());
  static_cast<void>(manager_.release());
  static_cast<void>(machine_.release());
}

void World::add_paging_file() {
  if (config_.paging_slots.is_zero()) {
    const auto added = manager_->add_paging_file(
        {.name = "pagefile.sys", .minimum = config_.paging_file, .maximum = config_.paging_file});
    PAGODA_CHECK(added.has_value());
    return;
  }
  // Smaller than the manager would make one for anybody else.
  const PageCount size = config_.paging_slots + 1_pages;  // Slot 0 is never used.
  auto file = *machine_->sim_disk(0).create("pagefile.sys");
  PAGODA_CHECK(file->resize(bytes_of(size)).has_value());
  Core& core = manager_->core();
  const LockGuard guard(core.pfns.lock);
  PAGODA_CHECK(
      core.paging_files.add(std::make_unique<PagingFile>("pagefile.sys", std::move(file), size, size)).has_value());
}

void World::warm_up() {
  for (const auto& worker : workers_) worker->take_everything();
  push_out();
  if (config_.frames_left.is_zero()) return;
  PfnDatabase& pfns = manager_->core().pfns;
  const LockGuard guard(pfns.lock);
  while (pfns.available() > config_.frames_left) {
    held_.push_back(pfns.take(cpu(0), Contents::kAny)->frame);
    pfns.make_nonpaged(held_.back());
  }
}

void World::end_shortage() {
  PfnDatabase& pfns = manager_->core().pfns;
  const LockGuard guard(pfns.lock);
  for (const Pfn frame : std::exchange(held_, {})) pfns.free_nonpaged(frame);
}

void World::push_out() {
  for (ProcessSpace* space : spaces_) space->empty_working_set(cpu(0));
  static_cast<void>(manager_->flush_modified(cpu(0)));
  reuse_standby(cpu(0));
}

void World::reuse_standby(machine::Processor& cpu) {
  PfnDatabase& pfns = manager_->core().pfns;
  const LockGuard guard(pfns.lock);
  std::vector<Pfn> held;  // Frames given back at once would be taken again.
  while (pfns.lists().oldest_standby() != kNoPfn) held.push_back(pfns.take_kept(cpu, Contents::kAny)->frame);
  for (const Pfn frame : held) pfns.give_back(frame, Contents::kAny);
}

void World::make_sections() {
  for (unsigned i = 0; i < config_.paging_sections + config_.file_sections; ++i) {
    SharedSection shared{.pages = std::vector<Page>(config_.section_pages.value())};
    const ByteCount size = bytes_of(config_.section_pages);
    SectionRequest request{.size = size};
    if (i >= config_.paging_sections) {
      auto file = *machine_->sim_disk(1).create("file");
      PAGODA_CHECK(file->resize(size).has_value());
      shared.file = std::make_shared<FileStream>(fmt::format("file {}", i), std::move(file));
      request.file = shared.file;
      request.kind = SectionKind::kData;
    }
    shared.section = *manager_->sections().create(cpu(0), request);
    for (Page& page : shared.pages) {
      page.number = number_pages(1);
      page.history.begin({.accessible = true});
      page.history.finish();
    }
    sections_.push_back(std::move(shared));
  }
}

void World::reached(Time time) {
  std::uint64_t before = latest_.load(std::memory_order_relaxed);
  while (before < time.value() && !latest_.compare_exchange_weak(before, time.value(), std::memory_order_relaxed)) {
  }
}

void World::found(std::string text) {
  const LockGuard guard(found_lock_);
  if (found_.empty()) found_ = std::move(text);
  failed_.store(true, std::memory_order_relaxed);
}

std::string World::check() {
  end_shortage();
  if (!has_failed()) {
    if (const std::string findings = to_string(mm::check(*manager_, cpu(0))); !findings.empty()) found(findings);
  }
  // What is looked at comes from where it was written to.
  if (!has_failed()) push_out();
  for (const auto& worker : workers_)
    if (!has_failed()) worker->look_at_everything();
  const LockGuard guard(found_lock_);
  return found_;
}

std::string World::finish() {
  if (std::string text = check(); !text.empty()) return text;
  for (unsigned disk = 0; disk < 2; ++disk) machine_->sim_disk(disk).injection() = machine::FaultInjection();
  for (unsigned worker = 0; worker < config_.workers; ++worker) manager_->detach(cpu(worker));
  for (ProcessSpace* space : std::exchange(spaces_, {})) manager_->destroy_space(cpu(0), *space);
  for (SharedSection& shared : sections_) manager_->sections().dereference(cpu(0), *shared.section);
  if (!manager_->flush_modified(cpu(0))) found("modified pages that no disk takes");
  // Prototype PTEs that were given up while they were out.
  testing::reap(*manager_, cpu(0));
  manager_->sections().drop_unused(cpu(0));
  if (const std::string findings = to_string(mm::check(*manager_, cpu(0))); !findings.empty()) found(findings);
  if (const PageCount left = manager_->commit().charged; left != PageCount(0))
    found(fmt::format("{} pages are charged to nobody", left.value()));
  const LockGuard guard(found_lock_);
  return found_;
}

}  // namespace pagoda::mm::torture
