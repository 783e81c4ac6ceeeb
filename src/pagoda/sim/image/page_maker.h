// Makes pages from what a page map says about them: equal for equal content numbers, different for different ones, and
// as well compressible as the real ones were.
//
// A page of kind "other" is made as LZ4 takes it apart: segments, each a run of fresh bytes (literals) and a copy of
// what came before (a match). How many bytes LZ4 needs for that is known exactly, so the lengths are solved from the
// wanted size. Fewer different byte values in the runs are nothing to LZ4 and shorten what an entropy coder writes:
// their number is solved from the size under zstd.
//
// Invariants:
//   [PM1] The same number and content make the same page, on every machine.
//   [PM2] Two pages of kind "other" with different numbers differ in their last four bytes.
//   [PM3] A page of kind "other" is neither zero nor one repeated word.
// Source of the block format: lz4 1.9.4, doc/lz4_Block_format.md and lib/lz4.c.
// Immutable after construction; any number of threads may use it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "pagoda/base/units.h"
#include "pagoda/sim/image/page_map.h"

namespace pagoda::sim {

using PageBytes = std::span<std::byte, kPageBytes>;
using ConstPageBytes = std::span<const std::byte, kPageBytes>;

class PageMaker {
 public:
  PageMaker();

  // The page with this content number.
  void make(std::uint32_t number, const PageContent& content, PageBytes page) const;

 private:
  // How a page becomes so many bytes under LZ4.
  struct Plan {
    std::uint16_t segments = 0;  // 0: nothing repeats.
    std::uint16_t literals = 0;  // In all segments together.
  };
  static Plan solve(std::uint32_t size);
  void make_other(std::uint32_t number, const PageContent& content, PageBytes page) const;

  std::array<Plan, kPageBytes + 1> plans_{};  // By size.
};

// One word, again and again.
void make_page_of_words(std::uint64_t word, PageBytes page);
// Whether all bytes are zero.
bool is_zero_page(ConstPageBytes page);

}  // namespace pagoda::sim
