// WSL's default: once a machine has been idle for two minutes, its page cache is dropped, once.
//
// What a guest frees returns to the host by free page reporting.
#include "pagoda/policy/per_machine.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/idle_watch.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 10_s;
constexpr Duration kOldest = 60_s;

class WslDrop final : public Policy {
 public:
  explicit WslDrop(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    memory_.follow(measures.machines);
    for (std::size_t i = 0; i < measures.machines.size(); ++i) {
      const VmMeasure& vm = measures.machines[i];
      Machine& machine = memory_[i];
      Decision& decision = out.machines.emplace_back(keep(vm, {.why = Why::kUnmanaged}));
      const bool is_idle = machine.idle.look(vm, measures.host.now);
      if (!is_idle) machine.has_dropped = false;
      const GuestStatistics* const guest = fresh_statistics(vm, kOldest);
      if (!is_idle || machine.has_dropped || guest == nullptr || !guest->caches) continue;
      machine.has_dropped = true;
      decision.reclaim_cache = *guest->caches;
      decision.reason = {.why = Why::kGuestIdle};
    }
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  struct Machine {
    IdleWatch idle;
    bool has_dropped = false;
  };
  Duration period_;
  PerMachine<Machine> memory_;
};

}  // namespace

PolicyEntry wsl_drop_entry() {
  return {
      .name = "wsl_drop",
      .what = "WSL DropCache: the page cache of a machine that is idle for two minutes is dropped, once",
      .takes = {PolicyOption::kPeriod},
      .constants = {{"idle for", seconds_text(kIdleFor), "overcommit-facts.md 5.7"},
                    {"idle below", percent_text(kIdleBusy) + " busy", "ours; the reference says \"low\""},
                    {"poll", seconds_text(kPeriod), "ours; the reference gives no figure"}},
      .rules = {"idle for 120 s: drop_caches once, until it was busy again", "no balloon; the host is not looked at"},
      .source = "overcommit-facts.md 5.7 (WSL PR#41096)",
      .needs_reporting = true,
      .make = make_policy<WslDrop>};
}

}  // namespace pagoda::policy
