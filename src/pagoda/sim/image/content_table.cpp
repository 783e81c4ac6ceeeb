#include "pagoda/sim/image/content_table.h"

#include <lz4.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "pagoda/base/check.h"
#include "pagoda/base/hash.h"

namespace pagoda::sim {

namespace {

constexpr int kPage = kPageBytes;
// LZ4 may need more than the page; that much is stored as it is.
using Packed = std::array<std::byte, LZ4_COMPRESSBOUND(kPage)>;

std::size_t compress(ConstPageBytes page, Packed& packed) {
  return static_cast<std::size_t>(LZ4_compress_default(reinterpret_cast<const char*>(page.data()),
                                                       reinterpret_cast<char*>(packed.data()), kPage,
                                                       static_cast<int>(packed.size())));
}

PageContent kind_of(ConstPageBytes page) {
  PageContent content{.kind = ContentKind::kOther};
  if (std::memcmp(page.data(), &page[sizeof content.pattern], page.size() - sizeof content.pattern) != 0)
    return content;
  std::memcpy(&content.pattern, page.data(), sizeof content.pattern);
  content.kind = content.pattern == 0 ? ContentKind::kZero : ContentKind::kPattern;
  return content;
}

}  // namespace

std::span<const std::byte> ContentTable::stored(std::uint32_t number) const { return places_[number]; }

bool ContentTable::is(std::uint32_t number, const PageContent& content, std::span<const std::byte> compressed) const {
  const PageContent& other = contents_[number];
  return other.kind == content.kind && other.pattern == content.pattern &&
         std::ranges::equal(stored(number), compressed);
}

void ContentTable::store(std::span<const std::byte> compressed) {
  if (kBlockBytes - used_ < compressed.size()) {
    blocks_.emplace_back(kBlockBytes);
    used_ = 0;
  }
  std::byte* const place = compressed.empty() ? nullptr : &blocks_.back()[used_];
  std::ranges::copy(compressed, place);
  used_ += compressed.size();
  places_.emplace_back(place, compressed.size());
}

std::uint32_t ContentTable::add(ConstPageBytes page) {
  PageContent content = kind_of(page);
  Packed packed;
  const std::size_t size = compress(page, packed);
  content.lz4_size = static_cast<std::uint16_t>(std::min<std::size_t>(size, kPageBytes));
  std::span<const std::byte> compressed;
  if (content.kind == ContentKind::kOther)
    compressed = size < kPageBytes ? std::span<const std::byte>(packed).first(size) : page;
  const std::uint64_t hash = hash_bytes(page);
  const auto [first, last] = by_hash_.equal_range(hash);
  for (auto it = first; it != last; ++it)
    if (is(it->second, content, compressed)) return it->second;
  const auto number = static_cast<std::uint32_t>(contents_.size());
  store(compressed);
  contents_.push_back(content);
  by_hash_.emplace(hash, number);
  return number;
}

void ContentTable::fill(std::uint32_t number, PageBytes page) const {
  const PageContent& content = contents_[number];
  if (content.kind != ContentKind::kOther) return make_page_of_words(content.pattern, page);
  const std::span<const std::byte> compressed = stored(number);
  if (compressed.size() == page.size()) {
    std::ranges::copy(compressed, page.begin());
    return;
  }
  const int size =
      LZ4_decompress_safe(reinterpret_cast<const char*>(compressed.data()), reinterpret_cast<char*>(page.data()),
                          static_cast<int>(compressed.size()), kPage);
  PAGODA_CHECK_EQ(size, kPage);
}

}  // namespace pagoda::sim
