// The program `pagoda-bench`, which `pagoda bench` starts.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "bench/command.h"
#include "pagoda/cli/exit_codes.h"

int main(int argc, char** argv) {
  using namespace pagoda;
  CLI::App app("", "pagoda bench");
  int exit_code = cli::kExitSuccess;
  bench::define_command(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help.
    fmt::print(stderr, "pagoda: bench: {}; see pagoda bench --help\n", error.what());
    return cli::kExitBadInput;
  } catch (const std::exception& error) {
    fmt::print(stderr, "pagoda: {}\n", error.what());
    return cli::kExitFailed;
  }
  return exit_code;
}
