#include "pagoda/cli/policy_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/cli/exit_codes.h"
#include "pagoda/policy/policy.h"
#include "pagoda/policy/steps/steps.h"

namespace pagoda::cli {

namespace {

constexpr const char* kPolicyHelp =
    "What decides whose memory a host takes: the default, and the loops that people run today.\n"
    "A policy is a pure function from measurements to decisions, each with its reason.\n";

constexpr const char* kPolicyListHelp = "Name all policies, with a line about each.\n";

constexpr const char* kPolicyTestHelp =
    "Put steps on a policy, as a controller is tested: a machine that suddenly wants memory, one that goes idle, a "
    "host "
    "that\nloses memory, balloons that die, a guest that lies. Says whether the policy reaches its own goal, when, and "
    "whether it\ncycles, holds floors and notices dead balloons.\n\n"
    "Example: pagoda policy test hypeman\n";

constexpr const char* kPolicyExplainHelp =
    "Show a policy's rules, and each of its constants with where it is from.\n\n"
    "Example: pagoda policy explain esx\n";

constexpr std::size_t kRuleWidth = 112;

Input<const policy::PolicyEntry*> choose_policy(const std::string& name) {
  if (const policy::PolicyEntry* const entry = policy::find_policy(name)) return entry;
  return bad_input(fmt::format("there is no policy \"{}\"; there are {}", name, policy::policy_names()));
}

// --- list ---

void list_policies() {
  for (const policy::PolicyEntry& entry : policy::policies()) fmt::print("{:<16}  {}\n", entry.name, entry.what);
}

// --- explain ---

// A paragraph after `first`, its further lines below its beginning.
void print_paragraph(const std::string& first, std::string_view text) {
  std::string line = first;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (line.size() > first.size() && line.size() + end > kRuleWidth) {
      fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
      line = std::string(first.size(), ' ');
    }
    line += std::string(text.substr(0, end)) + ' ';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
}

void explain_policy(const policy::PolicyEntry& entry) {
  fmt::print("{}: {}\n\n", entry.name, entry.what);
  std::size_t number = 0;
  for (const std::string_view rule : entry.rules) print_paragraph(fmt::format("{:>3}. ", ++number), rule);
  if (!entry.constants.empty()) {
    std::size_t names = 0;
    std::size_t values = 0;
    for (const policy::PolicyConstant& constant : entry.constants) {
      names = std::max(names, constant.name.size());
      values = std::max(values, constant.value.size());
    }
    fmt::print("\n  {:<{}}  {:<{}}  {}\n", "constant", names, "value", values, "source");
    for (const policy::PolicyConstant& constant : entry.constants)
      fmt::print("  {:<{}}  {:<{}}  {}\n", constant.name, names, constant.value, values, constant.source);
  }
  std::string options;
  for (const policy::PolicyOption option : entry.takes)
    options += (options.empty() ? "" : ", ") + std::string(policy::name(option));
  fmt::print("\nknobs: {}\n", options.empty() ? "none" : options);
  if (entry.needs_reporting) fmt::print("needs: guests that report free pages\n");
  fmt::print("source: {}\n", entry.source);
}

// --- test ---

std::string in_percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::string in_seconds(const std::optional<double>& seconds) {
  return seconds ? fmt::format("{:.0f} s", *seconds) : "never";
}

std::string reached_text(const policy::StepResult& result) {
  return !result.goal ? "no goal" : result.reaches_goal() ? "yes" : "no";
}

void print_step(const policy::Step& step, const policy::StepResult& result) {
  fmt::print("{:<7} {:>7}  {:>6} {:>6}  {:>7}  {:>7}  {:>9}  {:>5}  {:>6}  {:>11}  {:>11}  {}\n", step.name,
             result.goal ? in_percent(*result.goal) : "-", in_percent(result.least_free), in_percent(result.most_free),
             reached_text(result), result.goal ? in_seconds(result.settles) : "-",
             result.goal ? in_percent(result.overshoot) : "-", result.turns, result.floors_hold ? "held" : "broken",
             in_percent(result.worst_stall), fmt::format("{:.0f} MiB", result.swapped_in_mib),
             step.kills_balloons ? in_seconds(result.dead_noticed) : "-");
}

void print_steps_legend() {
  fmt::print("\n");
  for (const policy::Step& step : policy::steps()) fmt::print("{:<9} {}\n", step.name, step.what);
  fmt::print(
      "\ngoal: what the policy wants free of the host, by its own rules. free: least and most in the last five minutes "
      "of\n"
      "thirty. settles: when the goal is kept for good. beyond: the most that was free beyond it. turns: how often the "
      "sum\n"
      "of all targets turned in the last five minutes; four and more are a cycle. stall: the worst second of a machine "
      "then.\n"
      "The model is deterministic: a host of {}, two machines of {} and six of {} (minimum {}).\n",
      to_string(bytes_of(policy::kStepHost)), to_string(bytes_of(policy::kStepBig)),
      to_string(bytes_of(policy::kStepSmall)), to_string(bytes_of(policy::kStepMinimum)));
}

void test_policy(const policy::PolicyEntry& entry) {
  fmt::print("{}: {}\n\n", entry.name, entry.what);
  fmt::print("{:<7} {:>7}  {:>13}  {:>7}  {:>7}  {:>9}  {:>5}  {:>6}  {:>11}  {:>11}  {}\n", "step", "goal", "free",
             "reached", "settles", "beyond", "turns", "floors", "worst stall", "swapped in", "dead noticed");
  for (const policy::Step& step : policy::steps()) print_step(step, policy::run_step(entry, {}, step));
  print_steps_legend();
}

// --- the command line ---

void add_named(CLI::App& command, const char* name, const char* help, void (*show)(const policy::PolicyEntry&),
               int& exit_code) {
  CLI::App* const named = command.add_subcommand(name, help);
  const auto policy_name = std::make_shared<std::string>();
  named->add_option("name", *policy_name, "The policy; see pagoda policy list")->required()->type_name("NAME");
  named->callback([policy_name, show, &exit_code] {
    if (const auto entry = choose_policy(*policy_name))
      show(**entry);
    else
      exit_code = refuse(entry.error());
  });
}

}  // namespace

void add_policy_command(CLI::App& app, int& exit_code) {
  CLI::App* const command = app.add_subcommand("policy", kPolicyHelp);
  command->require_subcommand(1);
  command->add_subcommand("list", kPolicyListHelp)->callback(list_policies);
  add_named(*command, "test", kPolicyTestHelp, test_policy, exit_code);
  add_named(*command, "explain", kPolicyExplainHelp, explain_policy, exit_code);
}

}  // namespace pagoda::cli
