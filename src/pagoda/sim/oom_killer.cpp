#include "pagoda/sim/oom_killer.h"

#include <algorithm>

namespace pagoda::sim {

namespace {

constexpr unsigned kRoundsLow = 2;

}  // namespace

std::optional<std::string> OomKiller::look(const OomLook& now) {
  const bool is_low = now.free < now.low && now.slots < now.low;
  const bool stays_low = is_low && (rounds_low_ == 0 || now.free <= last_free_);
  rounds_low_ = stays_low ? rounds_low_ + 1 : 0;
  last_free_ = now.free;
  if (now.promisable < now.high) return "the host had hardly any memory left to promise";
  if (rounds_low_ < kRoundsLow) return std::nullopt;
  rounds_low_ = 0;
  return "the host's free memory stayed low";
}

const OomCandidate* OomKiller::choose(std::span<const OomCandidate> machines) {
  const auto largest = std::ranges::max_element(machines, {}, &OomCandidate::sum);
  return largest == machines.end() ? nullptr : &*largest;
}

}  // namespace pagoda::sim
