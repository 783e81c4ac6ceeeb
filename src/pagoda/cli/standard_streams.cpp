#include "pagoda/cli/standard_streams.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "pagoda/cli/exit_codes.h"

namespace pagoda::cli {

namespace {

void ignore(int /*signal*/) {}

// By a handler, which exec takes away, in place of SIG_IGN, which it keeps.
void turn_into_error(int signal) {
  struct sigaction action{};
  action.sa_handler = ignore;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

}  // namespace

void prepare_standard_streams() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) >= 0) continue;
    // The wrong way round, so that its use is still an error; the lowest free descriptor is this one.
    const int opened = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened >= 0 && opened != descriptor) close(opened);
  }
  turn_into_error(SIGPIPE);
  turn_into_error(SIGXFSZ);
}

bool finish_standard_output() {
  const bool failed_before = std::ferror(stdout) != 0;
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && !failed_before) return true;
  complain(fmt::format("standard output: cannot write{}", flushed ? "" : fmt::format(": {}", std::strerror(errno))));
  return false;
}

}  // namespace pagoda::cli
