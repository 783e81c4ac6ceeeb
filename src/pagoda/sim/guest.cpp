#include "pagoda/sim/guest.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pagoda/base/hash.h"
#include "pagoda/mm/combine/combiner.h"
#include "pagoda/sim/guest_memory.h"
#include "pagoda/sim/scenario/names.h"

namespace pagoda::sim {

namespace {

GuestFrames guest_frames(const mm::MemoryManager& manager) {
  const mm::FrameCounts frames = manager.frame_counts();
  GuestFrames result{.active = frames.active + frames.system + frames.bad,
                     .modified = frames.modified + frames.modified_no_write + frames.transition,
                     .standby = {},
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

// --- VirtualCpu ---

Time VirtualCpu::ready_at() const { return halted_ ? guest_.wake_time(*this) : Task::ready_at(); }

bool VirtualCpu::take(machine::SimProcessor& core) {
  halted_ = false;
  if (guest_.is_lost()) {
    if (core.now() >= guest_.loss_->time) {
      guest_.lose();
    } else {
      wait_for_loss(guest_.loss_->time);
    }
    return false;
  }
  guest_.partition_->processor(number_).world().enter(core);
  guest_.update_cpus();
  return true;
}

void VirtualCpu::leave(machine::SimProcessor& /*core*/) { guest_.partition_->processor(number_).world().leave(); }

Duration VirtualCpu::host_waits() const { return guest_.partition_->processor(number_).world().waited(); }

void VirtualCpu::wait_for_loss(Time time) {
  halted_ = false;
  set_state(State::kWaiting);
  set_ready_at(time);
}

Duration VirtualCpu::waited(Time now) const {
  const bool is_waiting = state() == State::kWaiting && !halted_ && ready_at() > now;
  return is_waiting ? waited_ - std::min(ready_at() - now, waited_) : waited_;
}

Input<> VirtualCpu::run(machine::SimProcessor& core, Time horizon) {
  if (guest_.is_lost()) {  // On account of another one.
    wait_for_loss(guest_.loss_->time);
    return {};
  }
  machine::SimProcessor& processor = guest_.partition_->machine().processor(number_);
  const Time began = core.now();
  const Duration waits_before = host_waits();
  const std::uint64_t misses_before = core.counts().tlb_misses;
  processor.advance_to(began);
  auto next = Next::kGoesOn;
  try {
    next = PAGODA_TRY(run_guest(horizon));
  } catch (const hv::GuestMemoryLost& lost) {
    guest_.doom(lost.what(), processor.now() - std::min(host_waits() - waits_before, processor.now() - began),
                processor.now());
    next = Next::kWaits;
  }
  const Duration elapsed = processor.now() - began;
  const Duration waited = std::min(host_waits() - waits_before, elapsed);
  core.resume_at(began + (elapsed - waited));
  accesses_ += core.counts().tlb_misses - misses_before;
  busy_ += elapsed - waited;
  waited_ += waited;
  if (next != Next::kGoesOn) {
    set_state(State::kWaiting);
    set_ready_at(processor.now());
    halted_ = next == Next::kHalts;
  }
  guest_.update_cpus();
  return {};
}

Input<VirtualCpu::Next> VirtualCpu::run_guest(Time horizon) {
  Scheduler& scheduler = guest_.system_->scheduler();
  Scheduler::Cpu& cpu = scheduler.cpus()[number_];
  machine::SimProcessor& processor = *cpu.processor;
  const Duration waits_before = host_waits();
  for (;;) {
    scheduler.run_system_threads(processor);
    if (host_waits() > waits_before) return Next::kWaits;
    if (processor.now() >= horizon) return Next::kGoesOn;
    if (cpu.running != nullptr) {
      Task& task = *cpu.running;
      const auto tell_waits = [&] {
        if (host_waits() > waits_before) task.waited_outside(host_waits() - waits_before);
      };
      try {
        PAGODA_TRY(scheduler.run_slice(cpu, horizon));
      } catch (const hv::GuestMemoryLost&) {
        tell_waits();
        task.set_state(Task::State::kWaiting);
        task.set_ready_at(processor.now());
        throw;
      }
      tell_waits();
      continue;
    }
    Task* const next = scheduler.next_waiting();
    if (next != nullptr && next->ready_at() <= processor.now()) {
      scheduler.assign(cpu, *next);
    } else if (!scheduler.zero_pages(processor)) {
      return Next::kHalts;
    }
  }
}

// --- Guest ---

Input<std::unique_ptr<Guest>> Guest::create(const VmConfig& config, System& host, Programs programs, RunLog& log,
                                            System::Options options) {
  std::unique_ptr<Guest> guest(new Guest(config, host.scheduler(), log));
  machine::SimProcessor& cpu = *host.scheduler().cpus().front().processor;
  auto partition = hv::Partition::create(host.manager(), cpu, config.partition);
  if (!partition) {
    return bad_input(fmt::format("{}: vm \"{}\": the host cannot promise it {} ({}): {}", config.where, guest->name(),
                                 to_string(bytes_of(config.partition.memory)), to_string(partition.error()),
                                 lack_of(partition.error(), host.manager())));
  }
  guest->partition_ = std::move(*partition);
  if (config.shares) {
    mm::ProcessSpace& vmmem = guest->partition_->vmmem();
    mm::Combiner& combiner = host.manager().combiner();
    const auto allowed = config.domain ? combiner.allow(vmmem, *config.domain) : combiner.allow(vmmem);
    if (!allowed) {
      return bad_input(fmt::format("{}: vm \"{}\": it cannot share pages ({}): too many machines do", config.where,
                                   guest->name(), to_string(allowed.error())));
    }
  }
  hv::VirtualMachine& machine = guest->partition_->machine();
  for (unsigned disk = 0; disk < config.partition.disks.size(); ++disk)
    machine.sim_disk(disk).report_to(log.host_failures);
  const hv::WorldSwitch::Visit boot(guest->partition_->processor(0).world(), cpu);
  options.depth = 1;
  options.name = fmt::format("the guest of vm \"{}\"", guest->name());
  options.vm = guest->name();
  options.disks = config.partition.disks;
  try {
    guest->system_ =
        PAGODA_TRY(System::create(config, machine, machine.sim_processors(), std::move(programs), log, options));
  } catch (const hv::GuestMemoryLost& lost) {
    return bad_input(fmt::format("{}: vm \"{}\" does not start: {}", config.where, guest->name(), lost.what()));
  }
  if (config.guest == VmConfig::GuestKind::kWindows) {
    auto settings = guest::EnlightenmentSettings::for_memory(config.partition.memory);
    settings.period = config.hint_period;
    guest->enlightenments_ = guest::Enlightenments::create(guest->system_->manager(), machine.processor(), settings);
    if (guest->enlightenments_ != nullptr) guest->system_->scheduler().add_thread(*guest->enlightenments_);
  }
  for (unsigned number = 0; number < config.partition.processors; ++number) {
    guest->cpus_.push_back(std::make_unique<VirtualCpu>(*guest, number));
    host.scheduler().add(*guest->cpus_.back());
  }
  return guest;
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
}

void Guest::lose() {
  given_up_ = true;
  log_.incidents.push_back({.time = loss_->time, .vm = name(), .process = "", .text = "it was lost: " + loss_->why});
  for (const auto& cpu : cpus_) cpu->set_state(Task::State::kDone);
  update_cpus();
  for (const auto& process : system_->processes()) process->set_state(Task::State::kDone);
}

VmSample Guest::sample(Time now) {
  const mm::Counters guest = system_->manager().counters();
  Duration busy;
  Duration waited;
  for (const auto& cpu : cpus_) {
    busy += cpu->busy();
    waited += cpu->waited(now);
  }
  return {.memory = guest_memory(*partition_),
          .frames = guest_frames(system_->manager()),
          .shared = partition_->vmmem().statistics().shared,
          .tables = partition_->table_frames().owned(),
          .counters = partition_->counts(),
          .hard_faults = mm::hard_faults(guest.faults),
          .pages_read = guest.page_file_pages_read,
          .pages_written = guest.page_file_pages_written,
          .busy = busy,
          .waited = waited};
}

VmResult Guest::result(Time now) {
  const hv::PartitionConfig& config = config_.partition;
  VmResult result{.name = config.name,
                  .paging = std::string(partition_->machine().paging().name),
                  .mmu = name_in(kMmuNames, config.mmu),
                  .backing = name_in(kBackingNames, config.backing),
                  .guest = name_in(kGuestNames, config_.guest),
                  .processors = config.processors,
                  .promised = bytes_of(config.memory),
                  .fault_cluster = bytes_of(config.fault_cluster),
                  .peak_working_set = partition_->vmmem().statistics().peak_working_set,
                  .end = sample(now),
                  .counters = system_->manager().counters(),
                  .commit_peak = system_->manager().commit().peak,
                  .disks = system_->disk_results(),
                  .page_files = system_->page_file_results(),
                  .busy = {},
                  .waited = {}};
  result.busy = result.end.busy;
  result.waited = result.end.waited;
  if (given_up_) result.lost = loss_;
  if (enlightenments_ != nullptr && (config.cold_hints || config.hot_hints || config.cold_discard_hints))
    result.hints = VmHints{.period = config_.hint_period, .refused = enlightenments_->counts().refused};
  mm::ProcessSpace& vmmem = partition_->vmmem();
  const LockGuard guard(vmmem.lock);
  result.working_set_maximum = vmmem.working_set().limits().maximum;
  if (config.limits) result.limit_source = LimitSource::kScenario;
  result.settings = system_->settings();
  return result;
}

std::uint64_t Guest::state_hash() const {
  StateHash hash;
  const hv::PartitionCounts& counts = partition_->counts();
  hash.add(counts.exits);
  hash.add(counts.violations);
  hash.add(counts.page_ins);
  hash.add(counts.double_paged);
  hash.add(counts.slat_loads);
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
