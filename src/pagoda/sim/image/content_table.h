// The distinct contents of pages, numbered in the order in which they first came, compressed.
//
// Contents are found by their XXH3 and then compared: as they were compressed, since LZ4 makes the same bytes of the
// same page and never of another. Memory: the distinct pages under LZ4 and some 40 bytes for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "pagoda/sim/image/page_maker.h"
#include "pagoda/sim/image/page_map.h"

namespace pagoda::sim {

class ContentTable {
 public:
  // The number of this content: a new one, if it was not seen before.
  std::uint32_t add(ConstPageBytes page);
  // The page with this number, which `add` gave.
  void fill(std::uint32_t number, PageBytes page) const;
  // By number. Sizes under zstd are not measured.
  [[nodiscard]] const std::vector<PageContent>& contents() const { return contents_; }

 private:
  static constexpr std::size_t kBlockBytes = 1 << 20;

  // Where a content lies; empty for zero and pattern pages, which PageContent says all about.
  [[nodiscard]] std::span<const std::byte> stored(std::uint32_t number) const;
  [[nodiscard]] bool is(std::uint32_t number, const PageContent& content, std::span<const std::byte> compressed) const;
  void store(std::span<const std::byte> compressed);

  std::unordered_multimap<std::uint64_t, std::uint32_t> by_hash_;
  std::vector<PageContent> contents_;
  std::vector<std::span<const std::byte>> places_;  // By number.
  std::vector<std::vector<std::byte>> blocks_;      // Each of kBlockBytes.
  std::size_t used_ = kBlockBytes;                  // Bytes of the last block.
};

}  // namespace pagoda::sim
