#include "pagoda/sim/guest.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pagoda/base/hash.h"
#include "pagoda/machine/paging_mode.h"
#include "pagoda/mm/combine/combiner.h"
#include "pagoda/sim/disk_injection.h"
#include "pagoda/sim/guest_memory.h"
#include "pagoda/sim/scenario/names.h"

namespace pagoda::sim {

namespace {

GuestFrames guest_frames(const mm::MemoryManager& manager) {
  const mm::FrameCounts frames = manager.frame_counts();
  GuestFrames result{.active = frames.active - frames.drivers + frames.system + frames.bad,
                     .modified = frames.modified + frames.modified_no_write + frames.transition,
                     .standby = {},
                     .ballooned = frames.drivers,
                     .unused = frames.free + frames.zeroed};
  for (const PageCount standby : frames.standby) result.standby += standby;
  return result;
}

// What a host lacks that cannot make a virtual machine, and what to do.
std::string lack_of(Status status, mm::MemoryManager& host) {
  const mm::MemoryManager::CommitInfo commit = host.commit();
  const mm::MemoryManager::ResidentInfo resident = host.resident();
  switch (status) {
    case Status::kCommitmentLimit:
      return fmt::format(
          "it may promise {} in all and has promised {}; give it less, or the host more memory or larger page files",
          to_string(bytes_of(commit.limit)), to_string(bytes_of(commit.charged)));
    case Status::kInsufficientResources:
      return fmt::format(
          "too much would have to stay in its memory, where {} may and {} does; give it less, or the host more memory",
          to_string(bytes_of(resident.limit)), to_string(bytes_of(resident.charged)));
    case Status::kInvalidParameter4:
      return "no process of the host has so many addresses; give it less, or the host another paging mode";
    case Status::kNoMemory:
      return "it has no frames left, or its processes have no addresses; give it less, or the host more memory";
    default:
      return to_string(status);
  }
}

}  // namespace

Guest::Guest(const VmConfig& config, System& host, Programs programs, RunLog& log, const System::Options& options)
    : config_(options.templates->with_direct_maps(config)),
      host_(host),
      cores_(host.scheduler()),
      log_(log),
      programs_(std::move(programs)),
      length_(programs_.length()),
      options_(options),
      allocation_(config.allocation) {
  options_.depth = 1;
  options_.name = fmt::format("the guest of vm \"{}\"", name());
  options_.vm = name();
  options_.disks = config_.partition.disks;
}

Input<std::unique_ptr<Guest>> Guest::create(const VmConfig& config, System& host, Programs programs, RunLog& log,
                                            const System::Options& options) {
  std::unique_ptr<Guest> guest(new Guest(config, host, std::move(programs), log, options));
  if (config.start == Time{}) PAGODA_TRY(guest->boot(*host.scheduler().cpus().front().processor));
  return guest;
}

Input<> Guest::boot(machine::SimProcessor& cpu) {
  const Time began = cpu.now();
  auto partition = hv::Partition::create(host_.manager(), cpu, config_.partition);
  if (!partition) {
    return bad_input(fmt::format("{}: vm \"{}\": the host cannot promise it {} ({}): {}", config_.where, name(),
                                 to_string(bytes_of(config_.partition.memory)), to_string(partition.error()),
                                 lack_of(partition.error(), host_.manager())));
  }
  partition_ = std::move(*partition);
  partition_->memory().set_charge_source(charge_source_);
  PAGODA_TRY(allow_sharing());
  hv::VirtualMachine& machine = partition_->machine();
  for (unsigned disk = 0; disk < config_.partition.disks.size(); ++disk) {
    machine.sim_disk(disk).report_to(log_.host_failures);
    inject(machine.sim_disk(disk), config_.injections[disk], options_.disk_seed, disk);
  }
  const hv::WorldSwitch::Visit visit(partition_->processor(0).world(), cpu);
  try {
    system_ =
        PAGODA_TRY(System::create(config_, machine, machine.sim_processors(), std::move(programs_), log_, options_));
  } catch (const hv::GuestMemoryLost& lost) {
    return bad_input(fmt::format("{}: vm \"{}\" does not start: {}", config_.where, name(), lost.what()));
  }
  add_threads();
  for (unsigned number = 0; number < config_.partition.processors; ++number) {
    cpus_.push_back(std::make_unique<VirtualCpu>(*this, number));
    cpus_.back()->set_ready_at(began);  // A processor of the host that is idle may be behind.
    cores_.add(*cpus_.back());
  }
  started_ = began;
  return {};
}

void Guest::add_threads() {
  hv::VirtualMachine& machine = partition_->machine();
  if (config_.guest == VmConfig::GuestKind::kWindows) {
    auto settings = guest::EnlightenmentSettings::for_memory(config_.partition.memory);
    settings.period = config_.hint_period;
    enlightenments_ = guest::Enlightenments::create(system_->manager(), machine.processor(), settings);
    if (enlightenments_ != nullptr) system_->scheduler().add_thread(*enlightenments_);
  }
  if (!config_.balloon) return;
  machine.balloon()->set_target(config_.balloon->target);
  if (config_.balloon->driver == BalloonConfig::Driver::kAbsent) return;
  balloon_driver_ = guest::BalloonDriver::create(system_->manager(), config_.balloon->settings);
  system_->scheduler().add_thread(*balloon_driver_);
}

void Guest::update_cpus() {
  for (const auto& cpu : cpus_) cores_.update(*cpu);
}

Time Guest::wake_time(const VirtualCpu& cpu) const {
  const auto first = std::ranges::find_if(cpus_, [](const auto& other) { return other->is_halted(); });
  if (first->get() != &cpu) return kNever;
  Scheduler& scheduler = system_->scheduler();
  const Time halted_at = partition_->machine().processor(static_cast<unsigned>(first - cpus_.begin())).now();
  const Task* const waiting = scheduler.next_waiting();
  return std::min(waiting != nullptr ? waiting->ready_at() : kNever, scheduler.next_system_event(halted_at));
}

void Guest::doom(const std::string& why, Time since, Time time) {
  loss_ = VmLoss{.time = time, .why = why};
  for (const auto& process : system_->processes()) process->stand_still(since, time);
  // Those that halted wait for the same now; those that have a core learn it when they run.
  for (const auto& cpu : cpus_)
    if (cpu->waits()) cpu->wait_for_loss(time);
  update_cpus();
}

void Guest::kill(mm::Processor& cpu, const std::string& why) {
  doom(why, cpu.now(), cpu.now());
  partition_->memory().reap(cpu);
}

void Guest::set_charge_source(hv::ChargeSource* source) {
  charge_source_ = source;
  if (is_running()) partition_->memory().set_charge_source(source);
}

Input<> Guest::allow_sharing() {
  if (!config_.is_shared) return {};
  mm::ProcessSpace& vmmem = partition_->vmmem();
  mm::Combiner& combiner = host_.manager().combiner();
  const auto allowed = config_.domain ? combiner.allow(vmmem, *config_.domain) : combiner.allow(vmmem);
  if (allowed) return {};
  return bad_input(fmt::format("{}: vm \"{}\": it cannot share pages ({}): too many machines do", config_.where, name(),
                               to_string(allowed.error())));
}

std::optional<Time> Guest::start(machine::SimProcessor& cpu) {
  const auto booted = boot(cpu);
  if (booted) return std::nullopt;
  partition_.reset();
  if (const Time later = cpu.take_blocked_until(); later > cpu.now()) return later;
  log_.incidents.push_back({.time = cpu.now(), .vm = name(), .process = "", .text = booted.error().message});
  Ended ended{.result = described(), .processes = {}, .state_hash = 0};
  add_results(cpu.now(), ended.processes);
  ended_ = std::move(ended);
  return std::nullopt;
}

void Guest::end(Time now) {
  for (const auto& cpu : cpus_) {
    cores_.take_off(*cpu);
    cpu->set_state(Task::State::kDone);
  }
  update_cpus();
  Ended ended{.result = result(now), .processes = {}, .state_hash = state_hash()};
  add_results(now, ended.processes);
  ended.result.ended = now;
  ended.result.end.memory = {};
  ended.result.end.frames = {};
  ended.result.end.tables = {};
  ended.result.end.shared = {};
  ended_ = std::move(ended);
  watch_.reset();
  balloon_driver_.reset();
  enlightenments_.reset();
  system_.reset();
  partition_.reset();
}

void Guest::lose() {
  log_.given_up.push_back(this);
  log_.incidents.push_back({.time = loss_->time, .vm = name(), .process = "", .text = "it was lost: " + loss_->why});
  for (const auto& cpu : cpus_) cpu->set_state(Task::State::kDone);
  update_cpus();
  for (const auto& process : system_->processes()) process->set_state(Task::State::kDone);
}

std::uint64_t Guest::operations() const {
  if (is_running()) return system_->operations();
  std::uint64_t done = 0;
  if (ended_)
    for (const ProcessResult& process : ended_->processes) done += process.operations;
  return done;
}

std::uint64_t Guest::length() const { return is_running() ? system_->length() : length_; }

void Guest::add_samples(Time now, std::vector<ProcessSample>& samples) {
  if (is_running()) {
    for (const auto& process : system_->processes()) samples.push_back(process->sample(now));
  } else if (ended_) {
    for (const ProcessResult& process : ended_->processes)
      samples.push_back({.working_set = {},
                         .shared = {},
                         .demand = {},
                         .private_commit = {},
                         .faults = process.faults,
                         .cpu_time = process.cpu_time,
                         .wait_time = process.wait_time});
  } else {
    samples.resize(samples.size() + config_.processes.size());
  }
}

void Guest::add_results(Time now, std::vector<ProcessResult>& results) const {
  if (is_running()) {
    for (const auto& process : system_->processes()) results.push_back(process->result(now));
  } else if (ended_) {
    results.insert(results.end(), ended_->processes.begin(), ended_->processes.end());
  } else {
    for (const ProcessConfig& process : config_.processes)
      results.push_back({.name = process.name, .vm = name(), .program = "", .finished = kNever});
  }
}

Duration Guest::busy() const {
  Duration sum;
  for (const auto& cpu : cpus_) sum += cpu->busy();
  return sum;
}

Duration Guest::waited(Time now) const {
  Duration sum;
  for (const auto& cpu : cpus_) sum += cpu->waited(now);
  return sum;
}

Duration Guest::waited_for_memory(Time now) const {
  Duration sum;
  for (const auto& process : system_->processes()) sum += process->waited(now);
  return sum;
}

MachineWatch& Guest::watch(const WatchConfig& config) {
  if (watch_ == nullptr) watch_ = std::make_unique<MachineWatch>(*this, config);
  return *watch_;
}

VmSample Guest::sample(Time now) {
  if (!is_running()) return ended_ ? ended_->result.end : VmSample{};
  const mm::Counters guest = system_->manager().counters();
  return {.memory = guest_memory(*partition_),
          .frames = guest_frames(system_->manager()),
          .shared = partition_->vmmem().statistics().shared,
          .active = watch_ != nullptr ? watch_->active() : std::nullopt,
          .tables = partition_->table_frames().owned(),
          .counters = partition_->counts(),
          .hard_faults = mm::hard_faults(guest.faults),
          .pages_read = guest.page_file_pages_read,
          .pages_written = guest.page_file_pages_written,
          .busy = busy(),
          .waited = waited(now)};
}

VmResult Guest::described() const {
  const hv::PartitionConfig& config = config_.partition;
  VmResult result{.name = config.name,
                  .paging = std::string(machine::paging_mode(config.paging).name),
                  .mmu = name_in(kMmuNames, config.mmu),
                  .backing = name_in(kBackingNames, config.backing),
                  .guest = name_in(kGuestNames, config_.guest),
                  .processors = config.processors,
                  .started = started_,
                  .promised = bytes_of(config.memory),
                  .fault_cluster = bytes_of(config.fault_cluster)};
  if (config.limits) result.limit_source = LimitSource::kScenario;
  return result;
}

VmResult Guest::result(Time now) {
  if (!is_running()) return ended_ ? ended_->result : described();
  const hv::PartitionConfig& config = config_.partition;
  VmResult result = described();
  result.peak_working_set = partition_->vmmem().statistics().peak_working_set;
  result.end = sample(now);
  result.counters = system_->manager().counters();
  result.commit_peak = system_->manager().commit().peak;
  result.disks = system_->disk_results();
  result.page_files = system_->page_file_results();
  result.busy = result.end.busy;
  result.waited = result.end.waited;
  if (loss_ && now >= loss_->time) result.lost = loss_;
  if (enlightenments_ != nullptr && (config.cold_hints || config.hot_hints || config.cold_discard_hints))
    result.hints = VmHints{.period = config_.hint_period, .refused = enlightenments_->counts().refused};
  if (config_.balloon) {
    const hv::BalloonDevice& device = *partition_->machine().balloon();
    result.balloon = VmBalloon{.driver = name_in(kBalloonDriverNames, config_.balloon->driver),
                               .target = device.target(),
                               .actual = device.actual()};
    if (balloon_driver_ != nullptr) {
      result.balloon->out_of_puff = balloon_driver_->counts().out_of_puff;
      result.balloon->deflated_on_oom = balloon_driver_->counts().deflated_on_oom;
    }
  }
  mm::ProcessSpace& vmmem = partition_->vmmem();
  const LockGuard guard(vmmem.lock);
  result.working_set_maximum = vmmem.working_set().limits().maximum;
  result.settings = system_->settings();
  return result;
}

std::uint64_t Guest::state_hash() const {
  if (!is_running()) return ended_ ? ended_->state_hash : 0;
  StateHash hash;
  const hv::PartitionCounts& counts = partition_->counts();
  hash.add(counts.exits);
  hash.add(counts.violations);
  hash.add(counts.page_ins);
  hash.add(counts.double_paged);
  hash.add(counts.slat_loads);
  hash.add(counts.inflated_pages);
  hash.add(counts.popped_pages);
  const mm::Counters counters = system_->manager().counters();
  for (const std::uint64_t faults : counters.faults) hash.add(faults);
  hash.add(counters.page_file_pages_written);
  for (const machine::SimProcessor* processor : partition_->machine().sim_processors()) {
    hash.add(processor->now().value());
    hash.add(processor->counts().tlb_misses);
  }
  return hash.digest();
}

}  // namespace pagoda::sim
