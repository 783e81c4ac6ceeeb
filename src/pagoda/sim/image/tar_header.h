// Whether bytes are the header of a member of a tar archive. Version 7's has no magic, only a checksum.
// Source: POSIX.1-2017, pax, "ustar Interchange Format"; reference formats.md 4.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>

namespace pagoda::sim {

inline constexpr std::size_t kTarBlockBytes = 512;
inline constexpr std::size_t kTarTypeAt = 156;

inline bool is_tar_header(std::span<const std::byte> bytes) {
  constexpr std::size_t kChecksumAt = 148, kChecksumBytes = 8;
  if (bytes.size() < kTarBlockBytes) return false;
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kTarBlockBytes; ++i) {
    const bool own = i >= kChecksumAt && i < kChecksumAt + kChecksumBytes;  // Counts as blanks.
    sum += own ? std::uint32_t{' '} : std::to_integer<std::uint32_t>(bytes[i]);
  }
  std::string_view digits(reinterpret_cast<const char*>(&bytes[kChecksumAt]), kChecksumBytes);
  digits.remove_prefix(std::min(digits.find_first_not_of(' '), digits.size()));
  digits = digits.substr(0, digits.find_first_of(std::string_view(" \0", 2)));
  std::uint32_t said = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), said, 8);
  return error == std::errc() && end == digits.data() + digits.size() && said == sum;
}

}  // namespace pagoda::sim
