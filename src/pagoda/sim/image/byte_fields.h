// Fields of a header that somebody else's program wrote, in either byte order.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "pagoda/base/check.h"

namespace pagoda::sim {

class ByteFields {
 public:
  explicit ByteFields(std::span<const std::byte> bytes, std::endian order = std::endian::little)
      : bytes_(bytes), order_(order) {}

  // Requires, as all of these do: the field lies inside.
  [[nodiscard]] std::uint16_t u16(std::size_t at) const { return number<std::uint16_t>(at); }
  [[nodiscard]] std::uint32_t u32(std::size_t at) const { return number<std::uint32_t>(at); }
  [[nodiscard]] std::uint64_t u64(std::size_t at) const { return number<std::uint64_t>(at); }
  // A number of four bytes in formats for 32 bits and of eight in those for 64.
  [[nodiscard]] std::uint64_t word(std::size_t at, bool is_64) const { return is_64 ? u64(at) : u32(at); }
  [[nodiscard]] std::string_view text(std::size_t at, std::size_t size) const {
    PAGODA_CHECK_LE(at + size, bytes_.size());
    return {reinterpret_cast<const char*>(&bytes_[at]), size};
  }

 private:
  template <std::unsigned_integral T>
  [[nodiscard]] T number(std::size_t at) const {
    PAGODA_CHECK_LE(at + sizeof(T), bytes_.size());
    T value{};
    std::memcpy(&value, &bytes_[at], sizeof value);
    return order_ == std::endian::native ? value : std::byteswap(value);
  }

  std::span<const std::byte> bytes_;
  std::endian order_;
};

// The sum, or the largest number if it does not fit.
constexpr std::uint64_t sum_or_most(std::uint64_t a, std::uint64_t b) { return a + b < a ? ~std::uint64_t{0} : a + b; }
// Divides and rounds up.
constexpr std::uint64_t parts_of(std::uint64_t size, std::uint64_t part) { return size / part + (size % part != 0); }

}  // namespace pagoda::sim
