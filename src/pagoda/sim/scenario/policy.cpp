// [host.policy], [vm.allocation] and [vm.limits].
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "pagoda/sim/oom_killer.h"
#include "pagoda/sim/scenario/names.h"
#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

namespace {

constexpr Duration kPeriodLeast = 1_ms;
constexpr double kTaxMost = 0.99;
constexpr double kStallLeast = 1e-6;
constexpr std::uint64_t kScaleMost = 65'536;
using policy::PolicyOption;

// What the table sets that its policy does not take.
void refuse_untaken(TomlTable& t, const policy::PolicyEntry& entry) {
  for (const PolicyOption option :
       {PolicyOption::kPeriod, PolicyOption::kStates, PolicyOption::kIdleTax, PolicyOption::kAcceptableStall}) {
    const std::string_view key = policy::name(option);
    if (t.has(key) && std::ranges::find(entry.takes, option) == entry.takes.end())
      t.wrong(key, fmt::format("is nothing that the policy \"{}\" takes; leave it out", entry.name));
  }
}

// What a machine may keep of its memory is its working set's maximum (hv/memory_limits.h).
void read_memory_max(TomlTable& t, const Scenario& scenario, VmConfig& vm) {
  if (!t.has("memory_max")) return;
  const PageCount most = t.pages("memory_max", vm.partition.memory);
  vm.limits.memory_max = most;
  const auto& working_set = vm.partition.limits;
  const PageCount least = std::max(working_set ? working_set->minimum : scenario.manager.tunables->working_set_minimum,
                                   vm.allocation.minimum.value_or(PageCount(0)));
  if (most > vm.partition.memory) {
    t.wrong("memory_max",
            fmt::format("is more than the machine's memory, {}", to_string(bytes_of(vm.partition.memory))));
  } else if (most < least) {
    t.wrong("memory_max", fmt::format("is less than the minimum of the machine, {}", to_string(bytes_of(least))));
  } else if (working_set && working_set->maximum != vm.partition.memory) {
    t.wrong("memory_max", "is the maximum of the machine's working set: leave working_set.maximum out");
  }
}

}  // namespace

void read_policy(TomlTable& t, Scenario& scenario) {
  PolicyConfig& config = scenario.policy.emplace();
  config.name = t.text("name", config.name);
  policy::PolicyOptions& options = config.options;
  if (t.has("period")) options.period = t.duration("period", 1_s, kPeriodLeast);
  if (t.has("states")) options.states = t.choice("states", kStatesNames, policy::StatesPreset::kEsx2002);
  if (t.has("idle_tax")) options.idle_tax = t.real("idle_tax", 0, 0, kTaxMost);
  if (t.has("acceptable_stall")) options.acceptable_stall = t.real("acceptable_stall", 1, kStallLeast, 1);
  config.scale = t.number("scale", config.scale, 1, kScaleMost);
  config.sampling = t.duration("sampling", config.sampling, kPeriodLeast);
  const policy::PolicyEntry* const entry = policy::find_policy(config.name);
  if (entry == nullptr) {
    t.wrong("name", fmt::format("there is no policy \"{}\"; name one of {}", config.name, policy::policy_names()));
    return;
  }
  refuse_untaken(t, *entry);
}

std::optional<PageCount> read_minimum(TomlTable& t, PageCount memory) {
  if (!t.has("minimum")) return std::nullopt;
  const PageCount minimum = t.pages("minimum", 0_pages);
  if (minimum > memory) {
    t.wrong("minimum",
            fmt::format("is more than the machine's memory, {}, which is its maximum", to_string(bytes_of(memory))));
  }
  return minimum;
}

void read_allocation(TomlTable& t, VmConfig& vm) {
  vm.allocation.minimum = read_minimum(t, vm.partition.memory);
  vm.allocation.shares = t.number("shares", vm.allocation.shares, 1, kMostShares);
}

void read_vm_limits(TomlTable& t, const Scenario& scenario, VmConfig& vm) {
  const policy::PolicyEntry* const entry = scenario.policy ? policy::find_policy(scenario.policy->name) : nullptr;
  for (const std::string_view key : {"memory_max", "swap_max", "oom_adjust"})
    if (t.has(key) && (entry == nullptr || !entry->has_killer || vm.partition.backing != hv::Backing::kDeferred))
      t.wrong(key, "is a plain Linux host's: say policy.name = \"paging\" in [host], and backing = \"deferred\" here");
  read_memory_max(t, scenario, vm);
  if (t.has("swap_max")) vm.limits.swap_max = t.pages("swap_max", 0_pages);
  vm.limits.oom_adjust =
      static_cast<int>(t.signed_number("oom_adjust", vm.limits.oom_adjust, kOomNever, kOomAdjustMost));
}

}  // namespace pagoda::sim
