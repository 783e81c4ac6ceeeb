#include "pagoda/mm/process/placement.h"

#include <algorithm>
#include <bit>

namespace pagoda::mm {

namespace {

constexpr VirtualAddress kHighestUserLarge{0xBFFEFFFF};  // reference/nt.md section 1.
constexpr std::uint64_t kMostZeroBits = 21;              // In the low 32 bits.
constexpr std::uint64_t kFirstMask = 32;
constexpr unsigned kHighBits = 32;  // Above those of a 32-bit address.

}  // namespace

VirtualAddress highest_user_address(const machine::PagingMode& mode, UserRange range) {
  return range == UserRange::kLarge && mode.format != machine::PteFormat::kAmd64 ? kHighestUserLarge
                                                                                 : mode.highest_user;
}

Result<VpnRange> placement_limits(const PlacementWishes& wishes, VpnRange limits) {
  const std::uint64_t alignment = wishes.alignment.value();
  if (alignment != 0 && (!std::has_single_bit(alignment) || alignment < kAllocationGranularity))
    return fail(Status::kInvalidParameter);
  Vpn first = limits.first;
  Vpn end = limits.end();
  if (wishes.lowest) {
    if (wishes.lowest->value() % kAllocationGranularity != 0) return fail(Status::kInvalidParameter);
    first = std::max(first, wishes.lowest->vpn());
  }
  if (wishes.highest) {
    // A page counts if all of it lies below.
    const bool whole = wishes.highest->value() % kPageBytes == kPageBytes - 1;
    end = std::min(end, whole ? wishes.highest->vpn() + 1_pages : wishes.highest->vpn());
  }
  return first < end ? VpnRange{first, end - first} : VpnRange{};
}

Result<VirtualAddress> zero_bits_ceiling(const machine::PagingMode& mode, std::uint64_t zero_bits) {
  const bool is_64_bit = mode.format == machine::PteFormat::kAmd64;
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  if (zero_bits == 0) return VirtualAddress(is_64_bit ? kAll : kAll >> kHighBits);
  if (!is_64_bit && zero_bits > kMostZeroBits) return fail(Status::kInvalidParameter3);
  const std::uint64_t zeros =
      zero_bits < kFirstMask ? kHighBits + zero_bits : static_cast<std::uint64_t>(std::countl_zero(zero_bits));
  if (zeros > kHighBits + kMostZeroBits) return fail(Status::kInvalidParameter3);
  return VirtualAddress(kAll >> zeros);
}

}  // namespace pagoda::mm
