#include "pagoda/sim/trace/foreign/line_fields.h"

#include <charconv>
#include <system_error>

namespace pagoda::sim {

namespace {

std::optional<std::uint64_t> parse_digits(std::string_view text, int base) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::optional<std::uint64_t> parse_hex(std::string_view text) {
  if (has_hex_prefix(text)) text.remove_prefix(2);
  return parse_digits(text, 16);
}

std::optional<std::uint64_t> parse_decimal(std::string_view text) { return parse_digits(text, 10); }

std::string_view without_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace pagoda::sim
