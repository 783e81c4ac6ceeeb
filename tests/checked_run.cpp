#include "tests/checked_run.h"

#include <gtest/gtest.h>

#include <numeric>
#include <utility>

#include "pagoda/hv/check.h"
#include "pagoda/mm/check/check.h"

namespace pagoda::sim::testing {

namespace {

// Progress reports from one check to the next. With guests there is more to check.
constexpr unsigned kStride = 1;
constexpr unsigned kStrideWithGuests = 8;

}  // namespace

Scenario parsed(const std::string& text) {
  auto scenario = parse_scenario(text, "test.toml");
  EXPECT_TRUE(scenario) << scenario.error().message;
  return std::move(*scenario);
}

CheckedRun::CheckedRun(const std::string& text, RunOptions options) {
  options.progress = [this](std::uint64_t done, std::uint64_t total, Time) {
    EXPECT_LE(done, total);
    const unsigned stride = simulation->guests().empty() ? kStride : kStrideWithGuests;
    if (progress_calls++ % stride == 0 && findings.empty()) findings = check();
    if (on_progress) on_progress(*simulation);
  };
  auto created = Simulation::create(parsed(text), std::move(options));
  EXPECT_TRUE(created) << created.error().message;
  simulation = std::move(*created);
}

const RunResult& CheckedRun::go() {
  auto outcome = simulation->run();
  EXPECT_TRUE(outcome) << outcome.error().message;
  if (outcome) result = std::move(*outcome);
  if (findings.empty()) findings = check();
  EXPECT_EQ(findings, "");
  return result;
}

std::string CheckedRun::check() {
  std::string all = to_string(mm::check(simulation->manager(), simulation->machine().processor()));
  for (const auto& guest : simulation->guests()) {
    if (!guest->is_running() || guest->is_lost()) continue;  // A lost one stopped in the middle of something.
    const hv::WorldSwitch::Visit look(guest->partition().processor(0).world(), simulation->machine().processor());
    all += hv::to_string(hv::check(guest->partition()));
    all += to_string(mm::check(guest->system().manager(), guest->partition().machine().processor()));
  }
  return all;
}

PageCount sum(const FrameCensus& frames) {
  PageCount all = std::accumulate(frames.standby.begin(), frames.standby.end(), PageCount());
  for (const auto& field : kFrameFields) all += frames.*field.member;
  return all;
}

std::uint64_t fault_count(const RunResult& result, mm::FaultKind kind) {
  return result.counters.faults[static_cast<std::size_t>(kind)];
}

std::vector<std::string> lines(const std::vector<Incident>& incidents) {
  std::vector<std::string> all;
  for (const Incident& incident : incidents) all.push_back(to_string(incident));
  return all;
}

std::uint64_t in_page_errors(const RunResult& result) {
  std::uint64_t errors = 0;
  for (const ProcessResult& process : result.processes) errors += process.in_page_errors;
  return errors;
}

}  // namespace pagoda::sim::testing
