// From what a scenario says about a program to the program.
#pragma once

#include <cstdint>
#include <memory>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/image_contents.h"
#include "pagoda/sim/program.h"
#include "pagoda/sim/scenario/process_config.h"

namespace pagoda::sim {

// Opens the files that it needs, images through `images`. Fails with one line that names the process and says what is
// wrong with one of its files.
Input<std::unique_ptr<Program>> open_program(const ProcessConfig& process, std::uint64_t seed, ImageOpener& images);

}  // namespace pagoda::sim
