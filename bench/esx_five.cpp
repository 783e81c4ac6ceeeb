// Row 8: five machines that want more than there is, each at times of its own.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <variant>
#include <vector>

#include "bench/esx.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::bench {

namespace {

using policy::FreeState;
using Steps = std::vector<sim::DemandStep>;

constexpr Duration kUp = 30_s;       // All machines have booted.
constexpr Duration kAtOnce = 3_s;    // Of three rounds of the policy.
constexpr double kMostPaged = 2;     // Percent of the host's memory: 20 MB of 1 GB.
constexpr double kAtLeastOver = 60;  // Percent.

const Steps& steps_of(const sim::VmConfig& vm) {
  return std::get<sim::DemandConfig>(vm.processes.at(0).program).curve.steps;
}

// What became of the host's state.
struct Trace {
  unsigned falls = 0;  // From high.
  unsigned flaps = 0;  // Of these, at once after a rise to it, where no machine's work had changed.
  FreeState end = FreeState::kHigh;
};
Trace trace_of(const sim::RunResult& run, const Steps& steps) {
  Trace trace;
  std::optional<Time> rose;
  for (const sim::PolicyRound& round : run.policy->told) {
    const bool was_high = trace.end == FreeState::kHigh;
    const bool is_high = round.state == FreeState::kHigh;
    trace.end = round.state;
    if (!was_high && is_high) rose = round.time;
    if (!was_high || is_high) continue;
    ++trace.falls;
    const auto changed = [&](const sim::DemandStep& step) {
      return Time{} + step.at > *rose && Time{} + step.at <= round.time;
    };
    if (rose && round.time - *rose <= kAtOnce && std::ranges::none_of(steps, changed)) ++trace.flaps;
  }
  return trace;
}

PageCount in_page_files(const sim::Sample& sample) {
  PageCount sum;
  for (const sim::VmSample& vm : sample.vms) sum += vm.memory.page_file;
  return sum;
}

// Times at which a machine had much to do, each seen at its end.
struct Working {
  unsigned all = 0;
  unsigned fed = 0;  // They hold what they touch.
};
Working working(const sim::Scenario& scenario, const sim::RunResult& run) {
  Working counts;
  for (std::size_t i = 0; i < scenario.vms.size(); ++i) {
    const Steps& steps = steps_of(scenario.vms[i]);
    const PageCount most = std::ranges::max(steps, {}, &sim::DemandStep::active).active;
    for (std::size_t step = 1; step < steps.size(); ++step) {
      if (steps[step].active < most) continue;
      const Time end = step + 1 < steps.size() ? Time{} + steps[step + 1].at : run.end;
      const auto after = std::ranges::upper_bound(run.samples, end, {}, &sim::Sample::time);
      ++counts.all;
      if (std::prev(after)->vms.at(i).memory.in_memory() >= steps[step].active) ++counts.fed;
    }
  }
  return counts;
}

}  // namespace

Input<> esx_five_machines(EsxTable& table) {
  const sim::Scenario scenario = PAGODA_TRY(shipped_scenario("five-machines.toml"));
  const sim::RunResult run = PAGODA_TRY(sim::run_scenario(scenario, {}));
  PageCount promised;
  for (const sim::VmConfig& vm : scenario.vms) promised += vm.partition.memory;
  const double host = counted(scenario.machine.frames);
  const double over = 100 * (counted(promised) / host - 1);
  table.add({.row = 8,
             .name = "overcommit",
             .what = "five-machines.toml: memory promised beyond the host's",
             .ours = over,
             .unit = "%",
             .published = "more than 60 %",
             .tolerance = "at least 60 %",
             .verdict = holds_if(over >= kAtLeastOver)});
  const Trace trace = trace_of(run, steps_of(scenario.vms.front()));
  table.add(
      {.row = 8, .name = "falls", .what = "times that the host left the state high", .ours = counted(trace.falls)});
  table.add({.row = 8,
             .name = "flaps",
             .what = "of these, within 3 s of a return to it, the work being the same",
             .ours = counted(trace.flaps),
             .published = "no flapping",
             .tolerance = "none, and ends high",
             .verdict = holds_if(trace.falls > 0 && trace.flaps == 0 && trace.end == FreeState::kHigh)});
  const auto booted = std::ranges::lower_bound(run.samples, Time{} + kUp, {}, &sim::Sample::time);
  const auto most_in = [&](auto from, auto to) {
    PageCount most;
    for (; from != to; ++from) most = std::max(most, in_page_files(*from));
    return 100 * counted(most) / host;
  };
  table.add({.row = 8,
             .name = "paged_in_boot",
             .what = "most in page files while all boot, of the host's memory",
             .ours = most_in(run.samples.begin(), booted),
             .unit = "%",
             .published = "a peak"});
  const double paged = most_in(booted, run.samples.end());
  table.add({.row = 8,
             .name = "paged",
             .what = "most in page files after that",
             .ours = paged,
             .unit = "%",
             .published = "less than 20 MB of 1 GB",
             .tolerance = "at most 2 %",
             .verdict = holds_if(paged <= kMostPaged)});
  const Working counts = working(scenario, run);
  table.add({.row = 8,
             .name = "short",
             .what = fmt::format("of {} turns of work, ended with less memory than is touched", counts.all),
             .ours = counted(counts.all - counts.fed),
             .published = "memory follows the load",
             .tolerance = "none",
             .verdict = holds_if(counts.all > 0 && counts.fed == counts.all)});
  return {};
}

}  // namespace pagoda::bench
