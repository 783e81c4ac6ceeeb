// `pagoda bench`: replaces this program by pagoda-bench, which lies beside it. The benchmarks are a program of their own because
// they need packages that nothing else here does, and because most who build Pagoda never measure it.
#pragma once

namespace CLI {
class App;
}

namespace pagoda::cli {

// Adds the subcommand to `app`; all its arguments are pagoda-bench's. When it was chosen, parsing does not return, unless
// pagoda-bench is missing: then it prints one line on standard error that says how to build it, and sets `exit_code` to 2.
// `app` and `exit_code` must outlive the parsing.
void add_bench_command(CLI::App& app, int& exit_code);

}  // namespace pagoda::cli
