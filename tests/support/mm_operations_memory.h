// Operations on private memory.
#pragma once

#include "tests/support/mm_operation.h"

namespace pagoda::mm::testing::op {

struct Reserve {
  By by;
  Range range;
  Protection protection = Protection::kReadWrite;
  Where where = Where::kAtBase;
  bool committed = false;

  static constexpr std::string_view kName = "Reserve";
  static constexpr unsigned kWeight = 60;
  static constexpr bool kInSpace = true;
  static Reserve choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "range", self.range, "protection", self.protection, "where", self.where, "committed",
         self.committed);
  }
};

// Also pages of a view.
struct Commit {
  By by;
  Range range;
  Protection protection = Protection::kReadWrite;

  static constexpr std::string_view kName = "Commit";
  static constexpr unsigned kWeight = 60;
  static constexpr bool kInSpace = true;
  static Commit choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "range", self.range, "protection", self.protection);
  }
};

struct Decommit {
  By by;
  Range range;

  static constexpr std::string_view kName = "Decommit";
  static constexpr unsigned kWeight = 25;
  static constexpr bool kInSpace = true;
  static Decommit choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "range", self.range); }
};

struct Release {
  By by;
  Range range;

  static constexpr std::string_view kName = "Release";
  static constexpr unsigned kWeight = 30;
  static constexpr bool kInSpace = true;
  static Release choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "range", self.range); }
};

struct Protect {
  By by;
  Range range;
  Protection protection = Protection::kReadWrite;

  static constexpr std::string_view kName = "Protect";
  static constexpr unsigned kWeight = 50;
  static constexpr bool kInSpace = true;
  static Protect choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "range", self.range, "protection", self.protection);
  }
};

struct Query {
  By by;
  std::uint64_t address = 0;

  static constexpr std::string_view kName = "Query";
  static constexpr unsigned kWeight = 30;
  static constexpr bool kInSpace = true;
  static Query choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "address", self.address); }
};

}  // namespace pagoda::mm::testing::op
