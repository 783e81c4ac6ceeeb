// The headers of a kdump-compressed dump, in either byte order and for 32 or 64 bits: nothing in the file says which.
// Source: reference formats.md 3.3.
#pragma once

#include <bit>
#include <cstdint>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/stored_bytes.h"

namespace pagoda::sim {

struct KdumpHeader {
  std::endian order = std::endian::little;
  std::uint32_t block_bytes = 0;    // Of a page, and of what headers are counted in.
  std::uint64_t page_end = 0;       // No page has this number or a higher one.
  std::uint64_t stored_bitmap = 0;  // Where the bitmap of the pages in the file lies.
  std::uint64_t memory_bitmap = 0;  // Where that of the pages that were memory lies; 0: there is none.
  std::uint64_t descriptors = 0;    // Where they begin.
  std::uint32_t status = 0;
  std::uint32_t dump_level = 0;
  bool is_part = false;     // Of a set (makedumpfile --split).
  std::uint64_t first = 0;  // The pages that this file is about.
  std::uint64_t end = 0;
};

// Fails with one line: it is damaged or cut.
Input<KdumpHeader> read_kdump_header(const StoredBytes& file);

}  // namespace pagoda::sim
