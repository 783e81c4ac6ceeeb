#include "pagoda/base/bitmap.h"

#include <algorithm>
#include <bit>

namespace pagoda {

void Bitmap::set(std::size_t bit) {
  PAGODA_DCHECK(!test(bit));
  words_[bit / kBits] |= std::uint64_t{1} << (bit % kBits);
  ++count_;
}

void Bitmap::clear(std::size_t bit) {
  PAGODA_DCHECK(test(bit));
  words_[bit / kBits] &= ~(std::uint64_t{1} << (bit % kBits));
  --count_;
}

void Bitmap::resize(std::size_t size) {
  if (size < size_) PAGODA_CHECK_EQ(next_set(size), size_);
  words_.resize((size + kBits - 1) / kBits);
  size_ = size;
}

std::size_t Bitmap::next_clear(std::size_t from) const {
  while (from < size_) {
    const std::uint64_t clear = ~words_[from / kBits] >> (from % kBits);
    if (clear != 0) return std::min(from + static_cast<std::size_t>(std::countr_zero(clear)), size_);
    from = (from / kBits + 1) * kBits;
  }
  return size_;
}

std::size_t Bitmap::next_set(std::size_t from) const {
  while (from < size_) {
    const std::uint64_t set = words_[from / kBits] >> (from % kBits);
    if (set != 0) return std::min(from + static_cast<std::size_t>(std::countr_zero(set)), size_);
    from = (from / kBits + 1) * kBits;
  }
  return size_;
}

}  // namespace pagoda
