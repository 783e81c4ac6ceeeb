#include "pagoda/sim/scenario/quantities.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <span>

#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {

constexpr std::size_t kFractionDigits = 19;

struct Unit {
  std::string_view name;
  std::uint64_t value;
};

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// A decimal number and one of the units. Fractions are allowed where the product is whole.
Input<std::uint64_t> parse_quantity(std::string_view text, std::span<const Unit> units, std::string_view example) {
  const std::string_view all = trim(text);
  const std::size_t digits = std::min(all.find_first_not_of("0123456789."), all.size());
  const std::string_view unit_name = trim(all.substr(digits));
  const auto refuse = [&](std::string_view why) {
    return bad_input(fmt::format("\"{}\" {}; write a number with a unit, such as \"{}\"", text, why, example));
  };
  if (digits == 0) return refuse("has no number");
  const Unit* unit = nullptr;
  for (const Unit& candidate : units)
    if (candidate.name == unit_name) unit = &candidate;
  if (unit == nullptr) {
    return refuse(unit_name.empty() ? "has no unit" : fmt::format("has the unknown unit \"{}\"", unit_name));
  }
  const std::string_view number = all.substr(0, digits);
  const std::size_t dot = number.find('.');
  std::uint64_t whole = 0;
  const std::string_view before = number.substr(0, dot);
  const auto [end, error] = std::from_chars(before.data(), before.data() + before.size(), whole);
  unsigned __int128 value = static_cast<unsigned __int128>(whole) * unit->value;
  if (error != std::errc() || end != before.data() + before.size()) return refuse("is out of range or not a number");
  if (dot != std::string_view::npos) {
    std::string_view after = number.substr(dot + 1);
    while (after.ends_with('0')) after.remove_suffix(1);
    // More digits would overflow.
    if (after.find('.') != std::string_view::npos || after.size() > kFractionDigits)
      return refuse("is not a whole number of the smallest unit");
    unsigned __int128 part = 0;
    std::uint64_t scale = 1;
    for (const char digit : after) {
      part = part * 10 + static_cast<unsigned>(digit - '0');
      scale *= 10;
    }
    part *= unit->value;
    if (part % scale != 0) return refuse("is not a whole number of the smallest unit");
    value += part / scale;
  }
  if (value > ~std::uint64_t{0} >> 1) return refuse("is too large");
  return static_cast<std::uint64_t>(value);
}

}  // namespace

Input<ByteCount> parse_size(std::string_view text) {
  static constexpr std::array kUnits{Unit{"B", 1}, Unit{"KiB", 1 << 10}, Unit{"MiB", 1 << 20}, Unit{"GiB", 1 << 30},
                                     Unit{"TiB", 1ULL << 40}};
  return ByteCount(PAGODA_TRY(parse_quantity(text, kUnits, "64MiB")));
}

Input<Duration> parse_duration(std::string_view text) {
  static constexpr std::array kUnits{Unit{"ns", 1}, Unit{"us", 1'000}, Unit{"ms", 1'000'000}, Unit{"s", 1'000'000'000}};
  return Duration(PAGODA_TRY(parse_quantity(text, kUnits, "65us")));
}

}  // namespace pagoda::sim
