// The default. Shares and the idle tax decide who gives; stalls decide how much more may be taken from a machine.
//
// Each round:
//   1. The state follows free memory. Targets are min-funding revocation's (policy/allocation.h), so that free memory
//      would be above high again; a machine that stalls more than is acceptable stops giving as far as its shares go.
//   2. Below high, machines above their targets give: by balloon in steps, less the nearer their stalls are to what is
//      acceptable, and never what the guest needs; by paging where the balloon is dead, missing or too slow.
//   3. Machines that are short get back first, then, in high, the others.
//
// Invariants (tests):
//   [PG1] Nobody is taken below its floor: its minimum, or hv_balloon's curve.
//   [PG2] A machine does not give and get within one turn.
//   [PG3] Statistics that are unknown or old shrink nobody (and what a guest says shrinks nobody but itself).
//   [PG4] A balloon that has not moved for a turn is asked for nothing more; its machine is paged.
//   [PG5] Targets move from targets, one move at a time; never from `actual`.
//   [PG6] Swap-in is charged to who holds more than its shares give, as if so many of its pages were idle.
// Source: design/overcommit.md ("What the default must be"), overcommit-facts.md 8.6 (the safety list).
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "pagoda/policy/allocation.h"
#include "pagoda/policy/guest_floor.h"
#include "pagoda/policy/per_machine.h"
#include "pagoda/policy/policies/balloon_watch.h"
#include "pagoda/policy/policies/entries.h"
#include "pagoda/policy/policies/move.h"

namespace pagoda::policy {

namespace {

constexpr Duration kPeriod = 1_s;
constexpr std::uint64_t kRoundsOfTurn = 4;
constexpr double kAcceptableStall = 0.01;   // Of a machine's time.
constexpr double kStep = 0.05;              // Of a machine's memory, a second, by balloon.
constexpr double kPagingStep = 0.01;        // Likewise by paging, while the host is no more than short.
constexpr double kGuestLow = 0.05;          // Of a machine's memory, available to its guest: below, it is short.
constexpr double kHeadroom = 0.125;         // Of a machine's memory: what it may want beyond what it holds.
constexpr double kStallGain = 0.5;          // Of the average of stalls, a round.
constexpr double kSoreDecay = 0.998;        // A second: for how long it is remembered where a machine stalled.
constexpr double kChargeDecay = 0.9;        // A second: for how long swap-in is answered for.
constexpr double kTrigger = 0.9;            // Of soft: as far as machines in need may use free memory up in high.
constexpr std::uint64_t kOldestRounds = 5;  // Statistics older than so many rounds are not known.

class Pagoda final : public Policy {
 public:
  explicit Pagoda(const PolicyOptions& options)
      : period_(options.period.value_or(kPeriod)),
        turn_(period_ * kRoundsOfTurn),
        preset_(options.states.value_or(StatesPreset::kEsx2002)),
        tax_(options.idle_tax.value_or(kDefaultIdleTax)),
        acceptable_(options.acceptable_stall.value_or(kAcceptableStall)) {}

  void decide(const Measures& measures, Decisions& out) override {
    host_ = measures.host;
    limits_ = thresholds(preset_, host_.total);
    state_ = next_state(state_, host_.free, limits_);
    memory_.follow(measures.machines);
    for (std::size_t i = 0; i < memory_.size(); ++i) observe(measures.machines[i], memory_[i]);
    set_targets(measures.machines);
    out.state = state_;
    out.sharing.reset();
    out.machines.clear();
    for (std::size_t i = 0; i < memory_.size(); ++i) out.machines.push_back(start(measures.machines[i], memory_[i]));
    if (state_ >= FreeState::kSoft)
      for (std::size_t i = 0; i < memory_.size(); ++i) take(measures.machines[i], memory_[i], out.machines[i]);
    give_back(measures.machines, out.machines);
    for (std::size_t i = 0; i < memory_.size(); ++i)
      memory_[i].was_blocked = out.machines[i].execution == Execution::kBlock;
  }
  [[nodiscard]] Duration period() const override { return period_; }
  [[nodiscard]] std::optional<PageCount> free_goal(PageCount total) const override {
    return thresholds(preset_, total).enough();
  }

 private:
  struct Machine {
    PageCount floor;
    PageCount target;    // By shares, activity and stalls.
    PageCount fair;      // By shares alone.
    double price = 0;    // The dearest has 1.
    double stall = 0;    // Average of a few rounds.
    double sore = 0;     // Pages: where it stalled too much.
    double charged = 0;  // Pages of swap-in that it answers for.
    BalloonWatch balloon;
    bool was_blocked = false;
    std::optional<Time> gave_at;
    std::optional<Time> got_at;
  };

