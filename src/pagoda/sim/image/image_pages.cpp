#include "pagoda/sim/image/image_pages.h"

#include <fmt/format.h>

#include <algorithm>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/covered.h"

namespace pagoda::sim {

namespace {

// No processor has more bits of physical addresses (Intel SDM vol. 3A, 4.1.4).
constexpr std::uint64_t kAddressEnd = std::uint64_t{1} << 52;

}  // namespace

Input<ImagePages> ImagePages::of(MemoryImage& image, const std::string& name) {
  ImagePages pages(image);
  pages.warnings_ = image.warnings();
  Covered covered;
  std::uint64_t twice = 0;
  for (const StoredRange& range : image.ranges()) {
    if (sum_or_most(range.first, range.bytes) > kAddressEnd)
      return bad_input(fmt::format("{}: {} bytes at {:#x} go past the highest physical address; copy or make it again",
                                   name, range.bytes, range.first));
    const std::uint64_t end = range.first + range.bytes;
    twice += cover(covered, range.first, end, [&](std::uint64_t from, std::uint64_t to) {
      pages.pieces_.push_back({.range = range, .first = from, .end = to});
    });
  }
  std::ranges::sort(pages.pieces_, {}, &Piece::first);
  pages.count();
  if (twice != 0)
    pages.warnings_.push_back(
        fmt::format("{} pages are in it twice; what comes first in the file was taken", parts_of(twice, kPageBytes)));
  return pages;
}

void ImagePages::count() {
  std::uint64_t partly = 0;
  std::uint64_t page = 0;    // The last one that was counted.
  std::uint64_t filled = 0;  // Bytes of it that are stored; 0 before the first.
  const auto close = [&] { partly += filled != 0 && filled != kPageBytes ? 1 : 0; };
  for (const Piece& piece : pieces_) {
    const std::uint64_t first = piece.first / kPageBytes;
    const std::uint64_t last = (piece.end - 1) / kPageBytes;
    if (filled == 0 || first != page) {
      close();
      filled = 0;
      ++pages_;
    }
    filled += std::min(piece.end, (first + 1) * kPageBytes) - piece.first;
    if (last != first) {
      close();
      pages_ += PageCount(last - first);
      filled = piece.end - last * kPageBytes;
    }
    page = last;
  }
  close();
  if (partly != 0)
    warnings_.push_back(
        fmt::format("of {} pages the file holds a part only; the rest of each counts as zeros", partly));
}

Input<std::optional<std::uint64_t>> ImagePages::next_page(PageBytes page) {
  while (at_ < pieces_.size() && (pieces_[at_].end - 1) / kPageBytes < from_) ++at_;
  if (at_ == pieces_.size()) return std::nullopt;
  const std::uint64_t number = std::max(from_, pieces_[at_].first / kPageBytes);
  const std::uint64_t first = number * kPageBytes;
  std::ranges::fill(page, std::byte{0});
  for (std::size_t i = at_; i < pieces_.size() && pieces_[i].first / kPageBytes <= number; ++i) {
    const Piece& piece = pieces_[i];
    const std::uint64_t from = std::max(first, piece.first);
    const std::uint64_t size = std::min(piece.end, first + kPageBytes) - from;
    PAGODA_TRY(image_->read(piece.range, from - piece.range.first, page.subspan(from - first, size)));
  }
  from_ = number + 1;
  return number;
}

}  // namespace pagoda::sim
