// Arithmetic of pages that policies share: differences that stop at nothing, shares, signed moves.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "pagoda/base/units.h"

namespace pagoda::policy {

// a - b, or nothing.
constexpr PageCount excess(PageCount a, PageCount b) { return a > b ? a - b : PageCount(0); }

constexpr double real(PageCount pages) { return static_cast<double>(pages.value()); }

// Whole pages of a quantity that was computed in reals: rounds down, and never goes below nothing.
inline PageCount whole_pages(double pages) {
  return PageCount(pages > 0 ? static_cast<std::uint64_t>(std::floor(pages)) : 0);
}

inline PageCount part_of(PageCount pages, double part) { return whole_pages(real(pages) * part); }

// Part of a whole; 0 of nothing.
constexpr double share_of(PageCount pages, PageCount whole) { return whole.is_zero() ? 0 : real(pages) / real(whole); }

// Pages with a sign, for loops that were published in signed numbers.
constexpr std::int64_t to_signed(PageCount pages) { return static_cast<std::int64_t>(pages.value()); }
constexpr PageCount from_signed(std::int64_t pages) {
  return PageCount(static_cast<std::uint64_t>(std::max<std::int64_t>(pages, 0)));
}

// Moves `from` towards `to` by at most `step`.
constexpr PageCount step_towards(PageCount from, PageCount to, PageCount step) {
  return to > from ? from + std::min(to - from, step) : from - std::min(from - to, step);
}

}  // namespace pagoda::policy
