// oVirt's Memory Overcommit Manager: everybody shrinks by a rule while the host is short, else everybody grows.
//
// Its weaknesses are kept: it does not single out idle guests, it moves by 5 % at most, and its demand is what guests claim.
#include <algorithm>
#include <deque>
#include <numeric>

#include "pagoda/policy/per_machine.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/ksm_rate.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 10_s;
constexpr double kPressure = 0.20;     // Of the host free: below it guests shrink.
constexpr double kMustPage = 0.05;     // Of the host free: at it guests are made to page.
constexpr double kMostStep = 0.05;     // Of a guest's memory, a round.
constexpr double kLeastStep = 0.0025;  // Of a guest's memory: less is left undone.
constexpr std::size_t kHistory = 10;   // Rounds that are averaged.
constexpr Duration kOldest = 60_s;

class Mom final : public Policy {
 public:
  explicit Mom(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    memory_.follow(measures.machines);
    const double host_free = free_share(measures.host);
    const bool is_short = host_free < kPressure;
    for (std::size_t i = 0; i < measures.machines.size(); ++i)
      out.machines.push_back(decide_one(measures.machines[i], memory_[i], host_free, is_short));
    ksm_.step(is_short);
    out.sharing = ksm_.rate(measures.host.total);
  }
  [[nodiscard]] Duration period() const override { return period_; }
  [[nodiscard]] std::optional<PageCount> free_goal(PageCount total) const override { return part_of(total, kPressure); }

 private:
  struct Machine {
    std::deque<double> used;
  };

  static Decision decide_one(const VmMeasure& vm, Machine& machine, double host_free, bool is_short) {
    const GuestStatistics* const guest = fresh_statistics(vm, kOldest);
    if (!vm.balloon || guest == nullptr || !guest->free) return keep(vm, {.why = Why::kUnknownStatistics});
    const double now = real(excess(vm.maximum, vm.balloon->actual));
    machine.used.push_back(now - real(*guest->free));
    if (machine.used.size() > kHistory) machine.used.pop_front();
    const double used =
        std::accumulate(machine.used.begin(), machine.used.end(), 0.0) / static_cast<double>(machine.used.size());
    double wanted = 0;
    if (is_short) {
      const double guest_free = host_free <= kMustPage ? host_free - kMustPage : kPressure * (host_free / kPressure);
      const double least = std::max(real(vm.minimum.value_or(PageCount(0))), used + guest_free * now);
      wanted = std::min(now, std::max(least, now * (1 - kMostStep)));
    } else {
      wanted = std::min(real(vm.maximum), std::max(used + kPressure * now, now * (1 + kMostStep)));
    }
    if (std::abs(wanted - now) < kLeastStep * now) return keep(vm, {.why = Why::kEnough, .host_free = host_free});
    return set_limit(vm, whole_pages(wanted),
                     {.why = is_short ? Why::kHostShort : Why::kSurplus, .host_free = host_free});
  }

  Duration period_;
  PerMachine<Machine> memory_;
  KsmRate ksm_;
};

}  // namespace

PolicyEntry mom_entry() {
  return {.name = "mom",
          .what = "oVirt's MOM: all guests shrink by 5 % while less than 20 % of the host is free, else all grow",
          .takes = {PolicyOption::kPeriod},
          .constants = {{"pressure threshold", percent_text(kPressure), "virtualization.md 7.2 (MOM doc/*.rules)"},
                        {"guests page at", percent_text(kMustPage), "virtualization.md 7.2"},
                        {"largest step", percent_text(kMostStep), "virtualization.md 7.2"},
                        {"smallest step", percent_text(kLeastStep), "virtualization.md 7.2"},
                        {"period", seconds_text(kPeriod), "ours; the reference says \"policy interval\""},
                        {"average over", fmt::format("{} rounds", kHistory), "ours; the reference says \"avg\""}},
          .rules = {"used is the average of current less free, as the guest says",
                    "host free < 20 %: shrink to used + free share of the host, not below the minimum, 5 % at most",
                    "host free <= 5 %: below what is used, so that guests page",
                    "else grow to used + 20 %, 5 % at least, up to the maximum", "changes below 0.25 % are left undone",
                    "KSM runs while the host is short: +300 / -50 pages"},
          .source = "virtualization.md 7.2 (oVirt/mom)",
          .make = make_policy<Mom>};
}

}  // namespace pagoda::policy
