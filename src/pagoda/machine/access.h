// What a program wants of an address, and what the hardware answers when it cannot have it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "pagoda/base/units.h"

namespace pagoda::machine {

enum class Access : std::uint8_t { kRead, kWrite, kExecute };
enum class Privilege : std::uint8_t { kUser, kKernel };

constexpr std::string_view name(Access access) {
  switch (access) {
    case Access::kRead:
      return "read";
    case Access::kWrite:
      return "write";
    case Access::kExecute:
      return "execute";
  }
  return "";
}

// The right that an access needs, as a bit.
constexpr std::uint64_t access_right(Access access, Privilege privilege) {
  return std::uint64_t{1} << (static_cast<unsigned>(access) * 2 + static_cast<unsigned>(privilege));
}
inline constexpr std::uint64_t kAllAccessRights = (1U << 6) - 1;

// A page fault, as the processor reports it.
struct PageFault {
  VirtualAddress address;
  Access access = Access::kRead;
  Privilege privilege = Privilege::kUser;
  bool present = false;       // The translation exists and forbids the access.
  bool reserved_bit = false;  // An entry has a bit set that the format reserves.

  // The processor's error code: bit 0 present, 1 write, 2 user, 3 reserved bit, 4 fetch (Intel SDM vol. 3A 4.7). Bit 4
  // is only reported where no-execute exists.
  [[nodiscard]] std::uint32_t error_code(bool has_no_execute) const {
    return (present ? 1U : 0U) | (access == Access::kWrite ? 2U : 0U) | (privilege == Privilege::kUser ? 4U : 0U) |
           (reserved_bit ? 8U : 0U) | (access == Access::kExecute && has_no_execute ? 16U : 0U);
  }
};

// An address-space tag of a TLB entry (AMD64: PCID, 12 bits). Tag 0 keeps nothing for long: loading a root under it
// flushes it.
enum class Asid : std::uint16_t {};
inline constexpr Asid kUntagged{0};
inline constexpr unsigned kAsidBits = 12;
inline constexpr Asid kGlobalAsid{(1U << kAsidBits) - 1};      // How a TLB marks an entry that every space shares.
inline constexpr unsigned kAsidCount = (1U << kAsidBits) - 1;  // 0 and the ones that can be handed out.

// A translation of one page that a processor may use without looking at the tables.
struct CachedTranslation {
  VirtualAddress page;
  Asid asid = kUntagged;      // kGlobalAsid: every space.
  std::uint64_t rights = 0;   // `access_right` of each access that it allows.
  std::byte* host = nullptr;  // Where the page's bytes are.
};

}  // namespace pagoda::machine
