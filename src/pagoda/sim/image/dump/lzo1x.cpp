#include "pagoda/sim/image/dump/lzo1x.h"

#include <algorithm>
#include <cstdint>

namespace pagoda::sim {

namespace {

// A block is a row of instructions: literals to copy, or a match that copies what was written `distance` bytes ago. The
// lowest two bits of a match say how many literals follow it. What a short instruction means depends on the literals
// in front of it: `literals_` has none, 1 to 3, or kLongRun.
class LzoBlock {
 public:
  LzoBlock(std::span<const std::byte> in, std::span<std::byte> out) : in_(in), out_(out) {}

  bool unpack() {
    if (in_.empty()) return false;
    if (peek() > kFirstLiterals) {
      const std::size_t count = next() - kFirstLiterals;
      copy_literals(count);
      literals_ = std::min(count, kLongRun);
    }
    while (good_ && !ended_) step();
    return good_ && in_at_ == in_.size() && out_at_ == out_.size();
  }

 private:
  static constexpr unsigned kFirstLiterals = 17;
  static constexpr std::size_t kLongRun = 4;
  static constexpr std::size_t kFarDistance = 16384;  // The end is marked by a far match of this very distance.

  [[nodiscard]] unsigned peek() const { return std::to_integer<unsigned>(in_[in_at_]); }
  unsigned next() {
    if (in_at_ == in_.size()) good_ = false;
    return good_ ? std::to_integer<unsigned>(in_[in_at_++]) : 0;
  }
  unsigned next_two() {
    const unsigned low = next();
    return low | next() << 8;
  }
  // A length of which the instruction has the bits `low`: zero says that more bytes follow, 255 for each zero byte.
  std::size_t length(unsigned low, unsigned mask) {
    if ((low & mask) != 0) return low & mask;
    std::size_t sum = mask;
    while (good_ && in_at_ < in_.size() && peek() == 0) {
      sum += 255;
      ++in_at_;
    }
    return sum + next();
  }
  void copy_literals(std::size_t count) {
    good_ = good_ && count <= in_.size() - in_at_ && count <= out_.size() - out_at_;
    if (!good_) return;
    std::ranges::copy(in_.subspan(in_at_, count), out_.subspan(out_at_).begin());
    in_at_ += count;
    out_at_ += count;
  }
  void copy_match(std::size_t distance, std::size_t count, unsigned literals) {
    good_ = good_ && distance <= out_at_ && count <= out_.size() - out_at_;
    if (!good_) return;
    for (; count != 0; --count, ++out_at_) out_[out_at_] = out_[out_at_ - distance];  // It may overlap itself.
    literals_ = literals & 3;
    copy_literals(literals_);
  }
  void step();

  std::span<const std::byte> in_;
  std::span<std::byte> out_;
  std::size_t in_at_ = 0;
  std::size_t out_at_ = 0;
  std::size_t literals_ = 0;
  bool good_ = true;
  bool ended_ = false;
};

void LzoBlock::step() {
  const unsigned code = next();
  if (!good_) return;
  if (code >= 64) {
    const std::size_t count = code >= 128 ? 5 + (code >> 5 & 3) : 3 + (code >> 5 & 1);
    return copy_match((std::size_t{next()} << 3) + (code >> 2 & 7) + 1, count, code);
  }
  if (code >= 32) {
    const std::size_t count = 2 + length(code, 31);
    const unsigned place = next_two();
    return copy_match((place >> 2) + 1, count, place);
  }
  if (code >= 16) {
    const std::size_t count = 2 + length(code, 7);
    const unsigned place = next_two();
    const std::size_t distance = kFarDistance + ((code & 8) << 11) + (place >> 2);
    ended_ = good_ && distance == kFarDistance;
    return ended_ ? void() : copy_match(distance, count, place);
  }
  if (literals_ == 0) {
    copy_literals(3 + length(code, 15));
    literals_ = kLongRun;
    return;
  }
  const std::size_t distance = (std::size_t{next()} << 2) + (code >> 2) + 1;
  if (literals_ == kLongRun) return copy_match(distance + 2048, 3, code);
  copy_match(distance, 2, code);
}

}  // namespace

bool unpack_lzo1x(std::span<const std::byte> packed, std::span<std::byte> plain) {
  return LzoBlock(packed, plain).unpack();
}

}  // namespace pagoda::sim
