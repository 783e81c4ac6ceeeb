// WSL's gradual reclaim: while a machine is idle its page cache shrinks step by step.
//
// What a guest frees returns to the host by free page reporting.
#include <algorithm>

#include "pagoda/policy/per_machine.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/idle_watch.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 10_s;
constexpr PageCount kLeastStep = pages_of(256_MiB);
constexpr PageCount kMostStep = pages_of(1_GiB);
constexpr std::uint64_t kStepDivisor = 32;  // Of the machine's memory.
constexpr PageCount kLeaveCache = pages_of(128_MiB);
constexpr Duration kOldest = 60_s;

class WslGradual final : public Policy {
 public:
  explicit WslGradual(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    memory_.follow(measures.machines);
    for (std::size_t i = 0; i < measures.machines.size(); ++i) {
      const VmMeasure& vm = measures.machines[i];
      Decision& decision = out.machines.emplace_back(keep(vm, {.why = Why::kUnmanaged}));
      const GuestStatistics* const guest = fresh_statistics(vm, kOldest);
      if (!memory_[i].look(vm, measures.host.now) || guest == nullptr || !guest->caches) continue;
      if (*guest->caches <= kLeaveCache) continue;
      decision.reclaim_cache = std::min(*guest->caches, std::clamp(vm.maximum / kStepDivisor, kLeastStep, kMostStep));
      decision.reason = {.why = Why::kGuestIdle};
    }
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  Duration period_;
  PerMachine<IdleWatch> memory_;
};

}  // namespace

PolicyEntry wsl_gradual_entry() {
  return {
      .name = "wsl_gradual",
      .what = "WSL Gradual: the page cache of an idle machine shrinks by 256 MiB to 1 GiB a step",
      .takes = {PolicyOption::kPeriod},
      .constants = {{"idle for", seconds_text(kIdleFor), "overcommit-facts.md 5.7"},
                    {"idle below", percent_text(kIdleBusy) + " busy", "ours; the reference says \"low\""},
                    {"step", text_of(kLeastStep) + " to " + text_of(kMostStep), "overcommit-facts.md 5.7"},
                    {"step of memory", fmt::format("1/{}", kStepDivisor), "ours; the reference says \"scaled by RAM\""},
                    {"cache left", text_of(kLeaveCache), "overcommit-facts.md 5.7"},
                    {"poll", seconds_text(kPeriod), "ours; the reference gives no figure"}},
      .rules = {"idle for 120 s, and more than 128 MiB of cache: one step of cache is reclaimed a round",
                "no balloon; the host is not looked at"},
      .source = "overcommit-facts.md 5.7 (WSL PR#41096)",
      .needs_reporting = true,
      .make = make_policy<WslGradual>};
}

}  // namespace pagoda::policy
