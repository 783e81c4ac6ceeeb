// Flags by number, of which the first one that is not set is found in a few steps however many there are: above the
// flags, a bit for each 64 says that all of them are set, and so on up. All begin not set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pagoda/base/check.h"

namespace pagoda {

class FlagTree {
 public:
  explicit FlagTree(std::size_t size);

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool test(std::size_t flag) const {
    PAGODA_DCHECK_LT(flag, size_);
    return (levels_[0][flag / kBits] >> (flag % kBits) & 1) != 0;
  }
  void set(std::size_t flag);
  void clear(std::size_t flag);
  // The first at or after `from` that is not set; size() if there is none.
  [[nodiscard]] std::size_t next_clear(std::size_t from) const;

 private:
  static constexpr std::size_t kBits = 64;

  std::size_t size_;
  std::vector<std::vector<std::uint64_t>> levels_;  // [0] has the flags, the last one word.
};

}  // namespace pagoda
