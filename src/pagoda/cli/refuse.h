// How every command says that its input is bad.
#pragma once

#include "pagoda/base/input_error.h"

namespace pagoda::cli {

// Prints the error as one line on standard error. The exit status to end with.
int refuse(const InputError& error);

}  // namespace pagoda::cli
