// What a host's controller costs: one decision for a thousand machines.
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/figures.h"
#include "bench/harness.h"
#include "pagoda/base/random.h"
#include "pagoda/policy/policy.h"

namespace pagoda::bench {

namespace {

constexpr std::size_t kMachines = 1'000;
constexpr std::size_t kDecisions = 20;       // In a round.
constexpr double kBudget = 1e6;              // Nanoseconds that a decision may take.
constexpr std::uint64_t kFreePerMille = 30;  // The host is short, so that there is something to decide.

// A host whose machines differ in size, shares, activity and stalls. Balloons do at once as they are told.
class ShortHost {
 public:
  ShortHost() : policy_(policy::policies().front().make({})) {
    Random random(1);
    PageCount granted;
    for (std::size_t i = 0; i < kMachines; ++i) {
      const PageCount maximum = pages_of(1_GiB) * (1 + random.below(16));
      const PageCount holds = maximum / 2 + PageCount(random.below(maximum.value() / 2));
      granted += holds;
      machines_.push_back({.machine = static_cast<policy::MachineId>(i),
                           .maximum = maximum,
                           .minimum = pages_of(512_MiB),
                           .shares = 1 + random.below(1'000),
                           .granted = holds,
                           .active = PageCount(random.below(holds.value())),
                           .balloon = policy::BalloonMeasure{},
                           .guest = policy::GuestStatistics{.age = 1_s, .free = holds / 4, .available = holds / 2},
                           .stall = 0.02 * random.unit(),
                           .swapped_in = PageCount(random.below(100))});
    }
    host_.total = granted * (1'000 + kFreePerMille) / 1'000;
    host_.free = host_.total - granted;
  }

  double decide() {
    Stopwatch watch;
    for (std::size_t i = 0; i < kDecisions; ++i) {
      watch.start();
      policy_->decide({.host = host_, .machines = machines_}, decisions_);
      watch.stop();
      host_.now += policy_->period();
      for (std::size_t j = 0; j < kMachines; ++j)
        machines_[j].balloon->target = machines_[j].balloon->actual = decisions_.machines[j].balloon;
    }
    return watch.nanoseconds_per(kDecisions);
  }

 private:
  std::unique_ptr<policy::Policy> policy_;
  policy::HostMeasure host_;
  std::vector<policy::VmMeasure> machines_;
  policy::Decisions decisions_;
};

}  // namespace

Input<> policy_round(const BenchOptions&, BenchOutput& out) {
  ShortHost host;
  const Figures figures = take_turns({[&] { return host.decide(); }});
  BenchRow row =
      cost_row("policy_round", figures.of[0].median, kBudget, "the millisecond that a decision may take", figures);
  row.floor = 1;
  row.more["machines"] = kMachines;
  out.row(row);
  return {};
}

}  // namespace pagoda::bench
