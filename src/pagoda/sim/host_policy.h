// The host's memory policy at work: once a period it measures the host and its machines, asks the policy, and does what
// that decided.
//
//   MachineWatch, host ── measures ──▶ policy::Policy::decide ──▶ decisions ──▶ balloons, working sets of vmmem, who runs
//                             │                                      │
//                             ▼                                      ▼
//                           Bill                              log of the decisions
//
// Each machine that runs is watched; one that starts later from its first round on.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/mm/threads/system_thread.h"
#include "pagoda/policy/policy.h"
#include "pagoda/sim/bill.h"
#include "pagoda/sim/guest.h"
#include "pagoda/sim/oom_killer.h"
#include "pagoda/sim/policy_result.h"
#include "pagoda/sim/scenario/scenario.h"

namespace pagoda::sim {

class HostPolicy final : public mm::SystemThread, private hv::ChargeSource {
 public:
  // All that is named outlives this. Requires: all guests are made, whether or not they run.
  HostPolicy(const PolicyConfig& config, std::uint64_t seed, mm::MemoryManager& host,
             const std::vector<std::unique_ptr<Guest>>& guests);

  [[nodiscard]] std::string_view name() const override { return "memory policy"; }
  [[nodiscard]] Time due(Time /*now*/) const override { return next_; }
  // A round.
  void run(machine::Processor& cpu) override;

  // What it came to, at that time.
  [[nodiscard]] PolicyResult result(Time now) const;

 private:
  [[nodiscard]] policy::HostMeasure measure_host(Time now) const;
  void obey(machine::Processor& cpu, std::size_t number, const policy::Decision& decision);
  // Lets the worst machine go, if it must be.
  void kill_if_needed(machine::Processor& cpu, const policy::HostMeasure& host);
  // The machine that goes, if any may, and what it holds.
  [[nodiscard]] std::optional<OomCandidate> worst(Time now) const;
  // hv::ChargeSource: a first touch found none. The worst machine goes, and its charge is there.
  bool find_charge(mm::Processor& host, const std::string& machine) override;
  // How fast equal pages are looked for, on a host that shares them.
  void steer_sharing();
  void log(Time now, policy::FreeState state);

  const std::uint64_t seed_;
  const std::uint64_t scale_;
  const Duration sampling_;
  const policy::StatesPreset states_;
  mm::MemoryManager& host_;
  const std::vector<std::unique_ptr<Guest>>& guests_;
  const std::unique_ptr<policy::Policy> policy_;
  Bill bill_;
  Time next_;
  Time last_;
  policy::FreeState state_ = policy::FreeState::kHigh;  // Told of every host, also where its policy knows no states.
  std::vector<BillEntry> entries_;                      // Of this round, and so below.
  std::vector<policy::VmMeasure> measures_;
  policy::Decisions decisions_;
  std::optional<OomKiller> killer_;  // Under a policy that has one.
  PolicyResult result_;
};

}  // namespace pagoda::sim
