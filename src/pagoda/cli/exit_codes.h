// What the program's exit status says.
#pragma once

#include <fmt/format.h>

#include <cstdio>

#include "pagoda/base/input_error.h"

namespace pagoda::cli {

inline constexpr int kExitSuccess = 0;
// The work was done and its outcome is bad: wrong contents, a figure below its floor.
inline constexpr int kExitFailed = 1;
// What was asked for makes no sense or cannot be read.
inline constexpr int kExitBadInput = 2;

// Says what is wrong with the input, and returns the exit status for that.
inline int refuse(const InputError& error) {
  fmt::print(stderr, "pagoda: {}\n", error.message);
  return kExitBadInput;
}

}  // namespace pagoda::cli
