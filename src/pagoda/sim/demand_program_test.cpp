// Programs that follow a curve: what they touch and when, and what a machine makes of it.
#include "pagoda/sim/demand_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "pagoda/sim/simulation.h"
#include "pagoda/sim/testing/small_scenario.h"
#include "pagoda/sim/trace/trace_reader.h"

namespace pagoda::sim::testing {
namespace {

using Kind = Operation::Kind;
using ::testing::HasSubstr;

// Grows, rests at a quarter, shrinks, grows again.
DemandConfig config() {
  return {.curve = {.steps = {{.at = 0_s, .used = 100_pages, .active = 25_pages},
                              {.at = 10_s, .used = 400_pages, .active = 300_pages},
                              {.at = 35_s, .used = 40_pages, .active = 10_pages},
                              {.at = 40_s, .used = 60_pages, .active = 0_pages}},
                    .length = 50_s},
          .period = 10_s,
          .intensity = 3};
}

std::vector<Operation> play(const DemandConfig& config, std::uint64_t seed = 1, std::size_t batch = 64) {
  const auto program = make_demand_program(config, seed);
  std::vector<Operation> all;
  std::vector<Operation> some(batch);
  for (;;) {
    const auto count = program->next(some);
    EXPECT_TRUE(count);
    if (!count || *count == 0) break;
    all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(*count));
  }
  EXPECT_EQ(all.size(), program->length());
  return all;
}

// Pages touched in [from, to) that do not grow the memory, and how often.
std::map<std::uint32_t, int> touched(const std::vector<Operation>& all, Duration from, Duration to, std::size_t skip) {
  std::map<std::uint32_t, int> pages;
  for (const Operation& operation : all) {
    if (operation.at < from || operation.at >= to) continue;
    if (skip > 0) {
      --skip;  // The step's growth or shrinking comes first.
    } else {
      ++pages[operation.page];
    }
  }
  return pages;
}

TEST(DemandProgram, MemoryFollowsTheCurve) {
  std::set<std::uint32_t> used;
  Duration before;
  for (const Operation& operation : play(config())) {
    EXPECT_GE(operation.at, before);
    before = operation.at;
    if (operation.kind == Kind::kFree) {
      EXPECT_EQ(used.erase(operation.page), 1U);  // Nothing is given back that it does not have.
    } else if (!used.contains(operation.page)) {
      EXPECT_TRUE(operation.access.writes());
      EXPECT_TRUE(operation.at == 0_s || operation.at == 10_s || operation.at == 40_s);
      used.insert(operation.page);
    }
    if (operation.at > 0_s && operation.at < 10_s) {
      EXPECT_EQ(used.size(), 100U);
    }
    if (operation.at > 10_s && operation.at < 35_s) {
      EXPECT_EQ(used.size(), 400U);
    }
    if (operation.at > 35_s && operation.at < 40_s) {
      EXPECT_EQ(used.size(), 40U);
    }
  }
  EXPECT_EQ(used.size(), 60U);
}

TEST(DemandProgram, EveryActivePageIsTouchedInAPeriodAndNoOther) {
  const auto all = play(config());
  const auto first = touched(all, 0_s, 10_s, 100);
  EXPECT_EQ(first.size(), 25U);
  EXPECT_EQ(first.rbegin()->first, 24U);
  for (const Duration from : {10_s, 20_s}) {
    const auto pages = touched(all, from, from + 10_s, from == 10_s ? 300 : 0);
    EXPECT_EQ(pages.size(), 300U);
    EXPECT_EQ(pages.rbegin()->first, 299U);
    int sum = 0;
    for (const auto& [page, count] : pages) sum += count;
    EXPECT_EQ(sum, 900);  // The intensity.
  }
  // Half a period: half of its pages, and no page twice.
  EXPECT_EQ(touched(all, 35_s, 40_s, 360).size() <= 10, true);
  EXPECT_TRUE(touched(all, 41_s, 50_s, 0).empty());
}

TEST(DemandProgram, TouchesAreSpreadEvenlyOverThePeriod) {
  const auto all = play(config());
  for (Duration from = 20_s; from < 30_s; from += 1_s) {
    int sum = 0;
    for (const auto& [page, count] : touched(all, from, from + 1_s, 0)) sum += count;
    EXPECT_EQ(sum, 90);
  }
}

TEST(DemandProgram, FurtherTouchesGoToPopularPages) {
  DemandConfig skewed = config();
  skewed.intensity = 21;
  for (const double theta : {0.0, 0.8}) {
    skewed.theta = theta;
    int popular = 0, sum = 0;
    for (const auto& [page, count] : touched(play(skewed), 20_s, 30_s, 0)) {
      sum += count - 1;
      if (page < 30) popular += count - 1;
    }
    EXPECT_EQ(sum, 6000);
    // A tenth of the pages gets 10 % of them without skew, and 0.1^0.2 = 63 % with it.
    EXPECT_NEAR(popular, theta == 0 ? 600 : 3786, 150);
  }
}

TEST(DemandProgram, ActivityThatGoesOnComesToAllPagesAcrossShortSteps) {
  DemandConfig sampled = config();
  sampled.intensity = 1;
  sampled.curve = {.steps = {}, .length = 20_s};
  for (std::uint64_t second = 0; second < 20; ++second)
    sampled.curve.steps.push_back({.at = 1_s * second, .used = 100_pages + PageCount(second), .active = 50_pages});
  const auto all = play(sampled);
  std::set<std::uint32_t> pages;
  for (const Operation& operation : all)
    if (operation.at >= 5_s && operation.at < 15_s && operation.page < 50) pages.insert(operation.page);
  EXPECT_EQ(pages.size(), 50U);
}

TEST(DemandProgram, TheSeedDecidesAndTheBatchDoesNot) {
  const auto text = [](const std::vector<Operation>& all) {
    std::string out;
    for (const Operation& operation : all)
      out += fmt::format("{} {} {} {}\n", operation.page, operation.at.value(), operation.access.bits(),
                         static_cast<int>(operation.kind));
    return out;
  };
  const std::string one = text(play(config(), 7));
  EXPECT_EQ(one, text(play(config(), 7, 1)));
  EXPECT_NE(one, text(play(config(), 8)));
}

TEST(DemandProgram, StoresAsOftenAsTheShippedTracesDo) {
  std::vector<double> shares;
  for (const char* name : {"boot_phys", "cc1", "gzip", "sort", "sqlite"}) {
    const auto trace = TraceReader::open(fmt::format("{}/data/traces/{}.vmpt.zst", PAGODA_SOURCE_DIR, name));
    ASSERT_TRUE(trace) << trace.error().message;
    const TraceInfo& info = trace->info();
    shares.push_back(static_cast<double>(info.records_writing) / static_cast<double>(info.records));
  }
  std::ranges::sort(shares);
  EXPECT_NEAR(DemandConfig().writes, shares[2], 0.005);
}

// The skew with which the first part of a trace's pages, by how often they are touched, gets its share of all touches. In
// the program's distribution that is part^(1 - theta).
double skew_of(const char* name, double part) {
  auto trace = TraceReader::open(fmt::format("{}/data/traces/{}.vmpt.zst", PAGODA_SOURCE_DIR, name));
  std::map<Vpn, std::uint64_t> touches;
  std::vector<TraceRecord> batch(4096);
  while (const std::size_t count = *trace->next_batch(batch))
    for (std::size_t i = 0; i < count; ++i) ++touches[batch[i].page];
  std::vector<double> counts;
  for (const auto& [page, count] : touches) counts.push_back(static_cast<double>(count));
  std::ranges::sort(counts, std::greater());
  const auto first = static_cast<std::ptrdiff_t>(part * static_cast<double>(counts.size()));
  const double share =
      std::accumulate(counts.begin(), counts.begin() + first, 0.0) / std::accumulate(counts.begin(), counts.end(), 0.0);
  return 1 - std::log(share) / std::log(static_cast<double>(first) / static_cast<double>(counts.size()));
}

TEST(DemandProgram, IsAsSkewedAsTheShippedTracesAre) {
  const auto median_for = [](double part) {
    std::vector<double> skews;
    for (const char* name : {"boot_phys", "cc1", "gzip", "sort", "sqlite"}) skews.push_back(skew_of(name, part));
    std::ranges::sort(skews);
    return skews[2];
  };
  // No trace follows the law: its first tenth says one skew, its first fifth another.
  EXPECT_NEAR(median_for(0.1), 0.641, 0.005);
  EXPECT_NEAR(median_for(0.2), 0.866, 0.005);
  EXPECT_GT(DemandConfig().theta, median_for(0.1));
  EXPECT_LT(DemandConfig().theta, median_for(0.2));
}

// --- On a machine ---

constexpr std::string_view kDemand =
    R"({ kind = "demand", length = "400ms", period = "20ms", intensity = 5, steps = [
  { at = "0s", used = "1MiB", active = "256KiB" }, { at = "100ms", used = "3MiB", active = "2MiB" },
  { at = "200ms", used = "512KiB", active = "128KiB" }, { at = "300ms", used = "2MiB", active = "0B" } ] })";

