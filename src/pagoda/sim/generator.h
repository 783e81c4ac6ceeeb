// Programs made up from a few numbers: what a person uses to ask one question at a time.
//
//   sequential  one page after the other, round and round
//   uniform     any page, evenly
//   zipf        the n-th most popular page with a chance proportional to 1/n^theta, popularity strewn over the pages
//   phases      uniform inside a window, which moves on after a number of operations
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/sim/program.h"

namespace pagoda::sim {

struct GeneratorConfig {
  enum class Kind : std::uint8_t { kSequential, kUniform, kZipf, kPhases } kind = Kind::kUniform;
  PageCount memory;
  std::uint64_t operations = 0;
  double writes = 0.3;                 // Share of operations that store.
  std::uint64_t references = 1000;     // Raw references that one operation stands for.
  double theta = 0.99;                 // zipf. YCSB's default skew (Cooper et al. 2010).
  PageCount window;                    // phases.
  std::uint64_t phase_operations = 0;  // phases.
};

// The configuration was validated by whoever read it; `seed` decides everything random.
std::unique_ptr<Program> make_generator(const GeneratorConfig& config, std::uint64_t seed);

}  // namespace pagoda::sim
