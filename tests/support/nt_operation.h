// What operations on the native API have in common (tests/support/nt_operations.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pagoda/nt.h"
#include "tests/support/operations.h"

namespace pagoda::nt::testing {

class Interpreter;
class Chooser;

// What `h` holds: the handles that operations name by their places in it. Calls that make handles put them where nothing
// is any more, from kFirstMade on.
struct Handles {
  static constexpr std::uint8_t kCurrent = 0;  // NtCurrentProcess().
  static constexpr std::uint8_t kThread = 1;   // Of the first process.
  static constexpr std::uint8_t kBad = 2;
  static constexpr std::uint8_t kNull = 3;
  static constexpr std::uint8_t kEnded = 4;       // A process that has ended.
  static constexpr std::uint8_t kMayQuery = 5;    // The first child, and no more than to query and to read it.
  static constexpr std::uint8_t kMayOperate = 6;  // The same, to operate on and to write to its memory.
  static constexpr std::uint8_t kFirstMade = 7;
  static constexpr std::uint8_t kProcesses = 7;  // Two children to begin with; to kSections.
  static constexpr std::uint8_t kSections = 11;  // To kAnything.
  static constexpr std::uint8_t kAnything = 17;
  static constexpr std::uint8_t kCount = 20;
};

namespace op {

using pagoda::testing::each;

// Bytes that a call reads and writes through pointers; either pointer may be null.
struct Range {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  bool no_base = false;
  bool no_size = false;

  static void fields(auto& self, auto&& visit) {
    each(visit, "base", self.base, "size", self.size, "no_base", self.no_base, "no_size", self.no_size);
  }
};

}  // namespace op
}  // namespace pagoda::nt::testing
