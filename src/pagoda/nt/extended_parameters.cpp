#include "pagoda/nt/extended_parameters.h"

#include <bit>

#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

Result<mm::PlacementWishes> wishes_of(const Caller& caller, const MEM_ADDRESS_REQUIREMENTS& asked, const void* base) {
  constexpr auto kBad = Status::kInvalidParameter;
  PAGODA_TRY(require(base == nullptr, kBad));
  const std::uint64_t limit = highest_vad_address(caller).value();
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

}  // namespace

Result<mm::PlacementWishes> address_requirements(const Caller& caller,
                                                 std::span<const MEM_EXTENDED_PARAMETER> parameters, const void* base) {
  std::optional<mm::PlacementWishes> wishes;
  for (const MEM_EXTENDED_PARAMETER& parameter : parameters) {
    if (parameter.Type != MemExtendedParameterAddressRequirements || wishes) return fail(Status::kInvalidParameter);
    PAGODA_TRY(probe(parameter.Pointer));
    wishes = PAGODA_TRY(wishes_of(caller, *static_cast<const MEM_ADDRESS_REQUIREMENTS*>(parameter.Pointer), base));
  }
  return wishes.value_or(mm::PlacementWishes{});
}

}  // namespace pagoda::nt
