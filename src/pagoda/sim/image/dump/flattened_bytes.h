// makedumpfile's flattened format, which QEMU always writes kdump files in: records that say which bytes belong where.
//
// Records come in any order; what none gives is zero, and where two give the same byte the later one counts. They are
// indexed and read where they lie.
// Source: reference formats.md 3.4.
#pragma once

#include <memory>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/stored_bytes.h"

namespace pagoda::sim {

// The file that the records make. Fails with one line: a record is damaged, or the end is missing.
Input<std::unique_ptr<StoredBytes>> unflatten(const std::shared_ptr<const StoredBytes>& file);

}  // namespace pagoda::sim
