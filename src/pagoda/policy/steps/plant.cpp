#include "pagoda/policy/steps/plant.h"

#include <algorithm>

#include "pagoda/policy/pages.h"

namespace pagoda::policy {

namespace {

constexpr Duration kSecond = 1_s;
constexpr double kBalloonRate = 160'000;  // Pages a second: 630 MB/s (virtualization.md 4.2).
constexpr double kSlowBalloon = 0.01;     // Of that rate.
constexpr double kGuestSwapRate = 0.005;  // Of a guest's memory a second that it swaps to feed its balloon.
constexpr double kGuestSwap = 0.25;       // Of a guest's memory: more does not fit into its swap, and it runs out.
constexpr double kReadSeconds = 100e-6;   // A page from the host's disk, one after the other.
constexpr double kReadsASecond = 1 / kReadSeconds;
constexpr double kGuestThrash = 5;      // Share of time lost for each share of active memory that a guest is short.
constexpr double kMistaken = 0.2;       // Part of what is paged out that is taken without a look at its use.
constexpr double kHostLow = 0.01;       // Of the host: free memory at which it pages by itself.
constexpr double kCacheGrowth = 0.005;  // A second, of a cache that was dropped, while the machine is busy.
constexpr double kBusyActive = 0.25;    // Share of its memory that a busy machine has active, at least.

PageCount pages(double amount) { return whole_pages(amount + 0.5); }

}  // namespace

Plant::Plant(PageCount total, const std::vector<PlantMachine>& machines, bool reports_free)
    : total_(real_pages(total)), reports_free_(reports_free) {
  for (const PlantMachine& machine : machines) {
    State& state = states_.emplace_back();
    state.is = machine;
    state.touched = used(state) + cache(state);
  }
}

double Plant::used(const State& state) { return std::min(real_pages(state.is.demand.used), limit(state)); }

double Plant::cache(const State& state) {
  const double wanted = real_pages(state.is.demand.cache) * state.cache_bound;
  return std::clamp(limit(state) - used(state), 0.0, wanted);
}

double Plant::held(const State& state) {
  const double lies = state.is.balloon == BalloonKind::kLying ? state.actual : 0;
  return state.touched + lies - state.out_idle - state.out_active;
}

double Plant::active_held(const State& state) {
  return std::max(0.0, std::min(real_pages(state.is.demand.active), used(state)) - state.out_active);
}

double Plant::free() const {
  double free = total_;
  for (const State& state : states_) free -= held(state);
  return std::max(0.0, free);
}

// Idle pages, but for those that the host takes unseen.
void Plant::page_out(State& state, double pages) {
  const double holds = held(state);
  pages = std::min(pages, holds);
  if (pages <= 0) return;
  const double active = active_held(state);
  double of_active = pages * kMistaken * active / holds;
  of_active = std::max(of_active, pages - (holds - active));
  state.out_active += of_active;
  state.out_idle += pages - of_active;
}

void Plant::move_balloon(State& state) const {
  if (state.is.balloon == BalloonKind::kNone || state.is.balloon == BalloonKind::kDead) return;
  const double rate = kBalloonRate * (state.is.balloon == BalloonKind::kSlow ? kSlowBalloon : 1);
  const double before = state.actual;
  const double wanted = std::clamp(state.asked - state.actual, -rate, rate);
  const double to_give = guest_free(state) + cache(state) + kGuestSwapRate * maximum(state);
  state.actual = std::max(0.0, state.actual + std::min(wanted, to_give));
  if (pages(state.actual) != pages(before)) state.moved_at = now_;
  // What leaves the guest was used by nobody, and was often held.
  state.touched = std::min(state.touched, limit(state));
  const double guest_uses = used(state) + cache(state);
  const double idle = std::max(0.0, state.touched - guest_uses);
  const double given = std::max(0.0, state.actual - before);
  state.touched -= std::min(idle, given);
  state.out_idle = std::min(state.out_idle, std::max(0.0, state.touched - state.out_active));
}

void Plant::run_programs(State& state) {
  state.stall = state.is_blocked ? 1 : 0;
  if (state.is_blocked) return;
  state.touched = std::max(state.touched, used(state) + cache(state));
  if (reports_free_) {
    state.touched = used(state) + cache(state);
    state.out_idle = std::min(state.out_idle, std::max(0.0, state.touched - state.out_active));
  }
  // Memory that became active may be out.
  const double active = std::min(real_pages(state.is.demand.active), used(state));
  const double in = std::min(state.out_active, kReadsASecond);
  state.out_active = std::min(state.out_active, active) - std::min(in, std::min(state.out_active, active));
  state.swapped_in += in;
  swapped_in_in_all_ += in;
  const double missing = std::max(0.0, real_pages(state.is.demand.active) - used(state));
  const double thrash = missing == 0 ? 0 : kGuestThrash * missing / real_pages(state.is.demand.active);
  state.stall = std::min(1.0, in * kReadSeconds + thrash);
  if (real_pages(state.is.demand.used) > limit(state) + kGuestSwap * maximum(state)) ++state.oom_kills;
  const bool is_busy = active > kBusyActive * used(state);
  if (is_busy) state.cache_bound = std::min(1.0, state.cache_bound + kCacheGrowth);
}

// The host has nothing left: it takes from all alike.
void Plant::page_by_itself() {
  double all = 0;
  for (const State& state : states_) all += held(state);
  const double short_of = all - total_ * (1 - kHostLow);
  if (short_of <= 0) return;
  for (State& state : states_) page_out(state, short_of * held(state) / all);
}

void Plant::run_second() {
  ++now_;
  worst_stall_ = 0;
  for (State& state : states_) move_balloon(state);
  for (State& state : states_) run_programs(state);
  page_by_itself();
  for (State& state : states_) {
    state.stalled += state.stall;
    worst_stall_ = std::max(worst_stall_, state.stall);
  }
}

Measures Plant::measure() {
  const double since = std::max(1.0, static_cast<double>(now_ - measured_at_));
  measured_at_ = now_;
  measures_.clear();
  double stalls = 0;
  PageCount used_by_machines;
  for (State& state : states_) {
    VmMeasure vm = state.is.promise;
    vm.granted = pages(held(state));
    used_by_machines += vm.granted;
    vm.active = std::min(state.is.demand.active, vm.granted);
    vm.stall = state.stalled / since;
    vm.busy = std::min(1.0, real_pages(state.is.demand.active) / std::max(1.0, used(state)));
    vm.swapped_in = pages(state.swapped_in);
    vm.paged_out = pages(state.out_idle + state.out_active);
    if (state.is.balloon != BalloonKind::kNone)
      vm.balloon = {.target = pages(state.asked),
                    .actual = pages(state.actual),
                    .moved_at = Time((kSecond * state.moved_at).value())};
    if (state.is.statistics_are_known && state.is.balloon != BalloonKind::kNone) {
      const double lies = state.is.balloon == BalloonKind::kLying ? limit(state) : guest_free(state) + cache(state);
      vm.guest = {.age = kSecond,
                  .free = pages(std::max(0.0, guest_free(state))),
                  .available = pages(std::max(0.0, lies)),
                  .total = pages(limit(state)),
                  .caches = pages(cache(state)),
                  .oom_kills = state.oom_kills,
                  .committed = state.is.demand.used};
    }
    stalls += *vm.stall / static_cast<double>(states_.size());
    state.stalled = 0;
    state.swapped_in = 0;
    measures_.push_back(vm);
  }
  return {.host = {.now = Time((kSecond * now_).value()),
                   .total = pages(total_),
                   .free = pages(free()),
                   .used_by_machines = used_by_machines,
                   .stall = stalls},
          .machines = measures_};
}

void Plant::act(const Decisions& decisions) {
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const Decision& decision = decisions.machines[i];
    State& state = states_[i];
    state.asked = real_pages(decision.balloon);
    state.is_blocked = decision.execution == Execution::kBlock;
    page_out(state, real_pages(decision.page_out + decision.compress));
    const double wanted = std::max(1.0, real_pages(state.is.demand.cache));
    if (!decision.reclaim_cache.is_zero())
      state.cache_bound = std::max(0.0, (cache(state) - real_pages(decision.reclaim_cache)) / wanted);
  }
}

}  // namespace pagoda::policy
