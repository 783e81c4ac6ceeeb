#include "pagoda/sim/trace_program.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "pagoda/sim/trace/trace_writer.h"

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A trace of one page, whose page numbers number `space`.
std::string write_trace(std::string_view space) {
  std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("pagoda-trace-program-{}.vmpt.zst", getpid())).string();
  auto writer = TraceWriter::create(path, {.space = std::string(space)});
  EXPECT_TRUE(writer.has_value());
  (*writer)->append({Vpn(1), 1, kTraceRead});
  EXPECT_TRUE((*writer)->publish().has_value());
  return path;
}

TEST(TraceProgram, PlaysMemory) {
  for (const std::string_view space : {kVirtualSpace, kPhysicalSpace, std::string_view("another recorder's")}) {
    const std::string path = write_trace(space);
    EXPECT_TRUE(TraceProgram::open(path, 1).has_value()) << space;
    std::filesystem::remove(path);
  }
}

TEST(TraceProgram, RefusesPagesThatNoProgramTouches) {
  for (const std::string_view space : {kDiskSpace, kObjectSpace}) {
    const std::string path = write_trace(space);
    const auto program = TraceProgram::open(path, 1);
    ASSERT_FALSE(program.has_value()) << space;
    EXPECT_THAT(program.error().message, AllOf(HasSubstr(path), HasSubstr(std::string(space)), HasSubstr("no file I/O"),
                                               HasSubstr("; give"), Not(HasSubstr("\n"))));
    std::filesystem::remove(path);
  }
}

}  // namespace
}  // namespace pagoda::sim
