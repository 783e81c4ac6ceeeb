#include "pagoda/sim/oom_killer.h"

#include <cstdint>

namespace pagoda::sim {

namespace {

constexpr unsigned kRoundsLow = 2;

}  // namespace

std::optional<std::string> OomKiller::look(const OomLook& now) {
  const bool is_low = now.free < now.low && now.slots < now.low;
  const bool stays_low = is_low && (rounds_low_ == 0 || now.free <= last_free_);
  rounds_low_ = stays_low ? rounds_low_ + 1 : 0;
  last_free_ = now.free;
  if (rounds_low_ < kRoundsLow) return std::nullopt;
  rounds_low_ = 0;
  return "the host's free memory stayed low";
}

const OomCandidate* OomKiller::choose(std::span<const OomCandidate> machines, PageCount total) {
  const auto badness = [&](const OomCandidate& machine) {
    return static_cast<std::int64_t>(machine.sum().value()) +
           machine.adjust * static_cast<std::int64_t>(total.value()) / kOomAdjustMost;
  };
  const OomCandidate* worst = nullptr;
  for (const OomCandidate& machine : machines)
    if (machine.adjust != kOomNever && (worst == nullptr || badness(machine) > badness(*worst))) worst = &machine;
  return worst;
}

}  // namespace pagoda::sim
