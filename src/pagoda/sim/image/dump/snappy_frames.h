// A stream in snappy's framing format that lies in a file: chunks of at most 64 KiB, each with its checksum.
// Source: snappy, framing_format.txt; reference formats.md 3.5.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/stored_bytes.h"

namespace pagoda::sim {

class SnappyFrames {
 public:
  // The stream begins at `at`.
  SnappyFrames(std::shared_ptr<const StoredBytes> file, std::uint64_t at) : file_(std::move(file)), at_(at) {}

  // Where in the file the next chunk begins.
  [[nodiscard]] std::uint64_t at() const { return at_; }
  // Passes over the next chunk with data and says how many bytes it holds; none if the file ends before the chunk does.
  // Fails with one line: the file is damaged.
  Input<std::optional<std::size_t>> skip();
  // The data of the next chunk. Fails with one line: the file is damaged, or ends before the chunk does.
  Input<std::vector<std::byte>> next();

 private:
  struct Chunk {
    std::uint8_t type = 0;
    std::uint64_t body = 0;  // Where it lies.
    std::size_t bytes = 0;   // Of the body.

    [[nodiscard]] bool is_packed() const { return type == 0 || type == 2; }
    [[nodiscard]] bool has_checksum() const { return type < 2; }
  };
  // The next chunk with data; none if the file ends first.
  Input<std::optional<Chunk>> next_chunk();

  std::shared_ptr<const StoredBytes> file_;
  std::uint64_t at_;
  bool begun_ = false;  // The identifier of the stream was seen.
};

}  // namespace pagoda::sim
