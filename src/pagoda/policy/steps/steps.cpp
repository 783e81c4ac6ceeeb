#include "pagoda/policy/steps/steps.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "pagoda/policy/pages.h"

namespace pagoda::policy {

namespace {

constexpr std::uint64_t kRest = 600;    // Seconds before the step.
constexpr std::uint64_t kAfter = 1800;  // Seconds after it.
constexpr std::uint64_t kTail = 300;    // The last minutes.
constexpr std::uint64_t kTurn = 4;      // Seconds.
constexpr double kReached = 0.95;       // Of the goal.
constexpr double kTurnSize = 0.003;     // Of the host: smaller moves are no turns.
constexpr unsigned kCycle = 4;          // Turns.
constexpr std::size_t kFirstDead = 2;   // The machines whose balloons die.
constexpr std::size_t kDead = 5;
constexpr std::size_t kLiar = 7;

constexpr std::size_t kBigMachines = 2;
constexpr Demand kSmallOnes{.used = pages_of(1200_MiB), .active = pages_of(200_MiB), .cache = pages_of(2300_MiB)};
constexpr Demand kQuiet{.used = pages_of(1200_MiB), .active = pages_of(200_MiB), .cache = pages_of(1400_MiB)};
constexpr Demand kSome{.used = pages_of(4_GiB), .active = pages_of(2_GiB), .cache = pages_of(1400_MiB)};
constexpr Demand kBusy{.used = pages_of(5_GiB), .active = pages_of(4_GiB), .cache = pages_of(1400_MiB)};

void as_they_are(std::vector<PlantMachine>& /*machines*/) {}
void first_is_busy(std::vector<PlantMachine>& machines) { machines[0].demand = kBusy; }
void last_lies(std::vector<PlantMachine>& machines) { machines[kLiar].balloon = BalloonKind::kLying; }

void two_want_memory(Plant& plant) {
  plant.set_demand(0, kBusy);
  plant.set_demand(1, kSome);
}
void another_gets_busy(Plant& plant) {
  plant.set_demand(0, kQuiet);
  plant.set_demand(1, kBusy);
}
void the_host_shrinks(Plant& plant) { plant.set_total(part_of(kStepHost, 0.80)); }
void balloons_die(Plant& plant) {
  for (std::size_t i = kFirstDead; i < kFirstDead + kDead; ++i) plant.set_balloon(i, BalloonKind::kDead);
  two_want_memory(plant);
}

std::vector<PlantMachine> machines_at_rest() {
  std::vector<PlantMachine> machines(kStepMachines);
  for (std::size_t i = 0; i < machines.size(); ++i) {
    const bool is_big = i < kBigMachines;
    machines[i].promise = {
        .machine = static_cast<MachineId>(i), .maximum = is_big ? kStepBig : kStepSmall, .minimum = kStepMinimum};
    machines[i].demand = is_big ? kQuiet : kSmallOnes;
  }
  return machines;
}

// Counts how often a sum turns by more than noise.
class Turns {
 public:
  void see(double value) {
    if (!extreme_) extreme_ = value;
    const double noise = kTurnSize * static_cast<double>(kStepHost.value());
    if (direction_ > 0 ? value > *extreme_ : direction_ < 0 && value < *extreme_) extreme_ = value;
    const double back = value - *extreme_;
    if (direction_ >= 0 && back < -noise) turn(-1, value);
    if (direction_ <= 0 && back > noise) turn(+1, value);
  }
  [[nodiscard]] unsigned count() const { return count_; }

 private:
  void turn(int direction, double value) {
    if (direction_ != 0) ++count_;
    direction_ = direction;
    extreme_ = value;
  }

  std::optional<double> extreme_;
  int direction_ = 0;
  unsigned count_ = 0;
};

// Watches a run from the step on.
class Observer {
 public:
  Observer(StepResult& result, std::uint64_t step_at) : result_(result), step_at_(step_at) {}

