// One run of a scenario: the host, the guests on it, and the event loop that moves them through virtual time.
//
// The loop always runs the busy processor of the host that is furthest behind, for at most a slice, so that no
// processor sees another's future by more than that. Processors without work are brought up to the time at which they
// get some. The manager's threads run when they are due on the processor that is about to run; the zero-page thread
// only in idle time. Deterministic: same scenario and seed, same run, bit for bit.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/guest.h"
#include "pagoda/sim/host_policy.h"
#include "pagoda/sim/run_result.h"
#include "pagoda/sim/sampler.h"
#include "pagoda/sim/scenario/scenario.h"
#include "pagoda/sim/system.h"

namespace pagoda::sim {

struct RunOptions {
  bool verify = false;
  std::optional<std::uint64_t> seed;                  // Instead of the scenario's.
  std::uint64_t operations_most = ~std::uint64_t{0};  // Each process's.
  // Called now and then with operations done, operations in all, and virtual time.
  std::function<void(std::uint64_t, std::uint64_t, Time)> progress;
};

class Simulation {
 public:
  // Opens programs, builds the host and boots the guests. Fails with one line that says what is wrong, also where it is
  // this computer that has no room for a disk.
  static Input<std::unique_ptr<Simulation>> create(const Scenario& scenario, RunOptions options);

  // To the end: all programs done, or the scenario's time is up. Fails if a program's input does, if the real file
  // system under a disk does, or on wrong contents (--verify).
  Input<RunResult> run();

  [[nodiscard]] mm::MemoryManager& manager() { return host_->manager(); }
  [[nodiscard]] machine::SimMachine& machine() { return *machine_; }
  [[nodiscard]] const std::vector<std::unique_ptr<Guest>>& guests() const { return guests_; }

 private:
  Simulation(const Scenario& scenario, RunOptions options);

  Input<> build();
  Input<> loop();
  // Whether this computer still carries the disks.
  [[nodiscard]] Input<> host_holds() const;
  Input<> make_guests(ImageOpener& images);
  [[nodiscard]] bool is_finished();
  // When the next machine starts or ends, or the next event is; kNever: there is none.
  [[nodiscard]] Time next_change() const { return changes_.empty() ? kNever : changes_.begin()->first; }
  // What is next then.
  void make_change();
  void start_or_end(Guest& guest, machine::SimProcessor& cpu);
  void apply(const EventConfig& event);
  [[nodiscard]] std::vector<ProcessSample> sample_processes(Time now);
  [[nodiscard]] VmSamples sample_vms(Time now);
  void sample_until(Time time);
  void report_progress(Time now);
  RunResult result(Time end);

  const Scenario scenario_;
  const RunOptions options_;
  const std::uint64_t seed_;
  RunLog log_;
  std::unique_ptr<machine::SimMachine> machine_;
  std::unique_ptr<System> host_;
  std::unique_ptr<Templates> templates_;
  std::vector<std::unique_ptr<Guest>> guests_;
  std::unique_ptr<HostPolicy> policy_;  // Null: none.
  using Change = std::variant<Guest*, const EventConfig*>;
  std::multimap<Time, Change> changes_;  // Machines that start, or whose power is cut, and events.
  std::size_t first_unfinished_ = 0;     // All guests before it are finished, for good.
  Sampler sampler_;
  std::uint64_t slices_ = 0;
};

// Opens the scenario's programs, builds and runs.
Input<RunResult> run_scenario(const Scenario& scenario, RunOptions options);

}  // namespace pagoda::sim
