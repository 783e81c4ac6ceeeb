// The fields of a line of text: numbers and words that blanks or a separator part.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pagoda::sim {

// The whole of `text`: 1 to 16 hex digits behind any number of leading zeros, "0x" in front or not.
std::optional<std::uint64_t> parse_hex(std::string_view text);
// The whole of `text`: decimal digits of a number below 2^64.
std::optional<std::uint64_t> parse_decimal(std::string_view text);
// Whether it begins with "0x" or "0X".
inline bool has_hex_prefix(std::string_view text) { return text.starts_with("0x") || text.starts_with("0X"); }

inline constexpr std::string_view kBlanks = " \t\r";
std::string_view without_blanks(std::string_view text);
// Letters of ASCII only.
bool equals_ignoring_case(std::string_view a, std::string_view b);

// Walks over the fields of a line from its front.
class LineFields {
 public:
  // Blanks (spaces, tabs and carriage returns) part the fields, any number of them.
  explicit LineFields(std::string_view line) : rest_(line) { skip_blanks(); }

  // The next field; empty at the end of the line.
  std::string_view next() {
    const std::size_t end = rest_.find_first_of(kBlanks);
    const std::string_view field = rest_.substr(0, end);
    rest_.remove_prefix(field.size());
    skip_blanks();
    return field;
  }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  // What is left, from the next field on.
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlanks), rest_.size())); }

  std::string_view rest_;
};

// Walks over the fields of a line that a separator parts; blanks around them do not belong to them.
class SeparatedFields {
 public:
  SeparatedFields(std::string_view line, char separator) : rest_(line), separator_(separator) {}

  // The next field, which may be empty; nothing at the end of the line.
  std::optional<std::string_view> next() {
    if (at_end_) return std::nullopt;
    const std::size_t end = rest_.find(separator_);
    const std::string_view field = rest_.substr(0, end);
    at_end_ = end == std::string_view::npos;
    rest_.remove_prefix(at_end_ ? rest_.size() : end + 1);
    return without_blanks(field);
  }
  // The same where none is as bad as an empty one.
  std::string_view next_or_empty() { return next().value_or(std::string_view()); }
  [[nodiscard]] bool at_end() const { return at_end_; }

 private:
  std::string_view rest_;
  char separator_;
  bool at_end_ = false;
};

}  // namespace pagoda::sim
