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

// Improves `best` by runs that begin in [begin, end); stops at the first of `wanted` bits.
void Bitmap::search(std::size_t begin, std::size_t end, std::size_t wanted, BitRange& best) const {
  for (std::size_t first = next_clear(begin); first < end && best.count < wanted;) {
    const std::size_t stop = std::min(next_set(first), first + wanted);
    if (stop - first > best.count) best = {first, stop - first};
    first = next_clear(stop);
  }
}

std::optional<BitRange> Bitmap::find_clear_run(std::size_t wanted, std::size_t from) const {
  BitRange best{0, 0};
  wanted = std::min(wanted, size_);
  from = std::min(from, size_);
  search(from, size_, wanted, best);
  search(0, from, wanted, best);
  if (best.count == 0) return std::nullopt;
  return best;
}

}  // namespace pagoda
