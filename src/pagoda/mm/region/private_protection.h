// Which protections private memory may have: any rights but the write-copy ones, since there is nothing to copy from,
// or none at all. Source: reference/nt.md 7.1.
#pragma once

#include "pagoda/mm/pte/protection.h"

namespace pagoda::mm {

constexpr bool is_allowed_on_private(Protection protection) {
  return base_of(protection) != Protection::kNone ? !is_write_copy(protection) : protection == Protection::kNoAccess;
}

}  // namespace pagoda::mm
