// vm0's last order of requirements: free page reporting alone, the balloon is never inflated while a machine runs.
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 10_s;

class ReportOnly final : public Policy {
 public:
  explicit ReportOnly(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}
  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    for (const VmMeasure& vm : measures.machines)
      out.machines.push_back(set_limit(vm, vm.maximum, {.why = Why::kUnmanaged}));
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  Duration period_;
};

}  // namespace

PolicyEntry report_only_entry() {
  return {.name = "report_only",
          .what = "free page reporting alone: the balloon stays empty while a machine runs (vm0, 2026)",
          .takes = {},
          .constants = {},
          .rules = {"a machine's balloon is empty; what its guest reports as free returns by itself",
                    "inflation is for parked machines only, which this policy is not asked about"},
          .source = "overcommit-facts.md 5.12 (vm0 #34723)",
          .needs_reporting = true,
          .make = make_policy<ReportOnly>};
}

}  // namespace pagoda::policy
