// kdump-compressed dumps (makedumpfile, QEMU's and libvirt's kdump-*; "DISKDUMP" before them): a bitmap of the pages that
// are in the file, and a descriptor for each that says where it lies and how it is packed.
//
// A page that was memory and is in no descriptor was excluded (makedumpfile -d) or lost; it is absent.
// Ours, and not libkdumpfile's reader: Debian 12's (0.5.1) refuses flattened files, which is all that QEMU writes, needs a
// file descriptor for what comes out of an archive, does not say which pages were left out, and brings the GPL's LZO.
// Source: reference formats.md 3.3.
#pragma once

#include <memory>

#include "pagoda/sim/image/memory_image.h"

namespace pagoda::sim {

// Fails with one line: the header, the bitmaps or a descriptor is damaged or cut.
Input<std::unique_ptr<MemoryImage>> open_kdump(const std::shared_ptr<const StoredBytes>& file);

}  // namespace pagoda::sim
