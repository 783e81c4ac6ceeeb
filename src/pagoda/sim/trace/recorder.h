// Records the page trace of a Linux program, by running it under QEMU's user mode with Pagoda's TCG plugin.
//
//   record_program -> qemu-x86_64 -plugin libpagoda_trace_plugin.so,... COMMAND -> (the plugin writes) -> checked ->
//   renamed
//
// Standard input, output and error are the program's own. Only the first process is recorded, with all its threads: a
// child that it forks runs on unrecorded, and a program that it execs ends the trace (TraceInfo::ending is "exec").
// Source: reference figures: about 90 million raw references a second (measured: sort of 60,000 lines, 126 M
// references, 1.1 s).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/trace/trace_info.h"

namespace pagoda::sim {

// Where to find the plugin instead of beside the binary.
inline constexpr const char* kTracePluginVariable = "PAGODA_TRACE_PLUGIN";

struct RecordOptions {
  std::string output;
  std::uint64_t window = 64;  // Frames from which on LRU and OPT are exact; wider makes smaller traces.
  int level = 9;              // zstd's.
  std::vector<std::string> command;
};

struct RecordOutcome {
  int exit_status = 0;  // The program's.
  TraceInfo info;
};

// Runs the command to its end. Fails if QEMU, the plugin or the program is missing or unfit, if the output cannot be
// written, and if a signal killed the program (then there is no trace, and an older file of that name is as it was).
Input<RecordOutcome> record_program(const RecordOptions& options);

// The parts that can be missing; each message says what to install or build.
Input<std::string> find_qemu();
Input<std::string> find_trace_plugin();
// Finds the file of a program as a shell would, and checks that it is an x86-64 ELF file.
Input<std::string> find_program(const std::string& name);

}  // namespace pagoda::sim
