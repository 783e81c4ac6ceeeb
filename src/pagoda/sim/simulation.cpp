#include "pagoda/sim/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "pagoda/base/hash.h"
#include "pagoda/base/random.h"
#include "pagoda/sim/open_program.h"

namespace pagoda::sim {

namespace {

// How far a processor may run ahead of the others. Short against a disk's latency, long against the cost of switching.
constexpr Duration kSlice = 20_us;
// How long a process keeps a processor while others wait for one. NT's workstation quantum: two ticks of 10 ms.
constexpr Duration kQuantum = 20_ms;
// Slices between two progress reports.
constexpr std::uint64_t kProgressStride = 512;

}  // namespace

Input<std::unique_ptr<Simulation>> Simulation::create(const Scenario& scenario, RunOptions options) {
  const std::uint64_t seed = options.seed.value_or(scenario.seed);
  std::vector<std::unique_ptr<Program>> programs;
  std::vector<std::uint64_t> seeds;
  ImageOpener images;
  for (std::size_t number = 0; number < scenario.processes.size(); ++number) {
    const ProcessConfig& config = scenario.processes[number];
    const std::uint64_t own_seed = Random::mix(seed + number + 1);
    auto program = open_program(config, own_seed, images);
    if (!program) return std::unexpected(program.error());
    programs.push_back(std::move(*program));
    seeds.push_back(own_seed);
  }

  auto machine = machine::SimMachine::create(scenario.machine);
  if (!machine)
    return bad_input(fmt::format("{}: host: {} cannot be had here ({})", scenario.file,
                                 to_string(bytes_of(scenario.machine.frames)), to_string(machine.error())));
  for (std::size_t disk = 0; disk < scenario.injections.size(); ++disk) {
    machine::FaultInjection injection(Random::mix(seed ^ (disk + 1)));
    injection.read_error_rate = scenario.injections[disk].read_errors;
    injection.write_error_rate = scenario.injections[disk].write_errors;
    injection.fail_operation = scenario.injections[disk].fail_operation;
    (*machine)->sim_disk(static_cast<unsigned>(disk)).injection() = injection;
  }
  Files files;
  for (const ProcessConfig& config : scenario.processes) {
    if (!config.view || files.contains(config.view->file)) continue;
    auto file = SharedFile::open(*config.view, **machine,
                                 options.verify ? SharedFile::Contents::kModelled : SharedFile::Contents::kOnDisk);
    if (!file) return bad_input(fmt::format("{}: process \"{}\": {}", config.where, config.name, file.error().message));
    files.emplace(config.view->file, std::move(*file));
  }
  auto manager = mm::MemoryManager::create(**machine, scenario.manager);
  if (!manager)
    return bad_input(fmt::format("{}: the host does not start: {}; give it more memory or smaller paging files",
                                 scenario.file, to_string(manager.error())));
  std::vector<std::unique_ptr<Process>> processes;
  for (std::size_t number = 0; number < programs.size(); ++number) {
    const ProcessConfig& config = scenario.processes[number];
    processes.push_back(std::make_unique<Process>(
        config, std::move(programs[number]),
        Process::Surroundings{.file = config.view ? files.at(config.view->file).get() : nullptr,
                              .parent = config.fork_of ? processes[*config.fork_of].get() : nullptr},
        seeds[number],
        Process::Options{.verify = options.verify,
                         .operations_most = std::min(options.operations_most, config.operations_most)}));
  }
  return std::unique_ptr<Simulation>(new Simulation(scenario, std::move(options), std::move(*machine), std::move(files),
                                                    std::move(*manager), std::move(processes)));
}

Simulation::Simulation(const Scenario& scenario, RunOptions options, std::unique_ptr<machine::SimMachine> machine,
                       Files files, std::unique_ptr<mm::MemoryManager> manager,
                       std::vector<std::unique_ptr<Process>> processes)
    : scenario_(scenario),
      options_(std::move(options)),
      seed_(options_.seed.value_or(scenario.seed)),
      machine_(std::move(machine)),
      files_(std::move(files)),
      manager_(std::move(manager)),
      processes_(std::move(processes)) {
  for (machine::Processor* processor : machine_->processors()) {
    processor->set_waiting(machine::Processor::Waiting::kYields);
    cpus_.push_back({.processor = processor});
  }
  for (const auto& process : processes_) total_operations_ += process->length();
  if (options_.verify) manager_->set_event_sink(&history_);
}

Process* Simulation::next_waiting() const {
  Process* first = nullptr;
  for (const auto& process : processes_) {
    const bool waits = process->state() != Process::State::kRunning && process->state() != Process::State::kDone;
    if (waits && (first == nullptr || process->ready_at() < first->ready_at())) first = process.get();
  }
  return first;
}

Simulation::Cpu* Simulation::next_busy() {
  Cpu* first = nullptr;
  for (Cpu& cpu : cpus_)
    if (cpu.running != nullptr && (first == nullptr || cpu.processor->now() < first->processor->now())) first = &cpu;
  return first;
}

Simulation::Cpu* Simulation::next_idle() {
  Cpu* first = nullptr;
  for (Cpu& cpu : cpus_)
    if (cpu.running == nullptr && (first == nullptr || cpu.processor->now() < first->processor->now())) first = &cpu;
  return first;
}

void Simulation::idle_until(Cpu& cpu, Time time) {
  machine::Processor& processor = *cpu.processor;
  while (processor.now() < time && manager_->zero_page_thread().due(processor.now()) <= processor.now())
    manager_->zero_page_thread().run(processor);
  if (processor.now() >= time) return;
  cpu.idle += time - processor.now();
  processor.advance_to(time);
}

Time Simulation::next_system_event(Time now) const {
  Time first = manager_->next_completion();
  // What is due now was done just now; what it left over needs an event to go on.
  for (const mm::SystemThread* thread : manager_->system_threads()) {
    if (thread == &manager_->zero_page_thread()) continue;
    const Time due = thread->due(now);
    if (due > now) first = std::min(first, due);
  }
  return first;
}

void Simulation::run_system_threads(machine::Processor& cpu) {
  manager_->complete_io(cpu);
  for (mm::SystemThread* thread : manager_->system_threads())
    if (thread != &manager_->zero_page_thread() && thread->due(cpu.now()) <= cpu.now()) thread->run(cpu);
}

void Simulation::assign(Cpu& cpu, Process& process) {
  idle_until(cpu, process.ready_at());
  run_system_threads(*cpu.processor);
  if (process.state() == Process::State::kNotStarted && !process.start(*manager_, *cpu.processor, incidents_)) return;
  manager_->attach(*cpu.processor, *process.space());
  process.set_state(Process::State::kRunning);
  cpu.running = &process;
  cpu.quantum_end = cpu.processor->now() + kQuantum;
}

void Simulation::put_down(Cpu& cpu) {
  manager_->detach(*cpu.processor);
  if (cpu.running->state() == Process::State::kDone) cpu.running->finish(*manager_, *cpu.processor);
  cpu.running = nullptr;
}

Input<> Simulation::run_slice(Cpu& cpu) {
  machine::Processor& processor = *cpu.processor;
  run_system_threads(processor);
  Time horizon = std::min({processor.now() + kSlice, cpu.quantum_end, scenario_.until});
  horizon = std::max(horizon, processor.now() + 1_ns);
  const std::uint64_t accesses = cpu.running->accesses();
  PAGODA_TRY(cpu.running->run(processor, horizon, sampler_.interval_number(), incidents_,
                              options_.verify ? &history_ : nullptr));
  cpu.accesses += cpu.running->accesses() - accesses;
  if (cpu.running->state() != Process::State::kRunning) {
    put_down(cpu);
  } else if (processor.now() >= cpu.quantum_end) {
    const Process* const waiting = next_waiting();
    if (waiting != nullptr && waiting->ready_at() <= processor.now()) {
      cpu.running->set_state(Process::State::kReady);
      cpu.running->set_ready_at(processor.now());
      put_down(cpu);
    } else {
      cpu.quantum_end = processor.now() + kQuantum;
    }
  }
  return {};
}

std::vector<ProcessSample> Simulation::sample_processes() {
  std::vector<ProcessSample> samples;
  samples.reserve(processes_.size());
  for (const auto& process : processes_) samples.push_back(process->sample());
  return samples;
}

void Simulation::sample_until(Time time) {
  while (sampler_.due() <= time) sampler_.take(*manager_, sample_processes());
}

void Simulation::report_progress(Time now) {
  if (!options_.progress) return;
  std::uint64_t done = 0;
  for (const auto& process : processes_) done += process->operations();
  options_.progress(done, total_operations_, now);
}

Input<> Simulation::loop() {
  for (;;) {
    Cpu* const busy = next_busy();
    Cpu* const idle = next_idle();
    Process* const waiting = next_waiting();
    const Time busy_now = busy != nullptr ? busy->processor->now() : kNever;
    if (busy == nullptr && waiting == nullptr) return {};

    // What happens first: a waiting process gets an idle processor, the system has something to do while all wait, or
    // the busy processor that is furthest behind goes on.
    if (waiting != nullptr && idle != nullptr && waiting->ready_at() <= busy_now) {
      if (busy == nullptr) {
        const Time event = next_system_event(idle->processor->now());
        if (event < waiting->ready_at()) {
          if (event >= scenario_.until) return {};
          sample_until(event);
          idle_until(*idle, event);
          run_system_threads(*idle->processor);
          continue;
        }
      }
      if (waiting->ready_at() >= scenario_.until) return {};
      if (busy == nullptr) sample_until(waiting->ready_at());
      assign(*idle, *waiting);
      continue;
    }
    if (busy_now >= scenario_.until) return {};
    sample_until(busy_now);
    PAGODA_TRY(run_slice(*busy));
    if (++slices_ % kProgressStride == 0) report_progress(busy_now);
  }
}

Input<RunResult> Simulation::run() {
  const auto began = std::chrono::steady_clock::now();
  PAGODA_TRY(loop());
  Time end;
  for (const Cpu& cpu : cpus_) end = std::max(end, cpu.processor->now());
  const auto unfinished = [](const auto& process) { return process->state() != Process::State::kDone; };
  if (scenario_.until != kNever && std::ranges::any_of(processes_, unfinished)) end = std::max(end, scenario_.until);
  sample_until(end);
  report_progress(end);
  RunResult run = result(end);
  run.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return run;
}

RunResult Simulation::result(Time end) {
  RunResult run{.scenario = scenario_.file,
                .title = scenario_.title,
                .description = scenario_.description,
                .seed = seed_,
                .memory = bytes_of(scenario_.machine.frames),
                .paging = std::string(machine_->paging().name),
                .tlb = scenario_.machine.tlb == machine::TlbGeometry::kLarge ? "large" : "realistic",
                .refill = scenario_.machine.refill == machine::TlbRefill::kHardware ? "hardware" : "software",
                .verified = options_.verify,
                .end = end,
                .counters = manager_->counters(),
                .commit_peak = manager_->commit().peak,
                .incidents = incidents_};
  StateHash hash;
  hash.add(manager_->state_hash(*cpus_.front().processor));
  for (const auto& process : processes_) {
    run.processes.push_back(process->result());
    hash.add(process->checksum());
    hash.add(process->operations());
  }
  sampler_.finish(end, *manager_, sample_processes());
  run.samples = sampler_.samples();
  for (const Cpu& cpu : cpus_) {
    const machine::Processor::Counts& counts = cpu.processor->counts();
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
  for (const machine::Disk* disk : machine_->disks()) {
    const machine::Disk::Counts& counts = disk->counts();
    run.disks.push_back({.name = disk->name(),
                         .capacity = disk->capacity(),
                         .used = disk->used(),
                         .reads = counts.reads,
                         .writes = counts.writes,
                         .bytes_read = counts.bytes_read,
                         .bytes_written = counts.bytes_written,
                         .errors = counts.errors,
                         .busy = counts.busy});
    hash.add(counts.reads);
    hash.add(counts.writes);
  }
  const mm::PagingFiles& files = manager_->core().paging_files;
  for (std::size_t number = 0; number < files.size(); ++number) {
    const mm::PagingFile& file = files[number];
    run.page_files.push_back({.name = file.name(),
                              .disk = scenario_.machine.disks[scenario_.manager.paging_files[number].disk].name,
                              .minimum = bytes_of(file.minimum()),
                              .maximum = bytes_of(file.maximum()),
                              .size = bytes_of(file.size()),
                              .used = file.used(),
                              .peak_used = file.peak_used()});
  }
  run.state_hash = hash.digest();
  return run;
}

Input<RunResult> run_scenario(const Scenario& scenario, RunOptions options) {
  auto simulation = Simulation::create(scenario, std::move(options));
  if (!simulation) return std::unexpected(simulation.error());
  return (*simulation)->run();
}

}  // namespace pagoda::sim
