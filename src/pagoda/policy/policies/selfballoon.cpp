// Xen's selfballoon: each guest moves its own balloon to what it has committed, and looks at nobody else.
//
// Its weakness is kept: the host's memory has no part in it.
#include <algorithm>

#include "pagoda/policy/guest_floor.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 5_s;
constexpr std::uint64_t kDownHysteresis = 8;
constexpr std::uint64_t kUpHysteresis = 1;
constexpr PageCount kReserve{0};
constexpr Duration kOldest = 60_s;

class Selfballoon final : public Policy {
 public:
  explicit Selfballoon(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    for (const VmMeasure& vm : measures.machines) {
      const GuestStatistics* const guest = fresh_statistics(vm, kOldest);
      if (!vm.balloon || guest == nullptr || !guest->committed) {
        out.machines.push_back(keep(vm, {.why = Why::kUnknownStatistics}));
        continue;
      }
      const PageCount goal = std::clamp(*guest->committed + kReserve, floor_of(vm), vm.maximum);
      const PageCount now = limit_of(vm);
      const PageCount next = now > goal ? now - (now - goal) / kDownHysteresis : now + (goal - now) / kUpHysteresis;
      out.machines.push_back(set_limit(vm, next, {.why = Why::kGuestDemand}));
    }
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  Duration period_;
};

}  // namespace

PolicyEntry selfballoon_entry() {
  return {.name = "selfballoon",
          .what = "Xen's selfballoon: each guest to what it has committed, up at once, down by an eighth",
          .takes = {PolicyOption::kPeriod},
          .constants = {{"period", seconds_text(kPeriod), "virtualization.md 4.3"},
                        {"up", "all the way (hysteresis 1)", "virtualization.md 4.3"},
                        {"down", "1/8 of the way (hysteresis 8)", "virtualization.md 4.3"},
                        {"reserve", text_of(kReserve), "ours; the reference gives no figure"}},
          .rules = {"goal = committed + reserve, not below the floor nor above the maximum",
                    "up at once, down by an eighth of the way; the host is not looked at"},
          .source = "virtualization.md 4.3 (Linux xen-selfballoon)",
          .make = make_policy<Selfballoon>};
}

}  // namespace pagoda::policy
