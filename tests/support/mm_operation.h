// What operations on a memory manager have in common (tests/support/mm_operations.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pagoda/mm/pte/protection.h"

namespace pagoda::mm::testing {

class Interpreter;
class Chooser;

inline constexpr unsigned kSections = 5;  // That operations name.

namespace op {

// The processor and space that do it. Under `World::yields`, what would wait is not done at all if it gives up.
struct By {
  unsigned cpu = 0;
  unsigned space = 0;
  bool gives_up = false;
};
// Bytes, from any address on.
struct Range {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
};
// Where a new region lies.
enum class Where : std::uint8_t { kAtBase, kAnywhere, kTopDown };

// Visits fields with their names, in turn.
void each(auto& /*visit*/) {}
void each(auto& visit, std::string_view name, auto& field, auto&&... rest) {
  visit(name, field);
  each(visit, rest...);
}

}  // namespace op
}  // namespace pagoda::mm::testing
