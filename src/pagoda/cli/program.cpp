#include "pagoda/cli/program.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "pagoda/base/version.h"
#include "pagoda/cli/bench_command.h"
#include "pagoda/cli/exit_codes.h"
#include "pagoda/cli/image_command.h"
#include "pagoda/cli/policy_command.h"
#include "pagoda/cli/run_command.h"
#include "pagoda/cli/standard_streams.h"
#include "pagoda/cli/trace_command.h"

namespace pagoda::cli {

namespace {

int run_command_line(int argc, char** argv) {
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
  add_policy_command(app, exit_code);
  add_bench_command(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help and --version.
    if (argc > 1 && argv[1][0] != '-' &&
        app.get_subcommands([&](const CLI::App* command) { return command->get_name() == argv[1]; }).empty()) {
      return refuse({fmt::format("there is no command \"{}\"; see pagoda --help", argv[1])});
    }
    return refuse({fmt::format("{}; see pagoda --help", error.what())});
  }
  return exit_code;
}

// Nothing is thrown past this.
int run_guarded(int argc, char** argv) {
  try {
    return run_command_line(argc, argv);
  } catch (const std::bad_alloc&) {
    return give_up({"this computer has not enough memory for that; make the machine, its programs or files smaller"});
  } catch (const std::exception& error) {
    // What cannot be written to standard output is told once, by who finishes it.
    return std::ferror(stdout) != 0 ? kExitFailed : give_up({error.what()});
  }
}

}  // namespace

int run_program(int argc, char** argv) {
  prepare_standard_streams();
  const int exit_code = run_guarded(argc, argv);
  return finish_standard_output() || exit_code != kExitSuccess ? exit_code : kExitFailed;
}

}  // namespace pagoda::cli
