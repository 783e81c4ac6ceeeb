// lima's adaptive balloon: descends until the guest feels it, remembers where that was, and gives up if it goes wrong.
//
//   bootstrap ─▶ learning descend ─▶ steady        agent failure: no statistics, everything is given back
//                     │   ▲            │
//                     ▼   └────────────┤ (cooldown)
//                 OOM recovery ◀───────┘ ─▶ circuit breaker (after the third)
//
// The states and thresholds are published; how far a step goes is not.
#include <algorithm>
#include <cstdint>
#include <optional>

#include "pagoda/policy/per_machine.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 5_s;
constexpr double kLeast = 0.25;       // Of the machine's memory.
constexpr double kIdleTarget = 0.33;  // Likewise.
constexpr Duration kCooldown = 30_s;
constexpr double kPreGrow = 1.5;         // Short average of stalls against the long one.
constexpr double kStep = 0.10;           // Of the machine's memory.
constexpr double kLearnedMargin = 0.10;  // Above where it ran out of memory.
constexpr unsigned kBreaker = 3;         // Times out of memory.
constexpr double kShortGain = 0.4;       // A round of 5 s: PSI's avg10.
constexpr double kLongGain = 0.08;       // avg60.
constexpr double kFelt = 0.001;          // Stalls below this are none.
constexpr Duration kOldest = 30_s;

class Lima final : public Policy {
 public:
  explicit Lima(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    memory_.follow(measures.machines);
    for (std::size_t i = 0; i < measures.machines.size(); ++i)
      out.machines.push_back(decide_one(measures.machines[i], memory_[i], measures.host.now));
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  struct Machine {
    double stall10 = 0;
    double stall60 = 0;
    std::uint64_t oom_kills = 0;
    unsigned ooms = 0;
    double learned = kLeast;  // Floor, of the machine's memory.
    bool is_known = false;    // Past bootstrap.
    std::optional<Time> moved_at;
  };

  static Decision decide_one(const VmMeasure& vm, Machine& machine, Time now) {
    const GuestStatistics* const guest = fresh_statistics(vm, kOldest);
    if (!vm.balloon) return keep(vm, {.why = Why::kNoBalloon});
    if (guest == nullptr || !guest->available || !vm.stall)
      return set_limit(vm, machine.is_known ? vm.maximum : limit_of(vm), {.why = Why::kUnknownStatistics});
    const std::uint64_t kills = guest->oom_kills.value_or(0);
    if (!machine.is_known) machine.oom_kills = kills;
    machine.is_known = true;
    machine.stall10 += kShortGain * (*vm.stall - machine.stall10);
    machine.stall60 += kLongGain * (*vm.stall - machine.stall60);
    const double size = share_of(limit_of(vm), vm.maximum);
    if (kills > machine.oom_kills) {
      machine.oom_kills = kills;
      ++machine.ooms;
      machine.learned = std::min(1.0, std::max(machine.learned, size + kLearnedMargin));
      machine.moved_at = now;
    }
    if (machine.ooms >= kBreaker) return set_limit(vm, vm.maximum, {.why = Why::kUnmanaged});
    const Reason felt{.why = Why::kGuestShort, .stall = vm.stall, .available = guest->available};
    if (machine.moved_at == now && kills != 0) return set_limit(vm, vm.maximum, felt);
    if (machine.stall10 > kFelt && machine.stall10 > kPreGrow * machine.stall60)
      return move(vm, machine, now, size + kStep, felt);
    if (machine.moved_at && now - *machine.moved_at < kCooldown) return keep(vm, {.why = Why::kSettling});
    const double aim = std::max(kIdleTarget, machine.learned);
    const double held = 1 - share_of(*guest->available, vm.maximum) / std::max(size, 1e-9);
    if (machine.stall10 <= kFelt && size > aim && held * size < size - kStep)
      return move(vm, machine, now, std::max(aim, size - kStep), {.why = Why::kProbe, .stall = vm.stall});
    return keep(vm, {.why = Why::kEnough});
  }
  static Decision move(const VmMeasure& vm, Machine& machine, Time now, double size, Reason reason) {
    machine.moved_at = now;
    return set_limit(vm, part_of(vm.maximum, std::clamp(size, machine.learned, 1.0)), reason);
  }

  Duration period_;
  PerMachine<Machine> memory_;
};

}  // namespace

PolicyEntry lima_entry() {
  return {.name = "lima",
          .what = "descends to a third while the guest does not stall, with a floor learned from running out",
          .takes = {PolicyOption::kPeriod},
          .constants = {{"least", percent_text(kLeast), "overcommit-facts.md 5.6"},
                        {"idle target", percent_text(kIdleTarget), "overcommit-facts.md 5.6"},
                        {"cooldown", seconds_text(kCooldown), "overcommit-facts.md 5.6"},
                        {"grow ahead when", fmt::format("stall over 10 s > {:g} of that over 60 s", kPreGrow),
                         "overcommit-facts.md 5.6"},
                        {"step", percent_text(kStep), "ours; the reference gives no figure"},
                        {"margin of the learned floor", percent_text(kLearnedMargin), "ours"},
                        {"circuit breaker", fmt::format("{} times out of memory", kBreaker), "ours"},
                        {"poll", seconds_text(kPeriod), "ours"}},
          .rules = {"no statistics: the balloon is emptied",
                    "out of memory: the balloon is emptied and the floor is raised; after the third time for good",
                    "stalls rise: a step up at once", "else, after the cooldown, a step down towards the idle target"},
          .source = "overcommit-facts.md 5.6 (lima PR#4828)",
          .make = make_policy<Lima>};
}

}  // namespace pagoda::policy
