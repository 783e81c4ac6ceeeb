// What no single key of a scenario can tell.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

namespace {

struct Checked {
  const SystemConfig& system;
  PageCount memory;
  const std::vector<machine::DiskModel>& disks;
  std::string where;            // "scenarios/host.toml".
  std::string_view memory_key;  // "host.memory".
  std::string who;              // "the host".
  const std::string& file;      // The scenario's.
};

// The working-set minimums must fit into memory; `minimums` are those that are not of its own processes.
Input<> check_minimums(const Checked& checked, PageCount minimums) {
  const mm::Tunables& tunables = *checked.system.manager.tunables;
  for (const ProcessConfig& process : checked.system.processes)
    minimums += process.limits ? process.limits->minimum : tunables.working_set_minimum;
  const PageCount usable = checked.memory - std::min(checked.memory, tunables.commit_reserve);
  if (minimums <= usable) return {};
  return bad_input(
      fmt::format("{}: {}: the working-set minimums of the processes ({}) are more than {} can keep ({}); lower "
                  "process.working_set.minimum or raise {}",
                  checked.where, checked.memory_key, to_string(bytes_of(minimums)), checked.who,
                  to_string(bytes_of(usable)), checked.memory_key));
}

// The paging files of a disk must fit at least with their minimums.
Input<> check_disks(const Checked& checked) {
  std::vector<ByteCount> promised(checked.disks.size());
  for (const mm::PagingFileConfig& file : checked.system.manager.paging_files) {
    promised[file.disk] += file.minimum;
    const machine::DiskModel& disk = checked.disks[file.disk];
    if (promised[file.disk] > disk.capacity) {
      return bad_input(fmt::format(
          "{}: page_file.minimum: the minimums of the paging files on disk \"{}\" are more than it holds ({})",
          checked.file, disk.name, to_string(disk.capacity)));
    }
  }
  return {};
}

}  // namespace

Input<> check_sums(const Scenario& scenario) {
  PageCount of_guests;
  for (const VmConfig& vm : scenario.vms) {
    const auto& limits = vm.partition.limits;
    of_guests += limits ? limits->minimum : scenario.manager.tunables->working_set_minimum;
  }
  const Checked host{.system = scenario,
                     .memory = scenario.machine.frames,
                     .disks = scenario.machine.disks,
                     .where = scenario.file,
                     .memory_key = "host.memory",
                     .who = "the host",
                     .file = scenario.file};
  PAGODA_TRY(check_minimums(host, of_guests));
  PAGODA_TRY(check_disks(host));
  for (const VmConfig& vm : scenario.vms) {
    const Checked guest{.system = vm,
                        .memory = vm.partition.memory,
                        .disks = vm.partition.disks,
                        .where = vm.where,
                        .memory_key = "vm.memory",
                        .who = fmt::format("the guest \"{}\"", vm.partition.name),
                        .file = scenario.file};
    PAGODA_TRY(check_minimums(guest, 0_pages));
    PAGODA_TRY(check_disks(guest));
  }
  return {};
}

}  // namespace pagoda::sim
