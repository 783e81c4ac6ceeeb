// Frames without data, which may stand in front of those of zstd and LZ4.
// Source: RFC 8878, 3.1.2; LZ4 frame format, "Skippable Frames".
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "pagoda/sim/image/byte_fields.h"

namespace pagoda::sim {

inline constexpr std::size_t kFrameHeaderBytes = 8;

// The size of such a frame with its header; 0 if the bytes do not begin with one.
inline std::uint64_t skippable_frame_size(std::span<const std::byte> bytes) {
  constexpr std::uint32_t kMagic = 0x184d2a50, kMagicMask = 0xfffffff0;
  if (bytes.size() < kFrameHeaderBytes) return 0;
  const ByteFields fields(bytes);
  return (fields.u32(0) & kMagicMask) == kMagic ? kFrameHeaderBytes + std::uint64_t{fields.u32(4)} : 0;
}

// What follows all such frames, as far as it is there. Its first four bytes say what it is.
inline std::span<const std::byte> behind_skippable_frames(std::span<const std::byte> bytes) {
  while (const std::uint64_t size = skippable_frame_size(bytes))
    bytes = bytes.subspan(std::min<std::uint64_t>(bytes.size(), size));
  return bytes;
}

}  // namespace pagoda::sim
