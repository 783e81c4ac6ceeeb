// A scenario: what a TOML file asks for, checked. docs/scenarios.md lists every key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/hv/partition.h"
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

// A virtual machine. Of `machine`: memory, paging, processors, TLB and disks are the guest's.
struct VmConfig : SystemConfig {
  enum class GuestKind : std::uint8_t {
    kPlain,    // Asks its hypervisor for nothing.
    kWindows,  // Tells it which memory is hot and which is cold.
  };

  std::string name;
  hv::MmuKind mmu = hv::MmuKind::kNested;
  hv::Backing backing = hv::Backing::kVirtual;
  PageCount fault_cluster{16};
  PageCount shadow_limit{1024};
  bool cold_hints = true;  // Hints that the host accepts.
  bool hot_hints = true;
  bool cold_discard_hints = true;
  Duration hint_period = 1_s;  // How often the guest looks for memory to hint.
  GuestKind guest = GuestKind::kWindows;
  std::optional<mm::WorkingSet::Limits> limits;  // Of its host process.
  std::string where;
};

struct Scenario : SystemConfig {
  std::string file;
  std::string title;
  std::string description;
  std::uint64_t seed = 1;
  std::vector<VmConfig> vms;
  std::string compare_with;  // Another scenario, as found; empty: none.
  Time until = kNever;
};

// Reads and checks a scenario. Fails with one line: file, line, key, what is wrong and what to do.
Input<Scenario> load_scenario(const std::string& path);
Input<Scenario> parse_scenario(const std::string& text, const std::string& path);

}  // namespace pagoda::sim
