// What the program's exit status says.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string_view>

#include "pagoda/base/input_error.h"

namespace pagoda::cli {

inline constexpr int kExitSuccess = 0;
// The work was done and its outcome is bad: wrong contents, a figure below its floor.
inline constexpr int kExitFailed = 1;
// What was asked for makes no sense or cannot be read.
inline constexpr int kExitBadInput = 2;

// Says something about a failure; if even that cannot be said, the exit status does.
inline void complain(std::string_view message) { std::fputs(fmt::format("pagoda: {}\n", message).c_str(), stderr); }

// Says what is wrong with the input, or what failed, and returns the exit status for that.
inline int refuse(const InputError& error) {
  complain(error.message);
  return error.failed ? kExitFailed : kExitBadInput;
}

// Says what went wrong with the work itself, and returns the exit status for that.
inline int give_up(const InputError& error) {
  complain(error.message);
  return kExitFailed;
}

}  // namespace pagoda::cli
