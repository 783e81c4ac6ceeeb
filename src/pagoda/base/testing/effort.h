// For tests: how much of what a test could try it tries.
//
// Counts of random operations, of seeds and of failures to inject are given for an effort of 1, which is what `./test` and the
// sanitizers take. The environment variable PAGODA_EFFORT multiplies them all; continuous integration takes 10.
#pragma once

#include <cstddef>
#include <cstdlib>

namespace pagoda::testing {

// PAGODA_EFFORT; 1 without it, and when it is no number or 0.
inline std::size_t effort() {
  static const std::size_t factor = [] {
    const char* const text = std::getenv("PAGODA_EFFORT");  // NOLINT(concurrency-mt-unsafe): nothing sets it.
    const unsigned long long number = text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
    return number == 0 ? std::size_t{1} : static_cast<std::size_t>(number);
  }();
  return factor;
}

// What `count` becomes at this run's effort.
inline std::size_t effort(std::size_t count) { return count * effort(); }

// For the nth of many places to fail: each of them at an effort of 10 and above, every tenth at 1.
inline std::size_t effort_stride() { return effort() >= 10 ? 1 : 10 / effort(); }

}  // namespace pagoda::testing
