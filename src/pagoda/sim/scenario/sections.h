// The readers of a scenario's sections, a source each. A reader fills its part of the configuration from one table, and
// says what is wrong through the table.
#pragma once

#include <filesystem>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/scenario/scenario.h"
#include "pagoda/sim/scenario/toml_table.h"

namespace pagoda::sim {

// Of the host, or of one virtual machine.
inline constexpr unsigned kMostProcessors = 64;

// Of one virtual machine.
inline constexpr std::uint64_t kMostShares = 1'000'000;

// The system whose sections are being read: the host, or the guest of a virtual machine. Their machines are configured
// by different structs; these are the fields that both have.
struct SystemDraft {
  SystemDraft(Scenario& host, std::filesystem::path of_scenario);
  SystemDraft(VmConfig& vm, std::filesystem::path of_scenario);

  SystemConfig& system;
  PageCount& memory;
  machine::PteFormat& paging;
  unsigned& processors;
  machine::TlbGeometry& tlb;
  machine::TlbRefill& refill;
  std::vector<machine::DiskModel>& disks;
  std::filesystem::path folder;  // The scenario's, where relative names of files begin.
  // What programs may begin with; null: nothing, they are the host's own.
  const std::vector<TemplateConfig>* templates = nullptr;

  // The path of a file that the scenario names.
  [[nodiscard]] std::string found(const std::string& name) const { return (folder / name).lexically_normal().string(); }
};

void read_host(TomlTable& t, SystemDraft& draft);                            // [host]
void read_disk(TomlTable& t, SystemDraft& draft);                            // [[disk]], [[vm.disk]]
void read_page_file(TomlTable& t, SystemDraft& draft);                       // [[page_file]], [[vm.page_file]]
void read_memory_manager(TomlTable& t, SystemDraft& draft);                  // [memory_manager], [vm.memory_manager]
void read_process(TomlTable& t, SystemDraft& draft);                         // [[process]], [[vm.process]]
void read_sharing(TomlTable& t, Scenario& scenario);                         // [host.sharing]
void read_vm_sharing(TomlTable& t, const Scenario& scenario, VmConfig& vm);  // [vm.sharing]
void read_policy(TomlTable& t, Scenario& scenario);                          // [host.policy]
void read_balloon(TomlTable& t, VmConfig& vm);                               // [vm.balloon]
void read_allocation(TomlTable& t, VmConfig& vm);                            // [vm.allocation]
void read_vm_limits(TomlTable& t, const Scenario& scenario, VmConfig& vm);   // [vm.limits]
void read_event(TomlTable& t, Scenario& scenario);                           // [[event]]; behind all machines.
void read_vm(TomlTable& t, const std::filesystem::path& folder, Scenario& scenario);  // [[vm]]
// [[template]]; behind all disks.
void read_template(TomlTable& t, const SystemDraft& host, Scenario& scenario);

// --- Parts of sections ---

// The machine's keys in [host] and [[vm]].
void read_machine(TomlTable& t, SystemDraft& draft);
// `program` of a process.
void read_program(TomlTable& p, const SystemDraft& draft, ProcessConfig& process);
// `image`, `name` and `raw`.
ImageConfig read_image(TomlTable& t, const SystemDraft& draft);
// `minimum` of a machine with so much memory; nothing where it is not said.
std::optional<PageCount> read_minimum(TomlTable& t, PageCount memory);
// `working_set`. A limit that is not given has its default, or less or more to make room for the other.
mm::WorkingSet::Limits read_limits(TomlTable& t, const mm::Tunables& defaults, PageCount maximum);
// The number of the disk that the table's key `disk` names; nothing, and an error, if there is none.
std::optional<unsigned> read_disk_name(TomlTable& t, const SystemDraft& draft);

// What no single key can tell: sums over all processes and all virtual machines.
Input<> check_sums(const Scenario& scenario);

}  // namespace pagoda::sim
