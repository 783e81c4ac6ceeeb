#include "pagoda/sim/guest.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pagoda/base/hash.h"
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

}  // namespace

// --- VirtualCpu ---

Time VirtualCpu::ready_at() const { return halted_ ? guest_.wake_time(*this) : Task::ready_at(); }

bool VirtualCpu::take(machine::SimProcessor& core) {
  halted_ = false;
  guest_.partition_->processor(number_).world().enter(core);
  guest_.update_cpus();
  return true;
}

void VirtualCpu::leave(machine::SimProcessor& /*core*/) { guest_.partition_->processor(number_).world().leave(); }

Duration VirtualCpu::waits() const { return guest_.partition_->processor(number_).world().waited(); }

Input<> VirtualCpu::run(machine::SimProcessor& core, Time horizon) {
  if (state() == State::kDone) return {};  // Lost, on account of another one.
  machine::SimProcessor& processor = guest_.partition_->machine().processor(number_);
  const Time began = core.now();
  const Duration waits_before = waits();
  const std::uint64_t misses_before = core.counts().tlb_misses;
  processor.advance_to(began);
  auto next = Next::kGoesOn;
  try {
    next = PAGODA_TRY(run_guest(horizon));
  } catch (const hv::GuestMemoryLost& lost) {
    guest_.lose(lost.what(), processor.now());
    core.resume_at(began);
    return {};
  }
  const Duration elapsed = processor.now() - began;
  const Duration waited = std::min(waits() - waits_before, elapsed);
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
  const Duration waits_before = waits();
  for (;;) {
    scheduler.run_system_threads(processor);
    if (waits() > waits_before) return Next::kWaits;
    if (processor.now() >= horizon) return Next::kGoesOn;
    if (cpu.running != nullptr) {
      Task& task = *cpu.running;
      PAGODA_TRY(scheduler.run_slice(cpu, horizon));
      if (waits() > waits_before) task.waited_outside(waits() - waits_before);
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
    return bad_input(fmt::format(
        "{}: vm \"{}\": the host cannot promise it {} ({}); give it less, or the host more memory "
        "or larger page files",
        config.where, guest->name(), to_string(bytes_of(config.partition.memory)), to_string(partition.error())));
  }
  guest->partition_ = std::move(*partition);
  hv::VirtualMachine& machine = guest->partition_->machine();
  const hv::WorldSwitch::Visit boot(guest->partition_->processor(0).world(), cpu);
  options.depth = 1;
  options.name = fmt::format("the guest of vm \"{}\"", guest->name());
  options.vm = guest->name();
  options.disks = config.partition.disks;
  guest->system_ =
      PAGODA_TRY(System::create(config, machine, machine.sim_processors(), std::move(programs), log, options));
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

void Guest::lose(const std::string& why, Time now) {
  log_.incidents.push_back(fmt::format("{}: {}", to_string(now), why));
  lost_ = true;
  for (const auto& cpu : cpus_) cpu->set_state(Task::State::kDone);
  update_cpus();
  for (const auto& process : system_->processes()) process->set_state(Task::State::kDone);
}

VmSample Guest::sample() {
  const mm::Counters guest = system_->manager().counters();
  return {.memory = guest_memory(*partition_),
          .frames = guest_frames(system_->manager()),
          .tables = partition_->table_frames().owned(),
          .counters = partition_->counts(),
          .hard_faults = mm::hard_faults(guest.faults),
          .pages_read = guest.page_file_pages_read,
          .pages_written = guest.page_file_pages_written};
}

VmResult Guest::result() {
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
                  .end = sample(),
                  .counters = system_->manager().counters(),
                  .commit_peak = system_->manager().commit().peak,
                  .disks = system_->disk_results(),
                  .page_files = system_->page_file_results(),
                  .busy = {},
                  .waited = {}};
  for (const auto& cpu : cpus_) {
    result.busy += cpu->busy();
    result.waited += cpu->waited();
  }
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
