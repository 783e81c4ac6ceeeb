// A program whose memory follows a curve of what it used and what of that was active, as monitoring tells both.
//
//   used grows      it stores to the new pages, as fast as they can be had
//   used shrinks    it gives the last pages back
//   active          in each period every one of the first `active` pages is touched, in an order of its own, once at
//                   least; further touches go to popular pages: to the n-th with a chance proportional to 1/n^theta
//
// Touches have their times, evenly over the period. A machine that cannot keep up is late, and leaves none out.
#pragma once

#include <cstdint>
#include <memory>

#include "pagoda/sim/program.h"
#include "pagoda/sim/scenario/program_config.h"

namespace pagoda::sim {

// Requires: a curve that check_demand takes; theta below 1. `seed` decides everything random.
std::unique_ptr<Program> make_demand_program(const DemandConfig& config, std::uint64_t seed);

}  // namespace pagoda::sim
