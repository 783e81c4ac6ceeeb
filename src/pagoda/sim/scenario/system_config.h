// What the host and a virtual machine have alike, apart from the machine itself: plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pagoda/mm/memory_manager_config.h"
#include "pagoda/sim/scenario/process_config.h"

namespace pagoda::sim {

// Failures that a disk is told to have.
struct DiskInjection {
  double read_errors = 0;  // Rates.
  double write_errors = 0;
  std::optional<std::uint64_t> fail_operation;  // The number of one operation that fails.
};

struct SystemConfig {
  std::vector<DiskInjection> injections;  // By the number of the disk.
  mm::MemoryManagerConfig manager;        // Paging files and tunables.
  std::vector<ProcessConfig> processes;
};

}  // namespace pagoda::sim
