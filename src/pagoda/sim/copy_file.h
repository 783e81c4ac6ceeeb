// Copying the beginning of a file, whatever its size: part by part, and nothing where it has a hole.
#pragma once

#include <cstdint>

#include "pagoda/base/units.h"

namespace pagoda::sim {

struct CopyOutcome {
  enum class Side : std::uint8_t { kNone, kSource, kTarget } failed = Side::kNone;
  int error = 0;  // An errno; 0 with kSource: it is shorter.
};

// Copies the first `size` bytes of one open file into another one, an empty file.
CopyOutcome copy_file(int source, int target, ByteCount size);

}  // namespace pagoda::sim
