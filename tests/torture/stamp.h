// The bytes of a page that a version of it has: every word says which page, which version and which word it is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "pagoda/base/units.h"

namespace pagoda::mm::torture {

inline constexpr std::size_t kWords = kPageBytes / sizeof(std::uint64_t);
using PageWords = std::array<std::uint64_t, kWords>;

constexpr std::uint64_t stamp(std::uint32_t page, std::uint32_t version, std::size_t word) {
  return std::uint64_t{page} << 41 | std::uint64_t{version} << 9 | word;
}
inline void fill(PageWords& words, std::uint32_t page, std::uint32_t version) {
  for (std::size_t i = 0; i < kWords; ++i) words[i] = version == 0 ? 0 : stamp(page, version, i);
}
// The version that the word is of; nothing if it is of no version of this page.
constexpr std::optional<std::uint32_t> version_of(std::uint64_t value, std::uint32_t page, std::size_t word) {
  if (value == 0) return 0;
  const auto version = static_cast<std::uint32_t>(value >> 9);
  if (version == 0 || value != stamp(page, version, word)) return std::nullopt;
  return version;
}

}  // namespace pagoda::mm::torture
