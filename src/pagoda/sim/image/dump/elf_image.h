// ELF cores of machines: QEMU's dump-guest-memory, `virsh dump --memory-only`, /proc/vmcore, VirtualBox' dumpvmcore.
//
// Ranges are the LOAD segments by their physical addresses. What a segment has in memory and not in the file is absent.
// Cores of processes and of Xen are told apart and refused: the first have virtual addresses only.
// Source: reference formats.md 3.2.
#pragma once

#include <memory>

#include "pagoda/sim/image/memory_image.h"

namespace pagoda::sim {

// Fails with one line: it is no core of a machine, or its headers are damaged or cut.
Input<std::unique_ptr<MemoryImage>> open_elf(const std::shared_ptr<const StoredBytes>& file);

}  // namespace pagoda::sim
