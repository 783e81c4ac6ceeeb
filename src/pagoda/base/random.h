// Random numbers that are the same on every machine for the same seed: xoshiro256** (Blackman and Vigna 2018), seeded
// by SplitMix64. The standard library's distributions differ between implementations, so the few that are needed are
// here.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "pagoda/base/check.h"

namespace pagoda {

class Random {
 public:
  explicit Random(std::uint64_t seed) {
    for (std::uint64_t& word : state_) {
      seed += 0x9E3779B97F4A7C15;
      word = mix(seed);
    }
  }

  // A good hash of one word; also the seed sequence.
  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

  std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  // 0 to bound - 1, evenly but for 2^-64 (Lemire's multiplication without the rejection).
  std::uint64_t below(std::uint64_t bound) {
    PAGODA_DCHECK_GT(bound, std::uint64_t{0});
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // [0, 1).
  bool chance(double probability) { return unit() < probability; }

 private:
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace pagoda
