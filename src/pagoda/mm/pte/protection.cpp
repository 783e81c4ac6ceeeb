#include "pagoda/mm/pte/protection.h"

#include <array>
#include <bit>
#include <string_view>

namespace pagoda::mm {

namespace {

constexpr std::uint32_t kRightsMask = 0xFF;

// The five-bit rights of PAGE_ bit 1, 2, ... 7: RO, RW, WC, X, XR, XRW, XWC.
constexpr std::array<Protection, 8> kOfPageBit{
    Protection::kNoAccess, Protection::kReadOnly,    Protection::kReadWrite,        Protection::kWriteCopy,
    Protection::kExecute,  Protection::kExecuteRead, Protection::kExecuteReadWrite, Protection::kExecuteWriteCopy};

constexpr std::array<std::uint32_t, 8> kPageOfBase{
    page_constants::kNoAccess,         page_constants::kReadOnly,        page_constants::kExecute,
    page_constants::kExecuteRead,      page_constants::kReadWrite,       page_constants::kWriteCopy,
    page_constants::kExecuteReadWrite, page_constants::kExecuteWriteCopy};

constexpr std::array<std::string_view, 8> kBaseNames{"NONE", "RO", "X", "XR", "RW", "WC", "XRW", "XWC"};

}  // namespace

Result<Protection> protection_from_page(std::uint32_t page_constant) {
  const std::uint32_t rights = page_constant & kRightsMask;
  if (!std::has_single_bit(rights)) return fail(Status::kInvalidPageProtection);
  const Protection base = kOfPageBit[static_cast<std::size_t>(std::countr_zero(rights))];

  const std::uint32_t modifier = page_constant & ~kRightsMask;
  if (modifier == 0) return base;
  if (base == Protection::kNoAccess) return fail(Status::kInvalidPageProtection);
  switch (modifier) {
    case page_constants::kGuard:
      return with_modifier(base, kProtectionGuard);
    case page_constants::kNoCache:
      return with_modifier(base, kProtectionNoCache);
    case page_constants::kWriteCombine:
      return with_modifier(base, kProtectionWriteCombine);
    default:
      return fail(Status::kInvalidPageProtection);  // Two modifiers, or an unknown bit.
  }
}

std::uint32_t page_from_protection(Protection protection) {
  const std::uint32_t page = kPageOfBase[bits(base_of(protection))];
  if (is_guard(protection)) return page | page_constants::kGuard;
  if (is_no_cache(protection)) return page | page_constants::kNoCache;
  if (is_write_combine(protection)) return page | page_constants::kWriteCombine;
  return page;
}

std::string to_string(Protection protection) {
  if (protection == Protection::kNoAccess) return "NOACCESS";
  if (protection == Protection::kDecommitted) return "DECOMMITTED";
  std::string text(kBaseNames[bits(base_of(protection))]);
  switch (bits(protection) & kProtectionModifiers) {
    case kProtectionNoCache:
      return text + "|NOCACHE";
    case kProtectionGuard:
      return text + "|GUARD";
    case kProtectionWriteCombine:
      return text + "|WRITECOMBINE";
    default:
      return text;
  }
}

}  // namespace pagoda::mm
