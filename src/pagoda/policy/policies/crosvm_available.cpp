// ChromeOS's BalanceAvailable: host and guest are kept equally far from where each is in trouble.
//
// Made for one guest: each machine of several answers to the whole of the host's memory.
#include <algorithm>
#include <cstdlib>

#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 1_s;
constexpr PageCount kGuestCritical = pages_of(400_MiB);
constexpr PageCount kHostCritical = pages_of(400_MiB);
constexpr PageCount kBias = pages_of(48_MiB);
constexpr PageCount kSlack = pages_of(10_MiB);
constexpr PageCount kNearCritical = pages_of(1_MiB);
constexpr std::int64_t kLeastMoveDivisor = 100;  // Of the guest's memory.
constexpr double kMostBalloon = 0.75;
constexpr Duration kOldest = 30_s;

class CrosvmAvailable final : public Policy {
 public:
  explicit CrosvmAvailable(const PolicyOptions& options) : period_(options.period.value_or(kPeriod)) {}

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
    const std::int64_t most = to_signed(part_of(vm.maximum, kMostBalloon));
    const std::int64_t balloon = to_signed(vm.balloon->actual);
    const std::int64_t bias =
        most == 0 ? 0
                  : static_cast<std::int64_t>(real(kBias) * static_cast<double>(balloon) / static_cast<double>(most));
    const std::int64_t guest_room = to_signed(*guest->free + *guest->caches) - to_signed(kGuestCritical);
    const std::int64_t host_room = to_signed(host.free) - to_signed(kHostCritical);
    const std::int64_t slack = to_signed(kSlack);
    std::int64_t delta = (guest_room - bias - host_room) / 2;
    delta = std::min(std::max(delta, -(host_room + slack)), guest_room + slack);
    const bool is_critical =
        std::abs(guest_room) <= to_signed(kNearCritical) || std::abs(host_room) <= to_signed(kNearCritical);
    if (std::abs(delta) < to_signed(vm.maximum) / kLeastMoveDivisor && !is_critical)
      return keep(vm, {.why = Why::kEnough, .host_free = free_share(host)});
    const PageCount next = std::min(from_signed(balloon + delta), from_signed(most));
    return set_limit(vm, vm.maximum - next,
                     {.why = delta > 0 ? Why::kHostShort : Why::kGuestShort, .host_free = free_share(host)});
  }

  Duration period_;
};

}  // namespace

PolicyEntry crosvm_available_entry() {
  return {.name = "crosvm_available",
          .what = "ChromeOS BalanceAvailable: host and guest are kept equally far from critical",
          .takes = {PolicyOption::kPeriod},
          .constants = {{"guest critical", text_of(kGuestCritical),
                         "overcommit-facts.md 5.3 (not lowered after kills here)"},
                        {"host critical", text_of(kHostCritical), "ours; the reference gives no figure"},
                        {"bias of a full balloon", text_of(kBias), "ours; the reference gives no figure"},
                        {"smallest move", percent_text(1.0 / kLeastMoveDivisor) + " of the machine",
                         "overcommit-facts.md 5.3"},
                        {"largest balloon", percent_text(kMostBalloon), "overcommit-facts.md 5.3"},
                        {"poll", seconds_text(kPeriod), "ours; the reference gives no figure"}},
          .rules = {"the balloon moves by half of what the guest has above critical - bias - the same of the host",
                    "not so far that either side is more than 10 MiB below critical",
                    "moves below 1 % are left undone unless a side is within 1 MiB of critical"},
          .source = "overcommit-facts.md 5.3 (crosvm BalanceAvailable)",
          .make = make_policy<CrosvmAvailable>};
}

}  // namespace pagoda::policy
