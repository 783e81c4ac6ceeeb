// Small worlds (tests/torture/world.h) for the interleavings: what is done in each, and by whom.
//
// A scenario says which operations its workers choose from, which of the manager's threads run beside them, and how little memory
// there is. A seed chooses the operations, the world's sizes and the interleaving.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tests/interleave/scheduler.h"
#include "tests/torture/world.h"

namespace pagoda::interleave {

struct Scenario {
  std::string_view name;
  // At an effort of 1.
  std::size_t seeds = 0;
  mm::torture::WorldConfig (*world)(Random& random) = nullptr;
  // Of each worker.
  std::uint64_t operations = 0;
};

std::span<const Scenario> scenarios();

// Runs a seed of the scenario. Empty if all was well. Where fibers are stuck, what they hold is never released.
std::string run(Scheduler& scheduler, const Scenario& scenario, std::uint64_t seed);
// What a seed replays: who ran when, and where everything is afterwards.
struct Replay {
  std::uint64_t points = 0;
  std::uint64_t switches = 0;
  std::uint64_t trace = 0;
  std::uint64_t state = 0;
  mm::Counters counters;  // Says no more than the state does.
  friend bool operator==(const Replay& a, const Replay& b) {
    return a.points == b.points && a.switches == b.switches && a.trace == b.trace && a.state == b.state;
  }
};
std::string run(Scheduler& scheduler, const Scenario& scenario, std::uint64_t seed, Replay& replay);

}  // namespace pagoda::interleave
