// A fuzzer's input, taken from its beginning.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pagoda::fuzz {

class Bytes {
 public:
  explicit Bytes(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  [[nodiscard]] std::size_t left() const { return bytes_.size(); }
  // Little-endian; zeros after the end. Requires: eight bytes at most.
  std::uint64_t take(std::size_t count) {
    std::uint64_t value = 0;
    const std::size_t there = std::min(count, bytes_.size());
    if (there > 0) std::memcpy(&value, bytes_.data(), there);  // No bytes have no address.
    bytes_ = bytes_.subspan(there);
    return value;
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

}  // namespace pagoda::fuzz
