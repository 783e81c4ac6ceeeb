#include "pagoda/nt/extended_parameters.h"

#include <bit>

#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

// Attributes that change nothing here: memory is zeroed in any case, and nothing is set apart for graphics.
constexpr std::uint64_t kHints = MEM_EXTENDED_PARAMETER_GRAPHICS | MEM_EXTENDED_PARAMETER_ZERO_PAGES_OPTIONAL;

Result<mm::PlacementWishes> wishes_of(const Caller& caller, const MEM_ADDRESS_REQUIREMENTS& asked) {
  constexpr auto kBad = Status::kInvalidParameter;
  const std::uint64_t limit = highest_user_address(caller).value();
  const std::uint64_t lowest = bits_of(asked.LowestStartingAddress);
  const std::uint64_t highest = bits_of(asked.HighestEndingAddress);
  PAGODA_TRY(require(lowest % kAllocationGranularity == 0 && lowest <= limit, kBad));
  PAGODA_TRY(require(highest == 0 || ((highest + 1) % kPageBytes == 0 && highest <= limit && highest > lowest), kBad));
  PAGODA_TRY(require(
      asked.Alignment == 0 || (std::has_single_bit(asked.Alignment) && asked.Alignment >= kAllocationGranularity),
      kBad));
  mm::PlacementWishes wishes{.alignment = ByteCount(asked.Alignment)};
  if (lowest != 0) wishes.lowest = VirtualAddress(lowest);
  if (highest != 0) wishes.highest = VirtualAddress(highest);
  return wishes;
}

// What never leaves memory.
std::uint64_t attributes_of(ULONG type) {
  if (has(type, MEM_LARGE_PAGES)) return MEM_EXTENDED_PARAMETER_NONPAGED | MEM_EXTENDED_PARAMETER_NONPAGED_LARGE;
  return has(type, MEM_PHYSICAL) ? MEM_EXTENDED_PARAMETER_NONPAGED : 0;
}

}  // namespace

Result<ExtendedParameters> extended_parameters(const Caller& caller,
                                               std::span<const MEM_EXTENDED_PARAMETER> parameters) {
  constexpr auto kBad = Status::kInvalidParameter;
  ExtendedParameters out;
  std::uint32_t present = 0;
  for (const MEM_EXTENDED_PARAMETER& parameter : parameters) {
    PAGODA_TRY(require(parameter.Type < MemExtendedParameterMax, kBad));
    const std::uint32_t bit = std::uint32_t{1} << parameter.Type;
    PAGODA_TRY(require((present & bit) == 0, kBad));
    present |= bit;
    switch (parameter.Type) {
      case MemExtendedParameterAddressRequirements:
        PAGODA_TRY(probe(parameter.Pointer));
        out.requirements =
            PAGODA_TRY(wishes_of(caller, *static_cast<const MEM_ADDRESS_REQUIREMENTS*>(parameter.Pointer)));
        break;
      case MemExtendedParameterNumaNode:
        PAGODA_TRY(require(parameter.ULong == 0 || parameter.ULong == NUMA_NO_PREFERRED_NODE, kBad));
        break;
      case MemExtendedParameterAttributeFlags:
        out.attributes = parameter.ULong64;
        break;
      default:
        return fail(kBad);
    }
  }
  return out;
}

Result<> check_parameters(const ExtendedParameters& parameters, const void* base, ULONG type) {
  constexpr auto kBad = Status::kInvalidParameter;
  PAGODA_TRY(require(!parameters.requirements || base == nullptr, kBad));
  return require((parameters.attributes & ~(kHints | attributes_of(type))) == 0, kBad);
}

}  // namespace pagoda::nt
