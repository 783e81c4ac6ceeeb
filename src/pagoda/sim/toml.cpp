#include "pagoda/sim/toml.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <span>

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
    // More digits would overflow; nobody means them.
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
  const auto value = parse_quantity(text, kUnits, "64MiB");
  if (!value) return std::unexpected(value.error());
  return ByteCount(*value);
}

Input<Duration> parse_duration(std::string_view text) {
  static constexpr std::array kUnits{Unit{"ns", 1}, Unit{"us", 1'000}, Unit{"ms", 1'000'000}, Unit{"s", 1'000'000'000}};
  const auto value = parse_quantity(text, kUnits, "65us");
  if (!value) return std::unexpected(value.error());
  return Duration(*value);
}

TomlTable::TomlTable(const toml::table& table, std::string file, std::string path, std::optional<InputError>& error)
    : table_(table), file_(std::move(file)), path_(std::move(path)), error_(error) {}

std::string TomlTable::full(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

std::string TomlTable::where() const { return fmt::format("{}:{}", file_, table_.source().begin.line); }

std::string TomlTable::where(std::string_view key) const {
  const toml::node* const node = table_.get(key);
  return fmt::format("{}:{}", file_, node != nullptr ? node->source().begin.line : table_.source().begin.line);
}

void TomlTable::wrong(std::string_view key, const std::string& what) {
  if (!error_) error_ = InputError{fmt::format("{}: {}: {}", where(key), full(key), what)};
}

void TomlTable::require(std::string_view key) {
  if (!has(key)) wrong(key, "is missing");
}

const toml::node* TomlTable::find(std::string_view key) {
  known_.emplace(key);
  return table_.get(key);
}

std::string TomlTable::text(std::string_view key, std::string fallback) {
  const toml::node* const node = find(key);
  if (node == nullptr) return fallback;
  if (const auto value = node->value_exact<std::string>()) return *value;
  wrong(key, "must be text in quotes");
  return fallback;
}

std::uint64_t TomlTable::number(std::string_view key, std::uint64_t fallback, std::uint64_t least, std::uint64_t most) {
  const toml::node* const node = find(key);
  if (node == nullptr) return fallback;
  const auto value = node->value_exact<std::int64_t>();
  if (value && *value >= 0 && static_cast<std::uint64_t>(*value) >= least && static_cast<std::uint64_t>(*value) <= most)
    return static_cast<std::uint64_t>(*value);
  wrong(key, fmt::format("must be a whole number from {} to {}", least, most));
  return fallback;
}

double TomlTable::real(std::string_view key, double fallback, double least, double most) {
  const toml::node* const node = find(key);
  if (node == nullptr) return fallback;
  const auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (value && *value >= least && *value <= most) return *value;
  wrong(key, fmt::format("must be a number from {} to {}", least, most));
  return fallback;
}

bool TomlTable::flag(std::string_view key, bool fallback) {
  const toml::node* const node = find(key);
  if (node == nullptr) return fallback;
  if (const auto value = node->value_exact<bool>()) return *value;
  wrong(key, "must be true or false");
  return fallback;
}

ByteCount TomlTable::size(std::string_view key, ByteCount fallback) {
  if (find(key) == nullptr) return fallback;
  const auto parsed = parse_size(text(key, ""));
  if (parsed) return *parsed;
  wrong(key, parsed.error().message);
  return fallback;
}

PageCount TomlTable::pages(std::string_view key, PageCount fallback) {
  const ByteCount bytes = size(key, bytes_of(fallback));
  if (bytes.value() % kPageBytes != 0) wrong(key, "must be a multiple of 4KiB");
  return pages_of(bytes);
}

Duration TomlTable::duration(std::string_view key, Duration fallback, Duration least, Duration most) {
  if (find(key) == nullptr) return fallback;
  const auto parsed = parse_duration(text(key, ""));
  if (parsed && *parsed >= least && *parsed <= most) return *parsed;
  wrong(key, parsed ? fmt::format("must be from {} to {}", to_string(least), to_string(most)) : parsed.error().message);
  return fallback;
}

std::size_t TomlTable::choice(std::string_view key, const std::vector<std::string_view>& names, std::size_t fallback) {
  if (find(key) == nullptr) return fallback;
  const std::string name = text(key, "");
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return i;
  wrong(key, fmt::format("\"{}\" is not one of {}", name, fmt::join(names, ", ")));
  return fallback;
}

void TomlTable::table(std::string_view key, const std::function<void(TomlTable&)>& read) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  const toml::table* const below = node->as_table();
  if (below == nullptr) return wrong(key, fmt::format("must be a table: [{}]", full(key)));
  TomlTable reader(*below, file_, full(key), error_);
  read(reader);
  reader.finish();
}

void TomlTable::tables(std::string_view key, const std::function<void(TomlTable&)>& read) {
  const toml::node* const node = find(key);
  if (node == nullptr) return;
  const toml::array* const array = node->as_array();
  if (array == nullptr) return wrong(key, fmt::format("must be an array of tables: [[{}]]", full(key)));
  for (const toml::node& element : *array) {
    const toml::table* const below = element.as_table();
    if (below == nullptr) return wrong(key, fmt::format("must be an array of tables: [[{}]]", full(key)));
    TomlTable reader(*below, file_, full(key), error_);
    read(reader);
    reader.finish();
  }
}

void TomlTable::finish() {
  for (const auto& [key, node] : table_) {
    if (known_.contains(key.str())) continue;
    wrong(key.str(), fmt::format("is not a known key; known here: {}", fmt::join(known_, ", ")));
    return;
  }
}

}  // namespace pagoda::sim
