// Operations on pages of a region: reference/nt.md 7.3 to 7.5.
#pragma once

#include "tests/support/nt_operation.h"

namespace pagoda::nt::testing::op {

struct ProtectVirtualMemory {
  std::uint8_t process = 0;
  Range range;
  std::uint32_t protect = 0;
  bool no_old = false;

  static constexpr std::string_view kName = "ProtectVirtualMemory";
  static constexpr unsigned kWeight = 9;
  static ProtectVirtualMemory choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "range", self.range, "protect", self.protect, "no_old", self.no_old);
  }
};

// A buffer of at most a page.
struct QueryVirtualMemory {
  std::uint8_t process = 0;
  std::uint64_t address = 0;
  std::uint32_t what = 0;  // MEMORY_INFORMATION_CLASS.
  std::uint64_t size = 0;
  bool no_buffer = false;

  static constexpr std::string_view kName = "QueryVirtualMemory";
  static constexpr unsigned kWeight = 8;
  static QueryVirtualMemory choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "address", self.address, "what", self.what, "size", self.size, "no_buffer",
         self.no_buffer);
  }
};

struct LockVirtualMemory {
  std::uint8_t process = 0;
  Range range;
  std::uint32_t type = 0;

  static constexpr std::string_view kName = "LockVirtualMemory";
  static constexpr unsigned kWeight = 3;
  static LockVirtualMemory choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "range", self.range, "type", self.type);
  }
};

struct UnlockVirtualMemory {
  std::uint8_t process = 0;
  Range range;
  std::uint32_t type = 0;

  static constexpr std::string_view kName = "UnlockVirtualMemory";
  static constexpr unsigned kWeight = 3;
  static UnlockVirtualMemory choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "range", self.range, "type", self.type);
  }
};

}  // namespace pagoda::nt::testing::op
