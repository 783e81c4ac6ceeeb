// The program `pagoda`: a subcommand for each job.
#pragma once

namespace pagoda::cli {

// What main does. The exit status; see exit_codes.h.
int run_program(int argc, char** argv);

}  // namespace pagoda::cli
