// What the host's memory policy is told of one machine, round by round: how much it holds, how much of that is active,
// what its balloon and its guest say, and how long it waited.
//
// Watching a machine costs it what the sampling of its activity costs, and no more; its memory is as it was.
#pragma once

#include <cstdint>
#include <optional>

#include "pagoda/hv/activity_sampler.h"
#include "pagoda/policy/activity.h"
#include "pagoda/policy/measure.h"
#include "pagoda/sim/bill.h"

namespace pagoda::sim {

class Guest;

struct WatchConfig {
  std::size_t number = 0;  // The machine's.
  std::uint64_t seed = 1;
  Duration sampling;  // The period of it, in the machine's own time.
};

class MachineWatch {
 public:
  // Requires: the guest runs, and outlives this.
  MachineWatch(Guest& guest, const WatchConfig& config);

  // Ends a round at that time, on that processor of the host.
  BillEntry look(machine::Processor& cpu);
  // How much of the machine's memory is active, as far as is known.
  [[nodiscard]] std::optional<PageCount> active() const;

 private:
  void sample(machine::Processor& cpu);
  [[nodiscard]] std::optional<policy::BalloonMeasure> balloon(Time now);

  Guest& guest_;
  const std::size_t number_;
  std::optional<hv::ActivitySampler> sampler_;  // None where memory is pinned: nothing can be taken.
  policy::ActivityAverages activity_;
  Time last_;
  // Sums at the last look.
  Duration waited_;
  Duration busy_;
  std::uint64_t page_ins_ = 0;
  PageCount in_balloon_;  // What the driver said,
  Time moved_at_;         // and since when.
};

}  // namespace pagoda::sim
