// Sizes and times as people write them, always with a unit.
#pragma once

#include <string_view>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"

namespace pagoda::sim {

// "64MiB", "64 KiB", "4096B". Fails with: what is wrong.
Input<ByteCount> parse_size(std::string_view text);
// "65us", "1.5ms", "2s". Fails with: what is wrong.
Input<Duration> parse_duration(std::string_view text);

}  // namespace pagoda::sim
