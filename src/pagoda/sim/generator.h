// Programs made up from a few numbers: what a person uses to ask one question at a time.
//
//   sequential  one page after the other, round and round
//   uniform     any page, evenly
//   zipf        the n-th most popular page with a chance proportional to 1/n^theta, popularity strewn over the pages
//   phases      uniform inside a window, which moves on after a number of operations
#pragma once

#include <cstdint>
#include <memory>

#include "pagoda/sim/program.h"
#include "pagoda/sim/scenario/program_config.h"

namespace pagoda::sim {

// Requires: a valid configuration. `seed` decides everything random.
std::unique_ptr<Program> make_generator(const GeneratorConfig& config, std::uint64_t seed);

}  // namespace pagoda::sim
