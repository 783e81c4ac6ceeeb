// A run of places of one kind: pages, frames, slots, addresses, bits. `first`, and how many.
//
// Half open: `end()` is one past the last. A range never wraps, except that one which reaches the highest place of its
// kind ends at zero; `contains` and `last` are right for that one too, and what compares ends asks for `end()` not to
// wrap. An empty range has a place (its `first`) and contains none.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <string>
#include <utility>

#include "pagoda/base/check.h"

namespace pagoda {

template <class P>
struct Range {
  // What two places are apart: pages for a page, bytes for an address.
  using Distance = decltype(std::declval<P>() - std::declval<P>());

  P first{};
  Distance count{};

  // The places from `first` to before `end`. Requires: first <= end.
  [[nodiscard]] static constexpr Range between(P first, P end) { return {first, end - first}; }

  [[nodiscard]] constexpr bool empty() const { return count == Distance{}; }
  [[nodiscard]] constexpr P end() const { return first + count; }  // One past the last.
  // Requires: not empty.
  [[nodiscard]] constexpr P last() const {
    PAGODA_DCHECK(!empty());
    return first + (count - Distance{1});
  }

  [[nodiscard]] constexpr bool contains(P place) const { return place >= first && place - first < count; }
  // Whether all of `other` lies inside. An empty one does where its place is inside or at the end.
  [[nodiscard]] constexpr bool contains(Range other) const {
    return other.first >= first && other.first - first <= count && other.count <= count - (other.first - first);
  }
  [[nodiscard]] constexpr bool overlaps(Range other) const { return !intersection(other).empty(); }
  // What both have; empty, at some place of no meaning, where that is nothing.
  [[nodiscard]] constexpr Range intersection(Range other) const {
    const P from = std::max(first, other.first);
    const P to = std::min(end(), other.end());
    return from < to ? between(from, to) : Range{from, Distance{}};
  }
  // What lies before the place, and what lies at and after it; all or nothing of the range when the place is outside.
  [[nodiscard]] constexpr Range before(P place) const { return between(first, std::clamp(place, first, end())); }
  [[nodiscard]] constexpr Range from(P place) const { return between(std::clamp(place, first, end()), end()); }
  // What remains below and above when `hole` is taken out. Requires: contains(hole).
  [[nodiscard]] constexpr std::array<Range, 2> without(Range hole) const {
    PAGODA_DCHECK(contains(hole));
    return {between(first, hole.first), between(hole.end(), end())};
  }

  friend constexpr bool operator==(const Range&, const Range&) = default;
  // By place, then by length.
  friend constexpr auto operator<=>(const Range&, const Range&) = default;
};

// "[vpn:0x10, vpn:0x14)".
template <class P>
std::string to_string(const Range<P>& range) {
  return "[" + to_string(range.first) + ", " + to_string(range.end()) + ")";
}

}  // namespace pagoda
