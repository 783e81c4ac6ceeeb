// How short of free memory a host is, and what it may do about it.
//
//   high ──▶ clear ──▶ soft ──▶ hard ──▶ low      as soon as free < the threshold of the lower state
//        ◀──       ◀──      ◀──      ◀──          once free clearly exceeds the threshold of the higher state
//
//   high   nothing is reclaimed
//   clear  pages are shared more eagerly (ESXi 6 alone)
//   soft   balloons; paging only where a balloon is impossible
//   hard   paging by force
//   low    paging, and a machine above its target does not run
//
// In every state below high, targets are such that free memory would be above `high` again.
// Source: reference/virtualization.md 1.2 (Waldspurger, OSDI 2002, section 6.3; ESXi 6).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "pagoda/base/units.h"

namespace pagoda::policy {

enum class FreeState : std::uint8_t { kHigh, kClear, kSoft, kHard, kLow };

std::string_view name(FreeState state);

// "Clearly exceeds" is not published: ours, a parameter. A tenth of the threshold.
inline constexpr double kHysteresis = 0.1;

struct FreeThresholds {
  PageCount high;
  std::optional<PageCount> clear;  // nullopt: there is no such state.
  PageCount soft;
  PageCount hard;
  PageCount low;
  double hysteresis = kHysteresis;  // Part of a threshold by which it must be exceeded on the way up.

  // What free memory must reach for the state to become high: what reclaiming aims at.
  [[nodiscard]] PageCount goal() const;
  // The free memory at which nothing more is taken from anybody: clear, where there is that state, else high.
  [[nodiscard]] PageCount enough() const { return clear.value_or(high); }
};

enum class StatesPreset : std::uint8_t { kEsx2002, kEsx6 };

std::string_view name(StatesPreset preset);  // As scenarios write it.
std::optional<StatesPreset> find_states_preset(std::string_view name);

// 6, 4, 2 and 1 % of the host's memory, rounded up to pages.
FreeThresholds esx2002_thresholds(PageCount total);
// minFree is 899 MiB for the first 28 GiB and 1 % of the rest; on a smaller host as much less in proportion (ours). High,
// clear, soft, hard and low are 400, 100, 64, 32 and 16 % of it, rounded up to pages.
FreeThresholds esx6_thresholds(PageCount total);
FreeThresholds thresholds(StatesPreset preset, PageCount total);

// The state after `free` was measured.
FreeState next_state(FreeState now, PageCount free, const FreeThresholds& thresholds);

}  // namespace pagoda::policy
