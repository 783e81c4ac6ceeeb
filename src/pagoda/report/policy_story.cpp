#include "pagoda/report/policy_story.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "pagoda/report/text.h"

namespace pagoda::report {

namespace {

using sim::PolicyAccount;
using sim::PolicyCharge;
using sim::PolicyResult;

constexpr std::size_t kChargesTold = 3;

const std::string& name_of(const sim::RunResult& run, policy::MachineId machine) {
  return run.vms[static_cast<std::size_t>(machine)].name;
}

// The states that it was in besides high, the longest first.
std::string tell_states(const sim::RunResult& run, const PolicyResult& policy) {
  std::vector<std::pair<Duration, std::string>> states;
  for (std::size_t state = 1; state < sim::kFreeStates; ++state)
    if (!policy.in_state[state].is_zero())
      states.emplace_back(policy.in_state[state], policy::name(static_cast<policy::FreeState>(state)));
  if (states.empty()) return "the host never ran short of memory";
  std::ranges::sort(states, std::greater());
  std::vector<std::string> parts;
  parts.reserve(states.size());
  for (const auto& [time, state] : states)
    parts.push_back(fmt::format("{} for {}", state, percent_text(time.value(), (run.end - Time{}).value())));
  return fmt::format("the host was {} of the run", listed(parts));
}

// Who gave most, and how.
std::string tell_giver(const sim::RunResult& run, const PolicyResult& policy) {
  const auto given = [](const PolicyAccount& account) { return account.asked_by_balloon + account.taken_by_paging; };
  const auto giver = std::ranges::max_element(policy.accounts, {}, given);
  if (giver == policy.accounts.end() || given(*giver).is_zero()) return "nothing was taken from any machine";
  std::vector<std::string> ways;
  if (!giver->asked_by_balloon.is_zero()) ways.push_back(bytes_text(giver->asked_by_balloon) + " by balloon");
  if (!giver->taken_by_paging.is_zero()) ways.push_back(bytes_text(giver->taken_by_paging) + " by paging");
  std::string text = fmt::format("{} gave most: {}",
                                 run.vms[static_cast<std::size_t>(giver - policy.accounts.begin())].name, listed(ways));
  if (!giver->given_back.is_zero()) text += fmt::format(", of which it got {} back", bytes_text(giver->given_back));
  return text;
}

std::string tell_bill(const sim::RunResult& run, const PolicyResult& policy) {
  std::vector<std::string> parts;
  for (const PolicyCharge& charge : policy.charges) {
    if (charge.payer == charge.taker || parts.size() == kChargesTold) continue;
    parts.push_back(fmt::format("{} waited {} because of {}", run.vms[charge.payer].name, duration_text(charge.waited),
                                run.vms[charge.taker].name));
  }
  return parts.empty() ? "No machine waited for memory because of another one." : listed(parts) + ".";
}

}  // namespace

std::vector<std::string> tell_policy(const sim::RunResult& run) {
  if (!run.policy || run.vms.empty()) return {};
  const PolicyResult& policy = *run.policy;
  std::vector<std::string> sentences{
      fmt::format("Under the policy \"{}\" {}; {}.", policy.name, tell_states(run, policy), tell_giver(run, policy))};
  if (run.vms.size() <= sim::kMostBilled) sentences.push_back(tell_bill(run, policy));
  return sentences;
}

std::vector<std::string> decision_sentences(const sim::RunResult& run, std::size_t most) {
  std::vector<std::string> sentences;
  for (const sim::PolicyRound& round : run.policy->told)
    for (const policy::Decision& decision : round.decisions)
      if (sentences.size() < most)
        sentences.push_back(
            fmt::format("t={}: {}", time_text(round.time), policy::sentence(decision, name_of(run, decision.machine))));
  return sentences;
}

}  // namespace pagoda::report
