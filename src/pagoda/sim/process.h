// A process of a run: a program in an address space of the host or of a guest, executed operation by operation on
// whatever processor the scheduler lends.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/machine/sim/host_failure.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/page_history.h"
#include "pagoda/sim/program.h"
#include "pagoda/sim/program_memory.h"
#include "pagoda/sim/run_result.h"
#include "pagoda/sim/scenario/process_config.h"
#include "pagoda/sim/task.h"

namespace pagoda::sim {

class Guest;

// What all processes of a run write into.
struct RunLog {
  std::vector<Incident> incidents;
  std::uint32_t interval = 1;           // Between which two samples; Sampler::interval_number.
  machine::HostFailures host_failures;  // Of all disks: what they really lie on.
  std::vector<Guest*> given_up;         // Machines that the host could not feed: to be ended.
};

// A load that did not return what was stored there: a bug of ours. The run stops.
struct Mismatch {
  std::string text;  // The address, both values, and the page's whole history.
};

class Process : public Task {
 public:
  struct Options {
    bool verify = false;
    std::uint64_t operations_most = ~std::uint64_t{0};
    std::string vm;  // That it runs in; empty: the host.
  };

  // All outlive the process.
  struct Surroundings {
    mm::MemoryManager* manager = nullptr;  // Its machine's.
    RunLog* log = nullptr;
    const PageHistory* history = nullptr;  // With --verify: of its machine's pages.
    SharedFile* file = nullptr;            // What `config.view` asks for, or the template that the program begins with.
    Process* parent = nullptr;             // What `config.fork_of` names.
  };

  Process(const ProcessConfig& config, std::unique_ptr<Program> program, const Surroundings& surroundings,
          std::uint64_t seed, const Options& options);

  // At first makes the address space and the program's memory, or forks its parent's; that may be refused, with the
  // reason among the incidents.
  bool take(machine::SimProcessor& cpu) override;
  Input<> run(machine::SimProcessor& cpu, Time horizon) override;
  void leave(machine::SimProcessor& cpu) override;
  void waited_outside(Duration time) override {
    result_.cpu_time -= std::min(time, result_.cpu_time);
    result_.wait_time += time;
  }

  // The machine around it stands still from `since` until then; what it waits for anyway is part of that.
  void stand_still(Time since, Time until);

  [[nodiscard]] mm::ProcessSpace* space() const { return space_; }
  [[nodiscard]] const std::string& name() const { return config_.name; }
  [[nodiscard]] std::uint64_t length() const { return std::min(program_->length(), options_.operations_most); }
  [[nodiscard]] std::uint64_t operations() const { return result_.operations; }
  [[nodiscard]] std::uint64_t accesses() const override { return accesses_; }
  [[nodiscard]] std::uint64_t checksum() const { return checksum_; }
  // For disks or for memory, until then.
  [[nodiscard]] Duration waited(Time now) const;

  // At that time: what it waits for beyond it has not happened yet.
  [[nodiscard]] ProcessSample sample(Time at);
  [[nodiscard]] ProcessResult result(Time now) const;

 private:
  void log(Time time, std::string text);
  bool start(machine::SimProcessor& cpu);
  void finish(machine::SimProcessor& cpu);
  // The address space with all that is in it.
  Result<> make_space(machine::SimProcessor& cpu);
  void wait_until(const machine::SimProcessor& cpu, Time time);
  // One operation. kPending: repeat it later.
  Status execute(machine::SimProcessor& cpu, const Operation& operation);
  Status fill(machine::SimProcessor& cpu, std::uint32_t page);
  Status give_back(machine::SimProcessor& cpu, std::uint32_t page);
  // Whether it does nothing yet, and then waits for that.
  bool sleeps(const machine::SimProcessor& cpu, const Operation& operation);
  bool compare(std::uint32_t page, std::size_t word, std::uint64_t value);
  Input<bool> fetch_next();

  const ProcessConfig config_;
  const Options options_;
  const std::uint64_t seed_;
  const Surroundings surroundings_;
  Process* const parent_;
  std::unique_ptr<Program> program_;
  ProgramMemory memory_;
  mm::ProcessSpace* space_ = nullptr;
  std::vector<Operation> batch_;
  std::size_t batch_at_ = 0;
  std::size_t batch_size_ = 0;
  Time started_;
  bool is_asleep_ = false;      // It waits because it wants to.
  bool filling_ = false;        // The current operation's page still lacks its first contents.
  std::uint64_t accesses_ = 0;  // Loads, stores and fetches done.
  std::uint64_t checksum_ = 0;  // Covers all values loaded.
  std::optional<std::pair<std::uint32_t, std::string>> mismatch_;
  mm::ProcessSpace::Statistics last_;  // The space's, once it is destroyed.
  ProcessResult result_;
};

}  // namespace pagoda::sim
