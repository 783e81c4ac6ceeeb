#include "pagoda/cli/run_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "pagoda/base/status.h"
#include "pagoda/cli/exit_codes.h"
#include "pagoda/report/html.h"
#include "pagoda/report/json.h"
#include "pagoda/report/summary.h"
#include "pagoda/report/write_file.h"
#include "pagoda/sim/baseline.h"
#include "pagoda/sim/scenario/scenario.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::cli {

namespace {

struct RunArguments {
  std::string scenario;
  std::string report;
  std::string json;
  std::uint64_t seed = 0;
  std::uint64_t operations = 0;
  bool verify = false;
  bool quiet = false;
};

// One line on a terminal, rewritten a few times a second: how far, how fast, how long still. Silent in a pipe.
class ProgressLine {
 public:
  explicit ProgressLine(bool wanted) : shown_(wanted && isatty(STDERR_FILENO) != 0) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  void update(std::uint64_t done, std::uint64_t total, Time now) {
    const auto wall = std::chrono::steady_clock::now();
    if (!shown_ || wall - last_ < std::chrono::milliseconds(200)) return;
    last_ = wall;
    const double seconds = std::chrono::duration<double>(wall - began_).count();
    const double rate = static_cast<double>(done) / seconds;
    const double left = rate > 0 ? static_cast<double>(total - done) / rate : 0;
    fmt::print(stderr, "\r\x1b[K{:5.1f} %  {:.2f} M operations/s  {:.0f} s left  (virtual time {})",
               total > 0 ? 100.0 * static_cast<double>(done) / static_cast<double>(total) : 100.0, rate / 1e6, left,
               to_string(now - Time{}));
    std::fflush(stderr);
  }
  void clear() const {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
  }

 private:
  const bool shown_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_;
};

// A whole number that fits, checked here because CLI11 takes "-1" for 2^64 - 1. Returns what is wrong.
std::string check_whole_number(const std::string& text, std::uint64_t least) {
  constexpr std::uint64_t kMost = ~std::uint64_t{0} >> 1;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number >= least && number <= kMost) return "";
  return fmt::format("\"{}\" is not a whole number from {} to {}", text, least, kMost);
}

// A folder that is missing is made; a name that cannot be written is refused before the run, not after it.
Input<> prepare_output(const std::string& file) {
  if (file.empty()) return {};
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::absolute(file).parent_path(), error);
  if (error) return bad_input(fmt::format("{}: its folder cannot be made: {}", file, error.message()));
  return report::check_writable(file);
}

// The run that the scenario names to be compared with, asked the same.
Input<sim::Baseline> run_baseline(const sim::Scenario& scenario, const RunArguments& arguments, bool seed_given) {
  const auto other = PAGODA_TRY(sim::load_scenario(scenario.compare_with));
  sim::RunOptions options{.verify = arguments.verify, .progress = {}};
  if (seed_given) options.seed = arguments.seed;
  if (arguments.operations > 0) options.operations_most = arguments.operations;
  const auto result = PAGODA_TRY(sim::run_scenario(other, std::move(options)));
  return sim::baseline_of(result);
}

int simulate(const RunArguments& arguments, bool seed_given) {
  if (!arguments.json.empty() && arguments.json == arguments.report)
    return refuse({fmt::format("{}: named for --json and for --report; name two files", arguments.json)});
  const auto scenario = sim::load_scenario(arguments.scenario);
  if (!scenario) return refuse(scenario.error());
  ProgressLine progress(!arguments.quiet);
  sim::RunOptions options{
      .verify = arguments.verify,
      .progress = [&](std::uint64_t done, std::uint64_t total, Time now) { progress.update(done, total, now); }};
  if (seed_given) options.seed = arguments.seed;
  if (arguments.operations > 0) options.operations_most = arguments.operations;
  auto simulation = sim::Simulation::create(*scenario, std::move(options));
  if (!simulation) return refuse(simulation.error());
  // Folders are made only for a run that can begin.
  for (const std::string& file : {arguments.report, arguments.json})
    if (const auto prepared = prepare_output(file); !prepared) return refuse(prepared.error());
  std::optional<sim::Baseline> baseline;
  if (!scenario->compare_with.empty()) {
    auto compared = run_baseline(*scenario, arguments, seed_given);
    if (!compared) return refuse(compared.error());
    baseline = std::move(*compared);
  }
  auto result = (*simulation)->run();
  progress.clear();
  if (!result) {
    fmt::print(stderr, "pagoda: {}\n", result.error().message);
    return kExitFailed;
  }

  result->baseline = std::move(baseline);
  if (!arguments.json.empty()) {
    if (const auto written = report::write_json(arguments.json, *result); !written) return refuse(written.error());
  }
  if (!arguments.report.empty()) {
    if (const auto written = report::write_html(arguments.report, *result); !written) return refuse(written.error());
  }
  if (arguments.quiet) return kExitSuccess;
  fmt::print("{}", report::summary_text(*result));
  if (arguments.verify) fmt::print("verified   every load returned what was stored there\n");
  if (!arguments.report.empty())
    fmt::print("report     {}\n", std::filesystem::absolute(arguments.report).lexically_normal().string());
  return kExitSuccess;
}

}  // namespace

void add_run_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = app.add_subcommand("run", "Simulates a scenario and says where every page went");
  command->footer(
      "Example:\n"
      "  pagoda run scenarios/host.toml --report host.html\n"
      "Three recorded programs share a host with half the memory that they touch. Open host.html to see what became "
      "of\n"
      "their pages. In scenarios/guests.toml they run in virtual machines. docs/scenarios.md describes scenario files, "
      "docs/report-json.md what --json writes.");
  command->add_option("scenario", arguments->scenario, "Scenario file (TOML)")->required()->type_name("FILE");
  command->add_option("--report", arguments->report, "Write one self-contained HTML page")->type_name("FILE.html");
  command->add_option("--json", arguments->json, "Write everything as JSON")->type_name("FILE.json");
  const CLI::Option* seed = command->add_option("--seed", arguments->seed, "Instead of the scenario's seed")
                                ->type_name("N")
                                ->check([](const std::string& text) { return check_whole_number(text, 0); });
  command->add_option("--operations", arguments->operations, "Only the first so many operations of each process")
      ->type_name("N")
      ->check([](const std::string& text) { return check_whole_number(text, 1); });
  command->add_flag("--verify", arguments->verify,
                    "Compare every load with what was stored there; stop at the first difference");
  command->add_flag("--quiet", arguments->quiet, "No progress, no summary");
  command->callback([arguments, seed, &exit_code] { exit_code = simulate(*arguments, seed->count() > 0); });
}

}  // namespace pagoda::cli
