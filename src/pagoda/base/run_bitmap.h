// A bitmap that hands out runs: paging-file slots and the like. Finds the next clear run in address order from a hint,
// in a number of steps that grows with the logarithm of its size, whatever runs there are.
//
// Over the words of the bitmap stands a tree: each node knows how many clear bits its part begins with, ends with and has
// in a row at most. A change goes up as far as it changes anything; that of the word that changed last is put off until
// another one changes, or somebody searches, since what is handed out in a row often comes back in a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "pagoda/base/bitmap.h"

namespace pagoda {

class RunBitmap {
 public:
  explicit RunBitmap(std::size_t size = 0) { resize(size); }

  [[nodiscard]] const Bitmap& bits() const { return bits_; }
  [[nodiscard]] std::size_t size() const { return bits_.size(); }
  [[nodiscard]] std::size_t count() const { return bits_.count(); }
  [[nodiscard]] bool test(std::size_t bit) const { return bits_.test(bit); }
  void set(std::size_t bit) { set({bit, 1}); }
  void set(BitRange run);       // Requires: all are clear.
  void clear(std::size_t bit);  // Requires: it is set.
  // As Bitmap::resize. Growing by little costs little.
  void resize(std::size_t size);

  // The first run of `wanted` clear bits at or after `from`, then from the start; else the longest run shorter than
  // that which the same search meets; nothing when every bit is set. Where runs of more than kLongest bits are wanted
  // and there are such, it looks at all of them.
  [[nodiscard]] std::optional<BitRange> find_clear_run(std::size_t wanted, std::size_t from);

  static constexpr std::size_t kLongest = 255;

 private:
  static constexpr std::size_t kBits = 64;
  static constexpr std::size_t kNone = ~std::size_t{0};
  // In clear bits, at most kLongest each.
  struct Node {
    std::uint8_t first = 0;  // At its beginning, in a row.
    std::uint8_t last = 0;   // At its end.
    std::uint8_t longest = 0;
    friend bool operator==(const Node&, const Node&) = default;
  };

  [[nodiscard]] std::uint64_t clear_bits(std::size_t word) const;
  [[nodiscard]] Node node_of(std::size_t word) const;
  // Bits below a node, and whether they are all clear.
  [[nodiscard]] std::size_t width(std::size_t node) const;
  [[nodiscard]] bool is_clear(std::size_t node) const { return tree_[node].first == width(node); }
  [[nodiscard]] Node combined(std::size_t node) const;  // Of its two children.
  void changed(std::size_t word) {
    if (word == stale_) return;
    update(stale_);
    stale_ = word;
  }
  void update(std::size_t word);
  [[nodiscard]] std::size_t first_run(std::size_t wanted, std::size_t from) const;
  [[nodiscard]] std::size_t first_run_below(std::size_t node, std::size_t begin, std::size_t before,
                                            std::size_t wanted) const;
  void search(std::size_t begin, std::size_t end, std::size_t wanted, BitRange& best) const;

  Bitmap bits_;
  // Node 1 is the root, those below node n are 2n and 2n + 1; the second half are the words'. A power of two.
  std::vector<Node> tree_;
  std::size_t stale_ = 0;  // The word whose node may be out of date.
};

}  // namespace pagoda
