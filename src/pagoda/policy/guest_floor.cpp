#include "pagoda/policy/guest_floor.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace pagoda::policy {

namespace {

struct Piece {
  PageCount below;
  PageCount base;
  std::uint64_t divisor = 1;
};
constexpr std::array<Piece, 4> kCurve = {
    Piece{pages_of(128_MiB), pages_of(8_MiB), 2}, Piece{pages_of(512_MiB), pages_of(40_MiB), 4},
    Piece{pages_of(2_GiB), pages_of(104_MiB), 8}, Piece{pages_of(8_GiB), pages_of(232_MiB), 16}};
constexpr Piece kBeyond = {PageCount(0), pages_of(488_MiB), 32};

}  // namespace

PageCount hv_balloon_floor(PageCount memory) {
  const auto* const found = std::ranges::find_if(kCurve, [&](const Piece& piece) { return memory < piece.below; });
  const Piece& piece = found == kCurve.end() ? kBeyond : *found;
  return std::min(memory, piece.base + memory / piece.divisor);
}

}  // namespace pagoda::policy
