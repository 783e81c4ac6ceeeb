// Where a new region may lie: how far programs reach, and what a caller may ask for beyond "anywhere".
// Source: reference/nt.md sections 1 and 7.1.
#pragma once

#include <cstdint>
#include <optional>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/paging_mode.h"

namespace pagoda::mm {

// Regions begin on multiples of it. NT: MM_ALLOCATION_GRANULARITY, 64 KB.
inline constexpr PageCount kAllocationGranularityPages = pages_of(ByteCount(kAllocationGranularity));

// How much of a 32-bit address space is the program's. NT: an image that is marked large-address aware, under /3GB.
enum class UserRange : std::uint8_t {
  kNormal,  // 2 GB.
  kLarge,   // 3 GB on x86 and PAE; AMD64 has enough and does not look at it.
};

// NT: MmHighestUserAddress.
VirtualAddress highest_user_address(const machine::PagingMode& mode, UserRange range);

// Wishes about a region for which the manager chooses the place. NT: MEM_ADDRESS_REQUIREMENTS, and ZeroBits.
struct PlacementWishes {
  std::optional<VirtualAddress> lowest;   // The first byte that may be used, on 64 KB.
  std::optional<VirtualAddress> highest;  // The last byte that may be used.
  ByteCount alignment;                    // Zero: 64 KB. Else a power of two of at least that.

  [[nodiscard]] bool any() const { return lowest || highest || !alignment.is_zero(); }
};

// The pages that remain of `limits`; none if nothing does. Fails with kInvalidParameter: `lowest` is not on 64 KB, or
// the alignment is none.
Result<VpnRange> placement_limits(const PlacementWishes& wishes, VpnRange limits);

// The last byte that ZeroBits leaves: `zero_bits` high bits of a 32-bit address are zero, also on 64-bit machines;
// there, values from 32 on are a mask instead, whose highest bit is the highest that an address may have. Zero: any
// address. Fails with kInvalidParameter3 for more than 21 zero bits (of a 64-bit address: 53); views call that
// kInvalidParameter4.
//
// A choice: the reference has the limits and the mask apart. Counting a 64-bit machine's zero bits from bit 63 (32 more
// than asked for, or those above the mask) makes them one rule.
Result<VirtualAddress> zero_bits_ceiling(const machine::PagingMode& mode, std::uint64_t zero_bits);

}  // namespace pagoda::mm
