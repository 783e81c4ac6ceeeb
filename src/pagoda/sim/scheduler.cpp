#include "pagoda/sim/scheduler.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace pagoda::sim {

namespace {

// How far a processor may run ahead of the others. Short against a disk's latency, long against the cost of switching.
constexpr Duration kSlice = 20_us;
// How long a task keeps a processor while others wait for one. NT's workstation quantum: two ticks of 10 ms.
constexpr Duration kQuantum = 20_ms;

}  // namespace

Scheduler::Scheduler(mm::MemoryManager& manager, std::span<machine::SimProcessor* const> processors)
    : manager_(manager) {
  for (machine::SimProcessor* processor : processors) {
    processor->set_waiting(machine::SimProcessor::Waiting::kYields);
    cpus_.push_back({.processor = processor});
  }
  for (mm::SystemThread* thread : manager.system_threads())
    if (thread != &manager.zero_page_thread()) threads_.push_back(thread);
}

void Scheduler::add(Task& task) {
  task.number_ = task_count_++;
  update(task);
}

void Scheduler::update(Task& task) {
  const std::optional<Time> until = task.waits() ? std::optional(task.ready_at()) : std::nullopt;
  if (until == task.queued_until_) return;
  if (task.queued_until_) waiting_.erase({*task.queued_until_, task.number_});
  if (until) waiting_.emplace(std::pair(*until, task.number_), &task);
  task.queued_until_ = until;
}

Scheduler::Cpu* Scheduler::next_busy() {
  Cpu* first = nullptr;
  for (Cpu& cpu : cpus_)
    if (cpu.running != nullptr && (first == nullptr || cpu.processor->now() < first->processor->now())) first = &cpu;
  return first;
}

Scheduler::Cpu* Scheduler::next_idle() {
  Cpu* first = nullptr;
  for (Cpu& cpu : cpus_)
    if (cpu.running == nullptr && (first == nullptr || cpu.processor->now() < first->processor->now())) first = &cpu;
  return first;
}

bool Scheduler::zero_pages(machine::SimProcessor& cpu) {
  mm::ZeroPageThread& thread = manager_.zero_page_thread();
  if (thread.due(cpu.now()) > cpu.now()) return false;
  thread.run(cpu);
  return true;
}

void Scheduler::idle_until(Cpu& cpu, Time time) {
  machine::SimProcessor& processor = *cpu.processor;
  while (processor.now() < time && zero_pages(processor)) {
  }
  if (processor.now() >= time) return;
  cpu.idle += time - processor.now();
  processor.advance_to(time);
}

Time Scheduler::next_system_event(Time now) const {
  Time first = manager_.next_completion();
  // What is due now was done just now; what it left over needs an event to go on.
  for (const mm::SystemThread* thread : threads_) {
    const Time due = thread->due(now);
    if (due > now) first = std::min(first, due);
  }
  return first;
}

void Scheduler::run_system_threads(machine::SimProcessor& cpu) {
  manager_.complete_io(cpu);
  for (mm::SystemThread* thread : threads_)
    if (thread->due(cpu.now()) <= cpu.now()) thread->run(cpu);
}

void Scheduler::assign(Cpu& cpu, Task& task) {
  run_system_threads(*cpu.processor);
  if (!task.take(*cpu.processor)) return update(task);
  task.set_state(Task::State::kRunning);
  update(task);
  cpu.running = &task;
  cpu.quantum_end = cpu.processor->now() + kQuantum;
}

void Scheduler::put_down(Cpu& cpu) {
  Task& task = *std::exchange(cpu.running, nullptr);
  task.leave(*cpu.processor);
  update(task);
}

void Scheduler::preempt(Cpu& cpu) {
  if (cpu.running->state() == Task::State::kRunning) {
    cpu.running->set_state(Task::State::kReady);
    cpu.running->set_ready_at(cpu.processor->now());
  }
  put_down(cpu);
}

Scheduler::Cpu& Scheduler::vacate() {
  if (Cpu* const idle = next_idle(); idle != nullptr) return *idle;
  Cpu& cpu = *next_busy();
  preempt(cpu);
  return cpu;
}

void Scheduler::take_off(Task& task) {
  for (Cpu& cpu : cpus_)
    if (cpu.running == &task) preempt(cpu);
}

Input<> Scheduler::run_slice(Cpu& cpu, Time until) {
  machine::SimProcessor& processor = *cpu.processor;
  Task& task = *cpu.running;
  run_system_threads(processor);
  Time horizon = std::min({processor.now() + kSlice, cpu.quantum_end, until});
  horizon = std::max(horizon, processor.now() + 1_ns);
  const std::uint64_t accesses = task.accesses();
  PAGODA_TRY(task.run(processor, horizon));
  cpu.accesses += task.accesses() - accesses;
  if (task.state() != Task::State::kRunning) {
    put_down(cpu);
  } else if (processor.now() >= cpu.quantum_end) {
    const Task* const waiting = next_waiting();
    if (waiting != nullptr && waiting->ready_at() <= processor.now()) {
      preempt(cpu);
    } else {
      cpu.quantum_end = processor.now() + kQuantum;
    }
  }
  return {};
}

}  // namespace pagoda::sim
