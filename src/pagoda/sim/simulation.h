// One run of a scenario: the machine, its memory manager, the processes, and the event loop that moves them through
// virtual time.
//
// The loop always runs the busy processor that is furthest behind, for at most a slice, so that no processor sees
// another's future by more than that. Processors without work are brought up to the time at which they get some. The
// manager's threads run when they are due on the processor that is about to run; the zero-page thread only in idle
// time. Deterministic: same scenario and seed, same run, bit for bit.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/page_history.h"
#include "pagoda/sim/process.h"
#include "pagoda/sim/run_result.h"
#include "pagoda/sim/sampler.h"
#include "pagoda/sim/scenario.h"

namespace pagoda::sim {

struct RunOptions {
  bool verify = false;
  std::optional<std::uint64_t> seed;                  // Instead of the scenario's.
  std::uint64_t operations_most = ~std::uint64_t{0};  // Of each process.
  // Called now and then with operations done, operations in all, and virtual time.
  std::function<void(std::uint64_t, std::uint64_t, Time)> progress;
};

class Simulation {
 public:
  // Opens programs and builds the host. Fails with one line that says what is wrong.
  static Input<std::unique_ptr<Simulation>> create(const Scenario& scenario, RunOptions options);

  // To the end: all programs done, or the scenario's time is up. Fails if a program's input does, or on wrong contents
  // (--verify).
  Input<RunResult> run();

  [[nodiscard]] mm::MemoryManager& manager() { return *manager_; }
  [[nodiscard]] machine::SimMachine& machine() { return *machine_; }

 private:
  struct Cpu {
    machine::Processor* processor = nullptr;
    Process* running = nullptr;
    Time quantum_end;
    Duration idle;
    std::uint64_t accesses = 0;  // Loads, stores and fetches done on it.
  };

  // By their paths.
  using Files = std::map<std::string, std::unique_ptr<SharedFile>>;
  Simulation(const Scenario& scenario, RunOptions options, std::unique_ptr<machine::SimMachine> machine, Files files,
             std::unique_ptr<mm::MemoryManager> manager, std::vector<std::unique_ptr<Process>> processes);

  Input<> loop();
  // The waiting process that can go on first; null if none waits.
  [[nodiscard]] Process* next_waiting() const;
  Cpu* next_busy();
  Cpu* next_idle();
  void assign(Cpu& cpu, Process& process);
  void put_down(Cpu& cpu);
  // Lets a processor pass idle time until `time`; the zero-page thread may use it.
  void idle_until(Cpu& cpu, Time time);
  void run_system_threads(machine::Processor& cpu);
  // The earliest of what will happen without any program: a completion, a thread that becomes due.
  [[nodiscard]] Time next_system_event(Time now) const;
  Input<> run_slice(Cpu& cpu);
  [[nodiscard]] std::vector<ProcessSample> sample_processes();
  void sample_until(Time time);
  void report_progress(Time now);
  RunResult result(Time end);

  const Scenario scenario_;
  const RunOptions options_;
  const std::uint64_t seed_;
  PageHistory history_;  // The manager reports to it.
  std::unique_ptr<machine::SimMachine> machine_;
  Files files_;
  std::unique_ptr<mm::MemoryManager> manager_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<Cpu> cpus_;
  Sampler sampler_;
  std::vector<std::string> incidents_;
  std::uint64_t total_operations_ = 0;
  std::uint64_t slices_ = 0;
};

// Opens the scenario's programs, builds and runs.
Input<RunResult> run_scenario(const Scenario& scenario, RunOptions options);

}  // namespace pagoda::sim
