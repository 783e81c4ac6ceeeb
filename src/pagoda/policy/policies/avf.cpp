// Android's virtualization framework: a fixed part of a machine, by how little its owner matters at the moment.
//
// Android tells the owning app to trim; a server has no such levels, so they are made of what it has: nothing while the host
// has enough; RUNNING while the machine is busy; UI_HIDDEN (20) when it has become idle; BACKGROUND (40) when it has been idle
// for two minutes.
#include "pagoda/policy/free_states.h"
#include "pagoda/policy/per_machine.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/idle_watch.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 10_s;
constexpr double kRunning = 0.10;
constexpr double kHidden = 0.30;
constexpr double kBackground = 0.50;

class Avf final : public Policy {
 public:
  explicit Avf(const PolicyOptions& options)
      : period_(options.period.value_or(kPeriod)), preset_(options.states.value_or(StatesPreset::kEsx2002)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    memory_.follow(measures.machines);
    state_ = next_state(state_, measures.host.free, thresholds(preset_, measures.host.total));
    out.state = state_;
    for (std::size_t i = 0; i < measures.machines.size(); ++i) {
      const VmMeasure& vm = measures.machines[i];
      const bool is_background = memory_[i].look(vm, measures.host.now);
      const bool is_idle = vm.busy && *vm.busy <= kIdleBusy;
      double part = is_background ? kBackground : is_idle ? kHidden : kRunning;
      if (state_ == FreeState::kHigh) part = 0;
      const Why why = part == 0 ? Why::kSurplus : is_idle ? Why::kGuestIdle : Why::kHostShort;
      out.machines.push_back(set_limit(vm, vm.maximum - part_of(vm.maximum, part), {.why = why, .state = state_}));
    }
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  Duration period_;
  StatesPreset preset_;
  FreeState state_ = FreeState::kHigh;
  PerMachine<IdleWatch> memory_;
};

}  // namespace

PolicyEntry avf_entry() {
  return {.name = "avf",
          .what = "Android AVF: 10, 30 or 50 % of a machine by how little its owner matters, while the host is short",
          .takes = {PolicyOption::kPeriod, PolicyOption::kStates},
          .constants = {{"owner runs", percent_text(kRunning), "overcommit-facts.md 3 (AOSP; below UI_HIDDEN)"},
                        {"owner hidden", percent_text(kHidden), "overcommit-facts.md 3 (AOSP; below BACKGROUND)"},
                        {"owner in background", percent_text(kBackground), "overcommit-facts.md 3 (AOSP)"},
                        {"idle", percent_text(kIdleBusy) + " busy; background after " + seconds_text(kIdleFor),
                         "ours: a server has no trim levels"},
                        {"poll", seconds_text(kPeriod), "ours"}},
          .rules = {"the host has enough: balloons are empty",
                    "else 10 % of a busy machine, 30 % of an idle one, 50 % of one that is idle for two minutes",
                    "whether that is enough is not looked at"},
          .source = "overcommit-facts.md 3 (AOSP e4299b6fd, f25cb92c)",
          .make = make_policy<Avf>};
}

}  // namespace pagoda::policy
