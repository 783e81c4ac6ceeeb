// What happened in a run, in a few sentences that a person understands.
//
// Pure functions of a RunResult. Every sentence is true of every run: without processes, without faults, with errors,
// cut short.
#pragma once

#include <string>
#include <vector>

#include "pagoda/sim/run_result.h"

namespace pagoda::report {

// Plain text, not escaped: names of processes stand in it as the scenario wrote them.
struct Story {
  std::vector<std::string> losses;  // Virtual machines that were lost (causes.h): the first thing to know.
  std::string size;                 // What the programs touched, against what the host has.
  // How many faults, how many of them hard, what the page file saw, what went wrong; with virtual machines on the host
  // and in the guests, each by itself.
  std::string faults;
  std::string waiting;  // Computing against waiting, which process suffered most, which did not finish.
  std::string guests;   // What virtual machines were promised and have, and what was paged twice; empty without any.
  std::vector<std::string> policy;  // Who paid, for whom and why (policy_story.h).
  std::vector<std::string> causes;  // Limits, time constants, what had no effect (causes.h).

  // Those that are not empty.
  [[nodiscard]] std::vector<std::string> sentences() const;
};
Story tell(const sim::RunResult& run);

// The command line that repeats the run, apart from where its report goes.
std::string command_to_repeat(const sim::RunResult& run);

}  // namespace pagoda::report
