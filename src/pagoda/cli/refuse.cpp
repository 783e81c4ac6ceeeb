#include "pagoda/cli/refuse.h"

#include <fmt/format.h>

#include <cstdio>

#include "pagoda/cli/exit_codes.h"

namespace pagoda::cli {

int refuse(const InputError& error) {
  fmt::print(stderr, "pagoda: {}\n", error.message);
  return kExitBadInput;
}

}  // namespace pagoda::cli
