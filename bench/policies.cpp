// The bake-off: every policy over the same mixes and seeds.
//
// A machine's slowdown is what its program took (computing and waiting) against its twin's, on a host with memory for all.
// A machine that was lost, or was not let start, has none, and is counted. A machine has recovered from a step when
// it waits no longer than it computes: the longest time that one waited longer is told. Differences to the default
// are of pairs with the same seed, with their 95 % interval; one that excludes 0 is told as better or worse.
//
// No constant of any policy was tuned on these mixes.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/figures.h"
#include "bench/policy_mixes.h"
#include "pagoda/policy/policy.h"
#include "pagoda/sim/bill.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::bench {

namespace {

constexpr std::uint64_t kFirstSeed = 101;
constexpr std::string_view kPlenty = "128MiB";
constexpr double kNormal95 = 1.96;

// Of one machine: computing and waiting of its programs; nothing if it was lost or never ran.
std::vector<std::optional<double>> costs(const sim::RunResult& run) {
  std::vector<std::optional<double>> costs;
  for (const sim::VmResult& vm : run.vms) {
    Duration sum;
    for (const sim::ProcessResult& process : run.processes)
      if (process.vm == vm.name) sum += process.cpu_time + process.wait_time;
    const bool ran = !vm.lost && vm.started != kNever;
    costs.push_back(ran ? std::optional(static_cast<double>(sum.value())) : std::nullopt);
  }
  return costs;
}

// The longest time, in seconds, in which one machine had not recovered, by the run's samples.
double seconds_to_recover(const sim::RunResult& run) {
  Duration longest;
  for (std::size_t vm = 0; vm < run.vms.size(); ++vm) {
    Time recovered;
    for (std::size_t i = 1; i < run.samples.size(); ++i) {
      const sim::VmSample& before = run.samples[i - 1].vms[vm];
      const sim::VmSample& now = run.samples[i].vms[vm];
      if (now.waited - before.waited <= now.busy - before.busy) recovered = run.samples[i].time;
      longest = std::max(longest, run.samples[i].time - recovered);
    }
  }
  return static_cast<double>(longest.value()) / 1e9;
}

// One policy on one mix, over all seeds.
struct Tally {
  std::vector<double> mean;  // Of slowdowns, by seed.
  std::vector<double> worst;
  std::vector<double> all;
  double jain = 0;
  double transfers = 0;
  double seconds_short = 0;
  double recovery = 0;
  std::uint64_t lost = 0;
  std::uint64_t below_minimum = 0;  // Decisions that left a machine less than it is promised.
};

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

double percentile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

std::uint64_t page_file_pages(const mm::Counters& counters) {
  return counters.page_file_pages_read + counters.page_file_pages_written;
}

void add(Tally& tally, const sim::RunResult& run, const std::vector<std::optional<double>>& twins) {
  const std::vector<std::optional<double>> own = costs(run);
  std::vector<double> slowdowns;
  std::vector<double> speeds;
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (!own[i] || !twins[i]) {
      ++tally.lost;
      continue;
    }
    slowdowns.push_back(*own[i] / *twins[i]);
    speeds.push_back(1 / slowdowns.back());
  }
  if (slowdowns.empty()) return;
  tally.mean.push_back(mean_of(slowdowns));
  tally.worst.push_back(*std::ranges::max_element(slowdowns));
  tally.all.insert(tally.all.end(), slowdowns.begin(), slowdowns.end());
  tally.jain += sim::jains_index(speeds);
  tally.transfers += static_cast<double>(page_file_pages(run.counters));
  for (const sim::VmResult& vm : run.vms) tally.transfers += static_cast<double>(page_file_pages(vm.counters));
  tally.recovery += seconds_to_recover(run);
  for (std::size_t state = static_cast<std::size_t>(policy::FreeState::kSoft); state < sim::kFreeStates; ++state)
    tally.seconds_short += static_cast<double>(run.policy->in_state[state].value()) / 1e9;
  for (const sim::PolicyRound& round : run.policy->told)
    for (const policy::Decision& decision : round.decisions)
      tally.below_minimum +=
          decision.target < decision.previous &&
                  decision.target < run.policy->accounts[static_cast<std::size_t>(decision.machine)].minimum
              ? 1
              : 0;
}

// How far the worst machine's slowdown is from the default's, by pairs: its mean, and half of its 95 % interval.
struct Difference {
  double mean = 0;
  double half = 0;
  [[nodiscard]] std::string_view verdict() const {
    if (std::abs(mean) <= half) return "";
    return mean > 0 ? "worse" : "better";
  }
};

