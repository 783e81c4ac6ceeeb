// Operations on bytes: calls that copy between processes (reference/nt.md 7.6), and programs of the current process.
#pragma once

#include "tests/support/nt_operation.h"

namespace pagoda::nt::testing::op {

struct ReadVirtualMemory {
  std::uint8_t process = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  bool no_buffer = false;

  static constexpr std::string_view kName = "ReadVirtualMemory";
  static constexpr unsigned kWeight = 7;
  static ReadVirtualMemory choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "address", self.address, "size", self.size, "no_buffer", self.no_buffer);
  }
};

// Bytes that begin with `value`.
struct WriteVirtualMemory {
  std::uint8_t process = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  bool no_buffer = false;
  std::uint64_t value = 0;

  static constexpr std::string_view kName = "WriteVirtualMemory";
  static constexpr unsigned kWeight = 7;
  static WriteVirtualMemory choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "address", self.address, "size", self.size, "no_buffer", self.no_buffer,
         "value", self.value);
  }
};

// --- The program of the current process ---

struct Load {
  std::uint64_t address = 0;
  std::uint64_t size = 0;

  static constexpr std::string_view kName = "Load";
  static constexpr unsigned kWeight = 8;
  static Load choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "address", self.address, "size", self.size); }
};

struct Store {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::uint64_t value = 0;

  static constexpr std::string_view kName = "Store";
  static constexpr unsigned kWeight = 10;
  static Store choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "address", self.address, "size", self.size, "value", self.value);
  }
};

struct Fetch {
  std::uint64_t address = 0;

  static constexpr std::string_view kName = "Fetch";
  static constexpr unsigned kWeight = 3;
  static Fetch choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "address", self.address); }
};

}  // namespace pagoda::nt::testing::op
