// `pagoda bench`: speed and quality figures, each beside a peer measured in the same run.
//
// Benchmarks register themselves (bench/register.cpp); the command knows them by this interface alone.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/input_error.h"

namespace CLI {
class App;
}

namespace pagoda::bench {

// One figure. `ratio` above 1 means that we are better: peer / ours for costs, ours / peer for rates.
struct BenchRow {
  std::string name;
  std::string unit;
  double ours = 0;
  std::optional<double> peer;
  std::string peer_name;
  std::optional<double> ratio;
  std::optional<double> floor;  // What `ratio` should reach.
  nlohmann::ordered_json more;  // Further fields of the JSON object; null or an object.

  [[nodiscard]] bool is_below_floor() const { return floor && ratio.value_or(0) < *floor; }
};

// Takes what a benchmark finds, as it finds it.
class BenchOutput {
 public:
  virtual ~BenchOutput() = default;
  // A figure: a line of the table and an object of the JSON array.
  virtual void row(const BenchRow& row) = 0;
  // The same without a line of the table.
  virtual void json_only(const BenchRow& row) = 0;
  // A line for people.
  virtual void text(std::string_view line) = 0;
  // Something is wrong, not slow: exit status 1 whatever the figures are.
  virtual void failure(const std::string& what) = 0;
};

struct BenchOptions {
  std::string traces;  // Directory; empty: data/traces beside or above the program or the working directory.
  unsigned seeds = 4;  // Of the bake-off; 40 are what its differences are judged on.
};

struct Benchmark {
  std::string_view name;
  std::string_view what;                                               // One line.
  enum class Default : bool { kNo, kYes } by_default = Default::kYes;  // Runs when no name was given.
  Input<> (*run)(const BenchOptions& options, BenchOutput& out) = nullptr;
};

// For a static initializer: makes the benchmarks known, in this order.
class BenchRegistration {
 public:
  explicit BenchRegistration(const std::vector<Benchmark>& benchmarks);
};

// Gives `app` the command's options. Parsing then runs it and sets `exit_code`: 0; 1 when --check was given and a figure is
// below its floor, or when something is wrong; 2 after an input error, which is one line on standard error.
// Requires: `app` and `exit_code` outlive the parsing.
void define_command(CLI::App& app, int& exit_code);

}  // namespace pagoda::bench
