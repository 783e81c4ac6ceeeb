// An array that grows: it costs what it holds, twice that at most, and an element is one load away. Large ones grow by
// moving their pages, not their bytes. For tables that grow on hot paths: growing says when there is no memory for it,
// and nothing throws. Elements keep their index; their address may change when it grows.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "pagoda/base/check.h"

namespace pagoda {

template <class T>
  requires std::is_trivially_copyable_v<T>  // Elements begin as all zero bytes, and simply end.
class GrowingArray {
 public:
  GrowingArray() = default;
  GrowingArray(GrowingArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
  GrowingArray(const GrowingArray&) = delete;
  GrowingArray& operator=(const GrowingArray&) = delete;
  GrowingArray& operator=(GrowingArray&&) = delete;
  ~GrowingArray() {
    if (is_mapped(capacity_)) {
      munmap(data_, capacity_ * sizeof(T));
    } else {
      std::free(data_);  // NOLINT(cppcoreguidelines-no-malloc): see `grow`.
    }
  }

  // Elements that there is memory for.
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  // Twice as many. False: there is no memory for them.
  [[nodiscard]] bool grow() {
    if (capacity_ > std::numeric_limits<std::size_t>::max() / 2 / sizeof(T)) return false;
    const std::size_t more = capacity_ == 0 ? kFirst : 2 * capacity_;
    void* const grown = is_mapped(more) ? map(more) : allocate(more);
    if (grown == nullptr) return false;
    data_ = static_cast<T*>(grown);
    capacity_ = more;
    return true;
  }

  T& operator[](std::size_t index) {
    PAGODA_DCHECK_LT(index, capacity_);
    return data_[index];
  }
  const T& operator[](std::size_t index) const {
    PAGODA_DCHECK_LT(index, capacity_);
    return data_[index];
  }

 private:
  static constexpr std::size_t kFirst = 64;
  // From here on an array has pages of its own: few are so large, of the mappings that Linux lets a process have
  // (vm.max_map_count, 65,530). A choice.
  static constexpr std::size_t kMappedBytes = std::size_t{1} << 17;
  static bool is_mapped(std::size_t elements) { return elements >= (kMappedBytes + sizeof(T) - 1) / sizeof(T); }

  // Both return the larger array, zeros behind what was there; null and all as it was if there is no memory.
  void* allocate(std::size_t elements) {
    // NOLINTNEXTLINE(cppcoreguidelines-no-malloc): the one allocation that grows in place where it can.
    void* const grown = std::realloc(data_, elements * sizeof(T));
    if (grown != nullptr)
      std::memset(static_cast<std::byte*>(grown) + capacity_ * sizeof(T), 0, (elements - capacity_) * sizeof(T));
    return grown;
  }
  void* map(std::size_t elements) {
    if (is_mapped(capacity_)) {
      void* const grown = mremap(data_, capacity_ * sizeof(T), elements * sizeof(T), MREMAP_MAYMOVE);
      return grown == MAP_FAILED ? nullptr : grown;
    }
    void* const grown =
        mmap(nullptr, elements * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (grown == MAP_FAILED) return nullptr;
    if (data_ != nullptr) std::memcpy(grown, static_cast<const void*>(data_), capacity_ * sizeof(T));
    std::free(data_);  // NOLINT(cppcoreguidelines-no-malloc)
    return grown;
  }

  T* data_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace pagoda
