#include "pagoda/mm/pte/protection.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>

namespace pagoda::mm {
namespace {

using machine::Access;

constexpr Protection protection(unsigned bits) { return protection_from_bits(bits); }

// reference/nt.md 7.1 and 2.2, said once more: rule by rule, and by name.
Result<Protection> expected_from_page(std::uint32_t page) {
  constexpr std::uint32_t kRights = 0xFF;
  constexpr std::uint32_t kModifiers = 0x700;
  if ((page & ~(kRights | kModifiers)) != 0) return fail(Status::kInvalidPageProtection);
  if (std::popcount(page & kRights) != 1) return fail(Status::kInvalidPageProtection);
  const bool guard = (page & 0x100) != 0;
  const bool no_cache = (page & 0x200) != 0;
  const bool write_combine = (page & 0x400) != 0;
  if ((page & 0x01) != 0) {  // PAGE_NOACCESS
    if (guard || no_cache || write_combine) return fail(Status::kInvalidPageProtection);
    return protection(0x18);
  }
  if (guard && (no_cache || write_combine)) return fail(Status::kInvalidPageProtection);
  if (no_cache && write_combine) return fail(Status::kInvalidPageProtection);
  unsigned bits = 0;
  switch (page & kRights) {
    case 0x02:
      bits = 1;
      break;  // READONLY
    case 0x04:
      bits = 4;
      break;  // READWRITE
    case 0x08:
      bits = 5;
      break;  // WRITECOPY
    case 0x10:
      bits = 2;
      break;  // EXECUTE
    case 0x20:
      bits = 3;
      break;  // EXECUTE_READ
    case 0x40:
      bits = 6;
      break;  // EXECUTE_READWRITE
    case 0x80:
      bits = 7;
      break;  // EXECUTE_WRITECOPY
    default:
      break;
  }
  return protection(bits + (no_cache ? 0x08U : 0U) + (guard ? 0x10U : 0U) + (write_combine ? 0x18U : 0U));
}

TEST(Protection, FromPageConstantFollowsTheRulesForEveryCombination) {
  unsigned valid = 0;
  for (std::uint32_t page = 0; page <= 0xFFFF; ++page) {
    const Result<Protection> got = protection_from_page(page);
    ASSERT_EQ(got, expected_from_page(page)) << std::hex << page;
    if (got) {
      ++valid;
      ASSERT_EQ(page_from_protection(*got), page) << std::hex << page;
    }
  }
  EXPECT_EQ(valid, 1U + 7U * 4U);  // NOACCESS; seven rights, plain and with one of three modifiers.
}

TEST(Protection, FromPageConstantRefusesHighBits) {
  for (unsigned bit = 16; bit < 32; ++bit) {
    EXPECT_EQ(protection_from_page(page_constants::kReadWrite | 1U << bit), fail(Status::kInvalidPageProtection))
        << bit;
  }
}

TEST(Protection, ToPageConstantOfAll32) {
  for (unsigned bits = 0; bits < 32; ++bits) {
    const std::uint32_t page = page_from_protection(protection(bits));
    if ((bits & 7) == 0) {  // Nothing decided, a hole, NOACCESS.
      EXPECT_EQ(page, page_constants::kNoAccess) << bits;
    } else {
      EXPECT_EQ(protection_from_page(page), protection(bits)) << bits;
    }
  }
}

TEST(Protection, AllowsWhatTheTableSays) {
  // reference/nt.md 2.2. Reads: 1-7; writes: 4, 6 and, through a copy, 5, 7; fetches: 2, 3, 6, 7 with NX, else any
  // readable.
  constexpr std::array<const char*, 8> kWithNx{"", "r", "rx", "rx", "rw", "rw", "rwx", "rwx"};
  constexpr std::array<const char*, 8> kWithoutNx{"", "rx", "rx", "rx", "rwx", "rwx", "rwx", "rwx"};
  for (unsigned bits = 0; bits < 32; ++bits) {
    for (const bool nx : {false, true}) {
      const std::string_view allowed = (nx ? kWithNx : kWithoutNx)[bits & 7];
      EXPECT_EQ(allows(protection(bits), Access::kRead, nx), allowed.contains('r')) << bits << nx;
      EXPECT_EQ(allows(protection(bits), Access::kWrite, nx), allowed.contains('w')) << bits << nx;
      EXPECT_EQ(allows(protection(bits), Access::kExecute, nx), allowed.contains('x')) << bits << nx;
    }
  }
}

TEST(Protection, ClassesOfAll32) {
  for (unsigned bits = 0; bits < 32; ++bits) {
    const Protection p = protection(bits);
    const unsigned base = bits & 7;
    const unsigned modifier = base == 0 ? 0 : bits & 0x18;  // 0x10 and 0x18 alone are DECOMMITTED and NOACCESS.
    EXPECT_EQ(is_no_cache(p), modifier == 0x08) << bits;
    EXPECT_EQ(is_guard(p), modifier == 0x10) << bits;
    EXPECT_EQ(is_write_combine(p), modifier == 0x18) << bits;
    EXPECT_EQ(is_writable(p), base == 4 || base == 6) << bits;
    EXPECT_EQ(is_write_copy(p), base == 5 || base == 7) << bits;
    EXPECT_EQ(is_executable(p), base == 2 || base == 3 || base == 6 || base == 7) << bits;
    constexpr std::array<unsigned, 8> kWithoutExecute{0, 1, 1, 1, 4, 5, 4, 5};
    EXPECT_EQ(without_execute(p), protection(kWithoutExecute[base] | (bits & 0x18))) << bits;
    EXPECT_EQ(is_mappable(p), base != 0 && modifier != 0x10) << bits;
    EXPECT_EQ(without_guard(p), modifier == 0x10 ? protection(base) : p) << bits;
  }
}

TEST(Protection, Prints) {
  EXPECT_EQ(to_string(Protection::kNone), "NONE");
  EXPECT_EQ(to_string(Protection::kReadOnly), "RO");
  EXPECT_EQ(to_string(Protection::kReadWrite), "RW");
  EXPECT_EQ(to_string(Protection::kExecuteWriteCopy), "XWC");
  EXPECT_EQ(to_string(Protection::kNoAccess), "NOACCESS");
  EXPECT_EQ(to_string(Protection::kDecommitted), "DECOMMITTED");
  EXPECT_EQ(to_string(with_modifier(Protection::kExecuteRead, kProtectionGuard)), "XR|GUARD");
  EXPECT_EQ(to_string(with_modifier(Protection::kReadWrite, kProtectionNoCache)), "RW|NOCACHE");
  EXPECT_EQ(to_string(with_modifier(Protection::kReadWrite, kProtectionWriteCombine)), "RW|WRITECOMBINE");
}

}  // namespace
}  // namespace pagoda::mm
