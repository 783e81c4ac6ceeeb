// Unpacks LZO1X, what makedumpfile -l and QEMU's kdump-lzo make of pages.
//
// Ours, since the only library for it (liblzo2) is under the GPL and Pagoda is not.
// Source: Linux, Documentation/staging/lzo.rst.
#pragma once

#include <cstddef>
#include <span>

namespace pagoda::sim {

// Whether all of `packed` is one block that gives exactly `plain`. What `plain` holds otherwise means nothing.
bool unpack_lzo1x(std::span<const std::byte> packed, std::span<std::byte> plain);

}  // namespace pagoda::sim