RunResult run(const std::string& text) {
  const auto scenario = parse_scenario(text, "s.toml");
  EXPECT_TRUE(scenario) << scenario.error().message;
  auto result = run_scenario(*scenario, {.verify = true});
  EXPECT_TRUE(result) << result.error().message;
  return *result;
}

TEST(DemandProgram, AProcessHasWhatItsCurveSaysAndSleepsInBetween) {
  std::string text =
      replaced(with_program(kDemand), "minimum = \"64KiB\", maximum = \"1MiB\"", "minimum = \"3584KiB\"");
  text = replaced(text, "memory = \"4MiB\"", "memory = \"16MiB\"");
  const RunResult result = run(text);
  const ProcessResult& process = result.processes.front();
  EXPECT_EQ(process.footprint, pages_of(3_MiB));  // Pages that come anew are no others.
  EXPECT_EQ(process.wait_time, 0_ns);             // Nobody kept it waiting.
  EXPECT_GE(process.finished, Time{} + 300_ms);
  EXPECT_LT(process.cpu_time, 100_ms);
  const auto at = [&](Duration time) {
    const auto sample = std::ranges::find_if(result.samples, [&](const Sample& s) { return s.time >= Time{} + time; });
    return sample->processes.front().working_set;
  };
  EXPECT_EQ(at(50_ms), pages_of(1_MiB));
  EXPECT_EQ(at(150_ms), pages_of(3_MiB));
  EXPECT_EQ(at(250_ms), pages_of(512_KiB));
}

