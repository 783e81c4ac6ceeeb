// The files that a command writes: checked before its work begins, written together after it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"

namespace pagoda::cli {

struct Output {
  std::string option;  // "--json"
  std::string file;
};

// CLI11 takes an option without a name for one that was not given. Returns what is wrong, if anything is.
std::string check_file_name(const std::string& name);

// How messages call the file.
std::string shown_name(const std::string& file);

// Refuses outputs that are one file, or one of those that the command reads, by whatever names. /dev/null may be any
// number of them.
Input<> check_outputs(std::span<const Output> outputs, std::span<const std::string> inputs);

// Makes folders that are missing, and refuses what cannot be written there.
Input<> prepare_outputs(std::span<const Output> outputs);

// Whether one of them is standard output, where nothing else belongs then.
bool take_standard_output(std::span<const Output> outputs);

}  // namespace pagoda::cli
