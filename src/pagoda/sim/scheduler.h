// Scheduling on one machine, the host or a guest: tasks take turns on processors, and the memory manager's own
// threads run on whichever processor is about to run.
//
// A task keeps a processor for a quantum while others wait for one, and is executed in slices, so that the driver
// of several processors can keep their clocks close. Deterministic: the task that waited longest runs first, and among
// equals the first in the list.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/sim/sim_processor.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/task.h"

namespace pagoda::sim {

class Scheduler {
 public:
  struct Cpu {
    machine::SimProcessor* processor = nullptr;
    Task* running = nullptr;
    Time quantum_end;
    Duration idle;
    std::uint64_t accesses = 0;  // Done on it by its tasks.
  };

  // The processors yield from now on (Processor::Waiting); all outlive this.
  Scheduler(mm::MemoryManager& manager, std::span<machine::SimProcessor* const> processors);
  void add(Task& task);
  // The task's state, or the time at which it can go on, may have changed without this scheduler: it was not in a call
  // of one of the functions below.
  void update(Task& task);
  // One more thread of the machine's kernel, behind the manager's own.
  void add_thread(mm::SystemThread& thread) { threads_.push_back(&thread); }

  [[nodiscard]] std::span<Cpu> cpus() { return cpus_; }
  // The waiting task that can go on first; null if none waits.
  [[nodiscard]] Task* next_waiting() const { return waiting_.empty() ? nullptr : waiting_.begin()->second; }
  // The processor that is furthest behind among those with, or without, a task; null if there is none.
  [[nodiscard]] Cpu* next_busy();
  [[nodiscard]] Cpu* next_idle();

  // Gives an idle processor, brought up to that time, to a task that waits. It may not take it.
  void assign(Cpu& cpu, Task& task);
  // A processor without a task, the one furthest behind; if all have one, that processor's goes back to those that wait.
  Cpu& vacate();
  // Takes the task off its processor, if it has one.
  void take_off(Task& task);
  // Runs the processor's task for a slice, at most until `until`; then it may have lost the processor.
  Input<> run_slice(Cpu& cpu, Time until);
  // Ends transfers that are complete and runs the threads that are due, but for the zero-page thread.
  void run_system_threads(machine::SimProcessor& cpu);
  // The zero-page thread, which gets only idle time. False: it has nothing to do.
  bool zero_pages(machine::SimProcessor& cpu);
  // Lets a processor pass idle time until then; the zero-page thread may use it.
  void idle_until(Cpu& cpu, Time time);
  // The earliest of what will happen without any task: a completion, a thread that becomes due.
  [[nodiscard]] Time next_system_event(Time now) const;

 private:
  void put_down(Cpu& cpu);
  void preempt(Cpu& cpu);

  mm::MemoryManager& manager_;
  unsigned task_count_ = 0;
  // Those that wait, by the time at which they can go on; then in the order in which they were added.
  std::map<std::pair<Time, unsigned>, Task*> waiting_;
  std::vector<mm::SystemThread*> threads_;  // Without the zero-page thread.
  std::vector<Cpu> cpus_;
};

}  // namespace pagoda::sim
