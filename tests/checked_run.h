// Whole runs for tests of simulations: scenarios as text, and a run with the checkers over it.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/sim/simulation.h"

namespace pagoda::sim::testing {

// --- Scenarios ---

struct Host {
  std::string_view memory = "1MiB";
  std::string_view paging = "amd64";
  std::string_view tlb = "large";
  std::string_view refill = "hardware";
  unsigned processors = 1;
  std::string_view disk;  // More keys of the disk.
  std::string_view rest = "[[page_file]]\ndisk = 'd'\nminimum = '8MiB'\n";
};

// A [[process]].
inline std::string process(std::string_view name, std::string_view program, std::string_view more = "") {
  return fmt::format("[[process]]\nname = '{}'\nprogram = {{ {} }}\n{}\n", name, program, more);
}

inline std::string scenario_text(const Host& host, const std::string& processes) {
  return fmt::format(
      "[host]\nmemory = '{}'\npaging = '{}'\ntlb = '{}'\nrefill = '{}'\nprocessors = {}\n"
      "[[disk]]\nname = 'd'\ncapacity = '16MiB'\nstore = 'memory'\n{}\n{}\n{}",
      host.memory, host.paging, host.tlb, host.refill, host.processors, host.disk, host.rest, processes);
}

// Requires: the text is a good scenario, or the test fails.
Scenario parsed(const std::string& text);

// Three programs with more memory together than a host of 1 MiB has; they share it for the whole run.
inline const std::string kThree =
    process("a", "kind = 'zipf', memory = '1MiB', operations = 6000") +
    process("b", "kind = 'sequential', memory = '512KiB', operations = 6000, writes = 0.1") +
    process("c",
            "kind = 'phases', memory = '1MiB', operations = 6000, window = '128KiB', "
            "phase_operations = 700, writes = 0.6");

// A recorded program's trace, which also serves as a file to map.
inline const std::string kSortTrace = std::string(PAGODA_SOURCE_DIR) + "/data/traces/sort.vmpt.zst";

// --- Runs ---

// One run, with the checkers of the host and of all guests in the middle of it and at its end.
struct CheckedRun {
  explicit CheckedRun(const std::string& text, RunOptions options = {.verify = true});

  // The result of a run that is expected to succeed.
  const RunResult& go();
  // What the checkers find now.
  std::string check();

  std::unique_ptr<Simulation> simulation;
  std::function<void(Simulation&)> on_progress;
  std::string findings;  // The first.
  unsigned progress_calls = 0;
  RunResult result;
};

// --- Figures ---

// Of all frames.
PageCount sum(const FrameCensus& frames);
std::uint64_t fault_count(const RunResult& result, mm::FaultKind kind);
// A line each.
std::vector<std::string> lines(const std::vector<Incident>& incidents);
// Of all processes.
std::uint64_t in_page_errors(const RunResult& result);

}  // namespace pagoda::sim::testing
