// `pagoda run FILE.toml`: one simulation, its summary on the terminal, its reports in files.
#pragma once

namespace CLI {
class App;
}

namespace pagoda::cli {

// Adds the subcommand; running it sets `exit_code`.
void add_run_command(CLI::App& app, int& exit_code);

}  // namespace pagoda::cli