  void see(const Decisions& decisions, std::uint64_t now) {
    const bool is_after = now > step_at_;
    for (const Decision& decision : decisions.machines) {
      if (decision.target < kStepMinimum) result_.floors_hold = false;
      const auto id = static_cast<std::uint32_t>(decision.machine);
      if (decision.target < decision.previous) {
        gave_[id] = now;
        if (got_.contains(id) && now - got_[id] < kTurn) ++result_.gave_and_got;
      }
      if (decision.target > decision.previous) {
        got_[id] = now;
        if (gave_.contains(id) && now - gave_[id] < kTurn) ++result_.gave_and_got;
      }
      if (is_after && decision.reason.why == Why::kDeadBalloon && !result_.dead_noticed)
        result_.dead_noticed = static_cast<double>(now - step_at_);
    }
  }
  void see(const Plant& plant, double targets) {
    const std::uint64_t now = plant.seconds();
    if (now <= step_at_) return;
    const double free = plant.free() / plant.total();
    if (result_.goal) {
      if (free < kReached * *result_.goal) {
        last_below_ = now;
        if (reached_ && now > kRest + kAfter - kTail) lost_ = true;
      } else {
        reached_ = true;
      }
      if (reached_) result_.overshoot = std::max(result_.overshoot, free - *result_.goal);
    }
    if (now <= kRest + kAfter - kTail) return;
    result_.least_free = std::min(result_.least_free, free);
    result_.most_free = std::max(result_.most_free, free);
    result_.worst_stall = std::max(result_.worst_stall, plant.worst_stall());
    turns_.see(targets);
  }
  void finish() {
    result_.turns = turns_.count();
    if (reached_ && !lost_ && last_below_ <= kRest + kAfter - kTail)
      result_.settles = last_below_ > step_at_ ? static_cast<double>(last_below_ - step_at_) : 0;
  }

 private:
  StepResult& result_;
  std::uint64_t step_at_;
  std::uint64_t last_below_ = 0;
  bool reached_ = false;
  bool lost_ = false;
  Turns turns_;
  std::map<std::uint32_t, std::uint64_t> gave_;
  std::map<std::uint32_t, std::uint64_t> got_;
};

}  // namespace

bool StepResult::cycles() const { return turns >= kCycle; }

const std::vector<Step>& steps() {
  static const std::vector<Step> all = {{.name = "demand",
                                         .what = "two machines want 6.6 GiB more together",
                                         .prepare = as_they_are,
                                         .put = two_want_memory},
                                        {.name = "idle",
                                         .what = "a busy machine goes idle, another gets busy",
                                         .prepare = first_is_busy,
                                         .put = another_gets_busy},
                                        {.name = "shrink",
                                         .what = "the host loses a fifth of its memory",
                                         .prepare = as_they_are,
                                         .put = the_host_shrinks},
                                        {.name = "dead",
                                         .what = "as demand, and five balloons die",
                                         .prepare = as_they_are,
                                         .put = balloons_die,
                                         .kills_balloons = true},
                                        {.name = "liar",
                                         .what = "as demand, and a guest touches what it gave",
                                         .prepare = last_lies,
                                         .put = two_want_memory}};
  return all;
}

StepResult run_step(const PolicyEntry& entry, const PolicyOptions& options, const Step& step) {
  std::vector<PlantMachine> machines = machines_at_rest();
  step.prepare(machines);
  Plant plant(kStepHost, machines, entry.needs_reporting);
  const std::unique_ptr<Policy> policy = entry.make(options);
  StepResult result{.step = step.name, .least_free = 1};
  if (const auto goal = policy->free_goal(kStepHost)) result.goal = share_of(*goal, kStepHost);
  Observer observer(result, kRest);
  Decisions decisions;
  const std::uint64_t period = std::max<std::uint64_t>(1, policy->period().value() / Duration(1_s).value());
  double targets = 0;
  double swapped_in_before = 0;
  while (plant.seconds() < kRest + kAfter) {
    if (plant.seconds() == kRest) {
      step.put(plant);
      swapped_in_before = plant.swapped_in();
    }
    plant.run_second();
    if (plant.seconds() % period == 0) {
      policy->decide(plant.measure(), decisions);
      plant.act(decisions);
      observer.see(decisions, plant.seconds());
      targets = 0;
      for (const Decision& decision : decisions.machines) targets += real(decision.target);
    }
    observer.see(plant, targets);
  }
  observer.finish();
  if (!step.kills_balloons) result.dead_noticed.reset();
  result.swapped_in_mib = (plant.swapped_in() - swapped_in_before) / real(pages_of(1_MiB));
  return result;
}

}  // namespace pagoda::policy
