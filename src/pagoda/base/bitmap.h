// A bitmap that counts its set bits. (base/run_bitmap.h hands out runs.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pagoda/base/check.h"
#include "pagoda/base/range.h"

namespace pagoda {

using BitRange = Range<std::size_t>;

class Bitmap {
 public:
  explicit Bitmap(std::size_t size = 0) { resize(size); }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t count() const { return count_; }  // Set bits.
  [[nodiscard]] bool test(std::size_t bit) const {
    PAGODA_DCHECK_LT(bit, size_);
    return (words_[bit / kBits] >> (bit % kBits) & 1) != 0;
  }
  void set(std::size_t bit);    // Requires: it is clear.
  void clear(std::size_t bit);  // Requires: it is set.
  void set(BitRange run) {
    for (std::size_t i = 0; i < run.count; ++i) set(run.first + i);
  }
  // New bits are clear.
  // Requires: the bits that a smaller size drops are clear.
  void resize(std::size_t size);

  // The first clear, or set, bit at or after `from`; size() if there is none.
  [[nodiscard]] std::size_t next_clear(std::size_t from) const;
  [[nodiscard]] std::size_t next_set(std::size_t from) const;
  // The 64 bits of a word; those beyond the end are clear.
  [[nodiscard]] std::size_t words() const { return words_.size(); }
  [[nodiscard]] std::uint64_t word(std::size_t number) const { return words_[number]; }

 private:
  static constexpr std::size_t kBits = 64;

  std::vector<std::uint64_t> words_;
  std::size_t size_ = 0;
  std::size_t count_ = 0;
};

}  // namespace pagoda
