// Bitmaps of dumps: a bit for each page, the lowest bit of a byte first.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/stored_bytes.h"

namespace pagoda::sim {

// Calls `visit(first, count)` for each run of set bits among the `bits` that lie at `at` in the file. A run may be given
// in parts. Memory: a buffer. Fails with one line: the bitmap is cut.
template <class Visit>
Input<> for_each_bit_run(const StoredBytes& file, std::uint64_t at, std::uint64_t bits, const Visit& visit) {
  constexpr std::uint64_t kBitmapPartBytes = 1 << 20;
  const std::uint64_t size = parts_of(bits, 8);
  if (sum_or_most(at, size) > file.size()) return file.damaged("cut: the bitmap of its pages is not all in it");
  for (std::uint64_t done = 0; done < size; done += kBitmapPartBytes) {
    const auto part =
        PAGODA_TRY(file.read_all(at + done, std::min(kBitmapPartBytes, size - done), "the bitmap of its pages"));
    std::uint64_t first = 0, count = 0;
    const std::uint64_t end = std::min<std::uint64_t>(part.size() * 8, bits - done * 8);
    for (std::uint64_t bit = 0; bit < end; ++bit) {
      const auto byte = std::to_integer<unsigned>(part[bit / 8]);
      if (bit % 8 == 0 && byte == 0) {
        bit += 7;
        continue;
      }
      if ((byte >> bit % 8 & 1) == 0) continue;
      if (count != 0 && first + count == bit) {
        ++count;
        continue;
      }
      if (count != 0) visit(done * 8 + first, count);
      first = bit;
      count = 1;
    }
    if (count != 0) visit(done * 8 + first, count);
  }
  return {};
}

}  // namespace pagoda::sim
