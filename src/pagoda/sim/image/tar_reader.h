// The files of a tar archive, one after the other: what memory images of several guests come in.
//
// Reads POSIX ustar and what GNU tar makes of long names and large sizes. Members that are no regular files are passed
// over. Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/byte_source.h"

namespace pagoda::sim {

class TarReader {
 public:
  static constexpr std::size_t kBlockBytes = 512;
  using Block = std::array<std::byte, kBlockBytes>;
  struct Member {
    std::string name;
    std::uint64_t size = 0;  // Bytes.
  };

  // Whether an archive begins with this block.
  static bool begins_with(const Block& block);

  // `source` outlives the reader.
  explicit TarReader(ByteSource& source) : source_(&source) {}

  // Moves to the next regular file; none at the end. Fails with: one line; the archive is damaged or truncated.
  Input<std::optional<Member>> next();
  // Fills `bytes` with what comes next in the member. Needs: no more than is left of it.
  Input<> read(std::span<std::byte> bytes);

 private:
  Input<> skip_rest();
  Input<std::optional<Block>> next_block();
  // The data of a member that says something about the next one.
  Input<std::string> read_text(std::uint64_t size);

  ByteSource* source_;
  std::uint64_t left_ = 0;     // Bytes of the member.
  std::uint64_t padding_ = 0;  // Behind it, up to a whole block.
};

}  // namespace pagoda::sim
