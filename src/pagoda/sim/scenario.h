// A scenario: what a TOML file asks for, checked. docs/scenarios.md lists every key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/generator.h"
#include "pagoda/sim/image_program.h"
#include "pagoda/sim/shared_file.h"

namespace pagoda::sim {

struct TraceConfig {
  std::string file;  // As found: relative names are taken from the scenario's folder.
  std::uint64_t repeat = 1;
};

struct ProcessConfig {
  std::string name;
  std::variant<TraceConfig, GeneratorConfig, ImageProgramConfig> program;
  std::optional<ImageConfig> fill;     // What its pages hold when they are first touched.
  std::optional<FileViewConfig> view;  // Of generators: in front of their memory, which contains it.
  std::optional<std::size_t> fork_of;  // By its place among the processes, further up; runs its program.
  std::uint64_t operations_most = ~std::uint64_t{0};
  std::optional<mm::WorkingSet::Limits> limits;
  Time start;
  std::string where;  // "scenarios/host.toml:31", for messages about it.
};

struct DiskInjection {
  double read_errors = 0;
  double write_errors = 0;
  std::optional<std::uint64_t> fail_operation;
};

// A machine, the host or a guest's, and what runs on it.
struct SystemConfig {
  machine::SimMachineConfig machine;      // Disks included.
  std::vector<DiskInjection> injections;  // As machine.disks.
  mm::MemoryManagerConfig manager;        // Paging files and tunables.
  std::vector<ProcessConfig> processes;
};

struct Scenario : SystemConfig {
  std::string file;
  std::string title;
  std::string description;
  std::uint64_t seed = 1;
  Time until = kNever;
};

// Reads and checks a scenario. Fails with one line: file, line, key, what is wrong and what to do.
Input<Scenario> load_scenario(const std::string& path);
Input<Scenario> parse_scenario(const std::string& text, const std::string& path);

}  // namespace pagoda::sim
