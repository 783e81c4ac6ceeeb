// vm0's fleet of Firecracker machines: free memory above a threshold goes into the balloon; a short guest gets all back.
//
// Its weakness is kept: a target is computed from `actual`, which may be in motion.
#include <algorithm>
#include <optional>

#include "pagoda/policy/per_machine.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 5_s;
constexpr PageCount kInflateAbove = pages_of(384_MiB);
constexpr PageCount kLeaveFree = pages_of(256_MiB);
constexpr PageCount kDeflateBelow = pages_of(192_MiB);
constexpr PageCount kFloor = pages_of(512_MiB);
constexpr Duration kSettle = 5_s;
constexpr Duration kSettleMost = 30_s;
constexpr Duration kOldest = 30_s;

class Vm0 final : public Policy {
 public:
  explicit Vm0(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    memory_.follow(measures.machines);
    for (std::size_t i = 0; i < measures.machines.size(); ++i)
      out.machines.push_back(decide_one(measures.machines[i], memory_[i], measures.host.now));
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  struct Machine {
    std::optional<Time> moved_at;  // nullopt: settled.
  };

  static bool is_settling(const VmMeasure& vm, const Machine& machine, Time now) {
    if (!machine.moved_at || now - *machine.moved_at >= kSettleMost) return false;
    const Time since = std::max(*machine.moved_at, std::min(vm.balloon->moved_at, now));
    return now - since < kSettle;
  }
  static Decision decide_one(const VmMeasure& vm, Machine& machine, Time now) {
    const GuestStatistics* const guest = fresh_statistics(vm, kOldest);
    if (!vm.balloon || guest == nullptr || !guest->free || !guest->available)
      return keep(vm, {.why = Why::kUnknownStatistics});
    if (is_settling(vm, machine, now)) return keep(vm, {.why = Why::kSettling});
    machine.moved_at.reset();
    if (*guest->available < kDeflateBelow && !vm.balloon->target.is_zero()) {
      machine.moved_at = now;
      return set_limit(vm, vm.maximum, {.why = Why::kGuestShort, .available = guest->available});
    }
    if (*guest->free > kInflateAbove) {
      const PageCount holds = excess(vm.maximum, vm.balloon->actual);
      const PageCount next = std::max(excess(holds, *guest->free - kLeaveFree), std::min(kFloor, vm.maximum));
      if (next < holds) {
        machine.moved_at = now;
        return set_limit(vm, next, {.why = Why::kGuestIdle, .available = guest->free});
      }
    }
    return keep(vm, {.why = Why::kEnough});
  }

  Duration period_;
  PerMachine<Machine> memory_;
};

}  // namespace

PolicyEntry vm0_entry() {
  return {.name = "vm0",
          .what = "free memory above 384 MiB goes into the balloon, below 192 MiB available all comes back",
          .takes = {PolicyOption::kPeriod},
          .constants = {{"poll", seconds_text(kPeriod), "overcommit-facts.md 5.5"},
                        {"inflate above", text_of(kInflateAbove) + " free", "overcommit-facts.md 5.5"},
                        {"leave", text_of(kLeaveFree) + " free", "overcommit-facts.md 5.5"},
                        {"deflate below", text_of(kDeflateBelow) + " available", "overcommit-facts.md 5.5"},
                        {"floor", text_of(kFloor), "overcommit-facts.md 5.5 (later 1 GiB)"},
                        {"settle", seconds_text(kSettle) + ", " + seconds_text(kSettleMost) + " at most",
                         "overcommit-facts.md 5.5"}},
          .rules = {"after a move nothing is done for 5 s, longer while the balloon moves, 30 s at most",
                    "guest's available < 192 MiB: the balloon is emptied",
                    "guest's free > 384 MiB: the balloon takes all but 256 MiB, down to the floor",
                    "the host's memory has no part in it"},
          .source = "overcommit-facts.md 5.5 (vm0)",
          .make = make_policy<Vm0>};
}

}  // namespace pagoda::policy
