// A bitmap that hands out runs: paging-file slots and the like. Finds the next clear run in address order from a hint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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

  // The first clear bit at or after `from`, size() if none.
  [[nodiscard]] std::size_t next_clear(std::size_t from) const;
  // The first run of `wanted` clear bits at or after `from`, then from the start; else the longest run shorter than
  // that which the same search meets; nothing when every bit is set.
  [[nodiscard]] std::optional<BitRange> find_clear_run(std::size_t wanted, std::size_t from) const;

 private:
  static constexpr std::size_t kBits = 64;
  [[nodiscard]] std::size_t next_set(std::size_t from) const;
  void search(std::size_t begin, std::size_t end, std::size_t wanted, BitRange& best) const;

  std::vector<std::uint64_t> words_;
  std::size_t size_ = 0;
  std::size_t count_ = 0;
};

}  // namespace pagoda
