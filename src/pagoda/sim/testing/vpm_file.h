// Makes VPM1 files for tests: right ones, and wrong in one place.
#pragma once

#include <zstd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace pagoda::sim {

// The planes of a map; as they are here they make a right one: "a.mem" is zero, pattern, other, other and "b" is
// other, zero.
struct VpmParts {
  std::string header = "VPM1\nimage a.mem 4\nimage b 2\ndistinct 4\n\n";
  std::vector<std::uint8_t> kinds{0, 1, 2, 2};
  std::vector<std::uint64_t> patterns{0, 0xcccccccccccccccc, 0, 0};
  std::vector<std::uint16_t> lz4_sizes{26, 26, 1000, 4096};
  std::vector<std::uint16_t> zstd_sizes{19, 19, 700, 4096};
  std::vector<std::uint32_t> numbers{0, 1, 2, 3, 3, 0};

  [[nodiscard]] std::vector<std::byte> plain() const {
    std::vector<std::byte> bytes;
    const auto add = [&](std::span<const std::byte> part) { bytes.insert(bytes.end(), part.begin(), part.end()); };
    add(std::as_bytes(std::span(header)));
    add(std::as_bytes(std::span(kinds)));
    add(std::as_bytes(std::span(patterns)));
    add(std::as_bytes(std::span(lz4_sizes)));
    add(std::as_bytes(std::span(zstd_sizes)));
    add(std::as_bytes(std::span(numbers)));
    return bytes;
  }
  [[nodiscard]] std::vector<std::byte> file() const;
};

inline std::vector<std::byte> in_zstd_frame(std::span<const std::byte> bytes) {
  std::vector<std::byte> file(ZSTD_compressBound(bytes.size()));
  file.resize(ZSTD_compress(file.data(), file.size(), bytes.data(), bytes.size(), 1));
  return file;
}

inline std::vector<std::byte> VpmParts::file() const { return in_zstd_frame(plain()); }

}  // namespace pagoda::sim
