// The bytes of a trace file: varints, the header and the seal. docs/trace-format.md describes them for other readers.
//
//   file    = zstd frame (header)  zstd frames (records)  skippable frame (seal)
//   header  = "VMPT2\n"  "key=value\n"...  "\n"  ranges: varint gap, varint count, `ranges=` times
//   records = varint: flags = v & 7; flags != 0: page += unzigzag(v >> 3); flags == 0: a tick of v >> 3 raw references
//   seal    = magic, length 16, "VMPT2END", XXH3-64 of every byte before the seal
//
// `zstd -d --long=27` ignores the seal and gives header and records, which are VMPT1 with more header.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/trace/trace_info.h"

namespace pagoda::sim::trace_format {

inline constexpr std::size_t kVarintBytesMax = 10;
inline constexpr int kWindowLogMax = 27;                   // zstd windows up to 128 MiB.
inline constexpr std::size_t kHeaderBytesMax = 64 << 20;   // Ranges included.
inline constexpr std::uint64_t kTickReferences = 1 << 20;  // The writer ticks after so many raw references.
inline constexpr std::size_t kSealBytes = 24;

constexpr std::uint64_t zigzag(std::int64_t delta) {
  return (static_cast<std::uint64_t>(delta) << 1) ^ static_cast<std::uint64_t>(delta >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>((value >> 1) ^ (0 - (value & 1)));
}

// Writes unsigned LEB128 at `out`, which has room for kVarintBytesMax; returns the end.
inline std::uint8_t* put_varint(std::uint8_t* out, std::uint64_t value) {
  while (value >= 0x80) {
    *out++ = static_cast<std::uint8_t>(value | 0x80);
    value >>= 7;
  }
  *out++ = static_cast<std::uint8_t>(value);
  return out;
}

// Reads unsigned LEB128 at `in`, where kVarintBytesMax bytes are readable; null if it does not fit into 64 bits.
inline const std::uint8_t* take_varint(const std::uint8_t* in, std::uint64_t& value) {
  std::uint64_t result = *in++;
  if (result < 0x80) [[likely]] {
    value = result;
    return in;
  }
  result &= 0x7f;
  for (unsigned shift = 7; shift < 64; shift += 7) {
    const std::uint64_t byte = *in++;
    result |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      value = result;
      return shift == 63 && byte > 1 ? nullptr : in;
    }
  }
  return nullptr;
}

// The header frame's content. `record_bytes`: length of the record stream before compression.
std::string make_header(const TraceInfo& info, std::uint64_t record_bytes);

struct Header {
  TraceInfo info;                             // VMPT1: only source, space, program and window.
  std::optional<std::uint64_t> record_bytes;  // VMPT2 only.
  std::size_t length = 0;                     // Where the records begin.
};

enum class HeaderState { kComplete, kNeedsMore };

// Parses the header at the start of `bytes`. kNeedsMore: it is fine so far and goes on behind `bytes`. `name` is for
// messages.
Input<HeaderState> parse_header(const std::string& name, std::span<const std::uint8_t> bytes, Header& header);

// Hashes the bytes of a file as they are written.
class SealHasher {
 public:
  SealHasher();
  ~SealHasher();
  SealHasher(const SealHasher&) = delete;
  SealHasher& operator=(const SealHasher&) = delete;

  void update(std::span<const std::uint8_t> bytes);
  std::array<std::uint8_t, kSealBytes> seal() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

enum class SealState { kGood, kMissing, kWrong };
// Whether the last bytes of `file` are a seal, and the right one.
SealState check_seal(std::span<const std::uint8_t> file);

}  // namespace pagoda::sim::trace_format