Difference difference(const std::vector<double>& one, const std::vector<double>& other) {
  const std::size_t pairs = std::min(one.size(), other.size());
  if (pairs < 2) return {};
  std::vector<double> apart;
  apart.reserve(pairs);
  for (std::size_t i = 0; i < pairs; ++i) apart.push_back(one[i] - other[i]);
  const double mean = mean_of(apart);
  double squares = 0;
  for (const double value : apart) squares += (value - mean) * (value - mean);
  const auto count = static_cast<double>(pairs);
  return {.mean = mean, .half = kNormal95 * std::sqrt(squares / (count - 1) / count)};
}

// Whether no other policy is at least as good in mean, worst and transfers, and better in one.
bool is_on_front(const std::vector<Tally>& tallies, std::size_t which) {
  const auto figures = [](const Tally& tally) {
    return std::array{mean_of(tally.mean), mean_of(tally.worst), tally.transfers, static_cast<double>(tally.lost)};
  };
  const auto own = figures(tallies[which]);
  for (const Tally& tally : tallies) {
    const auto other = figures(tally);
    bool is_as_good = true;
    bool is_better = false;
    for (std::size_t figure = 0; figure < own.size(); ++figure) {
      is_as_good = is_as_good && other[figure] <= own[figure];
      is_better = is_better || other[figure] < own[figure];
    }
    if (is_as_good && is_better) return false;
  }
  return true;
}

Input<sim::RunResult> run_mix(const PolicyMix& mix, std::uint64_t seed, std::string_view memory,
                              const policy::PolicyEntry& entry) {
  const sim::Scenario scenario =
      PAGODA_TRY(sim::parse_scenario(mix.text(seed, memory, entry.name, entry.needs_reporting), std::string(mix.name)));
  return sim::run_scenario(scenario, {});
}

void show(const PolicyMix& mix, const std::vector<Tally>& tallies, unsigned seeds, BenchOutput& out) {
  out.text(fmt::format("{}: {} (seeds {} to {})", mix.name, mix.what, kFirstSeed, kFirstSeed + seeds - 1));
  out.text(fmt::format("  {:<17}{:>9}{:>9}{:>9}{:>7}{:>11}{:>9}{:>11}{:>6}{:>7}  {}", "policy", "mean", "p95", "worst",
                       "Jain", "transfers", "short", "recovery", "lost", "floors", "worst against pagoda, 95 %"));
  const auto& entries = policy::policies();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Tally& tally = tallies[i];
    const double runs = std::max<double>(1, static_cast<double>(tally.mean.size()));
    const Difference apart = difference(tally.worst, tallies[0].worst);
    const bool is_front = is_on_front(tallies, i);
    out.text(fmt::format("{} {:<17}{:>9.3f}{:>9.3f}{:>9.3f}{:>7.3f}{:>11.0f}{:>7.0f} s{:>9.0f} s{:>6}{:>7}  {}",
                         is_front ? "*" : " ", entries[i].name, mean_of(tally.mean), percentile(tally.all, 0.95),
                         mean_of(tally.worst), tally.jain / runs, tally.transfers / runs, tally.seconds_short / runs,
                         tally.recovery / runs, tally.lost, tally.below_minimum,
                         i == 0 ? "" : fmt::format("{:+.3f} +- {:.3f} {}", apart.mean, apart.half, apart.verdict())));
    BenchRow row{.name = fmt::format("policies_{}_{}", mix.name, entries[i].name),
                 .unit = "worst slowdown",
                 .ours = mean_of(tally.worst),
                 .peer = mean_of(tallies[0].worst),
                 .peer_name = "pagoda"};
    row.more["mean"] = mean_of(tally.mean);
    row.more["p95"] = percentile(tally.all, 0.95);
    row.more["jain"] = tally.jain / runs;
    row.more["transfers"] = tally.transfers / runs;
    row.more["seconds_short"] = tally.seconds_short / runs;
    row.more["recovery"] = tally.recovery / runs;
    row.more["lost"] = tally.lost;
    row.more["below_minimum"] = tally.below_minimum;
    row.more["difference"] = apart.mean;
    row.more["difference_95"] = apart.half;
    row.more["front"] = is_front;
    out.json_only(row);
  }
  out.text("");
}

}  // namespace

Input<> policies(const BenchOptions& options, BenchOutput& out) {
  const auto& entries = policy::policies();
  const policy::PolicyEntry& none = *policy::find_policy("none");
  for (const PolicyMix& mix : policy_mixes()) {
    std::vector<Tally> tallies(entries.size());
    for (std::uint64_t seed = kFirstSeed; seed < kFirstSeed + options.seeds; ++seed) {
      const auto twins = costs(PAGODA_TRY(run_mix(mix, seed, kPlenty, none)));
      for (std::size_t i = 0; i < entries.size(); ++i)
        add(tallies[i], PAGODA_TRY(run_mix(mix, seed, "", entries[i])), twins);
    }
    show(mix, tallies, options.seeds, out);
  }
  out.text("* on the front: no other is at least as good in mean, worst, transfers and lost, and better in one.");
  return {};
}

}  // namespace pagoda::bench
