// senpai: a limit on each machine's memory, tightened until it stalls a little, and loosened when it stalls more.
#include <algorithm>
#include <cmath>

#include "pagoda/policy/per_machine.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 1_s;
constexpr unsigned kInterval = 6;       // Periods.
constexpr double kTargetStall = 0.010;  // Seconds an interval.
constexpr double kBackOffDivisor = 20;
constexpr double kProbeDivisor = 10;
constexpr double kMostBackOff = 1.0;
constexpr double kMostProbe = 0.01;
constexpr double kLeastStall = 1e-6;  // Seconds: what PSI counts in.

class Senpai final : public Policy {
 public:
  explicit Senpai(const PolicyOptions& options)
      : period_(options.period.value_or(kPeriod)),
        target_stall_(options.acceptable_stall ? *options.acceptable_stall * seconds(period_) * kInterval
                                               : kTargetStall) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    memory_.follow(measures.machines);
    for (std::size_t i = 0; i < measures.machines.size(); ++i)
      out.machines.push_back(decide_one(measures.machines[i], memory_[i]));
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  struct Machine {
    double limit = 0;  // Pages; 0: none yet.
    double stalled = 0;
    unsigned grace = kInterval - 1;
  };

  static double seconds(Duration time) { return static_cast<double>(time.value()) / 1e9; }

  Decision decide_one(const VmMeasure& vm, Machine& machine) const {
    if (!vm.stall) return keep(vm, {.why = Why::kUnknownStatistics});
    if (machine.limit == 0) machine.limit = real(vm.granted);
    const double before = machine.limit;
    Reason reason{.why = Why::kEnough, .stall = vm.stall};
    machine.stalled += *vm.stall * seconds(period_);
    if (machine.stalled > target_stall_) {
      adjust(machine, std::min(kMostBackOff, square(machine.stalled / target_stall_ / kBackOffDivisor) * kMostBackOff));
      reason.why = Why::kBackFirst;
    } else if (machine.grace > 0) {
      --machine.grace;
    } else {
      const double error = target_stall_ / std::max(machine.stalled, kLeastStall);
      adjust(machine, -std::min(kMostProbe, square(error / kProbeDivisor) * kMostProbe));
      reason.why = Why::kProbe;
    }
    machine.limit = std::clamp(machine.limit, std::min(real(vm.minimum.value_or(PageCount(1))), real(vm.maximum)),
                               real(vm.maximum));
    const PageCount limit = whole_pages(machine.limit);
    return {.machine = vm.machine,
            .previous = whole_pages(before),
            .target = limit,
            .page_out = excess(vm.granted, limit),
            .reason = reason};
  }
  static double square(double x) { return x * x; }
  static void adjust(Machine& machine, double by) {
    machine.limit *= 1 + by;
    machine.stalled = 0;
    machine.grace = kInterval - 1;
  }

  Duration period_;
  double target_stall_;  // Seconds an interval.
  PerMachine<Machine> memory_;
};

}  // namespace

PolicyEntry senpai_entry() {
  return {
      .name = "senpai",
      .what = "pressure feedback: a limit is tightened by 1 % until its machine stalls 10 ms in 6 s",
      .takes = {PolicyOption::kPeriod, PolicyOption::kAcceptableStall},
      .constants = {{"tick", seconds_text(kPeriod), "virtualization.md 7.2 (senpai)"},
                    {"interval", fmt::format("{} ticks", kInterval), "virtualization.md 7.2"},
                    {"target stall", fmt::format("{:g} ms an interval", 1000 * kTargetStall), "virtualization.md 7.2"},
                    {"back off", fmt::format("(stall / target / {:g})^2, {:g} at most", kBackOffDivisor, kMostBackOff),
                     "virtualization.md 7.2"},
                    {"probe", fmt::format("(target / stall / {:g})^2 of 1 %, {:g} at most", kProbeDivisor, kMostProbe),
                     "virtualization.md 7.2"}},
      .rules = {"stall above the target: the limit grows by the back off at once",
                "an interval without that: the limit shrinks by the probe; what is above it is paged out",
                "the host's free memory has no part in it"},
      .source = "virtualization.md 7.2 (senpai)",
      .make = make_policy<Senpai>};
}

}  // namespace pagoda::policy
