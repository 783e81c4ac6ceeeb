#include "pagoda/report/policy_json.h"

#include <optional>
#include <string>
#include <string_view>

namespace pagoda::report {

namespace {

const std::string& name_of(const sim::RunResult& run, std::size_t machine) { return run.vms[machine].name; }

Json share_or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json decision_to_json(const sim::RunResult& run, const sim::PolicyRound& round, const policy::Decision& decision) {
  const std::string& machine = name_of(run, static_cast<std::size_t>(decision.machine));
  const policy::Reason& reason = decision.reason;
  return Json{
      {"time_ns", round.time.value()},
      {"state", policy::name(round.state)},
      {"vm", machine},
      {"previous_pages", decision.previous.value()},
      {"target_pages", decision.target.value()},
      {"balloon_pages", decision.balloon.value()},
      {"compress_pages", decision.compress.value()},
      {"page_out_pages", decision.page_out.value()},
      {"reclaim_cache_pages", decision.reclaim_cache.value()},
      {"blocked", decision.execution == policy::Execution::kBlock},
      {"why", policy::name(reason.why)},
      {"host_free", share_or_null(reason.host_free)},
      {"active", share_or_null(reason.active)},
      {"price", share_or_null(reason.price)},
      {"stall", share_or_null(reason.stall)},
      {"available_pages", or_null(reason.available)},
      {"charged_to_pages", or_null(reason.charged_to)},
      {"sentence", policy::sentence(decision, machine)},
  };
}

Json account_to_json(const std::string& name, const sim::PolicyAccount& account) {
  return Json{
      {"vm", name},
      {"shares", account.shares},
      {"minimum_pages", account.minimum.value()},
      {"held_pages", account.held.value()},
      {"owed_pages", account.fair.value()},
      {"active_pages", account.active.value()},
      {"asked_by_balloon_pages", account.asked_by_balloon.value()},
      {"taken_by_paging_pages", account.taken_by_paging.value()},
      {"given_back_pages", account.given_back.value()},
      {"blocked_ns", account.blocked.value()},
      {"waited_ns", account.waited.value()},
      {"made_others_wait_ns", account.made_others_wait.value()},
  };
}

}  // namespace

Json policy_to_json(const sim::RunResult& run) {
  if (!run.policy) return nullptr;
  const sim::PolicyResult& policy = *run.policy;
  Json states = Json::object();
  for (std::size_t state = 0; state < sim::kFreeStates; ++state)
    states[std::string(policy::name(static_cast<policy::FreeState>(state)))] = policy.in_state[state].value();
  Json machines = Json::array();
  for (std::size_t i = 0; i < run.vms.size(); ++i)
    machines.push_back(account_to_json(name_of(run, i), policy.accounts[i]));
  Json charges = Json::array();
  for (const sim::PolicyCharge& charge : policy.charges) {
    charges.push_back(Json{{"payer", name_of(run, charge.payer)},
                           {"taker", name_of(run, charge.taker)},
                           {"waited_ns", charge.waited.value()}});
  }
  Json decisions = Json::array();
  Json state_changes = Json::array();
  const sim::PolicyRound* last = nullptr;
  for (const sim::PolicyRound& round : policy.told) {
    if (round.state != (last != nullptr ? last->state : policy::FreeState::kHigh))
      state_changes.push_back(Json{{"time_ns", round.time.value()}, {"state", policy::name(round.state)}});
    for (const policy::Decision& decision : round.decisions)
      decisions.push_back(decision_to_json(run, round, decision));
    last = &round;
  }
  return Json{
      {"name", policy.name},
      {"period_ns", policy.period.value()},
      {"rounds", policy.rounds},
      {"in_state_ns", std::move(states)},
      {"state_changes", std::move(state_changes)},
      {"fairness", policy.fairness},
      {"distance_to_fair", policy.distance_to_fair},
      {"machines", std::move(machines)},
      {"charges", std::move(charges)},
      {"decisions_made", policy.decisions},
      {"decisions", std::move(decisions)},
  };
}

}  // namespace pagoda::report
