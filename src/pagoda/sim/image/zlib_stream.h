// A zlib stream that is a whole file: what LiME's compress=1 writes, and no archiver's format.
// Source: RFC 1950; reference formats.md 1, 3.5.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/byte_source.h"

struct z_stream_s;  // NOLINT(readability-identifier-naming): zlib's.

namespace pagoda::sim {

class ZlibStream {
 public:
  // Whether the first bytes of a file are such a stream: its two bytes of magic say little, so that the rest is unpacked.
  static bool begins_with(std::span<const std::byte> bytes);

  // `source` outlives the stream.
  explicit ZlibStream(ByteSource& source);
  // Fills `bytes` and says how many; fewer than asked for only at the end. Fails with one line: damaged or cut.
  Input<std::size_t> read(std::span<std::byte> bytes);

 private:
  ByteSource* source_;
  std::unique_ptr<z_stream_s, void (*)(z_stream_s*)> zlib_;
  std::vector<std::byte> in_;
  bool ended_ = false;
};

}  // namespace pagoda::sim
