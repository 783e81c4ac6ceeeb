// kdump-compressed dumps (makedumpfile, QEMU's and libvirt's kdump-*; "DISKDUMP" before them): a bitmap of the pages that
// are in the file, and a descriptor for each that says where it lies and how it is packed.
//
// A page that was memory and is in no descriptor was excluded (makedumpfile -d) or lost; it is absent.
// Source: reference formats.md 3.3.
#pragma once

#include <memory>

#include "pagoda/sim/image/memory_image.h"

namespace pagoda::sim {

// Fails with one line: the header, the bitmaps or a descriptor is damaged or cut.
Input<std::unique_ptr<MemoryImage>> open_kdump(std::shared_ptr<const StoredBytes> file);

}  // namespace pagoda::sim
