#include "pagoda/report/policy_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "pagoda/report/policy_story.h"
#include "pagoda/report/terminal_text.h"
#include "pagoda/report/text.h"

namespace pagoda::report {

namespace {

constexpr std::size_t kMachineWidth = 24;

// Those that are shown, in the order of the scenario.
std::vector<std::size_t> shown_machines(std::span<const sim::RunResult> runs) {
  std::vector<std::size_t> machines(runs.front().vms.size());
  std::iota(machines.begin(), machines.end(), std::size_t{0});
  if (machines.size() <= kComparedMachinesMax) return machines;
  const auto longest = [&](std::size_t machine) {
    Duration wait;
    for (const sim::RunResult& run : runs) wait = std::max(wait, run.policy->accounts[machine].waited);
    return wait;
  };
  std::ranges::sort(machines,
                    [&](std::size_t a, std::size_t b) { return std::pair(longest(b), a) < std::pair(longest(a), b); });
  machines.resize(kComparedMachinesMax);
  std::ranges::sort(machines);
  return machines;
}

template <class Cell>  // Of a run.
void add_row(std::vector<std::vector<std::string>>& rows, std::string name, std::span<const sim::RunResult> runs,
             Cell cell) {
  std::vector<std::string> row{std::move(name)};
  for (const sim::RunResult& run : runs) row.push_back(cell(run));
  rows.push_back(std::move(row));
}

PageCount sum_of(const sim::RunResult& run, PageCount sim::PolicyAccount::* member) {
  PageCount sum;
  for (const sim::PolicyAccount& account : run.policy->accounts) sum += account.*member;
  return sum;
}

}  // namespace

std::string policy_comparison_text(std::span<const sim::RunResult> runs) {
  const sim::RunResult& first = runs.front();
  std::string out = escape_terminal(first.title.empty() ? first.scenario : first.title) + "\n\n";
  std::vector<std::vector<std::string>> rows;
  add_row(rows, "programs waited", runs, [](const auto& run) { return run.policy->name; });
  for (const std::size_t machine : shown_machines(runs))
    add_row(rows, "  " + shortened(escape_terminal(first.vms[machine].name), kMachineWidth), runs,
            [&](const auto& run) { return duration_text(run.policy->accounts[machine].waited); });
  if (first.vms.size() > kComparedMachinesMax)
    add_row(rows, fmt::format("  and {} more", first.vms.size() - kComparedMachinesMax), runs,
            [](const auto&) { return ""; });
  add_row(rows, "because of others", runs, [](const auto& run) {
    Duration sum;
    for (const sim::PolicyAccount& account : run.policy->accounts) sum += account.made_others_wait;
    return duration_text(sum);
  });
  add_row(rows, "asked by balloon", runs,
          [](const auto& run) { return bytes_text(sum_of(run, &sim::PolicyAccount::asked_by_balloon)); });
  add_row(rows, "taken by paging", runs,
          [](const auto& run) { return bytes_text(sum_of(run, &sim::PolicyAccount::taken_by_paging)); });
  add_row(rows, "held, not owed", runs,
          [](const auto& run) { return fmt::format("{:.1f}%", 100 * run.policy->distance_to_fair); });
  add_row(rows, "machines lost", runs, [](const auto& run) {
    return grouped(static_cast<std::uint64_t>(
        std::ranges::count_if(run.vms, [](const sim::VmResult& vm) { return vm.lost.has_value(); })));
  });
  add_row(rows, "fairness", runs, [](const auto& run) { return fmt::format("{:.3f}", run.policy->fairness); });
  out += aligned(rows) + "\n";
  for (const sim::RunResult& run : runs)
    for (const std::string& sentence : tell_policy(run)) out += wrapped(escape_terminal(sentence), 0);
  return out;
}

}  // namespace pagoda::report
