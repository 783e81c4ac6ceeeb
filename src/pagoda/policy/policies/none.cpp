// Every machine gets its maximum, and admission refuses what does not fit.
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 10_s;

class None final : public Policy {
 public:
  explicit None(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}
  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    for (const VmMeasure& vm : measures.machines) {
      out.machines.push_back(vm.balloon ? set_limit(vm, vm.maximum, {.why = Why::kUnmanaged})
                                        : keep(vm, {.why = Why::kUnmanaged}));
    }
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  Duration period_;
};

}  // namespace

PolicyEntry none_entry() {
  return {.name = "none",
          .what = "every machine gets its maximum; admission refuses what does not fit",
          .takes = {},
          .constants = {},
          .rules = {"a machine's target is its maximum"},
          .source = "what a host does that promises no more than it has",
          .make = make_policy<None>};
}

}  // namespace pagoda::policy
