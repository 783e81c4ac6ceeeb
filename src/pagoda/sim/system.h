// One machine with its memory manager and the processes that run on it: the host, or a guest.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/machine/machine.h"
#include "pagoda/machine/sim/sim_disk.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/image/image_contents.h"
#include "pagoda/sim/page_history.h"
#include "pagoda/sim/process.h"
#include "pagoda/sim/run_result.h"
#include "pagoda/sim/scenario/system_config.h"
#include "pagoda/sim/scheduler.h"
#include "pagoda/sim/templates.h"

namespace pagoda::sim {

// Its programs, opened: what can fail before there is a machine.
class Programs {
 public:
  // Fails with one line: a trace or an image that cannot be read.
  static Input<Programs> open(const SystemConfig& config, std::uint64_t seed, ImageOpener& images);

  // Operations of all of them.
  [[nodiscard]] std::uint64_t length() const;
  [[nodiscard]] std::string describe(std::size_t number) const { return programs_[number]->describe(); }

 private:
  friend class System;
  std::vector<std::unique_ptr<Program>> programs_;
  std::vector<std::uint64_t> seeds_;
};

class System {
 public:
  struct Options {
    bool verify = false;
    std::uint64_t operations_most = ~std::uint64_t{0};  // Each process's.
    unsigned depth = 0;                                 // Its memory manager's.
    std::uint64_t seed = 1;                             // For its choices at random.
    std::uint64_t disk_seed = 1;                        // For errors of its disks.
    std::string name;                                   // "the host", for messages.
    std::string vm;                                     // The virtual machine that it is the guest of; empty: the host.
    std::string file;                                   // The scenario's.
    std::span<const machine::DiskModel> disks;          // The machine's.
    const Templates* templates = nullptr;               // The host's, for a guest; outlives it.
  };

  // Boots the machine. Its processes run on those of its processors that are named, and write into the log. The machine
  // and the log outlive this. Fails with one line: the memory manager does not start, a file cannot be had.
  static Input<std::unique_ptr<System>> create(const SystemConfig& config, machine::Machine& machine,
                                               std::span<machine::SimProcessor* const> processors, Programs programs,
                                               RunLog& log, const Options& options);

  [[nodiscard]] machine::Machine& machine() { return machine_; }
  [[nodiscard]] mm::MemoryManager& manager() { return *manager_; }
  [[nodiscard]] const mm::MemoryManager& manager() const { return *manager_; }
  [[nodiscard]] Scheduler& scheduler() { return *scheduler_; }
  [[nodiscard]] const std::vector<std::unique_ptr<Process>>& processes() const { return processes_; }
  [[nodiscard]] bool is_finished() const;
  [[nodiscard]] std::uint64_t operations() const;
  // Operations of all processes, as far as is known before they have run.
  [[nodiscard]] std::uint64_t length() const;

  [[nodiscard]] ManagerSettings settings() const;
  // What its parts did, for the run's result.
  [[nodiscard]] std::vector<DiskResult> disk_results();
  [[nodiscard]] std::vector<PageFileResult> page_file_results() const;

 private:
  System(const SystemConfig& config, machine::Machine& machine) : config_(config), machine_(machine) {}
  // Null: the program maps none, and begins with no template.
  [[nodiscard]] SharedFile* file_of(const ProcessConfig& process, const Templates* templates) const;

  const SystemConfig config_;
  machine::Machine& machine_;
  PageHistory history_;                                       // The manager reports to it.
  std::map<std::string, std::unique_ptr<SharedFile>> files_;  // By their paths.
  std::unique_ptr<mm::MemoryManager> manager_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace pagoda::sim
