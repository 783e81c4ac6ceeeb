// Row 6: what samples say of how much of a machine's memory is active.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/esx.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::bench {

namespace {

// Figure 6's machine, a fortieth of it: a program that touches 1.25 to 6.25 MiB in a period, of 8 MiB. The host has room, so that
// nothing but the sampling happens.
constexpr std::string_view kToucher = R"(
[host]
memory = "32MiB"
policy = {{ name = "esx", sampling = "30s" }}
[[vm]]
name = "toucher"
memory = "8MiB"
[[vm.process]]
name = "toucher"
program = {{ kind = "demand", length = "{}s", period = "30s", steps = [
  {{ at = "0s", used = "6400KiB", active = "{}KiB" }}, {{ at = "{}s", used = "6400KiB", active = "{}KiB" }}] }}
)";

constexpr double kMemoryKib = 8192;
constexpr double kPageKib = 4;
constexpr Duration kPeriod = 30_s;
constexpr std::uint64_t kPeriodsOfStep = 16;
struct Step {
  unsigned from;  // KiB.
  unsigned to;
};
constexpr std::array<Step, 6> kSteps = {{{.from = 1280, .to = 3840},
                                         {.from = 3840, .to = 6400},
                                         {.from = 1280, .to = 6400},
                                         {.from = 6400, .to = 2560},
                                         {.from = 2560, .to = 5120},
                                         {.from = 5120, .to = 1280}}};
constexpr std::array<std::uint64_t, 2> kSeeds = {1, 2};
// The slow average keeps four fifths of an error a period: of the largest step down, 47 points, 5 are left after that.
constexpr std::uint64_t kDecay = 10;
constexpr double kPoints = 10;

Input<sim::RunResult> run_toucher(const Step& step, std::uint64_t seed) {
  const std::uint64_t seconds = kPeriodsOfStep * (kPeriod / 1_s);
  sim::Scenario scenario =
      PAGODA_TRY(sim::parse_scenario(fmt::format(kToucher, 2 * seconds, step.from, seconds, step.to), "esx"));
  scenario.seed = seed;
  return sim::run_scenario(scenario, {});
}

// What was estimated at the end of a period, and what was so: percent of the machine's memory.
struct PeriodEnd {
  std::uint64_t since_step = 0;  // Periods, this one included; zero: before it.
  double truth = 0;
  double estimate = 0;
};

double percent_of_memory(double kib) { return 100 * kib / kMemoryKib; }

// From the second one on: before, nothing is known.
std::vector<PeriodEnd> period_ends(const sim::RunResult& run, const Step& step) {
  std::vector<PeriodEnd> ends;
  for (std::uint64_t period = 1; period < 2 * kPeriodsOfStep; ++period) {
    const auto after = std::ranges::upper_bound(run.samples, Time{} + kPeriod * (period + 1), {}, &sim::Sample::time);
    const auto active = std::prev(after)->vms.at(0).active;
    if (!active) continue;
    const bool is_behind = period >= kPeriodsOfStep;
    ends.push_back({.since_step = is_behind ? period - kPeriodsOfStep + 1 : 0,
                    .truth = percent_of_memory(is_behind ? step.to : step.from),
                    .estimate = percent_of_memory(counted(*active) * kPageKib)});
  }
  return ends;
}

struct Tally {
  double periods = 0;
  double near = 0;  // Within so many points of the truth.
  double bias = 0;  // Summed.
  void add(const PeriodEnd& end) {
    ++periods;
    bias += end.estimate - end.truth;
    if (std::abs(end.estimate - end.truth) <= kPoints) ++near;
  }
};

}  // namespace

Input<> esx_sampling(EsxTable& table) {
  Tally steady;
  Tally after_fall;
  double least_risen = 100;
  for (const Step& step : kSteps) {
    const double before = percent_of_memory(step.from);
    for (const std::uint64_t seed : kSeeds) {
      for (const PeriodEnd& end : period_ends(PAGODA_TRY(run_toucher(step, seed)), step)) {
        const bool fell = step.to < step.from;
        if (fell && end.since_step >= 1 && end.since_step <= kDecay)
          after_fall.add(end);
        else if (end.since_step != 1)
          steady.add(end);
        else
          least_risen = std::min(least_risen, 100 * (end.estimate - before) / (end.truth - before));
      }
    }
  }
  const double near = 100 * steady.near / steady.periods;
  table.add({.row = 6,
             .name = "near",
             .what = fmt::format("periods, of {:.0f} in steady use, within 10 points", steady.periods),
             .ours = near,
             .unit = "%",
             .published = "tracks what is touched",
             .tolerance = "at least 95 %",
             .verdict = holds_if(near >= 95)});
  table.add({.row = 6,
             .name = "bias",
             .what = "the estimate less the truth there, points, on average",
             .ours = steady.bias / steady.periods});
  table.add({.row = 6,
             .name = "risen",
             .what = "part of a step up that shows a period later, at the worst",
             .ours = least_risen,
             .unit = "%",
             .published = "up within a period",
             .tolerance = "at least half",
             .verdict = holds_if(least_risen >= 50)});
  table.add({.row = 6,
             .name = "after_fall",
             .what = "the estimate less the truth in 10 periods after a step down",
             .ours = after_fall.bias / after_fall.periods,
             .published = "down slowly"});
  return {};
}

}  // namespace pagoda::bench
