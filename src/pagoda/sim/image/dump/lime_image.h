// LiME, version 1: headers of 32 bytes, each with the bytes of its range behind it, up to the end of the file. `avml`
// without --compress writes the same.
// Source: reference formats.md 3.5.
#pragma once

#include <memory>

#include "pagoda/sim/image/memory_image.h"

namespace pagoda::sim {

// Fails with one line: a header is damaged or cut.
Input<std::unique_ptr<MemoryImage>> open_lime(const std::shared_ptr<const StoredBytes>& file);

}  // namespace pagoda::sim
