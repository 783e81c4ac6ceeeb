#include "bench/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <ranges>
#include <string>
#include <thread>
#include <utility>

#include "pagoda/cli/exit_codes.h"
#include "pagoda/report/write_file.h"

namespace pagoda::bench {

namespace {

constexpr const char* kBenchHelp =
    "Measure how fast Pagoda is and how well it chooses, each figure beside a peer in the same run.\n"
    "A ratio above 1 means that we are better. Figures and peers take turns, and the medians are shown; they vary "
    "with\n"
    "the machine, their ratio much less. docs/benchmarks.md says what each one measures and what limits it.\n";

constexpr const char* kTableLayout = "{:<30} {:>8} {:>11} {:>11} {:>7} {:>6} {:<4}  {}\n";

std::vector<Benchmark>& registered() {
  static std::vector<Benchmark> benchmarks;
  return benchmarks;
}

// Four digits, however large.
std::string figure(std::optional<double> value) {
  if (!value) return "-";
  if (std::abs(*value) >= 1e6) return fmt::format("{:.4g}M", *value / 1e6);
  return std::abs(*value) >= 1000 ? fmt::format("{:.0f}", *value) : fmt::format("{:.4g}", *value);
}

std::string ratio(std::optional<double> value) { return value ? fmt::format("{:.2f}", *value) : "-"; }

nlohmann::ordered_json to_json(const BenchRow& row) {
  const auto number = [](std::optional<double> value) -> nlohmann::ordered_json {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
  };
  nlohmann::ordered_json json = {
      {"name", row.name},
      {"unit", row.unit},
      {"ours", row.ours},
      {"peer", number(row.peer)},
      {"peer_name", row.peer_name.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(row.peer_name)},
      {"ratio", number(row.ratio)},
      {"floor", number(row.floor)},
  };
  if (row.more.is_object()) json.update(row.more);
  return json;
}

class Printer : public BenchOutput {
 public:
  void row(const BenchRow& row) override {
    if (!std::exchange(in_table_, true))
      fmt::print(kTableLayout, "name", "unit", "ours", "peer", "ratio", "floor", "ok", "peer_name");
    below_floor_ |= row.is_below_floor();
    const char* const verdict = row.is_below_floor() ? "NO" : "yes";
    fmt::print(kTableLayout, row.name, row.unit, figure(row.ours), figure(row.peer), ratio(row.ratio), ratio(row.floor),
               row.floor ? verdict : "", row.peer_name);
    std::fflush(stdout);
    json_.push_back(to_json(row));
  }
  void json_only(const BenchRow& row) override { json_.push_back(to_json(row)); }
  void text(std::string_view line) override {
    in_table_ = false;
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }
  void failure(const std::string& what) override {
    failed_ = true;
    fmt::print(stderr, "pagoda: bench: {}\n", what);
  }

  [[nodiscard]] bool below_floor() const { return below_floor_; }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::string json() const { return json_.dump(2) + "\n"; }

 private:
  bool in_table_ = false;
  bool below_floor_ = false;
  bool failed_ = false;
  nlohmann::ordered_json json_ = nlohmann::ordered_json::array();
};

struct CommandLine {
  std::vector<std::string> names;
  BenchOptions options;
  std::string json;
  bool list = false;
  bool check = false;
};

Input<std::vector<const Benchmark*>> choose(const std::vector<std::string>& names) {
  std::vector<const Benchmark*> chosen;
  for (const Benchmark& benchmark : registered()) {
    if (names.empty() ? benchmark.by_default == Benchmark::Default::kYes
                      : std::ranges::find(names, benchmark.name) != names.end())
      chosen.push_back(&benchmark);
  }
  for (const std::string& name : names) {
    if (std::ranges::find(registered(), name, &Benchmark::name) == registered().end())
      return bad_input(
          fmt::format("bench: there is no benchmark '{}'; `pagoda bench --list` shows what there is", name));
  }
  return chosen;
}

// The computer that the figures are of: "AMD EPYC 9B14, 2 processors".
std::string this_computer() {
  std::ifstream info("/proc/cpuinfo");
  std::string model = "unknown processor";
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (!line.starts_with("model name") || colon == std::string::npos) continue;
    model = line.substr(colon + 2);
    break;
  }
  const unsigned processors = std::thread::hardware_concurrency();
  return fmt::format("{}, {} {}", model, processors, processors == 1 ? "processor" : "processors");
}

int run(const CommandLine& line) {
  if (line.list) {
    for (const Benchmark& benchmark : registered())
      fmt::print("{:<20} {}{}\n", benchmark.name, benchmark.what,
                 benchmark.by_default == Benchmark::Default::kYes ? "" : " (only when named)");
    return cli::kExitSuccess;
  }
  const auto chosen = choose(line.names);
  if (!chosen) return cli::refuse(chosen.error());
  if (!line.json.empty()) {
    if (const Input<> writable = report::check_writable(line.json); !writable) return cli::refuse(writable.error());
  }
  Printer printer;
  printer.text("on " + this_computer());
  for (const Benchmark* benchmark : *chosen) {
    if (const Input<> done = benchmark->run(line.options, printer); !done) return cli::refuse(done.error());
  }
  if (!line.json.empty()) {
    if (const Input<> written = report::write_file(line.json, printer.json()); !written)
      return cli::refuse(written.error());
  }
  return printer.failed() || (line.check && printer.below_floor()) ? cli::kExitFailed : cli::kExitSuccess;
}

}  // namespace

BenchRegistration::BenchRegistration(const std::vector<Benchmark>& benchmarks) {
  for (const Benchmark& benchmark : benchmarks) registered().push_back(benchmark);
}

void define_command(CLI::App& app, int& exit_code) {
  app.description(kBenchHelp);
  const auto line = std::make_shared<CommandLine>();
  app.add_option("names", line->names, "What to measure; nothing: every speed figure")->type_name("NAME");
  app.add_option("--json", line->json, "Write the figures as a JSON array")->type_name("FILE");
  app.add_option("--traces", line->options.traces, "Where the recorded traces are (default: data/traces)")
      ->type_name("DIR");
  app.add_option("--seeds", line->options.seeds, "How many seeds `policies` runs, from 101 on")
      ->type_name("N")
      ->check(CLI::Range(1U, 1000U))
      ->capture_default_str();
  app.add_flag("--list", line->list, "Say what there is to measure");
  app.add_flag("--check", line->check, "Exit status 1 when a figure is below its floor");
  app.callback([line, &exit_code] { exit_code = run(*line); });
}

}  // namespace pagoda::bench
