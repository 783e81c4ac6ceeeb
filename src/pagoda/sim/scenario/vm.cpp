// [[vm]].
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include "pagoda/sim/scenario/names.h"
#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

namespace {

constexpr PageCount kLargePage = machine::kPagesPerLargePage;
// Less, and shadow tables of a few spaces push each other out all the time.
constexpr PageCount kShadowLeast{64};
constexpr Duration kHintPeriodLeast = 100_us;
constexpr std::uint64_t kMachinesMost = 1000;

void read_partition(TomlTable& t, hv::PartitionConfig& partition) {
  if (partition.memory < mm::kSmallestMachine)
    t.wrong("memory", fmt::format("a guest of {} is too small to start; give it {} or more",
                                  to_string(bytes_of(partition.memory)), to_string(bytes_of(mm::kSmallestMachine))));
  partition.mmu = t.choice("mmu", kMmuNames, partition.mmu);
  if (partition.mmu == hv::MmuKind::kParavirtual && partition.refill == machine::TlbRefill::kSoftware)
    t.wrong("mmu", "is \"paravirtual\", which needs refill = \"hardware\": no hardware walks the tables that are told");
  partition.backing = t.choice("backing", kBackingNames, partition.backing);
  if (partition.backing == hv::Backing::kPinned && partition.memory.value() % kLargePage.value() != 0)
    t.wrong("memory", "must be a multiple of 2MiB where it is pinned: it comes in large pages");
  partition.fault_cluster = t.pages("fault_cluster", partition.fault_cluster);
  if (!std::has_single_bit(partition.fault_cluster.value()) || partition.fault_cluster > kLargePage)
    t.wrong("fault_cluster", "must be a power of two from 4KiB to 2MiB");
  partition.shadow_limit = t.pages("shadow_memory", partition.shadow_limit);
  if (partition.shadow_limit < kShadowLeast)
    t.wrong("shadow_memory", fmt::format("must be at least {}", to_string(bytes_of(kShadowLeast))));
}

// When it runs, and how many there are.
void read_lives(TomlTable& t, const VmConfig& vm, Scenario& scenario) {
  const Time start = Time{} + t.duration("start", 0_ns);
  const bool stops = t.has("stop");
  const Time stop = stops ? Time{} + t.duration("stop", 0_ns) : kNever;
  const std::uint64_t copies = t.number("copies", 1, 1, kMachinesMost);
  const Duration every = t.duration("every", 0_ns);
  if (stop <= start) t.wrong("stop", "is not after it starts");
  std::set<std::string, std::less<>> names;
  for (const VmConfig& other : scenario.vms) names.insert(other.partition.name);
  for (std::uint64_t copy = 1; copy <= copies; ++copy) {
    VmConfig one = vm;
    if (copies > 1) one.partition.name = fmt::format("{}-{}", vm.partition.name, copy);
    one.start = start + every * (copy - 1);
    one.stop = stops ? stop + every * (copy - 1) : kNever;
    if (names.contains(one.partition.name))
      t.wrong("name", fmt::format("there is a virtual machine \"{}\" already", one.partition.name));
    scenario.vms.push_back(std::move(one));
  }
}

}  // namespace

void read_vm(TomlTable& t, const std::filesystem::path& folder, Scenario& scenario) {
  VmConfig vm;
  hv::PartitionConfig& partition = vm.partition;
  t.require("name");
  partition.name = t.text("name", "");
  vm.where = t.where();
  SystemDraft draft(vm, folder);
  draft.templates = &scenario.templates;
  read_machine(t, draft);
  read_partition(t, partition);
  vm.guest = t.choice("guest", kGuestNames, vm.guest);
  vm.is_shared = scenario.sharing.has_value();
  t.table("sharing", [&](TomlTable& sharing) { read_vm_sharing(sharing, scenario, vm); });
  t.table("hints", [&](TomlTable& hints) {
    partition.cold_hints = hints.flag("cold", partition.cold_hints);
    partition.hot_hints = hints.flag("hot", partition.hot_hints);
    partition.cold_discard_hints = hints.flag("cold_discard", partition.cold_discard_hints);
    vm.hint_period = hints.duration("period", vm.hint_period, kHintPeriodLeast);
  });
  t.table("allocation", [&](TomlTable& allocation) { read_allocation(allocation, vm); });
  t.table("balloon", [&](TomlTable& balloon) { read_balloon(balloon, vm); });
  if (t.has("working_set")) partition.limits = read_limits(t, *scenario.manager.tunables, partition.memory);
  t.table("limits", [&](TomlTable& limits) { read_vm_limits(limits, scenario, vm); });
  t.tables("disk", [&](TomlTable& disk) { read_disk(disk, draft); });
  t.tables("page_file", [&](TomlTable& file) { read_page_file(file, draft); });
  vm.manager.tunables = mm::Tunables::for_memory(partition.memory);
  vm.manager.tunables->find_zero_pages = false;  // It would bring in what the host has paged out.
  t.table("memory_manager", [&](TomlTable& tunables) { read_memory_manager(tunables, draft); });
  t.tables("process", [&](TomlTable& process) { read_process(process, draft); });
  read_lives(t, vm, scenario);
}

}  // namespace pagoda::sim
