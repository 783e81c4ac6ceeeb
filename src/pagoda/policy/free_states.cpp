#include "pagoda/policy/free_states.h"

#include <array>
#include <cmath>

#include "pagoda/policy/pages.h"

namespace pagoda::policy {

namespace {

constexpr std::array<std::string_view, 5> kNames = {"high", "clear", "soft", "hard", "low"};
constexpr std::array<std::string_view, 2> kPresetNames = {"esx2002", "esx6"};
constexpr PageCount kMinFree = pages_of(899_MiB);
constexpr PageCount kMinFreeCovers = pages_of(28_GiB);

PageCount percent(PageCount of, std::uint64_t percent) { return PageCount((of.value() * percent + 99) / 100); }

// Of the states that exist, the next one above.
FreeState above(FreeState state, const FreeThresholds& thresholds) {
  if (state == FreeState::kSoft && !thresholds.clear) return FreeState::kHigh;
  return static_cast<FreeState>(static_cast<std::uint8_t>(state) - 1);
}

PageCount threshold_of(FreeState state, const FreeThresholds& thresholds) {
  switch (state) {
    case FreeState::kHigh:
      return thresholds.high;
    case FreeState::kClear:
      return thresholds.clear.value_or(thresholds.high);
    case FreeState::kSoft:
      return thresholds.soft;
    case FreeState::kHard:
      return thresholds.hard;
    case FreeState::kLow:
      break;
  }
  return thresholds.low;
}

PageCount clearly_above(PageCount threshold, double hysteresis) {
  return threshold + PageCount(static_cast<std::uint64_t>(std::ceil(real(threshold) * hysteresis)));
}

}  // namespace

std::string_view name(FreeState state) { return kNames[static_cast<std::size_t>(state)]; }

std::string_view name(StatesPreset preset) { return kPresetNames[static_cast<std::size_t>(preset)]; }

std::optional<StatesPreset> find_states_preset(std::string_view name) {
  for (std::size_t i = 0; i < kPresetNames.size(); ++i)
    if (kPresetNames[i] == name) return static_cast<StatesPreset>(i);
  return std::nullopt;
}

PageCount FreeThresholds::goal() const { return clearly_above(high, hysteresis); }

FreeThresholds esx2002_thresholds(PageCount total) {
  return {.high = percent(total, 6),
          .clear = std::nullopt,
          .soft = percent(total, 4),
          .hard = percent(total, 2),
          .low = percent(total, 1)};
}

FreeThresholds esx6_thresholds(PageCount total) {
  const PageCount min_free =
      total < kMinFreeCovers
          ? PageCount((total.value() * kMinFree.value() + kMinFreeCovers.value() - 1) / kMinFreeCovers.value())
          : kMinFree + percent(total - kMinFreeCovers, 1);
  return {.high = percent(min_free, 400),
          .clear = min_free,
          .soft = percent(min_free, 64),
          .hard = percent(min_free, 32),
          .low = percent(min_free, 16)};
}

FreeThresholds thresholds(StatesPreset preset, PageCount total) {
  return preset == StatesPreset::kEsx6 ? esx6_thresholds(total) : esx2002_thresholds(total);
}

FreeState next_state(FreeState now, PageCount free, const FreeThresholds& thresholds) {
  for (const FreeState lower : {FreeState::kLow, FreeState::kHard, FreeState::kSoft, FreeState::kClear}) {
    if (lower <= now) break;
    if (lower == FreeState::kClear && !thresholds.clear) continue;
    if (free < threshold_of(lower, thresholds)) return lower;
  }
  while (now != FreeState::kHigh) {
    const FreeState higher = above(now, thresholds);
    if (free < clearly_above(threshold_of(higher, thresholds), thresholds.hysteresis)) break;
    now = higher;
  }
  return now;
}

}  // namespace pagoda::policy
