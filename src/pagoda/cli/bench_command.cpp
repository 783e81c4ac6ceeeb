#include "pagoda/cli/bench_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "pagoda/cli/exit_codes.h"

namespace pagoda::cli {

namespace {

constexpr const char* kProgram = "pagoda-bench";

// Does not return on success.
int become_bench(std::vector<std::string> arguments) {
  std::error_code error;
  const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const std::string program = (here / kProgram).string();
  arguments.insert(arguments.begin(), program);
  std::vector<char*> raw;
  raw.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  std::fflush(nullptr);
  execv(program.c_str(), raw.data());
  if (errno == ENOENT) {
    fmt::print(stderr,
               "pagoda: bench: there is no {} beside this program; ./test builds it (packages libbenchmark-dev and "
               "robin-map-dev, target {})\n",
               kProgram, kProgram);
  } else {
    fmt::print(stderr, "pagoda: bench: cannot start {}: {}\n", program, std::strerror(errno));
  }
  return kExitBadInput;
}

}  // namespace

void add_bench_command(CLI::App& app, int& exit_code) {
  CLI::App* const bench = app.add_subcommand(
      "bench", "Measure how fast Pagoda is, each figure beside a peer in the same run (pagoda-bench)");
  bench->prefix_command();
  bench->set_help_flag();
  bench->callback([bench, &exit_code] { exit_code = become_bench(bench->remaining()); });
}

}  // namespace pagoda::cli