  double seconds() const { return static_cast<double>(period_.value()) / 1e9; }
  bool is_within_turn(const std::optional<Time>& at) const { return at && host_.now - *at < turn_; }
  const GuestStatistics* statistics(const VmMeasure& vm) const {
    const GuestStatistics* const guest = fresh_statistics(vm, period_ * kOldestRounds);
    return guest != nullptr && guest->available && *guest->available <= vm.maximum ? guest : nullptr;
  }
  bool stalls_too_much(const Machine& machine) const { return machine.stall > acceptable_; }
  // How much of a step may still be taken from it: what is above its fair part is taken whatever it says.
  double room_of(const VmMeasure& vm, const Machine& machine) const {
    return vm.granted > machine.fair ? 1 : std::max(0.0, 1 - machine.stall / acceptable_);
  }
  bool is_short(const VmMeasure& vm, const Machine& machine) const {
    const GuestStatistics* const guest = statistics(vm);
    return stalls_too_much(machine) || (guest != nullptr && real(*guest->available) < kGuestLow * real(vm.maximum));
  }
  bool can_balloon(const VmMeasure& vm, const Machine& machine) const {
    return vm.balloon && !machine.balloon.is_dead();
  }

  void observe(const VmMeasure& vm, Machine& machine) const {
    machine.floor = floor_of(vm);
    if (vm.balloon) machine.balloon.look(*vm.balloon, host_.now, turn_);
    // A machine that was not let run did not wait for memory.
    if (!machine.was_blocked) machine.stall += kStallGain * (vm.stall.value_or(0) - machine.stall);
    machine.sore *= std::pow(kSoreDecay, seconds());
    machine.charged *= std::pow(kChargeDecay, seconds());
    if (stalls_too_much(machine)) machine.sore = std::max(machine.sore, real(vm.granted));
  }

  // --- Who should have what ---

  Claim claim_of(const VmMeasure& vm, const Machine& machine) const {
    const double active = std::min(real(vm.active.value_or(vm.granted)), real(vm.maximum));
    const PageCount most = std::min(vm.maximum, vm.granted + part_of(vm.maximum, kHeadroom));
    return {.shares = static_cast<double>(vm.shares),
            .minimum = std::min(machine.floor, most),
            .maximum = most,
            .active = whole_pages(active - machine.charged)};
  }

  void set_targets(std::span<const VmMeasure> machines) {
    std::vector<Claim> claims;
    claims.reserve(machines.size());
    PageCount there = host_.free;
    for (std::size_t i = 0; i < machines.size(); ++i) {
      const VmMeasure& vm = machines[i];
      claims.push_back(claim_of(vm, memory_[i]));
      there += vm.granted;
    }
    const PageCount available = excess(there, limits_.goal());
    const std::vector<PageCount> fair = allocate(claims, available, 0);
    for (std::size_t i = 0; i < claims.size(); ++i) memory_[i].fair = fair[i];
    charge_swap_in(machines);
    for (std::size_t i = 0; i < claims.size(); ++i) protect(machines[i], memory_[i], claims[i]);
    const std::vector<PageCount> targets = allocate(claims, available, tax_);
    double dearest = 0;
    for (std::size_t i = 0; i < claims.size(); ++i) {
      memory_[i].target = targets[i];
      memory_[i].price = price(claims[i], std::max(machines[i].granted, PageCount(1)), tax_);
      dearest = std::max(dearest, memory_[i].price);
    }
    for (std::size_t i = 0; i < claims.size(); ++i) memory_[i].price /= dearest;
  }

  // [PG6] What a machine within its fair part brings in again is charged to those above theirs, what one above its own
  // does to itself.
  void charge_swap_in(std::span<const VmMeasure> machines) {
    double of_victims = 0;
    double above = 0;
    for (std::size_t i = 0; i < machines.size(); ++i) {
      const double over = real(excess(machines[i].granted, memory_[i].fair));
      const double swapped_in = real(machines[i].swapped_in.value_or(PageCount(0)));
      above += over;
      (over > 0 ? memory_[i].charged : of_victims) += swapped_in;
    }
    if (above == 0) return;
    for (std::size_t i = 0; i < machines.size(); ++i)
      memory_[i].charged += of_victims * real(excess(machines[i].granted, memory_[i].fair)) / above;
  }

  // Raises the least that a machine is left above its floor, and says what it may be.
  void protect(const VmMeasure& vm, const Machine& machine, Claim& claim) const {
    PageCount least;
    if (is_unknown(vm, machine)) least = vm.granted;  // [PG3]
    // As far as its shares go, it keeps what it has while it stalls, and stays away from where it did.
    if (stalls_too_much(machine)) least = std::max(least, std::min(vm.granted, machine.fair));
    if (machine.sore > 0) least = std::max(least, std::min(whole_pages(machine.sore), machine.fair));
    claim.minimum = std::clamp(least, claim.minimum, claim.maximum);
  }
  // Without the guest's word its balloon is not inflated, and without the host's sampling it is not paged. From hard on the
  // host has no other choice where it knows what is active.
  bool is_unknown(const VmMeasure& vm, const Machine& machine) const {
    if (!vm.active) return true;
    return can_balloon(vm, machine) && statistics(vm) == nullptr && state_ < FreeState::kHard;
  }

