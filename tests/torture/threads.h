// Drives a world with a thread for each worker and each keeper.
#pragma once

#include <cstdint>
#include <string>

#include "tests/torture/world.h"

namespace pagoda::mm::torture {

// Every worker does so many operations beside the others; then all rest and everything is looked at. Returns what was found; empty
// if all is well.
std::string run_threads(World& world, std::uint64_t operations_each);

// A world whose kind follows from the seed: paging mode, who refills TLBs, store, errors of the disks.
WorldConfig world_of_seed(std::uint64_t seed);
std::string describe(const WorldConfig& config);
// What the machine went through.
std::string describe(const Counters& counters);

}  // namespace pagoda::mm::torture
