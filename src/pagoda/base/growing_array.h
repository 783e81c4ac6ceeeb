// An array that grows without moving: elements keep their index and their address. It lies in chunks, each twice as
// large as the one before, so that it costs about what it holds, and growing never copies. For tables that grow on hot paths: growing
// says when there is no memory for it, and nothing throws.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <type_traits>

#include "pagoda/base/check.h"

namespace pagoda {

template <class T>
  requires std::is_trivially_copyable_v<T>  // Elements begin as all zero bytes, and simply end.
class GrowingArray {
 public:
  // Elements that there is memory for.
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  // False: there is no memory for more.
  [[nodiscard]] bool grow() {
    if (chunks_in_use_ == kChunks) return false;
    const std::size_t count = kFirst << chunks_in_use_;
    // NOLINTNEXTLINE(cppcoreguidelines-no-malloc): what is large comes zeroed from the kernel, page by page as used.
    T* const chunk = static_cast<T*>(std::calloc(count, sizeof(T)));
    if (chunk == nullptr) return false;
    chunks_[chunks_in_use_++].reset(chunk);
    capacity_ += count;
    return true;
  }

  T& operator[](std::size_t index) {
    PAGODA_DCHECK_LT(index, capacity_);
    const Place at = place_of(index);
    return chunks_[at.chunk][at.offset];
  }
  const T& operator[](std::size_t index) const {
    PAGODA_DCHECK_LT(index, capacity_);
    const Place at = place_of(index);
    return chunks_[at.chunk][at.offset];
  }

 private:
  // Chunk n has kFirst << n elements and begins with the element of the index kFirst * (2^n - 1): with kFirst added, the
  // highest bit of an index tells the chunk, and the bits below it the place there.
  static constexpr std::size_t kFirst = 64;
  static constexpr unsigned kFirstBits = std::bit_width(kFirst);
  static constexpr std::size_t kChunks = 27;  // 2^33 elements: more than 32 bits number.
  struct Place {
    std::size_t chunk;
    std::size_t offset;
  };
  static Place place_of(std::size_t index) {
    const std::size_t from_first = index + kFirst;
    const auto bits = static_cast<unsigned>(std::bit_width(from_first));
    return {bits - kFirstBits, from_first ^ std::size_t{1} << (bits - 1)};
  }
  struct Free {
    void operator()(T* chunk) const { std::free(chunk); }  // NOLINT(cppcoreguidelines-no-malloc)
  };

  std::array<std::unique_ptr<T[], Free>, kChunks> chunks_;
  std::size_t chunks_in_use_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace pagoda
