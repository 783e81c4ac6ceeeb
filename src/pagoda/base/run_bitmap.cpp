#include "pagoda/base/run_bitmap.h"

#include <algorithm>
#include <array>
#include <bit>

namespace pagoda {

namespace {

// Where runs of at least so many set bits of the word begin.
std::uint64_t begins_of_runs(std::uint64_t word, std::size_t length) {
  for (std::size_t have = 1; have < length;) {
    const std::size_t more = std::min(have, length - have);
    word &= word >> more;
    have += more;
  }
  return word;
}

// The longest run of set bits.
unsigned longest_run(std::uint64_t word) {
  if (word == ~std::uint64_t{0}) return 64;
  if (word == 0) return 0;
  // begins[k]: where runs of 2^k bits begin.
  std::array<std::uint64_t, 6> begins{word};
  unsigned k = 0;
  while (k + 1 < begins.size() && (begins[k] & begins[k] >> (1U << k)) != 0) {
    begins[k + 1] = begins[k] & begins[k] >> (1U << k);
    ++k;
  }
  unsigned length = 1U << k;
  for (std::uint64_t at = begins[k]; k-- > 0;) {
    const std::uint64_t longer = at & begins[k] >> length;
    if (longer == 0) continue;
    at = longer;
    length += 1U << k;
  }
  return length;
}

}  // namespace

// What lies beyond the end is not clear.
std::uint64_t RunBitmap::clear_bits(std::size_t word) const {
  if (word >= bits_.words()) return 0;
  const std::uint64_t clear = ~bits_.word(word);
  const std::size_t inside = size() - word * kBits;
  return inside >= kBits ? clear : clear & ((std::uint64_t{1} << inside) - 1);
}

RunBitmap::Node RunBitmap::node_of(std::size_t word) const {
  const std::uint64_t clear = clear_bits(word);
  return {.first = static_cast<std::uint8_t>(std::countr_one(clear)),
          .last = static_cast<std::uint8_t>(std::countl_one(clear)),
          .longest = static_cast<std::uint8_t>(longest_run(clear))};
}

std::size_t RunBitmap::width(std::size_t node) const {
  const std::size_t words = tree_.size() / 2;
  return kBits * (words >> (std::bit_width(node) - 1));
}

// A part of more than kLongest bits that begins with so many clear ones may go on or not: it makes no difference.
RunBitmap::Node RunBitmap::combined(std::size_t node) const {
  const Node& left = tree_[2 * node];
  const Node& right = tree_[2 * node + 1];
  const auto limited = [](std::size_t bits) { return static_cast<std::uint8_t>(std::min(bits, kLongest)); };
  const std::size_t middle = std::size_t{left.last} + right.first;
  return {.first = is_clear(2 * node) ? limited(std::size_t{left.first} + right.first) : left.first,
          .last = is_clear(2 * node + 1) ? limited(std::size_t{right.last} + left.last) : right.last,
          .longest = limited(std::max({middle, std::size_t{left.longest}, std::size_t{right.longest}}))};
}

void RunBitmap::update(std::size_t word) {
  std::size_t node = tree_.size() / 2 + word;
  Node now = node_of(word);
  while (tree_[node] != now) {
    tree_[node] = now;
    if (node == 1) return;
    node /= 2;
    now = combined(node);
  }
}

void RunBitmap::set(BitRange run) {
  if (run.empty()) return;
  for (std::size_t bit = run.first; bit < run.end(); ++bit) bits_.set(bit);
  for (std::size_t word = run.first / kBits; word <= run.last() / kBits; ++word) changed(word);
}

void RunBitmap::clear(std::size_t bit) {
  bits_.clear(bit);
  changed(bit / kBits);
}

void RunBitmap::resize(std::size_t size) {
  if (!tree_.empty()) update(stale_);
  const std::size_t before = std::min(this->size(), size);
  bits_.resize(size);
  const std::size_t words = std::bit_ceil(std::max<std::size_t>(bits_.words(), 1));
  if (2 * words > tree_.size()) {
    tree_.assign(2 * words, {});
    for (std::size_t word = 0; word < bits_.words(); ++word) tree_[words + word] = node_of(word);
    for (std::size_t node = words; node-- > 1;) tree_[node] = combined(node);
    return;
  }
  // The word at the old end, and those that came or went.
  for (std::size_t word = before / kBits; word < tree_.size() / 2; ++word) {
    if (word > bits_.words() && tree_[tree_.size() / 2 + word] == Node{}) break;
    update(word);
  }
}

// Improves `best` by runs that begin in [begin, end); stops at the first of `wanted` bits.
void RunBitmap::search(std::size_t begin, std::size_t end, std::size_t wanted, BitRange& best) const {
  for (std::size_t first = bits_.next_clear(begin); first < end && best.count < wanted;) {
    const std::size_t stop = std::min(bits_.next_set(first), first + wanted);
    if (stop - first > best.count) best = {first, stop - first};
    first = bits_.next_clear(stop);
  }
}

// Where the run begins; `before` bits in front of the node are clear, too few with those that it begins with. Requires:
// the node has one that is long enough.
std::size_t RunBitmap::first_run_below(std::size_t node, std::size_t begin, std::size_t before,
                                       std::size_t wanted) const {
  const std::size_t words = tree_.size() / 2;
  while (node < words) {
    const std::size_t left = 2 * node;
    if (before + tree_[left].first >= wanted) return begin - before;
    node = left;
    if (tree_[left].longest >= wanted) continue;
    before = is_clear(left) ? before + width(left) : tree_[left].last;
    begin += width(left);
    node = left + 1;
    if (before + tree_[node].first >= wanted) return begin - before;
  }
  return begin + static_cast<std::size_t>(std::countr_zero(begins_of_runs(clear_bits(node - words), wanted)));
}

// The first run of so many clear bits that begins at or after `from`; kNone. Requires: at most kLongest are wanted.
std::size_t RunBitmap::first_run(std::size_t wanted, std::size_t from) const {
  if (from >= size()) return kNone;
  const std::size_t words = tree_.size() / 2;
  const std::size_t word = from / kBits;
  const std::uint64_t clear = clear_bits(word) & ~std::uint64_t{0} << (from % kBits);
  if (wanted <= kBits)
    if (const std::uint64_t begins = begins_of_runs(clear, wanted); begins != 0)
      return word * kBits + static_cast<std::size_t>(std::countr_zero(begins));
  // From node to node to the right, each time the largest that begins there.
  std::size_t before = static_cast<std::size_t>(std::countl_one(clear));
  std::size_t begin = (word + 1) * kBits;
  for (std::size_t node = words + word;;) {
    while (node % 2 == 1) {
      if (node == 1) return kNone;
      node /= 2;
    }
    ++node;
    if (before + tree_[node].first >= wanted) return begin - before;
    if (tree_[node].longest >= wanted) return first_run_below(node, begin, before, wanted);
    before = is_clear(node) ? before + width(node) : tree_[node].last;
    begin += width(node);
  }
}

std::optional<BitRange> RunBitmap::find_clear_run(std::size_t wanted, std::size_t from) {
  update(stale_);
  const std::size_t longest = tree_[1].longest;
  wanted = std::min(wanted, size());
  from = std::min(from, size());
  if (longest == 0 || wanted == 0) return std::nullopt;
  if (wanted > longest && longest == kLongest) {
    BitRange best{0, 0};
    search(from, size(), wanted, best);
    search(0, from, wanted, best);
    return best;
  }
  wanted = std::min(wanted, longest);
  std::size_t first = first_run(wanted, from);
  if (first == kNone) first = first_run(wanted, 0);
  return BitRange{first, wanted};
}

}  // namespace pagoda
