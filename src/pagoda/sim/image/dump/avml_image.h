// AVML, version 2: headers as LiME has them, each with a snappy stream of its range behind it and the length of that.
// AVML leaves out pieces of 16 MiB that are zero.
// Source: reference formats.md 3.5.
#pragma once

#include <memory>

#include "pagoda/sim/image/memory_image.h"

namespace pagoda::sim {

// Fails with one line: a header or a chunk is damaged.
Input<std::unique_ptr<MemoryImage>> open_avml(const std::shared_ptr<const StoredBytes>& file);

}  // namespace pagoda::sim
