// `pagoda policy`: list, test and explain.
#pragma once

namespace CLI {
class App;
}

namespace pagoda::cli {

// Adds the subcommand to `app`. When it was chosen, parsing runs it and sets `exit_code`: 0; 2 after an input error,
// which is one line on standard error. `app` and `exit_code` must outlive the parsing.
void add_policy_command(CLI::App& app, int& exit_code);

}  // namespace pagoda::cli
