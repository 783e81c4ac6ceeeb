#include "pagoda/sim/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "pagoda/base/hash.h"
#include "pagoda/base/random.h"
#include "pagoda/base/status.h"
#include "pagoda/sim/disk_injection.h"
#include "pagoda/sim/scenario/names.h"

namespace pagoda::sim {

namespace {

// Slices between two progress reports.
constexpr std::uint64_t kProgressStride = 512;

// What a machine is under the host's policy, if it has one.
VmConfig under_policy(VmConfig vm, const std::optional<PolicyConfig>& config) {
  const policy::PolicyEntry* const policy = config ? policy::find_policy(config->name) : nullptr;
  if (policy == nullptr || !policy->has_killer) vm.limits = {};
  vm.partition.memory_max = vm.limits.memory_max;
  vm.partition.swap_max = vm.limits.swap_max;
  if (policy != nullptr && policy->needs_reporting && vm.balloon &&
      vm.balloon->driver != BalloonConfig::Driver::kAbsent && vm.guest == VmConfig::GuestKind::kPlain &&
      vm.balloon->reports_free.value_or(true)) {
    const machine::BalloonFeatures reporting{machine::BalloonFeature::kReporting};
    vm.partition.balloon = *vm.partition.balloon | reporting;
    vm.balloon->settings.features = vm.balloon->settings.features | reporting;
  }
  return vm;
}

}  // namespace

Input<std::unique_ptr<Simulation>> Simulation::create(const Scenario& scenario, RunOptions options) {
  std::unique_ptr<Simulation> simulation(new Simulation(scenario, std::move(options)));
  const Input<> built = simulation->build();
  PAGODA_TRY(simulation->host_holds());  // The cause of what failed after it.
  if (!built) return std::unexpected(built.error());
  return simulation;
}

Input<> Simulation::build() {
  ImageOpener images;
  Programs programs = PAGODA_TRY(Programs::open(scenario_, seed_, images));
  auto machine = machine::SimMachine::create(scenario_.machine);
  if (!machine)
    return bad_input(fmt::format("{}: host.memory: {} cannot be had here ({}); use less", scenario_.file,
                                 to_string(bytes_of(scenario_.machine.frames)), to_string(machine.error())));
  machine_ = std::move(*machine);
  for (unsigned disk = 0; disk < scenario_.injections.size(); ++disk) {
    machine_->sim_disk(disk).report_to(log_.host_failures);
    inject(machine_->sim_disk(disk), scenario_.injections[disk], seed_, disk);
  }
  const System::Options system_options{.verify = options_.verify,
                                       .operations_most = options_.operations_most,
                                       .depth = 0,
                                       .seed = Random::mix(seed_),
                                       .name = "the host",
                                       .vm = "",
                                       .file = scenario_.file,
                                       .disks = scenario_.machine.disks};
  host_ = PAGODA_TRY(
      System::create(scenario_, *machine_, machine_->sim_processors(), std::move(programs), log_, system_options));
  templates_ =
      PAGODA_TRY(Templates::open(scenario_.templates, host_->manager(), *host_->scheduler().cpus().front().processor,
                                 scenario_.machine.disks, images));
  PAGODA_TRY(make_guests(images));
  if (scenario_.policy) {
    policy_ = std::make_unique<HostPolicy>(*scenario_.policy, Random::mix(~seed_), host_->manager(), guests_);
    host_->scheduler().add_thread(*policy_);
  }
  return {};
}

Input<> Simulation::host_holds() const {
  if (!log_.host_failures.any()) return {};
  const machine::HostFailure& failure = log_.host_failures.first();
  return bad_input(fmt::format("{}: {}; make room there, or name another folder with disk.store", scenario_.file,
                               to_string(failure)));
}

Input<> Simulation::make_guests(ImageOpener& images) {
  for (std::size_t number = 0; number < scenario_.vms.size(); ++number) {
    const VmConfig& vm = scenario_.vms[number];
    const std::uint64_t seed = Random::mix(seed_ ^ Random::mix(number + 1));
    Programs programs = PAGODA_TRY(Programs::open(vm, seed, images));
    const System::Options system_options{.verify = options_.verify,
                                         .operations_most = options_.operations_most,
                                         .seed = Random::mix(seed),
                                         .disk_seed = seed,
                                         .file = scenario_.file,
                                         .templates = templates_.get()};
    guests_.push_back(PAGODA_TRY(
        Guest::create(under_policy(vm, scenario_.policy), *host_, std::move(programs), log_, system_options)));
    if (vm.start != Time{}) changes_.emplace(vm.start, guests_.back().get());
    if (vm.stop != kNever) changes_.emplace(vm.stop, guests_.back().get());
  }
  for (const EventConfig& event : scenario_.events) changes_.emplace(event.at, &event);
  return {};
}

void Simulation::make_change() {
  Scheduler& scheduler = host_->scheduler();
  Scheduler::Cpu& cpu = scheduler.vacate();
  const auto [time, what] = *changes_.begin();
  changes_.erase(changes_.begin());
  scheduler.idle_until(cpu, time);
  scheduler.run_system_threads(*cpu.processor);
  if (Guest* const* const guest = std::get_if<Guest*>(&what))
    start_or_end(**guest, *cpu.processor);
  else
    apply(*std::get<const EventConfig*>(what));
}

void Simulation::start_or_end(Guest& guest, machine::SimProcessor& cpu) {
  if (!guest.is_started()) {
    if (const auto later = guest.start(cpu)) changes_.emplace(*later, &guest);
  } else if (guest.is_running()) {
    guest.end(cpu.now());
  }
}

void Simulation::apply(const EventConfig& event) {
  if (event.vm) {
    AllocationConfig allocation = guests_[*event.vm]->allocation();
    allocation.shares = event.shares.value_or(allocation.shares);
    if (event.minimum) allocation.minimum = event.minimum;
    guests_[*event.vm]->set_allocation(allocation);
  }
  if (event.disk) machine_->sim_disk(static_cast<unsigned>(*event.disk)).slow_down(event.slower);
}

bool Simulation::is_finished() {
  while (first_unfinished_ < guests_.size() && guests_[first_unfinished_]->is_finished()) ++first_unfinished_;
  return first_unfinished_ == guests_.size() && host_->is_finished();
}

Simulation::Simulation(const Scenario& scenario, RunOptions options)
    : scenario_(scenario), options_(std::move(options)), seed_(options_.seed.value_or(scenario.seed)) {}

std::vector<ProcessSample> Simulation::sample_processes(Time now) {
  std::vector<ProcessSample> samples;
  for (const auto& process : host_->processes()) samples.push_back(process->sample(now));
  for (const auto& guest : guests_) guest->add_samples(now, samples);
  return samples;
}

VmSamples Simulation::sample_vms(Time now) {
  VmSamples samples;
  samples.vms.reserve(guests_.size());
  Templates::Census census(*templates_);
  for (const auto& guest : guests_) {
    samples.vms.push_back(guest->sample(now));
    if (guest->is_running()) samples.vms.back().from_templates = census.add(guest->partition());
  }
  samples.template_pages = census.distinct();
  return samples;
}

void Simulation::sample_until(Time time) {
  while (sampler_.due() <= time) {
    const Time now = sampler_.due();
    sampler_.take(host_->manager(), sample_processes(now), sample_vms(now));
  }
  log_.interval = sampler_.interval_number();
}

void Simulation::report_progress(Time now) {
  if (!options_.progress) return;
  std::uint64_t done = host_->operations();
  std::uint64_t all = host_->length();
  for (const auto& guest : guests_) {
    done += guest->operations();
    all += guest->length();
  }
  options_.progress(done, all, now);
}

Input<> Simulation::loop() {
  Scheduler& scheduler = host_->scheduler();
  while (!is_finished()) {
    PAGODA_TRY(host_holds());
    for (Guest* const guest : std::exchange(log_.given_up, {})) changes_.emplace(guest->lost_at(), guest);
    Scheduler::Cpu* const busy = scheduler.next_busy();
    Scheduler::Cpu* const idle = scheduler.next_idle();
    Task* const waiting = scheduler.next_waiting();
    const Time busy_now = busy != nullptr ? busy->processor->now() : kNever;

    // What happens first: a machine starts or ends, a waiting task gets an idle processor, the system has something to
    // do while all wait, or the busy processor that is furthest behind goes on.
    const Time change = next_change();
    const bool may_assign = waiting != nullptr && idle != nullptr;
    const Time ready_at = may_assign ? waiting->ready_at() : kNever;
    const Time next = std::min(ready_at, change);
    if ((may_assign || change != kNever) && next <= busy_now) {
      if (busy == nullptr) {
        const Time event = scheduler.next_system_event(idle->processor->now());
        if (event < next) {
          if (event >= scenario_.until) return {};
          sample_until(event);
          scheduler.idle_until(*idle, event);
          scheduler.run_system_threads(*idle->processor);
          continue;
        }
      }
      if (next >= scenario_.until) return {};
      if (busy == nullptr) sample_until(next);
      if (change <= ready_at) {
        make_change();
      } else {
        scheduler.idle_until(*idle, ready_at);
        scheduler.assign(*idle, *waiting);
      }
      continue;
    }
    if (busy == nullptr || busy_now >= scenario_.until) return {};
    sample_until(busy_now);
    PAGODA_TRY(scheduler.run_slice(*busy, scenario_.until));
    if (++slices_ % kProgressStride == 0) report_progress(busy_now);
  }
  return {};
}

Input<RunResult> Simulation::run() {
  const auto began = std::chrono::steady_clock::now();
  PAGODA_TRY(loop());
  PAGODA_TRY(host_holds());
  Time end;
  for (const Scheduler::Cpu& cpu : host_->scheduler().cpus()) end = std::max(end, cpu.processor->now());
  if (scenario_.until != kNever && !is_finished()) end = std::max(end, scenario_.until);
  sample_until(end);
  report_progress(end);
  RunResult run = result(end);
  run.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return run;
}

RunResult Simulation::result(Time end) {
  mm::MemoryManager& manager = host_->manager();
  RunResult run{.scenario = scenario_.file,
                .title = scenario_.title,
                .description = scenario_.description,
                .seed = seed_,
                .memory = bytes_of(scenario_.machine.frames),
                .paging = std::string(machine_->paging().name),
                .tlb = name_in(kTlbNames, scenario_.machine.tlb),
                .refill = name_in(kRefillNames, scenario_.machine.refill),
                .verified = options_.verify,
                .end = end,
                .counters = manager.counters(),
                .commit_peak = manager.commit().peak,
                .incidents = log_.incidents};
  StateHash hash;
  hash.add(manager.state_hash(*host_->scheduler().cpus().front().processor));
  for (const auto& process : host_->processes()) run.processes.push_back(process->result(end));
  for (const auto& guest : guests_) guest->add_results(end, run.processes);
  for (const ProcessResult& process : run.processes) {
    hash.add(process.checksum);
    hash.add(process.operations);
  }
  for (const auto& guest : guests_) {
    run.vms.push_back(guest->result(end));
    hash.add(guest->state_hash());
  }
  if (policy_ != nullptr) run.policy = policy_->result(end);
  sampler_.finish(end, manager, sample_processes(end), sample_vms(end));
  run.settings = host_->settings();
  run.samples = sampler_.samples();
  for (const Scheduler::Cpu& cpu : host_->scheduler().cpus()) {
    const machine::SimProcessor::Counts& counts = cpu.processor->counts();
    const Duration total = cpu.processor->now() - Time{};
    run.processors.push_back({.busy = total - cpu.idle,
                              .idle = cpu.idle + (end - cpu.processor->now()),
                              .tlb_hits = cpu.accesses - std::min(cpu.accesses, counts.tlb_misses),
                              .tlb_misses = counts.tlb_misses,
                              .walk_loads = counts.walk_loads,
                              .shootdowns = counts.shootdowns_received});
    hash.add(cpu.processor->now().value());
    hash.add(counts.tlb_misses);
  }
  run.disks = host_->disk_results();
  for (const DiskResult& disk : run.disks) {
    hash.add(disk.reads);
    hash.add(disk.writes);
  }
  run.page_files = host_->page_file_results();
  run.state_hash = hash.digest();
  return run;
}

Input<RunResult> run_scenario(const Scenario& scenario, RunOptions options) {
  return PAGODA_TRY(Simulation::create(scenario, std::move(options)))->run();
}

}  // namespace pagoda::sim
