// What it costs to give out addresses and to take them back.
#include <cstdint>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "bench/figures.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "bench/linux_memory.h"
#include "pagoda/base/random.h"

namespace pagoda::bench {

namespace {

constexpr ByteCount kRegion = 64_KiB;
constexpr std::size_t kPairs = 4096;  // In a round.
// Released before as many are reserved: so there are always several holes, at random places.
constexpr std::size_t kBatch = 64;

void shuffle(std::vector<std::size_t>& numbers, Random& random) {
  for (std::size_t i = numbers.size(); i > 1; --i) std::swap(numbers[i - 1], numbers[random.below(i)]);
}

// `pairs` different numbers below `count`.
std::vector<std::size_t> pick(std::size_t count, std::size_t pairs, Random& random) {
  std::vector<std::size_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), std::size_t{0});
  for (std::size_t i = 0; i < std::min(pairs, count); ++i) std::swap(numbers[i], numbers[i + random.below(count - i)]);
  numbers.resize(std::min(pairs, count));
  return numbers;
}

// A space full of regions of 64 KB, reserved in random order, so that neighbours in the tree are no neighbours in
// memory.
class ManyRegions {
 public:
  explicit ManyRegions(std::size_t count) : host_(HostConfig::quiet(pages_of(1_TiB))), regions_(count) {
    Random random(count);
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    shuffle(order, random);
    const VirtualAddress base(must(host_.space().reserve({.size = kRegion}), "region").first);
    regions_[0] = base;
    for (const std::size_t number : order) {
      if (number == 0) continue;
      const auto made = host_.space().reserve({.base = base + kRegion * number, .size = kRegion});
      regions_[number] = VirtualAddress(must(made, "region").first);
    }
  }

  double churn(const std::vector<std::size_t>& numbers, std::size_t batch) {
    mm::ProcessSpace& space = host_.space();
    machine::SimProcessor& cpu = host_.cpu();
    Stopwatch watch;
    watch.start();
    for (std::size_t first = 0; first < numbers.size(); first += batch) {
      const std::size_t end = std::min(first + batch, numbers.size());
      for (std::size_t i = first; i < end; ++i) must(space.release(cpu, regions_[numbers[i]], 0_B), "release");
      for (std::size_t i = first; i < end; ++i)
        regions_[numbers[i]] = VirtualAddress(must(space.reserve({.size = kRegion}), "reserve").first);
    }
    watch.stop();
    return watch.nanoseconds_per(numbers.size());
  }

 private:
  Host host_;
  std::vector<VirtualAddress> regions_;
};

// The least that any search tree of as many regions does for such a pair: it is told the place, and keeps nothing but
// two numbers.
class BareTree {
 public:
  explicit BareTree(std::size_t count) {
    Random random(count);
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    shuffle(order, random);
    for (const std::size_t number : order) regions_.emplace(number, number + 1);
  }

  double churn(const std::vector<std::size_t>& numbers, std::size_t batch) {
    Stopwatch watch;
    watch.start();
    for (std::size_t first = 0; first < numbers.size(); first += batch) {
      const std::size_t end = std::min(first + batch, numbers.size());
      for (std::size_t i = first; i < end; ++i) regions_.erase(numbers[i]);
      for (std::size_t i = first; i < end; ++i) regions_.emplace(numbers[i], numbers[i] + 1);
    }
    watch.stop();
    return watch.nanoseconds_per(numbers.size());
  }

 private:
  std::map<std::uint64_t, std::uint64_t> regions_;
};

}  // namespace

Input<> vad_place(const BenchOptions&, BenchOutput& out) {
  constexpr std::size_t kCount = 50'000;
  ManyRegions ours(kCount);
  ManyMappings theirs(kCount);
  BareTree tree(kCount);
  Random random(1);
  Random same_random(1);
  Random again_random(1);
  const Figures figures = take_turns({[&] { return ours.churn(pick(kCount, kPairs, random), kBatch); },
                                      [&] { return theirs.churn(pick(kCount, kPairs, same_random), kBatch); },
                                      [&] { return tree.churn(pick(kCount, kPairs, again_random), kBatch); }});
  out.row(cost_row("vad_place", figures.of[0].median, figures.of[1].median, "Linux munmap + mmap among 50,000 mappings",
                   figures));
  BenchRow row = cost_row("vad_place_own", figures.of[0].median, figures.of[2].median,
                          "std::map of 50,000 nodes: erase and emplace", figures);
  row.floor = 0.25;
  out.row(row);
  return {};
}

Input<> vad_scale(const BenchOptions&, BenchOutput& out) {
  constexpr std::size_t kMany = 1'000'000;
  constexpr std::size_t kFew = 1'000;
  ManyRegions many(kMany);
  ManyRegions few(kFew);
  Random random(1);
  const Figures figures = take_turns({[&] { return many.churn(pick(kMany, kPairs, random), kBatch); },
                                      [&] {
                                        // As many pairs as the other: in several turns, each over different regions.
                                        double sum = 0;
                                        constexpr std::size_t kTurns = 4;
                                        for (std::size_t turn = 0; turn < kTurns; ++turn)
                                          sum += few.churn(pick(kFew, kPairs / kTurns, random), kBatch);
                                        return sum / kTurns;
                                      }});
  BenchRow row = cost_row("vad_scale", figures.of[0].median, figures.of[1].median, "self", figures);
  row.floor = 0.1;
  row.more["regions"] = kMany;
  row.more["peer_regions"] = kFew;
  out.row(row);
  return {};
}

}  // namespace pagoda::bench
