// KubeVirt's virt-handler: KSM while a node is short, and no balloon.
//
// Its weakness is kept: stopping leaves merged pages merged, and a node that is short by other means is not helped.
#include <algorithm>
#include <cstdint>

#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/ksm_rate.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 180_s;
constexpr double kPressure = 0.20;          // Of the node available.
constexpr std::uint64_t kFirstPages = 100;  // A wake.
constexpr double kLeastSleepMs = 10;
constexpr double kSleepMsOf16GiB = 100;

class KubevirtKsm final : public Policy {
 public:
  explicit KubevirtKsm(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    const double available = free_share(measures.host);
    if (available <= kPressure) {
      pages_ = is_on_ ? std::min(pages_ + kKsmBoost, kKsmMost) : kFirstPages;
      is_on_ = true;
    } else if (is_on_) {
      pages_ -= kKsmDecay;
      if (pages_ < kKsmLeast) {
        pages_ = kKsmLeast;
        is_on_ = false;
      }
    }
    const double used = std::max(1.0, real(excess(measures.host.total, measures.host.free)));
    const double sleep_ms = std::max(kLeastSleepMs, kSleepMsOf16GiB * real(pages_of(16_GiB)) / used);
    out.sharing = ScanRate{.pages_a_wake = PageCount(is_on_ ? pages_ : 0),
                           .sleep = Duration(static_cast<std::uint64_t>(sleep_ms * 1e6))};
    for (const VmMeasure& vm : measures.machines)
      out.machines.push_back(keep(vm, {.why = Why::kUnmanaged, .host_free = available}));
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  Duration period_;
  std::uint64_t pages_ = kFirstPages;
  bool is_on_ = false;
};

}  // namespace

PolicyEntry kubevirt_ksm_entry() {
  return {
      .name = "kubevirt_ksm",
      .what = "KubeVirt's loop for KSM: merges faster while at most 20 % of the node is available",
      .takes = {PolicyOption::kPeriod},
      .constants = {{"period", seconds_text(kPeriod), "overcommit-facts.md 5.1 (virt-handler ksm.go)"},
                    {"pressure threshold", percent_text(kPressure), "overcommit-facts.md 5.1"},
                    {"pages a wake",
                     fmt::format("{} first, +{} / -{}, {} to {}", kFirstPages, kKsmBoost, kKsmDecay, kKsmLeast,
                                 kKsmMost),
                     "overcommit-facts.md 5.1"},
                    {"sleep", fmt::format("{:g} ms for 16 GiB used, {:g} ms at least", kSleepMsOf16GiB, kLeastSleepMs),
                     "overcommit-facts.md 5.1"}},
      .rules = {"available <= 20 %: run KSM, 300 pages a wake more each round",
                "else 50 fewer each round, and off below 64; merged pages stay merged", "no machine's memory is moved"},
      .source = "overcommit-facts.md 5.1 (KubeVirt)",
      .make = make_policy<KubevirtKsm>};
}

}  // namespace pagoda::policy
