// hypeman's guest memory controller.
//
// Its fault is kept: what it reclaims is an absolute amount, computed from what is available, which already contains what
// was reclaimed before. So it settles at half of its deficit, or cycles (overcommit-facts.md 5.10).
#include <algorithm>
#include <optional>
#include <vector>

#include "pagoda/policy/per_machine.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 2_s;
constexpr double kEnter = 0.10;  // Of the host available.
constexpr double kLeave = 0.15;  // Likewise; its goal.
constexpr PageCount kFloor = pages_of(512_MiB);
constexpr std::uint64_t kFloorDivisor = 2;  // Of the guest's size.
constexpr PageCount kLeastMove = pages_of(64_MiB);
constexpr PageCount kMostStep = pages_of(256_MiB);
constexpr Duration kCooldown = 5_s;

class Hypeman final : public Policy {
 public:
  explicit Hypeman(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    memory_.follow(measures.machines);
    const double available = free_share(measures.host);
    const bool is_stressed = measures.host.stall.value_or(0) > 0;
    if (available < kEnter || is_stressed)
      is_under_pressure_ = true;
    else if (available >= kLeave)
      is_under_pressure_ = false;
    const double total = reclaim_in_all(measures, is_stressed);
    PageCount headroom;
    for (const VmMeasure& vm : measures.machines) headroom += headroom_of(vm);
    for (std::size_t i = 0; i < measures.machines.size(); ++i) {
      const VmMeasure& vm = measures.machines[i];
      const PageCount share = std::min(whole_pages(total * share_of(headroom_of(vm), headroom)), headroom_of(vm));
      out.machines.push_back(move(vm, memory_[i], vm.maximum - share, measures.host));
    }
  }
  [[nodiscard]] Duration period() const override { return period_; }
  [[nodiscard]] std::optional<PageCount> free_goal(PageCount total) const override { return part_of(total, kLeave); }

 private:
  struct Machine {
    std::optional<Time> moved_at;
  };

  static PageCount headroom_of(const VmMeasure& vm) {
    return vm.balloon ? excess(vm.maximum, std::max(kFloor, vm.maximum / kFloorDivisor)) : PageCount(0);
  }
  double reclaim_in_all(const Measures& measures, bool is_stressed) const {
    if (!is_under_pressure_) return 0;
    const double deficit = kLeave * real(measures.host.total) - real(measures.host.free);
    if (deficit > 0) return deficit;
    if (!is_stressed) return 0;
    double reclaimed = 0;
    for (const VmMeasure& vm : measures.machines) reclaimed += real(vm.maximum - limit_of(vm));
    return reclaimed;
  }
  static Decision move(const VmMeasure& vm, Machine& machine, PageCount target, const HostMeasure& host) {
    const PageCount now = limit_of(vm);
    const PageCount by = target > now ? target - now : now - target;
    const Reason reason{.why = target < now ? Why::kHostShort : Why::kSurplus, .host_free = free_share(host)};
    if (by < kLeastMove) return keep(vm, {.why = Why::kEnough, .host_free = free_share(host)});
    if (machine.moved_at && host.now - *machine.moved_at < kCooldown) return keep(vm, {.why = Why::kSettling});
    machine.moved_at = host.now;
    return set_limit(vm, step_towards(now, target, kMostStep), reason);
  }

  Duration period_;
  bool is_under_pressure_ = false;
  PerMachine<Machine> memory_;
};

}  // namespace

PolicyEntry hypeman_entry() {
  return {
      .name = "hypeman",
      .what = "below 10 % available, machines give by headroom until 15 % are (it stops half way)",
      .takes = {PolicyOption::kPeriod},
      .constants = {{"poll", seconds_text(kPeriod), "overcommit-facts.md 5.10"},
                    {"pressure below", percent_text(kEnter), "overcommit-facts.md 5.10"},
                    {"healthy from", percent_text(kLeave), "overcommit-facts.md 5.10"},
                    {"floor", text_of(kFloor) + " or half of the machine", "overcommit-facts.md 5.10"},
                    {"smallest move", text_of(kLeastMove), "overcommit-facts.md 5.10"},
                    {"largest step", text_of(kMostStep), "overcommit-facts.md 5.10"},
                    {"cooldown", seconds_text(kCooldown), "overcommit-facts.md 5.10"}},
      .rules = {"pressure begins below 10 % available or with any stall of the host, and ends at 15 % without one",
                "under pressure: all give 15 % of memory - available, by headroom; an absolute amount, not a change",
                "moves below 64 MiB, or within 5 s of the last, are left undone; 256 MiB a step"},
      .source = "overcommit-facts.md 5.10 (kernel/hypeman lib/guestmemory)",
      .make = make_policy<Hypeman>};
}

}  // namespace pagoda::policy
