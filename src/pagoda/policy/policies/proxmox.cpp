// Proxmox VE's pvestatd: host memory is kept 80 % used, what changes is shared out by shares above the minima.
//
// Its weaknesses are kept: the guest's pressure only orders the list, and a guest at its minimum thrashes for ever while
// the host is above its target (reference/virtualization.md 8.2).
#include <algorithm>
#include <cstdint>
#include <vector>

#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 10_s;
constexpr double kTarget = 0.80;     // Of the host's memory, used.
constexpr double kPressured = 0.25;  // Of the guest's minimum, free: at it or below, the guest is pressured.
constexpr PageCount kLeastGoal = pages_of(10_MiB);
constexpr PageCount kMostStep = pages_of(100_MiB);  // A guest and round.
constexpr Duration kOldest = 60_s;

// A guest that pvestatd looks after.
struct Balloon {
  std::size_t index;  // In the measures.
  std::int64_t least;
  std::int64_t most;
  std::int64_t now;
  double shares;
  bool is_pressured;
};

// Shares `goal` out among `list`, by what each should have; says whether anybody moved.
bool share_out(const std::vector<Balloon*>& list, std::int64_t goal) {
  double shares = 0;
  double above = static_cast<double>(goal);
  for (const Balloon* balloon : list) {
    shares += balloon->shares;
    above += static_cast<double>(balloon->now - balloon->least);
  }
  bool moved = false;
  for (Balloon* balloon : list) {
    const auto part = static_cast<std::int64_t>(balloon->shares * above / shares);
    const std::int64_t desired = std::clamp(balloon->least + part, balloon->least, balloon->most);
    const std::int64_t step = to_signed(kMostStep);
    const std::int64_t next = std::clamp(desired, balloon->now - step, balloon->now + step);
    moved = moved || next != balloon->now;
    balloon->now = next;
  }
  return moved;
}

class Proxmox final : public Policy {
 public:
  explicit Proxmox(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    const double host_free = free_share(measures.host);
    for (const VmMeasure& vm : measures.machines)
      out.machines.push_back(keep(vm, {.why = Why::kEnough, .host_free = host_free}));
    const std::int64_t used = to_signed(excess(measures.host.total, measures.host.free));
    const std::int64_t goal = to_signed(part_of(measures.host.total, kTarget)) - used;
    if (std::abs(goal) <= to_signed(kLeastGoal)) return;
    std::vector<Balloon> balloons = looked_after(measures.machines);
    std::vector<Balloon*> all;
    std::vector<Balloon*> first;
    for (Balloon& balloon : balloons) {
      all.push_back(&balloon);
      if (balloon.is_pressured == (goal > 0)) first.push_back(&balloon);
    }
    if (first.empty() || !share_out(first, goal)) share_out(all, goal);
    for (const Balloon& balloon : balloons) {
      const Why why = goal > 0 ? Why::kSurplus : Why::kHostShort;
      out.machines[balloon.index] =
          set_limit(measures.machines[balloon.index], from_signed(balloon.now), {.why = why, .host_free = host_free});
    }
  }
  [[nodiscard]] Duration period() const override { return period_; }
  [[nodiscard]] std::optional<PageCount> free_goal(PageCount total) const override {
    return excess(total, part_of(total, kTarget));
  }

 private:
  static std::vector<Balloon> looked_after(std::span<const VmMeasure> machines) {
    std::vector<Balloon> balloons;
    for (std::size_t i = 0; i < machines.size(); ++i) {
      const VmMeasure& vm = machines[i];
      const GuestStatistics* const guest = fresh_statistics(vm, kOldest);
      if (!vm.balloon || guest == nullptr || !guest->free || !vm.minimum) continue;
      const PageCount now = excess(vm.maximum, vm.balloon->actual);
      const bool is_pressured = real(*guest->free) <= kPressured * real(*vm.minimum) || now < *vm.minimum;
      balloons.push_back({.index = i,
                          .least = to_signed(std::min(*vm.minimum, vm.maximum)),
                          .most = to_signed(vm.maximum),
                          .now = to_signed(now),
                          .shares = static_cast<double>(vm.shares),
                          .is_pressured = is_pressured});
    }
    return balloons;
  }

  Duration period_;
};

}  // namespace

PolicyEntry proxmox_entry() {
  return {.name = "proxmox",
          .what = "Proxmox VE: the host is kept 80 % used, machines share above their minima, 100 MiB a round at most",
          .takes = {PolicyOption::kPeriod},
          .constants = {{"period", seconds_text(kPeriod), "overcommit-facts.md 5.2 (pvestatd)"},
                        {"target", percent_text(kTarget), "ballooning-target, overcommit-facts.md 1.1"},
                        {"dead band", text_of(kLeastGoal), "overcommit-facts.md 5.2"},
                        {"largest step", text_of(kMostStep), "overcommit-facts.md 5.2"},
                        {"pressured at free of minimum", percent_text(kPressured), "overcommit-facts.md 5.2"}},
          .rules = {"goal = 80 % of memory - used; nothing is done within 10 MiB of it",
                    "only machines with statistics and a minimum are looked after",
                    "grow: those with little free first; shrink: those with more first; all, if that moves nobody",
                    "each gets its minimum, and of the rest by shares; 100 MiB a machine and round at most"},
          .source = "overcommit-facts.md 5.2 (pve-manager)",
          .make = make_policy<Proxmox>};
}

}  // namespace pagoda::policy
