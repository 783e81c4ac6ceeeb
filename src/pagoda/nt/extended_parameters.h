// MEM_EXTENDED_PARAMETER, what the Ex calls take; and their statuses. They came with Windows 10, whose status for every
// bad parameter of theirs is STATUS_INVALID_PARAMETER.
#pragma once

#include <optional>
#include <span>

#include "pagoda/base/status.h"
#include "pagoda/mm/process/placement.h"
#include "pagoda/nt.h"
#include "pagoda/nt/caller.h"

namespace pagoda::nt {

struct ExtendedParameters {
  std::optional<mm::PlacementWishes> requirements;
  std::uint64_t attributes = 0;  // MEM_EXTENDED_PARAMETER_...
};

// What they ask for, each kind at most once. A preferred node is looked at and forgotten: there is one.
// Fails with: kInvalidParameter (a type that Pagoda does not know, or twice; requirements that make no sense:
// reference/nt.md 7.1, last line; a node that is not there), kAccessViolation.
Result<ExtendedParameters> extended_parameters(const Caller& caller,
                                               std::span<const MEM_EXTENDED_PARAMETER> parameters);

// Whether the call may have them: with the base (null: none) and of the type (MEM_).
// Fails with: kInvalidParameter (requirements besides a base; attributes that memory of the type does not have).
Result<> check_parameters(const ExtendedParameters& parameters, const void* base, ULONG type);

// What an Ex call says where others say which parameter was bad.
inline Result<> with_plain_status(const Result<>& done) {
  const bool is_numbered =
      !done && done.error() >= Status::kInvalidParameter1 && done.error() <= Status::kInvalidParameter12;
  return is_numbered ? fail(Status::kInvalidParameter) : done;
}

}  // namespace pagoda::nt
