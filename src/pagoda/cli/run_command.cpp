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
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/cli/exit_codes.h"
#include "pagoda/cli/outputs.h"
#include "pagoda/policy/policy.h"
#include "pagoda/report/html.h"
#include "pagoda/report/json.h"
#include "pagoda/report/policy_comparison.h"
#include "pagoda/report/summary.h"
#include "pagoda/report/write_file.h"
#include "pagoda/sim/baseline.h"
#include "pagoda/sim/scenario/scenario.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::cli {

namespace {

struct RunArguments {
  std::string scenario;
  std::optional<std::string> report;
  std::optional<std::string> json;
  std::vector<std::string> policies;  // More than one: to be compared.
  std::optional<std::uint64_t> seed;
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
    const std::string line =
        fmt::format("\r\x1b[K{:5.1f} %  {:.2f} M operations/s  {:.0f} s left  (virtual time {})",
                    total > 0 ? 100.0 * static_cast<double>(done) / static_cast<double>(total) : 100.0, rate / 1e6,
                    left, to_string(now - Time{}));
    std::fputs(line.c_str(), stderr);
    std::fflush(stderr);
  }
  void clear() const {
    if (shown_) std::fputs("\r\x1b[K", stderr);
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

std::vector<Output> outputs_of(const RunArguments& arguments) {
  std::vector<Output> outputs;
  if (arguments.json) outputs.push_back({"--json", *arguments.json});
  if (arguments.report) outputs.push_back({"--report", *arguments.report});
  return outputs;
}

sim::RunOptions options_of(const RunArguments& arguments) {
  sim::RunOptions options{.verify = arguments.verify, .seed = arguments.seed, .progress = {}};
  if (arguments.operations > 0) options.operations_most = arguments.operations;
  return options;
}

// Runs that can begin: the scenario's, and the one that it is compared with, if any.
struct Prepared {
  std::unique_ptr<sim::Simulation> simulation;
  std::unique_ptr<sim::Simulation> compared;
};

// Puts the host under another policy, with what the scenario sets as far as that one takes it.
void put_under(sim::Scenario& scenario, const policy::PolicyEntry& entry) {
  const policy::PolicyOptions set = scenario.policy ? scenario.policy->options : policy::PolicyOptions{};
  policy::PolicyOptions options;
  for (const policy::PolicyOption option : entry.takes) {
    switch (option) {
      case policy::PolicyOption::kPeriod:
        options.period = set.period;
        break;
      case policy::PolicyOption::kStates:
        options.states = set.states;
        break;
      case policy::PolicyOption::kIdleTax:
        options.idle_tax = set.idle_tax;
        break;
      case policy::PolicyOption::kAcceptableStall:
        options.acceptable_stall = set.acceptable_stall;
        break;
    }
  }
  if (!scenario.policy) scenario.policy.emplace();
  scenario.policy->name = entry.name;
  scenario.policy->options = options;
}

// Returns what is wrong.
std::string check_policy_names(const std::string& text) {
  if (policy::find_policy(text) != nullptr) return "";
  return fmt::format("there is no policy \"{}\"; name some of {}", text, policy::policy_names());
}

// Folders are made only for a run that can begin.
Input<Prepared> prepare(const RunArguments& arguments, ProgressLine& progress) {
  const std::vector<Output> outputs = outputs_of(arguments);
  PAGODA_TRY(check_outputs(outputs, std::span(&arguments.scenario, 1)));
  auto scenario = PAGODA_TRY(sim::load_scenario(arguments.scenario));
  PAGODA_TRY(check_outputs(outputs, sim::input_files(scenario)));
  if (!arguments.policies.empty()) put_under(scenario, *policy::find_policy(arguments.policies.front()));
  Prepared prepared;
  if (!scenario.compare_with.empty()) {
    const auto compared = PAGODA_TRY(sim::load_scenario(scenario.compare_with));
    PAGODA_TRY(check_outputs(outputs, sim::input_files(compared)));
    prepared.compared = PAGODA_TRY(sim::Simulation::create(compared, options_of(arguments)));
  }
  sim::RunOptions options = options_of(arguments);
  options.progress = [&](std::uint64_t done, std::uint64_t total, Time now) { progress.update(done, total, now); };
  prepared.simulation = PAGODA_TRY(sim::Simulation::create(scenario, std::move(options)));
  PAGODA_TRY(prepare_outputs(outputs));
  return prepared;
}

// The run that the scenario names to be compared with is asked the same.
Input<sim::RunResult> run_prepared(Prepared& prepared) {
  std::optional<sim::Baseline> baseline;
  if (prepared.compared) {
    baseline = sim::baseline_of(PAGODA_TRY(prepared.compared->run()));
    prepared.compared.reset();  // What its machine takes is free for the other one.
  }
  sim::RunResult result = PAGODA_TRY(prepared.simulation->run());
  result.baseline = std::move(baseline);
  return result;
}

Input<> write_results(const RunArguments& arguments, const sim::RunResult& result) {
  std::vector<report::NamedContent> files;
  if (arguments.json) files.push_back({*arguments.json, report::json_text(report::to_json(result))});
  if (arguments.report) files.push_back({*arguments.report, report::html_page(result)});
  return report::write_files(files);
}

void print_summary(const RunArguments& arguments, const sim::RunResult& result) {
  fmt::print("{}", report::summary_text(result));
  if (arguments.verify) fmt::print("verified   every load returned what was stored there\n");
  std::error_code error;
  if (arguments.report)
    fmt::print("report     {}\n", std::filesystem::absolute(*arguments.report, error).lexically_normal().string());
}

// Runs the scenario under each of the policies, and says how they differ.
int compare_policies(const RunArguments& arguments) {
  if (arguments.json || arguments.report)
    return refuse({"--policy: --json and --report show one run; name one policy with them"});
  std::vector<sim::RunResult> results;
  for (const std::string& name : arguments.policies) {
    RunArguments one = arguments;
    one.policies = {name};
    ProgressLine progress(!arguments.quiet);
    auto prepared = prepare(one, progress);
    if (!prepared) return refuse(prepared.error());
    auto result = run_prepared(*prepared);
    if (!result) return give_up(result.error());
    results.push_back(std::move(*result));
  }
  if (!arguments.quiet) fmt::print("{}", report::policy_comparison_text(results));
  return kExitSuccess;
}

int simulate(const RunArguments& arguments) {
  if (arguments.policies.size() > 1) return compare_policies(arguments);
  ProgressLine progress(!arguments.quiet);
  auto prepared = prepare(arguments, progress);
  if (!prepared) return refuse(prepared.error());
  const auto result = run_prepared(*prepared);
  progress.clear();
  if (!result) return give_up(result.error());
  if (const auto written = write_results(arguments, *result); !written) return give_up(written.error());
  if (!arguments.quiet && !take_standard_output(outputs_of(arguments))) print_summary(arguments, *result);
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
  command->add_option("--report", arguments->report, "Write one self-contained HTML page; - is standard output")
      ->type_name("FILE.html")
      ->check(check_file_name);
  command->add_option("--json", arguments->json, "Write everything as JSON; - is standard output")
      ->type_name("FILE.json")
      ->check(check_file_name);
  command
      ->add_option("--policy", arguments->policies,
                   "Instead of the host's memory policy; several, with commas, are compared")
      ->type_name("NAME,...")
      ->delimiter(',')
      ->check(check_policy_names);
  command->add_option("--seed", arguments->seed, "Instead of the scenario's seed")
      ->type_name("N")
      ->check([](const std::string& text) { return check_whole_number(text, 0); });
  command->add_option("--operations", arguments->operations, "Only the first so many operations of each process")
      ->type_name("N")
      ->check([](const std::string& text) { return check_whole_number(text, 1); });
  command->add_flag("--verify", arguments->verify,
                    "Compare every load with what was stored there; stop at the first difference");
  command->add_flag("--quiet", arguments->quiet, "No progress, no summary");
  command->callback([arguments, &exit_code] { exit_code = simulate(*arguments); });
}

}  // namespace pagoda::cli
