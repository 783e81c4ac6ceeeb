// Clears a page that no one is about to read.
#pragma once

#include <cstddef>
#include <span>

#include "pagoda/base/units.h"

namespace pagoda {

// Writes zeros past the caches, so that what is in them stays there. Slower for a page that is in a cache already, and
// for the next reader of the page.
void zero_past_caches(std::span<std::byte, kPageBytes> page);

}  // namespace pagoda
