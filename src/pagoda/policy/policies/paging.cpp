// A plain Linux host: it pages, and nobody decides.
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 10_s;

class Paging final : public Policy {
 public:
  explicit Paging(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}
  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    for (const VmMeasure& vm : measures.machines) out.machines.push_back(keep(vm, {.why = Why::kHostPages}));
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  Duration period_;
};

}  // namespace

PolicyEntry paging_entry() {
  return {.name = "paging",
          .what = "the host pages; no balloon, no shares: what a plain Linux host does",
          .takes = {PolicyOption::kPeriod},
          .constants = {},
          .rules = {"nothing is decided: the host takes what was used longest ago, whoever it belongs to",
                    "a simulated host looks once a period whether its out-of-memory killer has to act"},
          .source = "what a Linux host does without a controller",
          .has_killer = true,
          .make = make_policy<Paging>};
}

}  // namespace pagoda::policy
