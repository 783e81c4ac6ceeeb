// What a process may do beyond what handles allow. NT: TOKEN; privileges are held or not, there is no enabling.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "pagoda/nt.h"

namespace pagoda::nt {

// NT's numbers.
enum class Privilege : std::uint8_t {
  kLockMemory = SE_LOCK_MEMORY_PRIVILEGE,
  kIncreaseQuota = SE_INCREASE_QUOTA_PRIVILEGE,
  kIncreaseBasePriority = SE_INC_BASE_PRIORITY_PRIVILEGE,
  kCreatePagefile = SE_CREATE_PAGEFILE_PRIVILEGE,
};

// The privilege that has the number; nothing if Pagoda knows none.
constexpr std::optional<Privilege> privilege_of(std::uint32_t number) {
  switch (number) {
    case SE_LOCK_MEMORY_PRIVILEGE:
    case SE_INCREASE_QUOTA_PRIVILEGE:
    case SE_INC_BASE_PRIORITY_PRIVILEGE:
    case SE_CREATE_PAGEFILE_PRIVILEGE:
      return static_cast<Privilege>(number);
    default:
      return std::nullopt;
  }
}

class Token {
 public:
  using Privileges = std::uint32_t;  // A bit for each, by its number.
  static constexpr Privileges kAll = 1U << SE_LOCK_MEMORY_PRIVILEGE | 1U << SE_INCREASE_QUOTA_PRIVILEGE |
                                     1U << SE_INC_BASE_PRIORITY_PRIVILEGE | 1U << SE_CREATE_PAGEFILE_PRIVILEGE;

  explicit Token(Privileges held) : held_(held) {}

  [[nodiscard]] Privileges privileges() const { return held_.load(); }
  [[nodiscard]] bool holds(Privilege privilege) const { return (held_.load() & bit(privilege)) != 0; }
  // Whether it was held before.
  bool give(Privilege privilege) { return (held_.fetch_or(bit(privilege)) & bit(privilege)) != 0; }
  bool take(Privilege privilege) { return (held_.fetch_and(~bit(privilege)) & bit(privilege)) != 0; }

 private:
  static Privileges bit(Privilege privilege) { return Privileges{1} << static_cast<unsigned>(privilege); }

  std::atomic<Privileges> held_;
};

}  // namespace pagoda::nt