  // --- What is done about it ---

  Decision start(const VmMeasure& vm, const Machine& machine) const {
    Reason reason{.why = Why::kEnough, .host_free = free_share(host_)};
    if (state_ >= FreeState::kSoft) reason.state = state_;
    if (machine.balloon.is_dead()) reason.why = Why::kDeadBalloon;
    return {.machine = vm.machine,
            .previous = limit_of(vm),
            .target = limit_of(vm),
            // [PG4] A dead balloon is asked for what it has, so that it does not come alive with an old order.
            .balloon = !vm.balloon                 ? PageCount(0)
                       : machine.balloon.is_dead() ? vm.balloon->actual
                                                   : vm.maximum - limit_of(vm),
            .reason = reason};
  }

  void take(const VmMeasure& vm, Machine& machine, Decision& decision) const {
    const PageCount over = excess(vm.granted, machine.target);
    if (over.is_zero()) {
      if (machine.target == machine.floor && !machine.balloon.is_dead()) decision.reason.why = Why::kFloor;
      return;
    }
    Reason& reason = decision.reason;
    reason = {.why = Why::kPrice, .state = state_, .price = machine.price, .stall = machine.stall};
    if (vm.active) reason.active = std::min(1.0, share_of(*vm.active, vm.granted));
    if (machine.charged >= 1) reason.charged_to = whole_pages(machine.charged);
    if (state_ == FreeState::kLow) decision.execution = Execution::kBlock;
    if (is_within_turn(machine.got_at)) {  // [PG2]
      reason.why = Why::kOnePeriod;
      return;
    }
    const PageCount by_balloon = can_balloon(vm, machine) ? inflate(vm, machine, decision) : PageCount(0);
    page_out(vm, machine, excess(over, std::max(by_balloon, machine.balloon.moved())), decision);
    if (decision.target < decision.previous || !decision.page_out.is_zero()) machine.gave_at = host_.now;
    if (!decision.page_out.is_zero()) reason.why = Why::kPrice;  // Whatever the balloon waits for.
    if (!vm.balloon)
      reason.why = Why::kNoBalloon;
    else if (machine.balloon.is_dead())
      reason.why = Why::kDeadBalloon;
  }

  // Lowers what the balloon leaves the machine by a step; says how much of what the machine holds that frees.
  PageCount inflate(const VmMeasure& vm, const Machine& machine, Decision& decision) const {
    const GuestStatistics* const guest = statistics(vm);
    if (guest == nullptr) {  // [PG3]
      decision.reason.why = Why::kUnknownStatistics;
      return {};
    }
    if (vm.balloon->actual != vm.balloon->target) {  // [PG5]
      decision.reason.why = Why::kSettling;
      return {};
    }
    const double room = state_ < FreeState::kHard ? room_of(vm, machine) : 1;
    if (room == 0) {
      decision.reason.why = Why::kStalls;
      return {};
    }
    // What the guest never touched frees nothing, so that it is taken at once; what it needs itself is not taken.
    const PageCount limit = limit_of(vm);
    const PageCount from = std::min(limit, std::max(vm.granted, machine.target));
    const PageCount needs = excess(limit, excess(*guest->available, part_of(vm.maximum, 2 * kGuestLow)));
    const PageCount next = step_towards(from, machine.target, part_of(vm.maximum, kStep * seconds() * room));
    decision.target = std::min(limit, std::max({next, needs, machine.floor}));
    decision.balloon = vm.maximum - decision.target;
    return excess(from, decision.target);
  }

  // Pages what the balloon does not bring: from hard on all of it, before that a little, and nothing of a machine whose
  // balloon still works.
  void page_out(const VmMeasure& vm, const Machine& machine, PageCount over, Decision& decision) const {
    const GuestStatistics* const guest = statistics(vm);
    const bool works =
        can_balloon(vm, machine) && (guest == nullptr || *guest->available > part_of(vm.maximum, 2 * kGuestLow));
    if (state_ >= FreeState::kHard)
      decision.page_out = over;
    else if (!works)
      decision.page_out = std::min(over, part_of(vm.maximum, kPagingStep * seconds() * room_of(vm, machine)));
  }

