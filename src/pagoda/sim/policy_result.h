// What the memory policy of a run decided, and what that came to for each machine: plain data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/policy/decision.h"

namespace pagoda::sim {

// A round in which the host's state changed, or a decision moved something or held a machine. The machine of a decision
// is its number in RunResult::vms.
struct PolicyRound {
  Time time;
  policy::FreeState state = policy::FreeState::kHigh;
  std::vector<policy::Decision> decisions;
};

// What one machine gave, got and was owed. Averages are over the rounds in which it ran.
struct PolicyAccount {
  std::uint64_t shares = 0;  // At the end.
  PageCount minimum;
  PageCount asked_by_balloon;  // In all rounds together.
  PageCount taken_by_paging;   // Trimmed off its host process: compressed, paged out, or given up.
  PageCount given_back;        // By balloon.
  Duration blocked;
  PageCount held;    // On average.
  PageCount fair;    // Likewise: what its shares give it of what all machines hold.
  PageCount active;  // Likewise, as estimated.
  Duration waited;   // Its programs, for memory and disks.
  Duration made_others_wait;
};

// Who waited because of whom: see Bill. Empty with more than kMostBilled machines.
struct PolicyCharge {
  std::size_t payer = 0;  // Numbers of RunResult::vms.
  std::size_t taker = 0;
  Duration waited;
};

inline constexpr std::size_t kFreeStates = static_cast<std::size_t>(policy::FreeState::kLow) + 1;

struct PolicyResult {
  std::string name;
  Duration period;
  std::uint64_t rounds = 0;
  std::array<Duration, kFreeStates> in_state{};  // How long the host was in each.
  std::vector<PolicyRound> told;                 // In order; no more decisions than kMostTold.
  std::uint64_t decisions = 0;                   // That moved something or held a machine, told or not.
  std::vector<PolicyAccount> accounts;           // As in RunResult::vms.
  std::vector<PolicyCharge> charges;             // The largest first.
  double fairness = 1;          // Jain's index over the parts of their busy and waiting time that machines were busy.
  double distance_to_fair = 0;  // Part of what machines held that was with another one than shares say, on average.
};

inline constexpr std::uint64_t kMostTold = 20'000;
inline constexpr std::size_t kMostBilled = 64;

}  // namespace pagoda::sim
