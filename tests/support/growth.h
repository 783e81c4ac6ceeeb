// Whether a cost grows with the size of what it should not depend on.
//
// Time is the CPU time of the calling thread, the least of several runs of each size in turns: whatever else the
// machine does can only add to it. Who measures both for equally long gives both the same chance of a quiet moment.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <limits>
#include <vector>

namespace pagoda::testing {

inline double thread_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// Nanoseconds of an operation, of which `body` does so many.
template <class Body>
double cost_of(std::uint64_t operations, const Body& body) {
  const double before = thread_nanoseconds();
  body();
  return (thread_nanoseconds() - before) / static_cast<double>(operations);
}

// Nothing of what is measured next is in a near cache afterwards: else the small machine is the faster one because it
// fits there, and by the more, the more others need the memory.
inline void empty_caches() {
  static std::vector<std::uint64_t> others(std::size_t{1} << 21);  // 16 MiB.
  for (std::size_t i = 0; i < others.size(); i += 8) ++others[i];  // Lines of 64 bytes.
}

// Both give the cost of an operation, on a machine that they make: a small one, and a larger one (16 times, where
// nothing else is said). The larger one's may be at most `factor` times the smaller one's. Where it seems to be more,
// more turns are taken: what others do to the caches passes, growth stays.
template <class Small, class Large>
::testing::AssertionResult does_not_grow(const Small& small, const Large& large, double factor = 2) {
  constexpr int kFewestTurns = 3;
  constexpr int kMostTurns = 12;
  double least_small = std::numeric_limits<double>::max();
  double least_large = least_small;
  for (int turn = 0; turn < kMostTurns; ++turn) {
    least_small = std::min(least_small, small());
    least_large = std::min(least_large, large());
    if (turn + 1 >= kFewestTurns && least_large <= factor * least_small) break;
  }
  return (least_large <= factor * least_small ? ::testing::AssertionSuccess() : ::testing::AssertionFailure())
         << "an operation takes " << least_small << " ns where there is little, and " << least_large
         << " ns where there is much";
}

}  // namespace pagoda::testing
