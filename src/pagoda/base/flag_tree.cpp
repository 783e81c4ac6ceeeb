#include "pagoda/base/flag_tree.h"

#include <algorithm>
#include <bit>

namespace pagoda {

FlagTree::FlagTree(std::size_t size) : size_(size) {
  do {
    size = (size + kBits - 1) / kBits;
    levels_.emplace_back(std::max<std::size_t>(size, 1));
  } while (size > 1);
}

void FlagTree::set(std::size_t flag) {
  PAGODA_DCHECK_LT(flag, size_);
  for (auto& level : levels_) {
    std::uint64_t& word = level[flag / kBits];
    word |= std::uint64_t{1} << (flag % kBits);
    if (word != ~std::uint64_t{0}) return;
    flag /= kBits;
  }
}

void FlagTree::clear(std::size_t flag) {
  PAGODA_DCHECK_LT(flag, size_);
  for (auto& level : levels_) {
    std::uint64_t& word = level[flag / kBits];
    const bool was_full = word == ~std::uint64_t{0};
    word &= ~(std::uint64_t{1} << (flag % kBits));
    if (!was_full) return;
    flag /= kBits;
  }
}

// Up until a word has a clear bit behind the place, then down along the first one of each word. The last word of a level
// may be partly outside: what is not there is never set, and is found only where nothing before it is.
std::size_t FlagTree::next_clear(std::size_t from) const {
  std::size_t at = from;
  for (std::size_t level = 0; level < levels_.size() && at / kBits < levels_[level].size(); ++level) {
    const std::uint64_t clear = ~levels_[level][at / kBits] & ~std::uint64_t{0} << (at % kBits);
    if (clear == 0) {
      at = at / kBits + 1;  // The first that the word above has not been asked for yet.
      continue;
    }
    at = at / kBits * kBits + static_cast<std::size_t>(std::countr_zero(clear));
    while (level-- > 0) {
      if (at >= levels_[level].size()) return size_;
      at = at * kBits + static_cast<std::size_t>(std::countr_one(levels_[level][at]));
    }
    return std::min(at, size_);
  }
  return size_;
}

}  // namespace pagoda
