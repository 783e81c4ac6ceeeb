#include "tests/support/nt_rules.h"

#include <bit>

namespace pagoda::nt::testing {

using mm::Protection;

std::optional<Protection> protection_of(std::uint32_t page) {
  const std::uint32_t modifiers = page & (PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE);
  if (!std::has_single_bit(page & 0xFF) || (page & ~0x7FFU) != 0 || std::popcount(modifiers) > 1) return std::nullopt;
  if ((page & PAGE_NOACCESS) != 0) return modifiers == 0 ? std::optional(Protection::kNoAccess) : std::nullopt;
  const auto base = static_cast<unsigned>(std::countr_zero(page & 0xFF));
  constexpr std::array<Protection, 8> kBases{
      Protection::kNoAccess, Protection::kReadOnly,    Protection::kReadWrite,        Protection::kWriteCopy,
      Protection::kExecute,  Protection::kExecuteRead, Protection::kExecuteReadWrite, Protection::kExecuteWriteCopy};
  const std::uint8_t modifier = modifiers == 0              ? std::uint8_t{0}
                                : modifiers == PAGE_GUARD   ? mm::kProtectionGuard
                                : modifiers == PAGE_NOCACHE ? mm::kProtectionNoCache
                                                            : mm::kProtectionWriteCombine;
  return with_modifier(kBases[base], modifier);
}

bool has_unknown_type(ULONG type) { return has(type, ~(MEM_COMMIT | MEM_RESERVE | MEM_TOP_DOWN | kOther)); }

NTSTATUS without_number(NTSTATUS status) {
  const bool numbered = status >= STATUS_INVALID_PARAMETER_1 && status <= STATUS_INVALID_PARAMETER_12;
  return numbered ? STATUS_INVALID_PARAMETER : status;
}

bool is_allocation_type(ULONG type, bool extended) {
  const ULONG allowed = MEM_COMMIT | MEM_RESERVE | MEM_TOP_DOWN | kOther | (extended ? kPlaceholders : 0);
  if (has(type, ~allowed) || !has(type, MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO)) return false;
  if (has(type, MEM_RESET) && type != MEM_RESET) return false;
  if (has(type, MEM_RESET_UNDO) && type != MEM_RESET_UNDO) return false;
  if (has(type, MEM_PHYSICAL) && (!has(type, MEM_RESERVE) || has(type, MEM_COMMIT | MEM_LARGE_PAGES | MEM_WRITE_WATCH)))
    return false;
  if (has(type, MEM_WRITE_WATCH) && !has(type, MEM_RESERVE)) return false;
  return !has(type, MEM_LARGE_PAGES) || (has(type, MEM_COMMIT) && !has(type, MEM_WRITE_WATCH));
}

bool is_section_type(ULONG flags) {
  constexpr ULONG kTypes = SEC_COMMIT | SEC_RESERVE | SEC_IMAGE;
  constexpr ULONG kAll = kTypes | SEC_BASED | SEC_NO_CHANGE | SEC_NOCACHE | SEC_WRITECOMBINE | SEC_LARGE_PAGES;
  if ((flags & ~kAll) != 0 || !std::has_single_bit(flags & kTypes)) return false;
  return !has(flags, SEC_IMAGE) || (flags & ~(SEC_IMAGE | SEC_BASED)) == 0;
}

std::optional<std::uint64_t> ceiling_of(bool is_64_bit, std::uint64_t zero_bits) {
  if (!is_64_bit && zero_bits > 21) return std::nullopt;
  const std::uint64_t zeros = zero_bits < 32 ? 32 + zero_bits : static_cast<std::uint64_t>(std::countl_zero(zero_bits));
  if (zeros > 53) return std::nullopt;
  return ~std::uint64_t{0} >> zeros;
}

}  // namespace pagoda::nt::testing
