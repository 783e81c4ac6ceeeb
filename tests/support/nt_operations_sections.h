// Operations on sections and views: reference/nt.md section 6.
#pragma once

#include "tests/support/nt_operation.h"

namespace pagoda::nt::testing::op {

// `name`: its low two bits say which of kNames, from 1 on, else none; with OBJ_OPENIF if 2 is in it, OBJ_CASE_INSENSITIVE
// if 4 is.
struct CreateSection {
  std::uint8_t out = 0;  // The place of the new handle.
  bool no_handle = false;
  std::uint32_t access = 0;
  std::uint8_t name = 0;
  std::uint64_t size = 0;
  bool no_size = false;
  std::uint32_t protect = 0;
  std::uint32_t attributes = 0;
  std::uint8_t file = Handles::kNull;

  static constexpr std::string_view kName = "CreateSection";
  static constexpr unsigned kWeight = 5;
  static CreateSection choose(Chooser& chooser);
  void keep_to_model();
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "out", self.out, "no_handle", self.no_handle, "access", self.access, "name", self.name, "size",
         self.size, "no_size", self.no_size, "protect", self.protect, "attributes", self.attributes, "file", self.file);
  }
};

struct OpenSection {
  std::uint8_t out = 0;
  bool no_handle = false;
  std::uint32_t access = 0;
  std::uint8_t name = 0;

  static constexpr std::string_view kName = "OpenSection";
  static constexpr unsigned kWeight = 3;
  static OpenSection choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "out", self.out, "no_handle", self.no_handle, "access", self.access, "name", self.name);
  }
};

struct QuerySection {
  std::uint8_t section = 0;
  std::uint32_t what = 0;  // SECTION_INFORMATION_CLASS.
  std::uint64_t size = 0;
  bool no_buffer = false;

  static constexpr std::string_view kName = "QuerySection";
  static constexpr unsigned kWeight = 1;
  static QuerySection choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "section", self.section, "what", self.what, "size", self.size, "no_buffer", self.no_buffer);
  }
};

// Never succeeds: it takes a file.
struct ExtendSection {
  std::uint8_t section = 0;
  std::uint64_t size = 0;
  bool no_size = false;

  static constexpr std::string_view kName = "ExtendSection";
  static constexpr unsigned kWeight = 1;
  static ExtendSection choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "section", self.section, "size", self.size, "no_size", self.no_size);
  }
};

struct MapViewOfSection {
  std::uint8_t section = 0;
  std::uint8_t process = 0;
  Range range;
  std::uint64_t zero_bits = 0;
  std::uint64_t commit = 0;  // CommitSize.
  std::uint64_t offset = 0;
  bool no_offset = false;
  std::uint8_t inherit = 0;  // SECTION_INHERIT.
  std::uint32_t type = 0;
  std::uint32_t protect = 0;

  static constexpr std::string_view kName = "MapViewOfSection";
  static constexpr unsigned kWeight = 8;
  static MapViewOfSection choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "section", self.section, "process", self.process, "range", self.range, "zero_bits", self.zero_bits,
         "commit", self.commit, "offset", self.offset, "no_offset", self.no_offset, "inherit", self.inherit, "type",
         self.type, "protect", self.protect);
  }
};

struct UnmapViewOfSection {
  std::uint8_t process = 0;
  std::uint64_t address = 0;
  bool extended = false;  // NtUnmapViewOfSectionEx.

  static constexpr std::string_view kName = "UnmapViewOfSection";
  static constexpr unsigned kWeight = 3;
  static UnmapViewOfSection choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "address", self.address, "extended", self.extended);
  }
};

// Never succeeds: it takes a file.
struct FlushVirtualMemory {
  std::uint8_t process = 0;
  Range range;
  bool no_io = false;

  static constexpr std::string_view kName = "FlushVirtualMemory";
  static constexpr unsigned kWeight = 1;
  static FlushVirtualMemory choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "range", self.range, "no_io", self.no_io);
  }
};

}  // namespace pagoda::nt::testing::op
