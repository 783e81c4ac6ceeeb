// The five-bit protection of NT: what software PTEs, VADs and subsections keep of a page's rights.
//
//   bits 0-2  0 none, 1 RO, 2 X, 3 XR, 4 RW, 5 WC, 6 XRW, 7 XWC
//   bits 3-4  +0x08 NOCACHE, +0x10 GUARD, +0x18 WRITECOMBINE
//   whole values  0x10 DECOMMITTED (a hole in a committed range), 0x18 NOACCESS, 0x1F outswapped kernel stack
// Source: reference/nt.md 2.2; the PAGE_ constants 1.
#pragma once

#include <cstdint>
#include <string>

#include "pagoda/base/status.h"
#include "pagoda/machine/access.h"
#include "pagoda/machine/paging_mode.h"

namespace pagoda::mm {

enum class Protection : std::uint8_t {
  kNone = 0,  // The PTE decides nothing: ask the VAD.
  kReadOnly = 1,
  kExecute = 2,
  kExecuteRead = 3,
  kReadWrite = 4,
  kWriteCopy = 5,
  kExecuteReadWrite = 6,
  kExecuteWriteCopy = 7,
  kDecommitted = 0x10,
  kNoAccess = 0x18,
};

inline constexpr std::uint8_t kProtectionBase = 0x07;
inline constexpr std::uint8_t kProtectionNoCache = 0x08;
inline constexpr std::uint8_t kProtectionGuard = 0x10;
inline constexpr std::uint8_t kProtectionWriteCombine = 0x18;
inline constexpr std::uint8_t kProtectionModifiers = 0x18;

constexpr std::uint8_t bits(Protection p) { return static_cast<std::uint8_t>(p); }
constexpr Protection protection_from_bits(unsigned five_bits) {
  // Each of the 32 values is one, also those without a name: a base with a modifier.
  return static_cast<Protection>(five_bits & 0x1F);  // NOLINT(clang-analyzer-optin.core.EnumCastOutOfRange)
}
constexpr Protection base_of(Protection p) { return protection_from_bits(bits(p) & kProtectionBase); }
constexpr Protection with_modifier(Protection p, std::uint8_t modifier) {
  return protection_from_bits(bits(base_of(p)) | modifier);
}
constexpr bool is_guard(Protection p) {
  return (bits(p) & kProtectionModifiers) == kProtectionGuard && base_of(p) != Protection::kNone;
}
constexpr bool is_no_cache(Protection p) {
  return (bits(p) & kProtectionModifiers) == kProtectionNoCache && base_of(p) != Protection::kNone;
}
constexpr bool is_write_combine(Protection p) {
  return (bits(p) & kProtectionModifiers) == kProtectionWriteCombine && base_of(p) != Protection::kNone;
}
// How the processor caches what it reaches through a mapping. All mappings of a frame have the same, or its caches
// would disagree with themselves. NT: MI_PFN_CACHE_ATTRIBUTE, in whose numbers an entry of zeros would mean "not
// cached".
enum class CacheAttribute : std::uint8_t { kNotMapped, kCached, kNotCached, kWriteCombined };
constexpr CacheAttribute cache_attribute(Protection p) {
  if (is_no_cache(p)) return CacheAttribute::kNotCached;
  return is_write_combine(p) ? CacheAttribute::kWriteCombined : CacheAttribute::kCached;
}
// The same rights by way of the attribute. No rights have none, and a guard's page is not mapped.
constexpr Protection cached_as(Protection p, CacheAttribute attribute) {
  if (base_of(p) == Protection::kNone || is_guard(p)) return p;
  switch (attribute) {
    case CacheAttribute::kNotCached:
      return with_modifier(p, kProtectionNoCache);
    case CacheAttribute::kWriteCombined:
      return with_modifier(p, kProtectionWriteCombine);
    case CacheAttribute::kNotMapped:
    case CacheAttribute::kCached:
      break;
  }
  return base_of(p);
}
constexpr Protection without_guard(Protection p) { return is_guard(p) ? base_of(p) : p; }

// Whether the rights allow the access, once a guard is out of the way. A write to a write-copy page is allowed: it
// copies.
constexpr bool allows(Protection p, machine::Access access, bool has_no_execute) {
  const std::uint8_t base = bits(p) & kProtectionBase;
  switch (access) {
    case machine::Access::kRead:
      return base != 0;
    case machine::Access::kWrite:
      return base >= 4;
    case machine::Access::kExecute:
      return has_no_execute ? (base & 2) != 0 : base != 0;
  }
  return false;
}
constexpr bool is_writable(Protection p) {
  return base_of(p) == Protection::kReadWrite || base_of(p) == Protection::kExecuteReadWrite;
}
constexpr bool is_write_copy(Protection p) {
  return base_of(p) == Protection::kWriteCopy || base_of(p) == Protection::kExecuteWriteCopy;
}
// What a page with a write-copy protection has once it was written to.
constexpr Protection unshared(Protection p) {
  return is_write_copy(p) ? protection_from_bits(bits(p) ^ bits(Protection::kWriteCopy) ^ bits(Protection::kReadWrite))
                          : p;
}
// What private memory has once a fork shares it.
constexpr Protection shared_by_fork(Protection p) {
  return is_writable(p) ? protection_from_bits(bits(p) ^ bits(Protection::kWriteCopy) ^ bits(Protection::kReadWrite))
                        : p;
}
constexpr bool is_executable(Protection p) { return (bits(p) & 2) != 0 && base_of(p) != Protection::kNone; }
// The same without the right to execute. What can only be executed can be read: processors read it, too.
constexpr Protection without_execute(Protection p) {
  if (!is_executable(p)) return p;
  const bool is_written = is_writable(p) || is_write_copy(p);
  return protection_from_bits(is_written ? bits(p) & ~2U
                                         : bits(Protection::kReadOnly) | (bits(p) & kProtectionModifiers));
}
// Whether a valid PTE can carry it: a page without rights is never mapped, nor one whose guard has not been hit.
constexpr bool is_mappable(Protection p) { return base_of(p) != Protection::kNone && !is_guard(p); }

// The PAGE_ constants of the API. The lowest eight bits are the rights, one bit each; the three above modify them.
namespace page_constants {
inline constexpr std::uint32_t kNoAccess = 0x01;
inline constexpr std::uint32_t kReadOnly = 0x02;
inline constexpr std::uint32_t kReadWrite = 0x04;
inline constexpr std::uint32_t kWriteCopy = 0x08;
inline constexpr std::uint32_t kExecute = 0x10;
inline constexpr std::uint32_t kExecuteRead = 0x20;
inline constexpr std::uint32_t kExecuteReadWrite = 0x40;
inline constexpr std::uint32_t kExecuteWriteCopy = 0x80;
inline constexpr std::uint32_t kGuard = 0x100;
inline constexpr std::uint32_t kNoCache = 0x200;
inline constexpr std::uint32_t kWriteCombine = 0x400;
}  // namespace page_constants

// From and to the PAGE_ constants of the API.
// Fails with: kInvalidPageProtection (no or several rights, NOACCESS with a modifier, GUARD with NOCACHE or
// WRITECOMBINE, NOCACHE with WRITECOMBINE, unknown bits: reference/nt.md 7.1).
Result<Protection> protection_from_page(std::uint32_t page_constant);
// What gives no rights (nothing decided, a hole, NOACCESS) reads as PAGE_NOACCESS.
std::uint32_t page_from_protection(Protection protection);
std::string to_string(Protection protection);  // "RW", "XR|GUARD", "NOACCESS", "DECOMMITTED", "NONE".

}  // namespace pagoda::mm
