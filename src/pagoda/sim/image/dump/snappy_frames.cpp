#include "pagoda/sim/image/dump/snappy_frames.h"

#include <fmt/format.h>
#include <snappy.h>

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/dump/crc32c.h"

namespace pagoda::sim {

namespace {

constexpr std::size_t kChunkHeader = 4, kChecksumSize = 4;
constexpr std::size_t kPlainMost = 65536;  // Bytes of data in a chunk.
constexpr std::size_t kVarintMost = 5;     // Bytes of the length in front of a snappy block.
constexpr std::string_view kIdentifier = "sNaPpY";
constexpr std::uint8_t kIdentifierType = 0xff;
constexpr std::uint8_t kFirstUnknown = 0x04, kFirstSkippable = 0x80;

std::uint32_t masked(std::uint32_t crc) { return std::rotr(crc, 15) + 0xa282ead8; }

}  // namespace

Input<std::optional<SnappyFrames::Chunk>> SnappyFrames::next_chunk() {
  for (;;) {
    std::array<std::byte, kChunkHeader + kIdentifier.size()> start{};
    const auto count = PAGODA_TRY(file_->read(at_, start));
    if (count < kChunkHeader) return std::nullopt;
    const ByteFields fields(start);
    const Chunk chunk{
        .type = static_cast<std::uint8_t>(start[0]), .body = at_ + kChunkHeader, .bytes = fields.u32(0) >> 8};
    if (!begun_ && chunk.type != kIdentifierType)
      return file_->damaged(fmt::format("damaged: at {:#x} a snappy stream should begin", at_));
    if (chunk.bytes > file_->size() - chunk.body) return std::nullopt;
    if (chunk.type == kIdentifierType &&
        (chunk.bytes != kIdentifier.size() || fields.text(kChunkHeader, kIdentifier.size()) != kIdentifier))
      return file_->damaged(fmt::format("damaged: at {:#x} a snappy stream begins wrongly", at_));
    if (chunk.type >= kFirstUnknown && chunk.type < kFirstSkippable)
      return file_->damaged(fmt::format("damaged: at {:#x} a snappy chunk of unknown type {}", at_, chunk.type));
    begun_ = true;
    if (chunk.type < kFirstUnknown) return chunk;
    at_ = chunk.body + chunk.bytes;
  }
}

Input<std::optional<std::size_t>> SnappyFrames::skip() {
  const auto chunk = PAGODA_TRY(next_chunk());
  if (!chunk) return std::nullopt;
  const std::size_t checksum = chunk->has_checksum() ? kChecksumSize : 0;
  std::size_t plain = chunk->bytes - std::min(chunk->bytes, checksum);
  if (chunk->is_packed()) {
    std::array<char, kVarintMost> start{};
    const std::size_t most = std::min(start.size(), plain);
    const auto count =
        PAGODA_TRY(file_->read(chunk->body + checksum, std::as_writable_bytes(std::span(start)).first(most)));
    if (!snappy::GetUncompressedLength(start.data(), count, &plain)) plain = 0;
  }
  if (plain == 0 || plain > kPlainMost)
    return file_->damaged(fmt::format("damaged: the snappy chunk at {:#x} holds no data, or too much", at_));
  at_ = chunk->body + chunk->bytes;
  return plain;
}

Input<std::vector<std::byte>> SnappyFrames::next() {
  const auto chunk = PAGODA_TRY(next_chunk());
  if (!chunk) return file_->damaged(fmt::format("cut: at {:#x} a snappy stream goes past its end", at_));
  const auto wrong = [&](std::string_view what) {
    return file_->damaged(fmt::format("damaged: the snappy chunk at {:#x} {}", at_, what));
  };
  const std::size_t checksum = chunk->has_checksum() ? kChecksumSize : 0;
  if (chunk->bytes < checksum || chunk->bytes > checksum + snappy::MaxCompressedLength(kPlainMost))
    return wrong("has no possible size");
  const auto body = PAGODA_TRY(file_->read_all(chunk->body, chunk->bytes, "a snappy chunk"));
  const std::string_view data(reinterpret_cast<const char*>(body.data()) + checksum, body.size() - checksum);
  std::vector<std::byte> plain;
  if (chunk->is_packed()) {
    std::size_t size = 0;
    if (!snappy::GetUncompressedLength(data.data(), data.size(), &size) || size > kPlainMost)
      return wrong("has no possible size");
    plain.resize(size);
    if (!snappy::RawUncompress(data.data(), data.size(), reinterpret_cast<char*>(plain.data())))
      return wrong("cannot be unpacked");
  } else {
    if (data.size() > kPlainMost) return wrong("has no possible size");
    plain.assign(body.begin() + static_cast<std::ptrdiff_t>(checksum), body.end());
  }
  if (checksum != 0 && ByteFields(body).u32(0) != masked(crc32c(plain))) return wrong("does not match its checksum");
  at_ = chunk->body + chunk->bytes;
  return plain;
}

}  // namespace pagoda::sim
