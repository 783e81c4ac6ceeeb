// A scenario: what a TOML file asks for, checked. docs/scenarios.md lists every key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/policy/activity.h"
#include "pagoda/policy/policy.h"
#include "pagoda/sim/scenario/system_config.h"
#include "pagoda/sim/scenario/vm_config.h"

namespace pagoda::sim {

// How a host shares pages by contents.
struct SharingConfig {
  mm::SharingTunables tunables;
  std::vector<std::string> domains;  // Named ones, by number.
};

// What moves the memory of a host's machines.
struct PolicyConfig {
  std::string name = "pagoda";
  policy::PolicyOptions options;
  std::uint64_t scale = 1;                             // It sees each page as so many.
  Duration sampling = policy::kOsdi02Activity.period;  // Of a machine's activity, in its own time.
};

// What changes while the host runs. Lives of machines and of their balloons' drivers are in VmConfig.
struct EventConfig {
  Time at;
  std::optional<std::size_t> vm;  // By position, whose...
  std::optional<std::uint64_t> shares;
  std::optional<PageCount> minimum;
  std::optional<std::size_t> disk;  // Of the host, which is...
  std::uint64_t slower = 1;         // ...so many times.
};

// The host, the virtual machines on it, and the run.
struct Scenario : SystemConfig {
  machine::SimMachineConfig machine;
  std::string file;
  std::string title;
  std::string description;
  std::uint64_t seed = 1;
  std::optional<SharingConfig> sharing;  // None: it does not.
  std::vector<TemplateConfig> templates;
  std::optional<PolicyConfig> policy;  // None: nobody moves any.
  std::vector<VmConfig> vms;
  std::vector<EventConfig> events;
  std::string compare_with;  // The file of another scenario, as found; empty: none.
  Time until = kNever;
};

// Reads and checks a scenario. `path` is its name in messages, and its folder is where relative names begin.
// Fails with: one line that says file, line, key, what is wrong and what to do.
Input<Scenario> load_scenario(const std::string& path);
Input<Scenario> parse_scenario(const std::string& text, const std::string& path);

// The files that a run of it reads, itself and the one it is compared with first.
std::vector<std::string> input_files(const Scenario& scenario);

}  // namespace pagoda::sim
