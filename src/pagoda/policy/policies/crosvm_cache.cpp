// ChromeOS's LimitCache: the guest's page cache is bounded by how much the host has.
#include <algorithm>
#include <array>

#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 1_s;
constexpr PageCount kMinFree = pages_of(322560_KiB);
constexpr double kTotalReserve = 0.02;  // Of the guest's memory.
constexpr double kLowWater = 0.01;      // Of the guest's memory.
constexpr std::int64_t kBuckets = 16;   // Of the guest's memory; a move within one is suppressed.
constexpr Duration kOldest = 30_s;

// From the worst: how much of the host must be free, and how much cache of its memory the guest then keeps.
struct Tier {
  double margin;
  double cache;
};
constexpr std::array<Tier, 3> kTiers = {Tier{.margin = 0.02, .cache = 0.05}, Tier{.margin = 0.06, .cache = 0.10},
                                        Tier{.margin = 0.12, .cache = 0.20}};

class CrosvmCache final : public Policy {
 public:
  explicit CrosvmCache(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

  void decide(const Measures& measures, Decisions& out) override {
    out = {};
    for (const VmMeasure& vm : measures.machines) out.machines.push_back(decide_one(vm, measures.host));
  }
  [[nodiscard]] Duration period() const override { return period_; }

 private:
  static Decision decide_one(const VmMeasure& vm, const HostMeasure& host) {
    const GuestStatistics* const guest = fresh_statistics(vm, kOldest);
    if (!vm.balloon || guest == nullptr || !guest->free || !guest->caches)
      return keep(vm, {.why = Why::kUnknownStatistics});
    const std::int64_t free = to_signed(*guest->free);
    const std::int64_t min_free = to_signed(part_of(vm.maximum, kTotalReserve) + kMinFree);
    const bool is_low = free < min_free;
    std::int64_t delta = free - min_free;
    bool is_bounded = false;
    for (const Tier& tier : kTiers) {
      const std::int64_t room = to_signed(host.free) - to_signed(part_of(host.total, tier.margin));
      const std::int64_t target_free = std::max(to_signed(part_of(vm.maximum, kLowWater)) + room, min_free);
      const std::int64_t cache_over = to_signed(*guest->caches) - to_signed(part_of(vm.maximum, tier.cache));
      if (cache_over <= 0) continue;
      const std::int64_t tier_delta = std::min(free - target_free, cache_over);
      delta = is_bounded ? std::max(delta, tier_delta) : tier_delta;
      is_bounded = true;
    }
    const std::int64_t balloon = to_signed(vm.balloon->actual);
    const std::int64_t bucket = std::max<std::int64_t>(1, to_signed(vm.maximum) / kBuckets);
    if (!is_bounded && !is_low) return keep(vm, {.why = Why::kEnough, .available = guest->free});
    if (!is_low && (balloon + delta) / bucket == balloon / bucket)
      return keep(vm, {.why = Why::kEnough, .available = guest->free});
    const PageCount next = std::min(from_signed(balloon + delta), vm.maximum);
    return set_limit(vm, vm.maximum - next,
                     {.why = delta > 0 ? Why::kGuestIdle : Why::kGuestShort, .available = guest->free});
  }

  Duration period_;
};

}  // namespace

PolicyEntry crosvm_cache_entry() {
  return {
      .name = "crosvm_cache",
      .what = "ChromeOS LimitCache: the guest's page cache is bounded by how much the host has free",
      .takes = {PolicyOption::kPeriod},
      .constants = {{"least free in the guest", text_of(kMinFree) + " + its reserve", "overcommit-facts.md 5.4"},
                    {"guest's reserve", percent_text(kTotalReserve) + " of it", "ours; virtio has no such statistic"},
                    {"guest's low watermark", percent_text(kLowWater) + " of it", "ours; virtio has no such statistic"},
                    {"host margins", "2, 6, 12 %, with caches of 5, 10, 20 %", "ours; the reference gives no figures"},
                    {"buckets", fmt::format("{} of a machine", kBuckets), "ours; the reference gives no figure"}},
      .rules = {"for each margin: target free = guest's watermark + host free - margin, at least the least free",
                "the balloon moves by what is free above that, or the cache above its bound if that is less",
                "suppressed unless the guest is low or the balloon enters another bucket"},
      .source = "overcommit-facts.md 5.4 (crosvm LimitCache)",
      .make = make_policy<CrosvmCache>};
}

}  // namespace pagoda::policy
