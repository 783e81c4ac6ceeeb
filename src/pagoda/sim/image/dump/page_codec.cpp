#include "pagoda/sim/image/dump/page_codec.h"

#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "pagoda/sim/image/dump/lzo1x.h"

namespace pagoda::sim {

namespace {

bool unpack_zlib(std::span<const std::byte> packed, std::span<std::byte> page) {
  uLongf size = page.size();
  return uncompress(reinterpret_cast<Bytef*>(page.data()), &size, reinterpret_cast<const Bytef*>(packed.data()),
                    packed.size()) == Z_OK &&
         size == page.size();
}

bool unpack_snappy(std::span<const std::byte> packed, std::span<std::byte> page) {
  const auto* const data = reinterpret_cast<const char*>(packed.data());
  std::size_t size = 0;
  return snappy::GetUncompressedLength(data, packed.size(), &size) && size == page.size() &&
         snappy::RawUncompress(data, packed.size(), reinterpret_cast<char*>(page.data()));
}

}  // namespace

bool is_page_codec(std::uint32_t flags) {
  switch (static_cast<PageCodec>(flags)) {
    case PageCodec::kRaw:
    case PageCodec::kZlib:
    case PageCodec::kLzo:
    case PageCodec::kSnappy:
    case PageCodec::kZstd:
      return true;
  }
  return false;
}

bool unpack_page(PageCodec codec, std::span<const std::byte> packed, std::span<std::byte> page) {
  switch (codec) {
    case PageCodec::kRaw:
      if (packed.size() != page.size()) return false;
      std::ranges::copy(packed, page.begin());
      return true;
    case PageCodec::kZlib:
      return unpack_zlib(packed, page);
    case PageCodec::kLzo:
      return unpack_lzo1x(packed, page);
    case PageCodec::kSnappy:
      return unpack_snappy(packed, page);
    case PageCodec::kZstd:
      return ZSTD_decompress(page.data(), page.size(), packed.data(), packed.size()) == page.size();
  }
  return false;
}

}  // namespace pagoda::sim
