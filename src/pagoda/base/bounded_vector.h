// Vectors that never allocate: their room is a piece of raw memory, which costs nothing until it is used.
//
//   InlineVector<Pfn, 8> frames;         the room is in the object
//   void f(BoundedVector<Pfn>& frames);  takes one of any room
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>

#include "pagoda/base/check.h"

namespace pagoda {

template <class T>
class BoundedVector {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  BoundedVector(const BoundedVector&) = delete;
  BoundedVector& operator=(const BoundedVector&) = delete;

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  // For how many more there is room.
  [[nodiscard]] std::size_t room() const { return most_ - size_; }
  [[nodiscard]] T& back() { return all().back(); }
  [[nodiscard]] std::span<T> all() { return {data_, size_}; }
  [[nodiscard]] std::span<const T> all() const { return {data_, size_}; }

  // Requires: room.
  void push_back(const T& value) {
    PAGODA_DCHECK_LT(size_, most_);
    std::construct_at(data_ + size_, value);
    ++size_;
  }
  void clear() { size_ = 0; }

 protected:
  BoundedVector(T* data, std::size_t most) : data_(data), most_(most) {}
  ~BoundedVector() = default;

 private:
  T* const data_;
  std::size_t size_ = 0;
  const std::size_t most_;
};

template <class T, std::size_t kMost>
class InlineVector final : public BoundedVector<T> {
 public:
  InlineVector() : BoundedVector<T>(reinterpret_cast<T*>(&room_), kMost) {}

 private:
  // Not initialised.
  alignas(T) std::array<std::byte, kMost * sizeof(T)> room_;
};

}  // namespace pagoda
