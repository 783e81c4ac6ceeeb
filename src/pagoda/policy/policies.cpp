#include <algorithm>
#include <array>
#include <string>

#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policy.h"

namespace pagoda::policy {

std::string_view name(PolicyOption option) {
  constexpr std::array<std::string_view, 4> kNames = {"period", "states", "idle_tax", "acceptable_stall"};
  return kNames[static_cast<std::size_t>(option)];
}

const std::vector<PolicyEntry>& policies() {
  static const std::vector<PolicyEntry> all = {
      pagoda_entry(),       none_entry(),   fixed_entry(),       paging_entry(),
      esx_entry(),          mom_entry(),    proxmox_entry(),     hyperv_entry(),
      selfballoon_entry(),  senpai_entry(), hypeman_entry(),     crosvm_available_entry(),
      crosvm_cache_entry(), vm0_entry(),    lima_entry(),        wsl_drop_entry(),
      wsl_gradual_entry(),  avf_entry(),    report_only_entry(), kubevirt_ksm_entry()};
  return all;
}

const PolicyEntry* find_policy(std::string_view name) {
  const auto found = std::ranges::find(policies(), name, &PolicyEntry::name);
  return found == policies().end() ? nullptr : &*found;
}

std::string policy_names() {
  std::string names;
  for (const PolicyEntry& entry : policies()) names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

}  // namespace pagoda::policy
