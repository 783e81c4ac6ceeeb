// MEM_EXTENDED_PARAMETER, what the Ex calls take.
#pragma once

#include <span>

#include "pagoda/mm/process/placement.h"
#include "pagoda/nt.h"
#include "pagoda/nt/caller.h"

namespace pagoda::nt {

// The address requirements among the parameters; none without them.
// Fails with: kInvalidParameter (a type that Pagoda does not know, or twice; requirements besides a base, or that make
// no sense: reference/nt.md 7.1, last line).
Result<mm::PlacementWishes> address_requirements(const Caller& caller,
                                                 std::span<const MEM_EXTENDED_PARAMETER> parameters, const void* base);

}  // namespace pagoda::nt
