// What the program's exit status says.
#pragma once

namespace pagoda::cli {

inline constexpr int kExitSuccess = 0;
// The work was done and its outcome is bad: wrong contents, a figure below its floor.
inline constexpr int kExitFailed = 1;
// What was asked for makes no sense or cannot be read.
inline constexpr int kExitBadInput = 2;

}  // namespace pagoda::cli
