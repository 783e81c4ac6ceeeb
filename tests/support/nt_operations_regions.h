// Operations that allocate and free: reference/nt.md 7.1 and 7.2.
#pragma once

#include "tests/support/nt_operation.h"

namespace pagoda::nt::testing::op {

struct AllocateVirtualMemory {
  std::uint8_t process = 0;
  Range range;
  std::uint64_t zero_bits = 0;
  std::uint32_t type = 0;
  std::uint32_t protect = 0;

  static constexpr std::string_view kName = "AllocateVirtualMemory";
  static constexpr unsigned kWeight = 12;
  static AllocateVirtualMemory choose(Chooser& chooser);
  void keep_to_model();
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "range", self.range, "zero_bits", self.zero_bits, "type", self.type, "protect",
         self.protect);
  }
};

// With MEM_ADDRESS_REQUIREMENTS, if it asks for them.
struct AllocateVirtualMemoryEx {
  std::uint8_t process = 0;
  Range range;
  std::uint32_t type = 0;
  std::uint32_t protect = 0;
  bool asks = false;
  std::uint64_t lowest = 0;
  std::uint64_t highest = 0;
  std::uint64_t alignment = 0;

  static constexpr std::string_view kName = "AllocateVirtualMemoryEx";
  static constexpr unsigned kWeight = 3;
  static AllocateVirtualMemoryEx choose(Chooser& chooser);
  void keep_to_model();
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "range", self.range, "type", self.type, "protect", self.protect, "asks",
         self.asks, "lowest", self.lowest, "highest", self.highest, "alignment", self.alignment);
  }
};

struct FreeVirtualMemory {
  std::uint8_t process = 0;
  Range range;
  std::uint32_t type = 0;

  static constexpr std::string_view kName = "FreeVirtualMemory";
  static constexpr unsigned kWeight = 9;
  static FreeVirtualMemory choose(Chooser& chooser);
  void keep_to_model();
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "range", self.range, "type", self.type);
  }
};

}  // namespace pagoda::nt::testing::op
