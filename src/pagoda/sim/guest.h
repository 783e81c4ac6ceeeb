// A virtual machine of a run: its partition on the host, the guest's system inside, and its virtual processors as tasks
// of the host's scheduler.
//
//   host Scheduler ── core ── runs VirtualCpu (a Task) ── guest Scheduler ── virtual processor ── runs Process (a Task)
//
// It starts and ends while the host runs. What it did is told when it is no more; what it had is the host's again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/guest/balloon_driver.h"
#include "pagoda/guest/enlightenments.h"
#include "pagoda/hv/partition.h"
#include "pagoda/sim/machine_watch.h"
#include "pagoda/sim/run_result.h"
#include "pagoda/sim/scenario/vm_config.h"
#include "pagoda/sim/scheduler.h"
#include "pagoda/sim/system.h"
#include "pagoda/sim/virtual_cpu.h"

namespace pagoda::sim {

class Guest {
 public:
  // A machine that boots when it starts: here, if that is before time begins for the host. All that is named outlives
  // this. `options` need templates, and no depth, names and disks. Fails with: one line; what `start` makes an incident.
  static Input<std::unique_ptr<Guest>> create(const VmConfig& config, System& host, Programs programs, RunLog& log,
                                              const System::Options& options);

  // Makes the partition and boots the guest in it, on a processor of the host that no task has; its virtual processors
  // become tasks of the host. If the host cannot promise the memory, or the guest does not start, that is an incident,
  // and the machine never runs. Gives a time if the host waits for a disk: try again then.
  std::optional<Time> start(machine::SimProcessor& cpu);
  // Who is asked when the host has no charge left for what it touches first, from now on. Stays the caller's.
  void set_charge_source(hv::ChargeSource* source);
  // Its power is cut, or it was lost: the host has everything back.
  void end(Time now);
  [[nodiscard]] bool is_running() const { return system_ != nullptr; }
  // Whether its programs will do nothing more.
  [[nodiscard]] bool is_finished() const { return is_running() ? system_->is_finished() : ended_.has_value(); }
  // Or was not let.
  [[nodiscard]] bool is_started() const { return is_running() || ended_.has_value(); }

  [[nodiscard]] const std::string& name() const { return config_.partition.name; }
  // When its present life began. Requires that it runs.
  [[nodiscard]] Time started() const { return started_; }
  // What its host owes it.
  [[nodiscard]] const AllocationConfig& allocation() const { return allocation_; }
  void set_allocation(const AllocationConfig& allocation) { allocation_ = allocation; }
  // What the out-of-memory killer is to add for it (sim/oom_killer.h).
  [[nodiscard]] int oom_adjust() const { return config_.limits.oom_adjust; }
  // The host lets nothing in it go on until then.
  void block(Time until) { blocked_until_ = until; }
  // Of its virtual processors, together: what they computed, and waited for the host.
  [[nodiscard]] Duration busy() const;
  [[nodiscard]] Duration waited(Time now) const;

  // Of its programs, together: what they waited for memory and disks, its own and the host's. Requires that it runs.
  [[nodiscard]] Duration waited_for_memory(Time now) const;

  // The next five: requires that it runs.
  [[nodiscard]] hv::Partition& partition() { return *partition_; }
  [[nodiscard]] System& system() { return *system_; }
  [[nodiscard]] const System& system() const { return *system_; }
  // Made, so, when it is asked for first.
  [[nodiscard]] MachineWatch& watch(const WatchConfig& config);
  // When a halted virtual processor has something to do; kNever if another one that is halted will do it.
  [[nodiscard]] Time wake_time(const VirtualCpu& cpu) const;
  // The host cannot bring in the guest's memory: it tries from `since` until that time, and the guest stands still. Then
  // it is lost, and nothing in it runs any more.
  void doom(const std::string& why, Time since, Time time);
  // The host takes its memory at once, and it is lost as soon as one of its virtual processors comes to learn it.
  // Requires: it runs and is not lost, and no access of its own is under way.
  void kill(mm::Processor& cpu, const std::string& why);
  // From when it stands still on: it stopped in the middle of something.
  [[nodiscard]] bool is_lost() const { return loss_.has_value(); }
  // When the host gives up. Requires: is_lost.
  [[nodiscard]] Time lost_at() const { return loss_->time; }

  [[nodiscard]] std::uint64_t operations() const;
  [[nodiscard]] std::uint64_t length() const;
  [[nodiscard]] VmSample sample(Time now);
  [[nodiscard]] VmResult result(Time now);
  // A process each, whether or not it ran.
  void add_samples(Time now, std::vector<ProcessSample>& samples);
  void add_results(Time now, std::vector<ProcessResult>& results) const;
  // A fingerprint of what the guest did, beside its memory, which is the host's.
  [[nodiscard]] std::uint64_t state_hash() const;

 private:
  friend class VirtualCpu;

  // What is left of a machine that ran, or was not let.
  struct Ended {
    VmResult result;
    std::vector<ProcessResult> processes;
    std::uint64_t state_hash = 0;
  };

  Guest(const VmConfig& config, System& host, Programs programs, RunLog& log, const System::Options& options);
  Input<> boot(machine::SimProcessor& cpu);
  // By contents, as the scenario says.
  Input<> allow_sharing();
  // What the scenario says.
  [[nodiscard]] VmResult described() const;
  // The drivers and the like that its guest has, beside its memory manager.
  void add_threads();
  // The time has come.
  void lose();
  // Tells the host's scheduler that other virtual processors may have something to do, or no more.
  void update_cpus();

  const VmConfig config_;
  System& host_;
  Scheduler& cores_;
  RunLog& log_;
  Programs programs_;  // Until it starts.
  const std::uint64_t length_;
  System::Options options_;
  std::unique_ptr<hv::Partition> partition_;
  std::unique_ptr<System> system_;                         // Destroyed before the partition.
  std::unique_ptr<guest::Enlightenments> enlightenments_;  // A Windows guest's whose host takes hints.
  std::unique_ptr<guest::BalloonDriver> balloon_driver_;   // Null: none.
  std::vector<std::unique_ptr<VirtualCpu>> cpus_;
  std::unique_ptr<MachineWatch>
      watch_;  // By the host's policy, from its first round on; destroyed before the partition.
  hv::ChargeSource* charge_source_ = nullptr;
  AllocationConfig allocation_;
  Time blocked_until_;
  std::optional<VmLoss> loss_;
  Time started_ = kNever;
  std::optional<Ended> ended_;
};

}  // namespace pagoda::sim
