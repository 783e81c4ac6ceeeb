// The host's memory is split by maximum, once. The split is looked at again only when machines come or go.
#include <vector>

#include "pagoda/policy/allocation.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 10_s;

class Fixed final : public Policy {
 public:
  explicit Fixed(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    if (!are_the_same(measures.machines)) split(measures);
    for (std::size_t i = 0; i < measures.machines.size(); ++i)
      out.machines.push_back(set_limit(measures.machines[i], parts_[i], {.why = Why::kFixedSplit}));
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  bool are_the_same(std::span<const VmMeasure> machines) const {
    return std::ranges::equal(machines, known_, {}, &VmMeasure::machine);
  }
  void split(const Measures& measures) {
    std::vector<Claim> claims;
    known_.clear();
    for (const VmMeasure& vm : measures.machines) {
      known_.push_back(vm.machine);
      claims.push_back({.shares = real(vm.maximum),
                        .minimum = std::min(vm.minimum.value_or(PageCount(0)), vm.maximum),
                        .maximum = vm.maximum,
                        .active = {}});
    }
    parts_ = allocate(claims, measures.host.total, 0);
  }

  Duration period_;
  std::vector<MachineId> known_;
  std::vector<PageCount> parts_;  // In the order of `known_`.
};

}  // namespace

PolicyEntry fixed_entry() {
  return {.name = "fixed",
          .what = "the host's memory is split by maximum once, and never moved",
          .takes = {},
          .constants = {},
          .rules = {"each machine gets the host's memory by its maximum, not below its minimum",
                    "the split is made again only when machines come or go"},
          .source = "design/overcommit.md: the open question, dynamic or fixed",
          .make = make_policy<Fixed>};
}

}  // namespace pagoda::policy
