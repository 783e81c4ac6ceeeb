// The policies, one a file; policy/policies.cpp lists them.
#pragma once

#include <memory>

#include "pagoda/policy/policy.h"

namespace pagoda::policy {

template <class P>
std::unique_ptr<Policy> make_policy(const PolicyOptions& options) {
  return std::make_unique<P>(options);
}

PolicyEntry pagoda_entry();
PolicyEntry none_entry();
PolicyEntry fixed_entry();
PolicyEntry paging_entry();
PolicyEntry esx_entry();
PolicyEntry mom_entry();
PolicyEntry proxmox_entry();
PolicyEntry hyperv_entry();
PolicyEntry selfballoon_entry();
PolicyEntry senpai_entry();
PolicyEntry hypeman_entry();
PolicyEntry crosvm_available_entry();
PolicyEntry crosvm_cache_entry();
PolicyEntry vm0_entry();
PolicyEntry lima_entry();
PolicyEntry wsl_drop_entry();
PolicyEntry wsl_gradual_entry();
PolicyEntry avf_entry();
PolicyEntry report_only_entry();
PolicyEntry kubevirt_ksm_entry();

}  // namespace pagoda::policy
