// The header of a range in LiME and AVML files, 32 bytes: magic, version, first and last address.
// Source: reference formats.md 3.5.
#pragma once

#include <cstdint>
#include <string_view>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/stored_bytes.h"

namespace pagoda::sim {

inline constexpr std::size_t kRangeHeaderBytes = 32;

struct RangeHeader {
  std::uint64_t first = 0;
  std::uint64_t bytes = 0;
};

// `magic`: magic and version, eight bytes, the same for all ranges of a file. Fails with one line: the header is cut,
// has another magic, or ends before it begins.
Input<RangeHeader> read_range_header(const StoredBytes& file, std::uint64_t at, std::string_view magic);

}  // namespace pagoda::sim
