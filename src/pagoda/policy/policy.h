// A policy: from measures to decisions, and nothing else.
//
// A policy has no clock (the time is in the measures), does no I/O and draws no random numbers. What it remembers from
// round to round begins empty and follows from the measures that it was given, so that a recorded run replays. It is
// asked once a period; what a decision names is done by whoever asks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/policy/decision.h"
#include "pagoda/policy/free_states.h"
#include "pagoda/policy/measure.h"

namespace pagoda::policy {

class Policy {
 public:
  Policy() = default;
  virtual ~Policy() = default;
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  // Decides one round. `out` is overwritten: a decision for each machine, in the order of the measures.
  // Requires: `measures.host.now` is not before that of the last round.
  virtual void decide(const Measures& measures, Decisions& out) = 0;
  // How long a round is.
  [[nodiscard]] virtual Duration period() const = 0;
  // The free memory of the host that the policy brings about, by its own rules; nullopt: it aims at none.
  [[nodiscard]] virtual std::optional<PageCount> free_goal(PageCount /*total*/) const { return std::nullopt; }
};

// The knobs that a user may turn; nullopt: as the policy has it. Each policy says which it takes.
struct PolicyOptions {
  std::optional<Duration> period;  // Above 0.
  std::optional<StatesPreset> states;
  std::optional<double> idle_tax;          // [0, 1).
  std::optional<double> acceptable_stall;  // Share of a machine's time, above 0.
};

enum class PolicyOption : std::uint8_t { kPeriod, kStates, kIdleTax, kAcceptableStall };
std::string_view name(PolicyOption option);  // As scenarios write it.

// A constant of a policy, as people read it.
struct PolicyConstant {
  std::string name;
  std::string value;   // With its unit.
  std::string source;  // Where it is from; "ours" if nobody published it.
};

struct PolicyEntry {
  std::string_view name;  // As scenarios write it.
  std::string_view what;  // One line.
  std::vector<PolicyOption> takes;
  std::vector<PolicyConstant> constants;
  std::vector<std::string_view> rules;  // In the order in which they are applied.
  std::string_view source;
  bool needs_reporting = false;  // Its guests report free pages, and the host takes them back at once.
  bool has_killer = false;       // Its host has nothing else for want of memory: an out-of-memory killer.
  std::unique_ptr<Policy> (*make)(const PolicyOptions& options) = nullptr;
};

// All policies, the default first.
const std::vector<PolicyEntry>& policies();
const PolicyEntry* find_policy(std::string_view name);
// "pagoda, none, fixed, ...", for messages.
std::string policy_names();

}  // namespace pagoda::policy
