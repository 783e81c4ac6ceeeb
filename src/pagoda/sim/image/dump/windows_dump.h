// Windows' kernel dumps (MEMORY.DMP, DumpIt, QEMU's win-dmp) that hold a machine's memory: complete ones, whose header
// lists runs of pages, and bitmap ones, which have a bit for each page.
// Source: reference formats.md 3.6.
#pragma once

#include <memory>

#include "pagoda/sim/image/memory_image.h"

namespace pagoda::sim {

// Fails with one line: it is a dump of another type, or its header is damaged or cut.
Input<std::unique_ptr<MemoryImage>> open_windows_dump(const std::shared_ptr<const StoredBytes>& file);

}  // namespace pagoda::sim
