#include "pagoda/cli/program.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "pagoda/base/version.h"
#include "pagoda/cli/bench_command.h"
#include "pagoda/cli/exit_codes.h"
#include "pagoda/cli/image_command.h"
#include "pagoda/cli/run_command.h"
#include "pagoda/cli/trace_command.h"

namespace pagoda::cli {

int run_program(int argc, char** argv) {
  CLI::App app(
      "Pagoda is a virtual memory manager in user space: the design of the NT memory manager over real page tables, "
      "real\n"
      "page contents and real page files. It replays what programs do with memory on a host that has too little of it, "
      "and\n"
      "shows where every page went.",
      "pagoda");
  app.footer(
      "Start here:\n"
      "  pagoda run scenarios/host.toml --report host.html   simulate, then open host.html\n"
      "  pagoda trace record -o my.vmpt.zst -- ls -l         record a program of yours to replay\n"
      "  pagoda bench                                        how fast this is here, beside Linux\n"
      "`pagoda COMMAND --help` says more. Exit status: 0 done, 1 done with a bad outcome, 2 bad input.");
  app.set_version_flag("--version", fmt::format("pagoda {}", kVersion));
  app.require_subcommand(1);
  int exit_code = kExitSuccess;
  add_run_command(app, exit_code);
  add_trace_command(app, exit_code);
  add_image_command(app, exit_code);
  add_bench_command(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help and --version.
    if (argc > 1 && argv[1][0] != '-' &&
        app.get_subcommands([&](const CLI::App* command) { return command->get_name() == argv[1]; }).empty()) {
      fmt::print(stderr, "pagoda: there is no command \"{}\"; see pagoda --help\n", argv[1]);
    } else {
      fmt::print(stderr, "pagoda: {}; see pagoda --help\n", error.what());
    }
    return kExitBadInput;
  } catch (const std::exception& error) {
    fmt::print(stderr, "pagoda: {}\n", error.what());
    return kExitFailed;
  }
  return exit_code;
}

}  // namespace pagoda::cli
