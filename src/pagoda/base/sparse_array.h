// A large array that costs what is touched: address space reserved at once, memory by the host's kernel on first use,
// zero-filled. For tables that grow on hot paths, where nothing may allocate.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include "pagoda/base/check.h"

namespace pagoda {

template <class T>
  requires std::is_trivially_destructible_v<T>  // Elements begin as all zero bytes, and simply end.
class SparseArray {
 public:
  explicit SparseArray(std::size_t size) : size_(size) {
    if (size == 0) return;
    void* memory =
        mmap(nullptr, size * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<T*>(memory);
  }
  SparseArray(SparseArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SparseArray(const SparseArray&) = delete;
  SparseArray& operator=(const SparseArray&) = delete;
  SparseArray& operator=(SparseArray&&) = delete;
  ~SparseArray() {
    if (data_ != nullptr) munmap(data_, size_ * sizeof(T));
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  T& operator[](std::size_t index) {
    PAGODA_DCHECK_LT(index, size_);
    // NOLINTNEXTLINE(clang-analyzer-core.uninitialized.UndefReturn): an index below the size means that there are data.
    return data_[index];
  }
  const T& operator[](std::size_t index) const {
    PAGODA_DCHECK_LT(index, size_);
    return data_[index];
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

}  // namespace pagoda
