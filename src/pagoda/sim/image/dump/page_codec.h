// How a kdump file packed a page, by the flags of its descriptor.
// Source: reference formats.md 3.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pagoda::sim {

enum class PageCodec : std::uint32_t { kRaw = 0, kZlib = 1, kLzo = 2, kSnappy = 4, kZstd = 0x20 };

// Whether the number is one of a codec.
bool is_page_codec(std::uint32_t flags);
// Whether `packed` gives exactly `page`. What `page` holds otherwise means nothing.
bool unpack_page(PageCodec codec, std::span<const std::byte> packed, std::span<std::byte> page);

}  // namespace pagoda::sim
