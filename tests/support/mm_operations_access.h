// What programs do, working sets, and the manager's own work.
#pragma once

#include "tests/support/mm_operation.h"

namespace pagoda::mm::testing::op {

// --- What a program does: one word of each page of the range, of at most 64 pages ---

struct Load {
  By by;
  Range range;

  static constexpr std::string_view kName = "Load";
  static constexpr unsigned kWeight = 280;
  static constexpr bool kInSpace = true;
  static Load choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "range", self.range); }
};

// The words are value, value + 1, ...
struct Store {
  By by;
  Range range;
  std::uint64_t value = 0;

  static constexpr std::string_view kName = "Store";
  static constexpr unsigned kWeight = 280;
  static constexpr bool kInSpace = true;
  static Store choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "range", self.range, "value", self.value); }
};

struct Fetch {
  By by;
  Range range;

  static constexpr std::string_view kName = "Fetch";
  static constexpr unsigned kWeight = 20;
  static constexpr bool kInSpace = true;
  static Fetch choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "range", self.range); }
};

// --- The working set ---

struct Empty {
  By by;

  static constexpr std::string_view kName = "Empty";
  static constexpr unsigned kWeight = 8;
  static constexpr bool kInSpace = true;
  static Empty choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by); }
};

// In pages.
struct SetLimits {
  By by;
  std::uint64_t minimum = 0;
  std::uint64_t maximum = 0;
  bool hard = false;

  static constexpr std::string_view kName = "SetLimits";
  static constexpr unsigned kWeight = 8;
  static constexpr bool kInSpace = true;
  static SetLimits choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "minimum", self.minimum, "maximum", self.maximum, "hard", self.hard);
  }
};

struct Lock {
  By by;
  Range range;
  bool in_memory = false;

  static constexpr std::string_view kName = "Lock";
  static constexpr unsigned kWeight = 20;
  static constexpr bool kInSpace = true;
  static Lock choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "range", self.range, "in_memory", self.in_memory);
  }
};

struct Unlock {
  By by;
  Range range;
  bool in_memory = false;

  static constexpr std::string_view kName = "Unlock";
  static constexpr unsigned kWeight = 15;
  static constexpr bool kInSpace = true;
  static Unlock choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "range", self.range, "in_memory", self.in_memory);
  }
};

// --- The manager ---

// Those that are due.
struct RunThreads {
  By by;

  static constexpr std::string_view kName = "RunThreads";
  static constexpr unsigned kWeight = 60;
  static constexpr bool kInSpace = true;
  static RunThreads choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by); }
};

struct Advance {
  By by;
  std::uint64_t microseconds = 0;

  static constexpr std::string_view kName = "Advance";
  static constexpr unsigned kWeight = 45;
  static constexpr bool kInSpace = true;
  static Advance choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "microseconds", self.microseconds); }
};

struct Flush {
  By by;

  static constexpr std::string_view kName = "Flush";
  static constexpr unsigned kWeight = 5;
  static constexpr bool kInSpace = true;
  static Flush choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by); }
};

// Destroys the space and makes a new one.
struct Recreate {
  By by;

  static constexpr std::string_view kName = "Recreate";
  static constexpr unsigned kWeight = 4;
  static constexpr bool kInSpace = false;
  static Recreate choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by); }
};

}  // namespace pagoda::mm::testing::op
