// Hyper-V's dynamic memory: what a guest has committed, and a buffer; weight decides when buffers cannot all be met.
//
// Its weakness is kept: whoever claims most gets most (reference/virtualization.md 7.3).
#include <algorithm>
#include <vector>

#include "pagoda/policy/allocation.h"
#include "pagoda/policy/guest_floor.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 1_s;  // hv_balloon posts its status each second.
constexpr double kBuffer = 0.20;
constexpr Duration kOldest = 50_s;

class HyperV final : public Policy {
 public:
  explicit HyperV(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    std::vector<Claim> demands;
    std::vector<Claim> buffers;
    PageCount available = measures.host.free;
    PageCount demanded;
    for (const VmMeasure& vm : measures.machines) {
      available += vm.granted;
      demands.push_back(claim(vm));
      const Claim& demand = demands.back();
      demanded += demand.maximum;
      const PageCount most = is_known(vm) ? std::min(part_of(demand.maximum, 1 + kBuffer), vm.maximum) : demand.maximum;
      buffers.push_back({.shares = demand.shares, .minimum = demand.maximum, .maximum = most, .active = {}});
    }
    const std::vector<PageCount> targets = allocate(demanded > available ? demands : buffers, available, 0);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const VmMeasure& vm = measures.machines[i];
      out.machines.push_back(is_known(vm) ? set_limit(vm, targets[i], {.why = Why::kGuestDemand})
                                          : keep(vm, {.why = Why::kUnknownStatistics}));
    }
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  static bool is_known(const VmMeasure& vm) {
    const GuestStatistics* const guest = fresh_statistics(vm, kOldest);
    return vm.balloon && guest != nullptr && guest->committed;
  }
  // From the minimum to the demand; a machine that does not say is held where it is.
  static Claim claim(const VmMeasure& vm) {
    const auto weight = static_cast<double>(vm.shares);
    if (!is_known(vm)) return {.shares = weight, .minimum = limit_of(vm), .maximum = limit_of(vm), .active = {}};
    const PageCount least = floor_of(vm);
    const PageCount demand = *vm.guest->committed + hv_balloon_floor(vm.maximum);
    return {.shares = weight, .minimum = least, .maximum = std::clamp(demand, least, vm.maximum), .active = {}};
  }

  Duration period_;
};

}  // namespace

PolicyEntry hyperv_entry() {
  return {.name = "hyperv",
          .what = "Hyper-V dynamic memory: what a guest has committed and 20 %, by weight where that is too much",
          .takes = {PolicyOption::kPeriod},
          .constants = {{"buffer", percent_text(kBuffer), "virtualization.md 4.3 (5 to 200 % may be set)"},
                        {"period", seconds_text(kPeriod), "virtualization.md 4.3 (hv_balloon posts each second)"},
                        {"floor", "the curve of hv_balloon", "virtualization.md 4.3"},
                        {"weight", "the machine's shares", "virtualization.md 4.3 (1 to 10000, default 5000)"},
                        {"statistics kept for", seconds_text(kOldest), "ours"}},
          .rules = {"demand = committed + floor; page cache does not count",
                    "target = demand + 20 %, not below the minimum nor above the maximum",
                    "if all demands fit and all buffers do not: buffers by weight",
                    "if demands do not fit: from the minimum up by weight"},
          .source = "virtualization.md 4.3 (Hyper-V dynamic memory, Linux hv_balloon)",
          .make = make_policy<HyperV>};
}

}  // namespace pagoda::policy
