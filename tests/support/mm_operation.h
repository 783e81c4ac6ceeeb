// What operations on a memory manager have in common (tests/support/mm_operations.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pagoda/mm/pte/protection.h"
#include "tests/support/operations.h"

namespace pagoda::mm::testing {

class Interpreter;
class Chooser;

inline constexpr unsigned kSections = 5;  // That operations name.

namespace op {

using pagoda::testing::each;

// The processor and space that do it. Under `World::yields`, what would wait is not done at all if it gives up.
struct By {
  unsigned cpu = 0;
  unsigned space = 0;
  bool gives_up = false;

  static void fields(auto& self, auto&& visit) {
    each(visit, "cpu", self.cpu, "space", self.space, "gives_up", self.gives_up);
  }
};
// Bytes, from any address on.
struct Range {
  std::uint64_t address = 0;
  std::uint64_t size = 0;

  static void fields(auto& self, auto&& visit) { each(visit, "address", self.address, "size", self.size); }
};
// Where a new region lies.
enum class Where : std::uint8_t { kAtBase, kAnywhere, kTopDown };

}  // namespace op
}  // namespace pagoda::mm::testing
