// Processors by number, as many as there are: those below 64 lie in the set itself, the others in words that it
// allocates when the first of them is added.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pagoda::machine {

class ProcessorSet {
 public:
  void add(unsigned processor) {
    if (processor < kBits) [[likely]] {
      low_ |= bit(processor);
      return;
    }
    const std::size_t word = word_of(processor);
    if (word >= high_.size()) high_.resize(word + 1);
    high_[word] |= bit(processor);
  }
  void remove(unsigned processor) {
    if (processor < kBits) {
      low_ &= ~bit(processor);
    } else if (const std::size_t word = word_of(processor); word < high_.size()) {
      high_[word] &= ~bit(processor);
    }
  }
  [[nodiscard]] bool contains(unsigned processor) const {
    if (processor < kBits) [[likely]]
      return (low_ & bit(processor)) != 0;
    const std::size_t word = word_of(processor);
    return word < high_.size() && (high_[word] & bit(processor)) != 0;
  }
  [[nodiscard]] bool empty() const { return low_ == 0 && !any(high_, 0); }
  // Calls `visit(number)` for each, in order; takes no time for those that are not in the set.
  template <class Visit>
  void for_each(Visit&& visit) const {
    const auto visit_word = [&](std::uint64_t word, unsigned first) {
      for (; word != 0; word &= word - 1) visit(first + static_cast<unsigned>(std::countr_zero(word)));
    };
    visit_word(low_, 0);
    unsigned first = kBits;
    for (const std::uint64_t word : high_) {
      visit_word(word, first);
      first += kBits;
    }
  }
  friend bool operator==(const ProcessorSet& a, const ProcessorSet& b) {
    const std::size_t both = std::min(a.high_.size(), b.high_.size());
    return a.low_ == b.low_ &&
           std::equal(a.high_.begin(), a.high_.begin() + static_cast<std::ptrdiff_t>(both), b.high_.begin()) &&
           !any(a.high_, both) && !any(b.high_, both);
  }

 private:
  static constexpr unsigned kBits = 64;
  static std::uint64_t bit(unsigned processor) { return std::uint64_t{1} << processor % kBits; }
  static std::size_t word_of(unsigned processor) { return processor / kBits - 1; }
  static bool any(const std::vector<std::uint64_t>& words, std::size_t from) {
    return std::any_of(words.begin() + static_cast<std::ptrdiff_t>(from), words.end(),
                       [](auto word) { return word != 0; });
  }

  std::uint64_t low_ = 0;
  std::vector<std::uint64_t> high_;  // From processor 64 on; words at the end may be zero.
};

}  // namespace pagoda::machine
