// ESX: shares, an idle tax, four states of free memory, the balloon before paging.
//
// Targets are computed again every 15 s and when the state changes. Between that, how they are reached follows the state.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pagoda/policy/allocation.h"
#include "pagoda/policy/per_machine.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 1_s;            // The balloon's driver polls its target once a second.
constexpr Duration kBalance = 15_s;          // Mem.BalancePeriod.
constexpr double kBalloonCeiling = 0.65;     // Mem.CtlMaxPercent.
constexpr double kCompressionBudget = 0.10;  // Of a machine's memory.

class Esx final : public Policy {
 public:
  explicit Esx(const PolicyOptions& options)
      : period_(options.period.value_or(kPeriod)),
        preset_(options.states.value_or(StatesPreset::kEsx2002)),
        tax_(options.idle_tax.value_or(kDefaultIdleTax)) {}

  void decide(const Measures& measures, Decisions& out) override {
    const FreeThresholds limits = thresholds(preset_, measures.host.total);
    const FreeState before = state_;
    state_ = next_state(state_, measures.host.free, limits);
    memory_.follow(measures.machines);
    if (!balanced_at_ || have_changed(measures.machines) || state_ != before ||
        measures.host.now - *balanced_at_ >= kBalance)
      balance(measures, limits.goal());
    out.state = state_;
    out.sharing.reset();
    out.machines.clear();
    for (std::size_t i = 0; i < measures.machines.size(); ++i)
      out.machines.push_back(decide_one(measures.machines[i], memory_[i]));
  }
  [[nodiscard]] Duration period() const override { return period_; }
  [[nodiscard]] std::optional<PageCount> free_goal(PageCount total) const override {
    return thresholds(preset_, total).enough();
  }

 private:
  struct Machine {
    PageCount target;
    // As it was when the target was made; a maximum of 0: there is none.
    PageCount maximum;
    std::optional<PageCount> minimum;
    std::uint64_t shares = 0;
    double price = 0;  // The dearest has 1.
  };

  // Machines have come or gone, or an administrator changed one.
  bool have_changed(std::span<const VmMeasure> machines) {
    if (machines.size() != balanced_machines_) return true;
    for (std::size_t i = 0; i < machines.size(); ++i) {
      const Machine& was = memory_[i];
      const VmMeasure& is = machines[i];
      if (was.maximum != is.maximum || was.minimum != is.minimum || was.shares != is.shares) return true;
    }
    return false;
  }

  // Targets for all, so that free memory would be above high again.
  void balance(const Measures& measures, PageCount goal) {
    balanced_at_ = measures.host.now;
    balanced_machines_ = memory_.size();
    PageCount there = measures.host.free;
    std::vector<Claim> claims;
    for (const VmMeasure& vm : measures.machines) {
      there += vm.granted;
      claims.push_back({.shares = static_cast<double>(vm.shares),
                        .minimum = std::min(vm.minimum.value_or(PageCount(0)), vm.maximum),
                        .maximum = vm.maximum,
                        .active = std::min(vm.active.value_or(vm.maximum), vm.maximum)});
    }
    const std::vector<PageCount> targets = allocate(claims, excess(there, goal), tax_);
    double dearest = 0;
    for (std::size_t i = 0; i < claims.size(); ++i) {
      const VmMeasure& vm = measures.machines[i];
      memory_[i] = {.target = targets[i], .maximum = vm.maximum, .minimum = vm.minimum, .shares = vm.shares};
      memory_[i].price = price(claims[i], std::max(vm.granted, PageCount(1)), tax_);
      dearest = std::max(dearest, memory_[i].price);
    }
    for (std::size_t i = 0; i < claims.size(); ++i) memory_[i].price /= dearest;
  }

  Decision decide_one(const VmMeasure& vm, const Machine& machine) const {
    Reason reason{.why = Why::kPrice, .state = state_, .price = machine.price};
    if (vm.active) reason.active = std::min(1.0, share_of(*vm.active, vm.granted));
    Decision decision = keep(vm, reason);
    const bool may_take = state_ >= FreeState::kSoft;
    const PageCount most = part_of(vm.maximum, kBalloonCeiling);
    const PageCount wanted = vm.maximum - machine.target;
    if (vm.balloon) {
      decision.balloon = std::min(wanted, most);
      if (!may_take) decision.balloon = std::min(decision.balloon, vm.balloon->target);
    }
    decision.target = may_take ? machine.target : vm.maximum - decision.balloon;
    if (decision.target > decision.previous) decision.reason.why = Why::kSurplus;
    if (decision.target == decision.previous && !may_take) decision.reason.why = Why::kEnough;
    // What the balloon cannot take is paged; from hard on, everything.
    const PageCount over = excess(vm.granted, machine.target);
    const PageCount balloon_cannot = vm.balloon ? std::min(over, excess(wanted, most)) : over;
    if (may_take) take(vm, state_ >= FreeState::kHard ? over : balloon_cannot, decision);
    if (may_take && !vm.balloon) decision.reason.why = Why::kNoBalloon;
    if (state_ == FreeState::kLow && !over.is_zero()) decision.execution = Execution::kBlock;
    return decision;
  }

  // ESXi 6 compresses before it swaps, a tenth of the machine's memory at most.
  void take(const VmMeasure& vm, PageCount pages, Decision& decision) const {
    if (preset_ == StatesPreset::kEsx6) {
      const PageCount room = excess(part_of(vm.maximum, kCompressionBudget), vm.compressed.value_or(PageCount(0)));
      decision.compress = std::min(pages, room);
    }
    decision.page_out = pages - decision.compress;
  }

  Duration period_;
  StatesPreset preset_;
  double tax_;
  FreeState state_ = FreeState::kHigh;
  std::optional<Time> balanced_at_;
  std::size_t balanced_machines_ = 0;
  PerMachine<Machine> memory_;
};

}  // namespace

PolicyEntry esx_entry() {
  return {
      .name = "esx",
      .what = "shares, minimum and maximum, an idle tax, sampling, states of free memory, the balloon before paging",
      .takes = {PolicyOption::kPeriod, PolicyOption::kStates, PolicyOption::kIdleTax},
      .constants = {{"idle tax", percent_text(kDefaultIdleTax),
                     "virtualization.md 1.6; Mem.IdleTax 75, overcommit-facts.md 1.2"},
                    {"balance period", seconds_text(kBalance), "Mem.BalancePeriod, overcommit-facts.md 1.2"},
                    {"balloon poll", seconds_text(kPeriod), "virtualization.md 1.3"},
                    {"balloon ceiling", percent_text(kBalloonCeiling), "Mem.CtlMaxPercent, overcommit-facts.md 1.2"},
                    {"compression budget", percent_text(kCompressionBudget), "virtualization.md 1.2 (esx6 only)"},
                    {"states", "esx2002: 6, 4, 2, 1 %; esx6: of minFree", "virtualization.md 1.2"},
                    {"hysteresis", percent_text(kHysteresis), "ours; not published"}},
      .rules = {"the state follows free memory, with hysteresis",
                "every balance period, and when the state changes: targets by shares, tax, minimum and maximum",
                "targets are such that free memory would be above high",
                "high, clear: nothing is taken; balloons may shrink to their targets",
                "soft: balloons; what a balloon cannot take, or a machine without one, is paged",
                "hard: what is above the target is paged (esx6: compressed first)",
                "low: a machine above its target does not run"},
      .source = "Waldspurger, OSDI 2002; virtualization.md 1",
      .make = make_policy<Esx>};
}

}  // namespace pagoda::policy
