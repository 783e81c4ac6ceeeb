// Whether hashes of different pages meet.
#pragma once

#include <cmath>

namespace pagoda::bench {

// The chance that at least two of so many different pages have the same hash of so many bits, all hashes as likely as each
// other: 1 - exp(-n (n - 1) / 2^(bits + 1)).
inline double collision_chance(double pages, int bits) {
  return -std::expm1(-std::ldexp(pages * (pages - 1), -(bits + 1)));
}

}  // namespace pagoda::bench
