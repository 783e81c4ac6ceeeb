#include "pagoda/nt/unicode.h"

#include <clocale>
#include <cwctype>
#include <span>

namespace pagoda::nt {

namespace {

// glibc always has this locale; its tables hold all of Unicode.
locale_t unicode_locale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

bool is_high_surrogate(char16_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low_surrogate(char16_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

void append_utf8(std::string& out, char32_t point) {
  const auto put = [&](char32_t bits) { out.push_back(static_cast<char>(bits)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6);
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

}  // namespace

std::u16string folded(const std::u16string& text) {
  std::u16string upper = text;
  for (char16_t& unit : upper) {
    if (is_high_surrogate(unit) || is_low_surrogate(unit)) continue;
    const auto up = towupper_l(static_cast<wint_t>(unit), unicode_locale());
    if (up <= 0xFFFF) unit = static_cast<char16_t>(up);
  }
  return upper;
}

std::u16string to_utf16(const std::string& utf8) {
  std::u16string out;
  for (std::size_t i = 0; i < utf8.size();) {
    const auto lead = static_cast<unsigned char>(utf8[i++]);
    unsigned more = 0;
    char32_t point = lead;
    if (lead >= 0xF0) {
      more = 3;
      point = lead & 0x07U;
    } else if (lead >= 0xE0) {
      more = 2;
      point = lead & 0x0FU;
    } else if (lead >= 0xC0) {
      more = 1;
      point = lead & 0x1FU;
    }
    for (; more > 0 && i < utf8.size(); --more) point = point << 6 | (static_cast<unsigned char>(utf8[i++]) & 0x3FU);
    if (point < 0x10000) {
      out.push_back(static_cast<char16_t>(point));
    } else {
      out.push_back(static_cast<char16_t>(0xD800 + ((point - 0x10000) >> 10)));
      out.push_back(static_cast<char16_t>(0xDC00 + ((point - 0x10000) & 0x3FF)));
    }
  }
  return out;
}

std::optional<std::string> to_utf8(const std::u16string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char32_t point = text[i];
    if (is_low_surrogate(text[i])) return std::nullopt;
    if (is_high_surrogate(text[i])) {
      if (i + 1 == text.size() || !is_low_surrogate(text[i + 1])) return std::nullopt;
      point = 0x10000 + ((point - 0xD800) << 10) + (static_cast<char32_t>(text[++i]) - 0xDC00);
    }
    append_utf8(out, point);
  }
  return out;
}

Result<std::u16string> captured(const UNICODE_STRING& given) {
  const UNICODE_STRING string = given;  // Read once: it is the caller's.
  if (string.Length % sizeof(WCHAR) != 0 || string.Length > string.MaximumLength ||
      (string.Length != 0 && string.Buffer == nullptr))
    return fail(Status::kObjectNameInvalid);
  const std::span<const WCHAR> units(string.Buffer, string.Length / sizeof(WCHAR));
  return std::u16string(units.begin(), units.end());
}

Result<std::optional<std::u16string>> captured_name(const OBJECT_ATTRIBUTES* given) {
  if (given == nullptr) return std::nullopt;
  const OBJECT_ATTRIBUTES attributes = *given;
  if (attributes.Length != sizeof(OBJECT_ATTRIBUTES)) return fail(Status::kInvalidParameter);
  if (attributes.RootDirectory != nullptr) return fail(Status::kInvalidHandle);
  if (attributes.ObjectName == nullptr) return std::nullopt;
  auto name = PAGODA_TRY(captured(*attributes.ObjectName));
  if (name.empty()) return std::nullopt;
  if (name.front() != u'\\' || name.back() == u'\\') return fail(Status::kObjectNameInvalid);
  return std::optional(std::move(name));
}

}  // namespace pagoda::nt
