// Steps: a controller is tested like a controller.
//
// A step (a machine wants memory, one goes idle, the host loses memory, balloons die, a guest lies) is put on a policy that
// runs a host at rest, and this says: does the policy reach its own goal, when, how far does it go beyond, does it cycle,
// does every floor hold, is a dead balloon noticed. Source: design/overcommit.md, "A controller is tested like a controller".
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/policy/policy.h"
#include "pagoda/policy/steps/plant.h"

namespace pagoda::policy {

struct StepResult {
  std::string_view step;
  std::optional<double> goal;          // Share of the host that the policy wants free.
  double least_free = 0;               // Over the last minutes.
  double most_free = 0;                // Likewise.
  std::optional<double> settles;       // Seconds from the step until the goal is kept; nullopt: never.
  double overshoot = 0;                // Share of the host that was free beyond the goal, once it was reached.
  unsigned turns = 0;                  // Of the sum of all targets, over the last minutes: more than a few is a cycle.
  bool floors_hold = true;             // No target was below a minimum.
  unsigned gave_and_got = 0;           // Times a machine gave and got within 4 s.
  double worst_stall = 0;              // Of a machine in the last minutes: share of time.
  double swapped_in_mib = 0;           // After the step.
  std::optional<double> dead_noticed;  // Seconds from the step; nullopt: never, or no balloon died.

  [[nodiscard]] bool reaches_goal() const { return goal && settles; }
  [[nodiscard]] bool cycles() const;
};

struct Step {
  std::string_view name;
  std::string_view what;  // One line.
  void (*prepare)(std::vector<PlantMachine>& machines);
  void (*put)(Plant& plant);
  bool kills_balloons = false;
};

inline constexpr PageCount kStepHost = pages_of(32_GiB);
inline constexpr std::size_t kStepMachines = 8;
inline constexpr PageCount kStepBig = pages_of(8_GiB);        // The first two machines.
inline constexpr PageCount kStepSmall = pages_of(3584_MiB);   // The others, which have touched nearly all of it.
inline constexpr PageCount kStepMinimum = pages_of(512_MiB);  // Of each.

const std::vector<Step>& steps();
StepResult run_step(const PolicyEntry& entry, const PolicyOptions& options, const Step& step);

}  // namespace pagoda::policy
