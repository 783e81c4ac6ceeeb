// Operations on sections, views and files.
#pragma once

#include "tests/support/mm_operation.h"

namespace pagoda::mm::testing::op {

// --- Sections and views ---

// Makes a section of a file, or of the paging files, with pages that are committed at once or one by one.
struct CreateSection {
  By by;
  unsigned section = 0;
  std::uint64_t size = 0;
  Protection protection = Protection::kReadWrite;
  bool of_file = false;
  bool reserve = false;

  static constexpr std::string_view kName = "CreateSection";
  static constexpr unsigned kWeight = 20;
  static constexpr bool kInSpace = false;
  static CreateSection choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "section", self.section, "size", self.size, "protection", self.protection, "of_file",
         self.of_file, "reserve", self.reserve);
  }
};

struct CloseSection {
  By by;
  unsigned section = 0;

  static constexpr std::string_view kName = "CloseSection";
  static constexpr unsigned kWeight = 8;
  static constexpr bool kInSpace = false;
  static CloseSection choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "section", self.section); }
};

struct MapView {
  By by;
  unsigned section = 0;
  Range range;
  std::uint64_t offset = 0;
  Protection protection = Protection::kReadWrite;
  Where where = Where::kAtBase;
  bool extendable = false;

  static constexpr std::string_view kName = "MapView";
  static constexpr unsigned kWeight = 45;
  static constexpr bool kInSpace = true;
  static MapView choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "section", self.section, "range", self.range, "offset", self.offset, "protection",
         self.protection, "where", self.where, "extendable", self.extendable);
  }
};

// That contains the address.
struct UnmapView {
  By by;
  std::uint64_t address = 0;

  static constexpr std::string_view kName = "UnmapView";
  static constexpr unsigned kWeight = 25;
  static constexpr bool kInSpace = true;
  static UnmapView choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "address", self.address); }
};

struct Extend {
  By by;
  unsigned section = 0;
  std::uint64_t size = 0;

  static constexpr std::string_view kName = "Extend";
  static constexpr unsigned kWeight = 8;
  static constexpr bool kInSpace = false;
  static Extend choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "section", self.section, "size", self.size);
  }
};

struct FlushView {
  By by;
  Range range;

  static constexpr std::string_view kName = "FlushView";
  static constexpr unsigned kWeight = 12;
  static constexpr bool kInSpace = true;
  static FlushView choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "range", self.range); }
};

// --- Files ---

// At most 4 pages.
struct ReadFile {
  By by;
  unsigned file = 0;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;

  static constexpr std::string_view kName = "ReadFile";
  static constexpr unsigned kWeight = 15;
  static constexpr bool kInSpace = false;
  static ReadFile choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "file", self.file, "offset", self.offset, "size", self.size);
  }
};

// The same; the words are value, value + 1, ... with zeros between them.
struct WriteFile {
  By by;
  unsigned file = 0;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t value = 0;

  static constexpr std::string_view kName = "WriteFile";
  static constexpr unsigned kWeight = 15;
  static constexpr bool kInSpace = false;
  static WriteFile choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "by", self.by, "file", self.file, "offset", self.offset, "size", self.size, "value", self.value);
  }
};

struct ResizeFile {
  By by;
  unsigned file = 0;
  std::uint64_t size = 0;

  static constexpr std::string_view kName = "ResizeFile";
  static constexpr unsigned kWeight = 8;
  static constexpr bool kInSpace = false;
  static ResizeFile choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by, "file", self.file, "size", self.size); }
};

struct DropUnused {
  By by;

  static constexpr std::string_view kName = "DropUnused";
  static constexpr unsigned kWeight = 3;
  static constexpr bool kInSpace = false;
  static DropUnused choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "by", self.by); }
};

}  // namespace pagoda::mm::testing::op