TEST(DemandProgram, AMachineThatIsShortIsLateAndKeepsEveryByte) {
  const std::string text = replaced(with_program(kDemand), "memory = \"4MiB\"", "memory = \"2MiB\"");
  for (const char* mode : {"x86", "pae", "amd64"}) {
    const RunResult result = run(replaced(text, "paging = \"amd64\"", fmt::format("paging = \"{}\"", mode)));
    EXPECT_GT(result.processes.front().wait_time, 0_ns) << mode;
    EXPECT_GT(result.processes.front().loads_verified, 1000U) << mode;
  }
}

TEST(DemandProgram, BadKeysAreRefused) {
  const auto with = [](std::string_view keys) {
    return refusal(with_program(fmt::format("{{ kind = \"demand\", {} }}", keys)));
  };
  constexpr std::string_view kSteps = "steps = [ { at = \"0s\", used = \"1MiB\", active = \"4KiB\" } ]";
  EXPECT_EQ(with(fmt::format("length = \"1s\", {}", kSteps)), "accepted");
  EXPECT_THAT(with("length = \"1s\""), HasSubstr("needs either file or steps"));
  EXPECT_THAT(with(fmt::format("file = \"x\", length = \"1s\", {}", kSteps)), HasSubstr("either file or steps"));
  EXPECT_THAT(with(kSteps), HasSubstr("program.length: is missing"));
  EXPECT_THAT(with("file = \"no.csv\""), HasSubstr("program.file: no.csv: cannot be read"));
  EXPECT_THAT(with(fmt::format("length = \"1s\", intensity = 0.5, {}", kSteps)), HasSubstr("program.intensity: "));
  EXPECT_THAT(with(fmt::format("length = \"1s\", theta = 1, {}", kSteps)), HasSubstr("program.theta: "));
  EXPECT_THAT(with("length = \"1s\", steps = [ { at = \"0s\", used = \"4KiB\", active = \"8KiB\" } ]"),
              HasSubstr("more active memory"));
  EXPECT_THAT(with("length = \"1s\", steps = [ { at = \"0s\", used = \"2TiB\", active = \"4KiB\" } ]"),
              HasSubstr("uses 2 TiB"));
}

}  // namespace
}  // namespace pagoda::sim::testing
