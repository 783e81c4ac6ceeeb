// Which bytes of a space were seen already, where ranges of a file overlap and one of them counts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

namespace pagoda::sim {

// First and end of each run; no two overlap or touch.
using Covered = std::map<std::uint64_t, std::uint64_t>;

// Calls `visit(from, to)` for each part of the run that was not covered yet, and covers it. Gives the bytes that were.
template <class Visit>
std::uint64_t cover(Covered& covered, std::uint64_t first, std::uint64_t end, const Visit& visit) {
  std::uint64_t merged_first = first, merged_end = end;
  std::uint64_t at = first;
  std::uint64_t already = 0;
  auto run = covered.upper_bound(first);
  if (run != covered.begin() && std::prev(run)->second >= first) --run;
  while (run != covered.end() && run->first <= end) {
    const auto [run_first, run_end] = *run;
    if (run_first > at) visit(at, run_first);
    already += std::min(run_end, end) - std::max(run_first, first);
    at = std::max(at, std::min(run_end, end));
    merged_first = std::min(merged_first, run_first);
    merged_end = std::max(merged_end, run_end);
    run = covered.erase(run);
  }
  if (at < end) visit(at, end);
  covered.emplace(merged_first, merged_end);
  return already;
}

}  // namespace pagoda::sim