  // Those who are short first, the dearest of them first of all; then, while the host has more than enough, the others.
  void give_back(std::span<const VmMeasure> machines, std::vector<Decision>& decisions) {
    std::vector<std::size_t> order(machines.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::erase_if(
        order, [&](std::size_t i) { return !can_balloon(machines[i], memory_[i]) || decisions[i].balloon.is_zero(); });
    std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair(-memory_[i].price, i); });
    PageCount promised;  // To machines that were given back and have not touched it yet.
    for (const std::size_t i : order) promised += excess(limit_of(machines[i]), machines[i].granted);
    const PageCount in_need = state_ < FreeState::kSoft ? excess(host_.free, part_of(limits_.soft, kTrigger))
                                                        : excess(host_.free, limits_.hard);
    PageCount pool = in_need;
    for (const std::size_t i : order) {
      if (!is_short(machines[i], memory_[i])) continue;
      const PageCount most = std::max(memory_[i].target, memory_[i].floor);
      raise(machines[i], memory_[i], most, pool, Why::kBackFirst, decisions[i]);
    }
    if (state_ != FreeState::kHigh) return;
    PageCount rest = std::min(pool, excess(host_.free, limits_.goal() + promised));
    for (const std::size_t i : order)
      raise(machines[i], memory_[i], machines[i].maximum, rest, Why::kSurplus, decisions[i]);
  }
  void raise(const VmMeasure& vm, Machine& machine, PageCount to, PageCount& pool, Why why, Decision& decision) const {
    if (decision.target != decision.previous || is_within_turn(machine.gave_at)) return;  // [PG2]
    if (why == Why::kSurplus && vm.balloon->actual != vm.balloon->target) return;         // [PG5]
    const PageCount step = std::min(pool, part_of(vm.maximum, kStep * seconds()));
    const PageCount by = std::min(excess(to, decision.target), step);
    if (by.is_zero()) return;
    pool -= by;
    decision.target += by;
    decision.balloon = vm.maximum - decision.target;
    decision.reason.why = why;
    decision.reason.stall = machine.stall;
    machine.got_at = host_.now;
  }

  Duration period_;
  Duration turn_;
  StatesPreset preset_;
  double tax_;
  double acceptable_;
  HostMeasure host_;  // Of this round.
  FreeThresholds limits_;
  FreeState state_ = FreeState::kHigh;
  PerMachine<Machine> memory_;
};

}  // namespace

PolicyEntry pagoda_entry() {
  return {
      .name = "pagoda",
      .what = "the default: shares and an idle tax decide who gives, stalls how much; floors, a liveness check",
      .takes = {PolicyOption::kPeriod, PolicyOption::kStates, PolicyOption::kIdleTax, PolicyOption::kAcceptableStall},
      .constants = {{"acceptable stall", percent_text(kAcceptableStall), "ours; a knob"},
                    {"idle tax", percent_text(kDefaultIdleTax), "virtualization.md 1.6"},
                    {"round", seconds_text(kPeriod), "virtualization.md 1.3: the balloon polls each second"},
                    {"turn", fmt::format("{} rounds", kRoundsOfTurn),
                     "ours; overcommit-facts.md 9: a stuck balloon is seen in 5 s"},
                    {"states", "esx2002: 6, 4, 2, 1 %", "virtualization.md 1.2"},
                    {"step by balloon", percent_text(kStep) + " of a machine a second",
                     "ours; virtio: 630 MB/s, virtualization.md 4.2"},
                    {"step by paging", percent_text(kPagingStep) + " of a machine a second", "ours"},
                    {"guest is short below", percent_text(kGuestLow) + " available",
                     "ours; overcommit-facts.md 8.6, item 6"},
                    {"floor without a minimum", "the curve of hv_balloon", "virtualization.md 4.3"},
                    {"headroom", percent_text(kHeadroom) + " of a machine", "ours"},
                    {"memory of stalls", percent_text(kSoreDecay) + " a second is left", "ours"},
                    {"memory of charges", percent_text(kChargeDecay) + " a second is left", "ours"}},
      .rules =
          {"the state follows free memory; targets by shares, tax, floor and maximum leave more than high free",
           "a machine that stalls more than is acceptable stops giving and keeps what its shares give it",
           "soft: machines above their targets give by balloon, less the more they stall, never what the guest needs",
           "soft: a machine whose balloon is dead, missing or used up is paged a little",
           "hard: what the balloon does not bring is paged; low: a machine above its target does not run",
           "machines that are short get back first, up to their targets; in high all get back",
           "no machine gives and gets within one turn; one move at a time",
           "statistics that are unknown or old shrink nobody; a balloon still for a turn is dead",
           "swap-in is charged to machines above their fair part, as if their pages were idle"},
      .source = "design/overcommit.md, overcommit-facts.md 8.6",
      .make = make_policy<Pagoda>};
}

}  // namespace pagoda::policy
