// Whether a page holds nothing but zeros.
#pragma once

#include <cstddef>
#include <span>

#include "pagoda/base/units.h"

namespace pagoda {

// Ends at the first block that holds something, so that most pages that are not zero cost a cache line or two. As fast
// as the processor reads otherwise: bench/zero_detect compares it with memcmp.
[[nodiscard]] bool is_zero(std::span<const std::byte, kPageBytes> page);

}  // namespace pagoda
