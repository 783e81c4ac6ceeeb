// A small scenario, and what tests of the sections do with it; nothing else includes this.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/sim/scenario/scenario.h"

namespace pagoda::sim::testing {

// Every line has a number that the tables of bad scenarios count on.
inline constexpr std::string_view kSmall = R"(title = "Small"
seed = 7
[host]
memory = "4MiB"
paging = "amd64"
processors = 1
[[disk]]
name = "ssd"
capacity = "16MiB"
latency = "65us"
[[page_file]]
disk = "ssd"
minimum = "4MiB"
maximum = "8MiB"
[memory_manager]
read_cluster = 8
[[process]]
name = "a"
working_set = { minimum = "64KiB", maximum = "1MiB" }
program = { kind = "uniform", memory = "1MiB", operations = 100 }
[run]
until = "1s"
)";

inline std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// The small scenario with a virtual machine, whose table begins in line 22; `more` are keys of it, or tables below.
inline std::string with_vm(std::string_view more) {
  return replaced(std::string(kSmall), "[run]",
                  fmt::format("[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n{}\n[run]", more));
}

// The small scenario with another program.
inline std::string with_program(std::string_view program) {
  return replaced(std::string(kSmall), R"({ kind = "uniform", memory = "1MiB", operations = 100 })", program);
}

// What is said about a scenario that cannot be read.
inline std::string refusal(const std::string& text) {
  const auto scenario = parse_scenario(text, "bad.toml");
  return scenario ? "accepted" : scenario.error().message;
}

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// A change to the small scenario that makes it a bad one.
struct BadScenario {
  std::string_view from;  // What is replaced; empty: nothing, `to` is put in front.
  std::string_view to;
  std::vector<std::string_view> parts;  // Parts of the message.
};

// Each is refused in one line with file, line, key, and what to do.
inline void expect_refused(std::span<const BadScenario> scenarios) {
  for (const BadScenario& bad : scenarios) {
    const std::string text =
        bad.from.empty() ? std::string(bad.to) + std::string(kSmall) : replaced(std::string(kSmall), bad.from, bad.to);
    const std::string message = refusal(text);
    for (const std::string_view part : bad.parts)
      EXPECT_THAT(message, ::testing::HasSubstr(std::string(part))) << bad.to;
    EXPECT_THAT(message, ::testing::StartsWith("bad.toml"));
    EXPECT_TRUE(std::ranges::none_of(message, [](char c) { return static_cast<unsigned char>(c) < ' '; })) << message;
  }
}

}  // namespace pagoda::sim::testing
