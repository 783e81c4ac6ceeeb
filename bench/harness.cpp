#include "bench/harness.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>

namespace pagoda::bench {

namespace {

constexpr std::size_t kWarmUpRounds = 2;
constexpr std::size_t kFewestRounds = 7;
constexpr std::size_t kMostRounds = 61;
constexpr double kFirm = 0.02;        // The standard error of a median, as part of it.
constexpr double kSecondsLong = 5.0;  // After which the fewest rounds are enough.

// Keeps the thread where it is; as before at the end.
class Pinned {
 public:
  Pinned() {
    CPU_ZERO(&before_);
    known_ = sched_getaffinity(0, sizeof before_, &before_) == 0;
    const int cpu = sched_getcpu();
    if (!known_ || cpu < 0) return;
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<unsigned>(cpu), &here);
    sched_setaffinity(0, sizeof here, &here);
  }
  ~Pinned() {
    if (known_) sched_setaffinity(0, sizeof before_, &before_);
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

 private:
  cpu_set_t before_{};
  bool known_ = false;
};

Figure figure_of(std::vector<double> samples) {
  std::ranges::sort(samples);
  const auto at = [&](double part) {
    const double place = part * static_cast<double>(samples.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, samples.size() - 1);
    return std::lerp(samples[below], samples[above], place - static_cast<double>(below));
  };
  const double median = at(0.5);
  return {median, (at(0.75) - at(0.25)) / 2 / median};
}

double wall_seconds() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

double Stopwatch::now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

Figures take_turns(const std::vector<Round>& contestants) {
  const Pinned pinned;
  for (std::size_t round = 0; round < kWarmUpRounds; ++round)
    for (const Round& contestant : contestants) contestant();

  std::vector<std::vector<double>> samples(contestants.size());
  Figures figures;
  const double began = wall_seconds();
  while (figures.rounds < kMostRounds) {
    for (std::size_t i = 0; i < contestants.size(); ++i) samples[i].push_back(contestants[i]());
    if (++figures.rounds < kFewestRounds) continue;
    figures.of.clear();
    for (const std::vector<double>& of_one : samples) figures.of.push_back(figure_of(of_one));
    // 1.25 / 0.6745 times the half quartile distance over the root of n: the standard error of a normal sample's
    // median.
    const auto is_firm = [&](const Figure& figure) {
      return 1.86 * figure.spread / std::sqrt(static_cast<double>(figures.rounds)) < kFirm;
    };
    if (std::ranges::all_of(figures.of, is_firm) || wall_seconds() - began > kSecondsLong) break;
  }
  return figures;
}

BenchRow cost_row(std::string name, double ours, double peer, std::string peer_name, const Figures& figures) {
  double spread = 0;
  for (const Figure& figure : figures.of) spread = std::max(spread, figure.spread);
  return {.name = std::move(name),
          .unit = "ns",
          .ours = ours,
          .peer = peer,
          .peer_name = std::move(peer_name),
          .ratio = peer / ours,
          .floor = std::nullopt,
          .more = {{"rounds", figures.rounds}, {"spread", spread}}};
}

void give_up(const char* what, Status status) {
  fmt::print(stderr, "pagoda: bench: {}: {}\n", what, to_string(status));
  std::exit(2);
}

}  // namespace pagoda::bench
