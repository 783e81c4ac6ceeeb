// Operations on handles, processes and attachments: reference/nt.md section 8.
#pragma once

#include "tests/support/nt_operation.h"

namespace pagoda::nt::testing::op {

struct Close {
  std::uint8_t handle = 0;

  static constexpr std::string_view kName = "Close";
  static constexpr unsigned kWeight = 3;
  static Close choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "handle", self.handle); }
};

// A handle of one process, to another.
struct DuplicateObject {
  std::uint8_t source = 0;
  std::uint8_t handle = 0;
  std::uint8_t target = 0;
  std::uint8_t out = 0;  // The place of the new handle.
  bool no_handle = false;
  std::uint32_t access = 0;
  std::uint32_t options = 0;

  static constexpr std::string_view kName = "DuplicateObject";
  static constexpr unsigned kWeight = 3;
  static DuplicateObject choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "source", self.source, "handle", self.handle, "target", self.target, "out", self.out, "no_handle",
         self.no_handle, "access", self.access, "options", self.options);
  }
};

struct CreateProcess {
  std::uint8_t out = 0;
  bool no_handle = false;
  std::uint8_t parent = 0;
  std::uint32_t flags = 0;

  static constexpr std::string_view kName = "CreateProcess";
  static constexpr unsigned kWeight = 2;
  static CreateProcess choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "out", self.out, "no_handle", self.no_handle, "parent", self.parent, "flags", self.flags);
  }
};

struct TerminateProcess {
  std::uint8_t process = 0;

  static constexpr std::string_view kName = "TerminateProcess";
  static constexpr unsigned kWeight = 1;
  static TerminateProcess choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "process", self.process); }
};

struct QueryInformationProcess {
  std::uint8_t process = 0;
  std::uint32_t what = 0;  // PROCESSINFOCLASS.
  std::uint64_t size = 0;
  bool no_buffer = false;

  static constexpr std::string_view kName = "QueryInformationProcess";
  static constexpr unsigned kWeight = 2;
  static QueryInformationProcess choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "what", self.what, "size", self.size, "no_buffer", self.no_buffer);
  }
};

// NtSetInformationProcess of ProcessQuotaLimits; in bytes.
struct SetWorkingSet {
  std::uint8_t process = 0;
  std::uint64_t minimum = 0;
  std::uint64_t maximum = 0;

  static constexpr std::string_view kName = "SetWorkingSet";
  static constexpr unsigned kWeight = 2;
  static SetWorkingSet choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) {
    each(visit, "process", self.process, "minimum", self.minimum, "maximum", self.maximum);
  }
};

// SeLockMemory.
struct SetPrivilege {
  std::uint8_t process = 0;
  bool enable = false;

  static constexpr std::string_view kName = "SetPrivilege";
  static constexpr unsigned kWeight = 1;
  static SetPrivilege choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "process", self.process, "enable", self.enable); }
};

struct Attach {
  std::uint8_t process = 0;

  static constexpr std::string_view kName = "Attach";
  static constexpr unsigned kWeight = 1;
  static Attach choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& self, auto&& visit) { each(visit, "process", self.process); }
};

struct Detach {
  static constexpr std::string_view kName = "Detach";
  static constexpr unsigned kWeight = 2;
  static Detach choose(Chooser& chooser);
  std::string perform(Interpreter& in) const;
  static void fields(auto& /*self*/, auto&& visit) { each(visit); }
};

}  // namespace pagoda::nt::testing::op
