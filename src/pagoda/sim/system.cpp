#include "pagoda/sim/system.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pagoda/base/random.h"
#include "pagoda/sim/open_program.h"

namespace pagoda::sim {

Input<Programs> Programs::open(const SystemConfig& config, std::uint64_t seed, ImageOpener& images) {
  Programs all;
  for (std::size_t number = 0; number < config.processes.size(); ++number) {
    const std::uint64_t own_seed = Random::mix(seed + number + 1);
    all.programs_.push_back(PAGODA_TRY(open_program(config.processes[number], own_seed, images)));
    all.seeds_.push_back(own_seed);
  }
  return all;
}

std::uint64_t Programs::length() const {
  std::uint64_t all = 0;
  for (const auto& program : programs_) all += program->length();
  return all;
}

Input<std::unique_ptr<System>> System::create(const SystemConfig& config, machine::Machine& machine,
                                              std::span<machine::SimProcessor* const> processors, Programs programs,
                                              RunLog& log, const Options& options) {
  std::unique_ptr<System> system(new System(config, machine));
  for (const ProcessConfig& process : config.processes) {
    if (!process.view || system->files_.contains(process.view->file)) continue;
    const unsigned disk = process.view->disk;
    auto file = SharedFile::open(*process.view, *machine.disks()[disk], options.disks[disk].directory);
    if (!file)
      return bad_input(fmt::format("{}: process \"{}\": {}", process.where, process.name, file.error().message));
    system->files_.emplace(process.view->file, std::move(*file));
  }
  mm::MemoryManagerConfig manager_config = config.manager;
  manager_config.depth = options.depth;
  if (manager_config.tunables) manager_config.tunables->victim_seed = options.seed;
  auto manager = mm::MemoryManager::create(machine, manager_config);
  if (!manager)
    return bad_input(fmt::format("{}: {} does not start: {}; give it more memory or smaller paging files", options.file,
                                 options.name, to_string(manager.error())));
  system->manager_ = std::move(*manager);
  if (options.verify) system->manager_->set_event_sink(&system->history_);
  system->scheduler_ = std::make_unique<Scheduler>(*system->manager_, processors);
  for (std::size_t number = 0; number < config.processes.size(); ++number) {
    const ProcessConfig& process = config.processes[number];
    system->processes_.push_back(std::make_unique<Process>(
        process, std::move(programs.programs_[number]),
        Process::Surroundings{.manager = system->manager_.get(),
                              .log = &log,
                              .history = options.verify ? &system->history_ : nullptr,
                              .file = system->file_of(process, options.templates),
                              .parent = process.fork_of ? system->processes_[*process.fork_of].get() : nullptr},
        programs.seeds_[number],
        Process::Options{.verify = options.verify,
                         .operations_most = std::min(options.operations_most, process.operations_most),
                         .vm = options.vm}));
    system->scheduler_->add(*system->processes_.back());
  }
  return system;
}

SharedFile* System::file_of(const ProcessConfig& process, const Templates* templates) const {
  if (process.view) return files_.at(process.view->file).get();
  const auto number = template_of(process);
  return number ? &templates->file(*number) : nullptr;
}

bool System::is_finished() const {
  return std::ranges::all_of(processes_, [](const auto& process) { return process->state() == Task::State::kDone; });
}

std::uint64_t System::operations() const {
  std::uint64_t done = 0;
  for (const auto& process : processes_) done += process->operations();
  return done;
}

std::uint64_t System::length() const {
  std::uint64_t all = 0;
  for (const auto& process : processes_) all += process->length();
  return all;
}

ManagerSettings System::settings() const {
  const mm::Tunables& tunables = manager_->tunables();
  return {.compression_store = tunables.compression_budget, .balance_period = tunables.balance_period};
}

std::vector<DiskResult> System::disk_results() {
  std::vector<DiskResult> results;
  for (const machine::Disk* disk : machine_.disks()) {
    const machine::Disk::Counts& counts = disk->counts();
    results.push_back({.name = disk->name(),
                       .capacity = disk->capacity(),
                       .used = disk->used(),
                       .reads = counts.reads,
                       .writes = counts.writes,
                       .bytes_read = counts.bytes_read,
                       .bytes_written = counts.bytes_written,
                       .errors = counts.errors,
                       .busy = counts.busy,
                       .bounced = counts.bounced});
  }
  return results;
}

std::vector<PageFileResult> System::page_file_results() const {
  std::vector<PageFileResult> results;
  const auto disks = machine_.disks();
  for (const mm::PagingFileInfo& file : manager_->paging_files()) {
    results.push_back({.name = file.name,
                       .disk = disks[config_.manager.paging_files[results.size()].disk]->name(),
                       .minimum = bytes_of(file.minimum),
                       .maximum = bytes_of(file.maximum),
                       .size = bytes_of(file.size),
                       .used = file.used,
                       .peak_used = file.peak_used});
  }
  return results;
}

}  // namespace pagoda::sim
