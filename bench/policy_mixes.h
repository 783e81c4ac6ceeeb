// Hosts with more promised than they have, on which policies are compared: scenarios that differ by a seed.
//
// Machines are of some MiB, and a policy sees every page as kMixScale of them (sim/policy_scale.h), so a machine of 8 MiB
// is one of 2 GiB to it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pagoda::bench {

inline constexpr std::uint64_t kMixScale = 256;

struct PolicyMix {
  std::string_view name;
  std::string_view what;
  // The scenario's text. `memory`: the host's; empty: as it is meant. `policy`: the one that it is under, and whether its
  // guests report free pages.
  std::string (*text)(std::uint64_t seed, std::string_view memory, std::string_view policy, bool reports);
};

std::span<const PolicyMix> policy_mixes();

}  // namespace pagoda::bench
