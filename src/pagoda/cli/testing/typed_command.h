// For tests: one of Pagoda's commands as a person types it, and what it printed.
#pragma once

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

namespace pagoda::cli {

struct Ran {
  int status = 0;
  std::string out;
  std::string error;
};

// `add` makes the command known; `arguments` begin with its name.
inline Ran run_typed(void (*add)(CLI::App&, int&), std::vector<std::string> arguments) {
  CLI::App app;
  Ran ran;
  add(app, ran.status);
  std::ranges::reverse(arguments);  // CLI11 takes them from the back.
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    ran.status = app.exit(error);
  }
  ran.out = testing::internal::GetCapturedStdout();
  ran.error = testing::internal::GetCapturedStderr();
  return ran;
}

}  // namespace pagoda::cli
