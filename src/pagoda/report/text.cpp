#include "pagoda/report/text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <optional>

namespace pagoda::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD.

// One character of `text` at `at`: its code point and how many bytes it takes; nothing if these bytes are not UTF-8.
struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
};

std::optional<Character> decode(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(at);
  if (first < 0x80) return Character{first, 1};
  std::size_t length = 0;
  char32_t code = 0;
  if ((first & 0xE0) == 0xC0) {
    length = 2;
    code = first & 0x1F;
  } else if ((first & 0xF0) == 0xE0) {
    length = 3;
    code = first & 0x0F;
  } else if ((first & 0xF8) == 0xF0) {
    length = 4;
    code = first & 0x07;
  } else {
    return std::nullopt;
  }
  if (at + length > text.size()) return std::nullopt;
  for (std::size_t i = at + 1; i < at + length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return std::nullopt;
    code = (code << 6) | (byte(i) & 0x3F);
  }
  constexpr std::array<char32_t, 5> kSmallest{0, 0, 0x80, 0x800,
                                              0x10000};  // By length; a longer form than needed is refused.
  if (code < kSmallest[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return std::nullopt;
  return Character{code, length};
}

bool is_control(char32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

// Characters that reorder what stands around them (Unicode, UAX #9), and separators that break lines.
bool reorders(char32_t code) {
  return code == 0x061C || code == 0x200E || code == 0x200F || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069);
}

// Replaces what no page and no terminal should get; `special` gives another spelling for one character or nothing.
template <class Special>
std::string escape(std::string_view text, Special special) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::optional<Character> character = decode(text, at);
    const std::size_t bytes = character ? character->bytes : 1;
    if (character && (character->code == U'\n' || character->code == U'\t' || character->code == U'\r')) {
      out += ' ';
    } else if (!character || is_control(character->code) || reorders(character->code)) {
      out += kReplacement;
    } else if (const std::string_view other = special(character->code); !other.empty()) {
      out += other;
    } else {
      out += text.substr(at, bytes);
    }
    at += bytes;
  }
  return out;
}

// Drops the zeros that a fixed number of digits leaves behind the point.
std::string trimmed(std::string digits) {
  if (digits.find('.') == std::string::npos) return digits;
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.back() == '.') digits.pop_back();
  return digits;
}

struct Unit {
  double scale;
  std::string_view name;
};

template <std::size_t N>
std::string scaled(double value, const std::array<Unit, N>& units) {
  std::size_t unit = 0;
  while (unit + 1 < N && value >= units[unit + 1].scale) ++unit;
  return fmt::format("{} {}", decimal_text(value / units[unit].scale), units[unit].name);
}

}  // namespace

std::string grouped(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string counted(std::uint64_t value, std::string_view noun, std::string_view plural) {
  if (value == 1) return fmt::format("1 {}", noun);
  return plural.empty() ? fmt::format("{} {}s", grouped(value), noun) : fmt::format("{} {}", grouped(value), plural);
}

std::string listed(const std::vector<std::string>& parts) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += i + 1 == parts.size() ? " and " : ", ";
    out += parts[i];
  }
  return out;
}

std::string decimal_text(double value) {
  if (value >= 100) return grouped(static_cast<std::uint64_t>(std::llround(value)));
  return trimmed(value >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value));
}

std::string bytes_text(ByteCount bytes) {
  static constexpr std::array<Unit, 6> kUnits{
      {{1, "B"}, {0x1p10, "KiB"}, {0x1p20, "MiB"}, {0x1p30, "GiB"}, {0x1p40, "TiB"}, {0x1p50, "PiB"}}};
  return scaled(static_cast<double>(bytes.value()), kUnits);
}

std::string bytes_text(PageCount pages) { return bytes_text(bytes_of(pages)); }

std::string duration_text(Duration duration) {
  static constexpr std::array<Unit, 4> kUnits{{{1, "ns"}, {1e3, "µs"}, {1e6, "ms"}, {1e9, "s"}}};
  if (duration.is_zero()) return "0 s";
  return scaled(static_cast<double>(duration.value()), kUnits);
}

std::string time_text(Time time) { return time == kNever ? "never" : duration_text(Duration(time.value())); }

std::string seconds_text(double seconds) {
  if (!(seconds > 0)) return "0 s";
  return duration_text(Duration(static_cast<std::uint64_t>(seconds * 1e9)));
}

std::string percent_text(std::uint64_t part, std::uint64_t whole) {
  if (part == 0 || whole == 0) return "0%";
  if (part == whole) return "100%";
  const double percent = 100 * (static_cast<double>(part) / static_cast<double>(whole));
  if (percent < 0.1) return "under 0.1%";
  if (percent > 99.9 && percent < 100) return "over 99.9%";
  return trimmed(fmt::format("{:.1f}", percent)) + "%";
}

std::string escape_html(std::string_view text) {
  return escape(text, [](char32_t code) -> std::string_view {
    switch (code) {
      case U'&':
        return "&amp;";
      case U'<':
        return "&lt;";
      case U'>':
        return "&gt;";
      case U'"':
        return "&quot;";
      case U'\'':
        return "&#39;";
      default:
        return {};
    }
  });
}

std::string escape_terminal(std::string_view text) {
  return escape(text, [](char32_t) -> std::string_view { return {}; });
}

std::string shell_quoted(std::string_view text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos) return std::string(text);
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return width;
}

std::string shortened(std::string_view text, std::size_t width) {
  if (width_of(text) <= width) return std::string(text);
  std::size_t characters = 0;
  std::size_t at = 0;
  while (at < text.size() && ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80 || characters + 1 < width)) {
    characters += (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80 ? 1 : 0;
    ++at;
  }
  return std::string(text.substr(0, at)) + "…";
}

}  // namespace pagoda::report
