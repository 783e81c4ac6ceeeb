// A host with machines, as small as a model can be that a memory policy can be tried on: no pages, only amounts of them.
//
//   maximum ┬ balloon                                  free of the guest = maximum - balloon - used - cache
//           ├ used by programs, of which a part active  held of the host = touched - swapped
//           ├ page cache, which gives way               free of the host = total - what all hold
//           └ free; what was touched once is still held
//
// A second is one step. Pages that the host pages out are idle ones where it can tell, else any; active ones come back, and
// their machine waits for the disk. A guest whose programs use more than its balloon leaves swaps by itself, and waits too.
// When the host has nothing left it pages by itself, whatever the policy says. Nothing here is random.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/policy/decision.h"
#include "pagoda/policy/measure.h"

namespace pagoda::policy {

// What a machine's programs want from a time on.
struct Demand {
  PageCount used;
  PageCount active;  // Of what they use.
  PageCount cache;   // That the guest fills if it may.
};

enum class BalloonKind : std::uint8_t {
  kNone,
  kWorks,
  kSlow,   // A hundredth of the rate.
  kDead,   // Does not move; since the plant was told so.
  kLying,  // Says that it gives, and touches the pages again.
};

struct PlantMachine {
  VmMeasure promise;  // machine, maximum, minimum, shares; the rest is measured.
  Demand demand;
  BalloonKind balloon = BalloonKind::kWorks;
  bool statistics_are_known = true;
};

class Plant {
 public:
  // Requires: machines have different ids. `reports_free`: guests report free pages, and the host takes them.
  Plant(PageCount total, const std::vector<PlantMachine>& machines, bool reports_free);

  void set_demand(std::size_t machine, const Demand& demand) { states_[machine].is.demand = demand; }
  void set_balloon(std::size_t machine, BalloonKind kind) { states_[machine].is.balloon = kind; }
  void set_total(PageCount total) { total_ = real_pages(total); }

  // Lets a second pass.
  void run_second();
  // What a policy is told; sums and averages begin anew.
  [[nodiscard]] Measures measure();
  void act(const Decisions& decisions);

  [[nodiscard]] double free() const;  // Pages; below nothing never, since the host pages.
  [[nodiscard]] double total() const { return total_; }
  [[nodiscard]] std::uint64_t seconds() const { return now_; }
  [[nodiscard]] double worst_stall() const { return worst_stall_; }       // Of a machine in the last second.
  [[nodiscard]] double swapped_in() const { return swapped_in_in_all_; }  // Pages, since the start.

 private:
  struct State {
    PlantMachine is;
    double asked = 0;    // Of the balloon.
    double actual = 0;   // In the balloon.
    double touched = 0;  // Guest memory outside the balloon that was backed once.
    double out_idle = 0;
    double out_active = 0;
    double cache_bound = 1;  // Part of the cache that the guest may fill: less after a drop.
    std::uint64_t moved_at = 0;
    bool is_blocked = false;
    std::uint64_t oom_kills = 0;
    // Since the last measure.
    double stalled = 0;
    double swapped_in = 0;
    // Of the last second.
    double stall = 0;
  };

  static double real_pages(PageCount pages) { return static_cast<double>(pages.value()); }
  static double maximum(const State& state) { return real_pages(state.is.promise.maximum); }
  static double limit(const State& state) { return maximum(state) - state.actual; }
  static double used(const State& state);
  static double cache(const State& state);
  static double guest_free(const State& state) { return limit(state) - used(state) - cache(state); }
  static double held(const State& state);
  static double active_held(const State& state);
  static void page_out(State& state, double pages);

  void move_balloon(State& state) const;
  void run_programs(State& state);
  void page_by_itself();

  double total_;
  bool reports_free_;
  std::vector<State> states_;
  std::vector<VmMeasure> measures_;
  std::uint64_t now_ = 0;
  std::uint64_t measured_at_ = 0;
  double worst_stall_ = 0;
  double swapped_in_in_all_ = 0;
};

}  // namespace pagoda::policy
