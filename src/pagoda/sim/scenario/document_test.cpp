// docs/scenarios.md lists every key and no other.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/sim/testing/small_scenario.h"

namespace pagoda::sim::testing {
namespace {

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    at = end + separator.size();
  }
  return parts;
}

// Keys by section ("host", "process.working_set", "process.program(zipf)", "" for the file itself).
using Keys = std::map<std::string, std::set<std::string>>;

Keys documented_keys(const std::string& document) {
  Keys keys;
  std::string section = "?";
  for (const std::string& line : split(document, "\n")) {
    if (line.starts_with("#")) {
      std::string name = line.substr(line.find(' ') + 1);
      std::erase_if(name, [](char c) { return c == '`' || c == '[' || c == ']'; });
      section = name == "The file" ? "" : line.starts_with("### ") ? "process." + name : name;
      continue;
    }
    if (!line.starts_with("| `")) continue;
    const std::vector<std::string> cells = split(line, " | ");
    const std::string key = split(cells[0], "`")[1];
    if (section != "process.program") {
      EXPECT_EQ(cells.size(), 4U) << line;
      keys[section].insert(key);
    } else if (cells.size() == 5) {
      for (const std::string& kind : cells[1] == "all" ? std::vector<std::string>{"sequential", "uniform", "zipf",
                                                                                  "phases", "trace", "image", "demand"}
                                                       : split(cells[1], ", "))
        keys[fmt::format("process.program({})", kind)].insert(key);
    }
  }
  return keys;
}

// The keys that the reader knows at a place of a scenario: it lists them when it refuses another.
std::set<std::string> known_keys(const std::string& text) {
  const std::string message = refusal(text);
  const std::string_view intro = "zzz: is not a known key; known here: ";
  const std::size_t at = message.find(intro);
  EXPECT_NE(at, std::string::npos) << message;
  if (at == std::string::npos) return {};
  const auto names = split(message.substr(at + intro.size()), ", ");
  return {names.begin(), names.end()};
}

TEST(ScenarioDocument, ListsEveryKeyAndNoOther) {
  const std::string small(kSmall);
  Keys known{
      {"", known_keys(replaced(small, "seed = 7", "zzz = 7"))},
      {"host", known_keys(replaced(small, "processors = 1", "zzz = 1"))},
      {"disk", known_keys(replaced(small, "latency", "zzz"))},
      {"page_file", known_keys(replaced(small, "maximum = \"8MiB\"", "zzz = 1"))},
      {"memory_manager", known_keys(replaced(small, "read_cluster", "zzz"))},
      {"process", known_keys(replaced(small, "name = \"a\"", "name = \"a\"\nzzz = 1"))},
      {"process.fill", known_keys(replaced(small, "name = \"a\"", "name = \"a\"\nfill = { image = 'x', zzz = 1 }"))},
      {"process.steps",
       known_keys(
           replaced(small, "kind = \"uniform\", memory = \"1MiB\", operations = 100",
                    "kind = 'demand', length = '1s', steps = [{ at = '0s', used = '4KiB', active = '0B', zzz = 1 }]"))},
      {"process.working_set", known_keys(replaced(small, "minimum = \"64KiB\"", "zzz = 1"))},
      {"run", known_keys(replaced(small, "until", "zzz"))},
      {"vm", known_keys(with_vm("zzz = 1"))},
      {"host.policy", known_keys(replaced(small, "processors = 1", "policy = { zzz = 1 }"))},
      {"event", known_keys(with_vm("") + "[[event]]\nat = '1s'\nvm = 'v'\nzzz = 1\n")},
      {"vm.allocation", known_keys(with_vm("allocation = { zzz = 1 }"))},
      {"vm.limits", known_keys(with_vm("limits = { zzz = 1 }"))},
      {"host.sharing", known_keys(replaced(small, "processors = 1", "sharing = { zzz = 1 }"))},
      {"host.sharing.domain",
       known_keys(replaced(small, "processors = 1", "sharing = { domain = [{ name = 'x', zzz = 1 }] }"))},
      {"template", known_keys(with_vm("[[template]]\nname = 't'\ndisk = 'ssd'\nzzz = 1\nfill = { image = 'x' }"))},
      {"template.fill", known_keys(with_vm("[[template]]\nname = 't'\ndisk = 'ssd'\nfill = { image = 'x', zzz = 1 }"))},
      {"vm.sharing", known_keys(with_vm("sharing = { zzz = 1 }"))},
      {"vm.balloon", known_keys(with_vm("balloon = { zzz = 1 }"))},
      {"vm.hints", known_keys(with_vm("hints = { zzz = 1 }"))},
  };
  const std::pair<const char*, const char*> programs[] = {
      {"sequential", "memory = '4KiB', operations = 1"},
      {"uniform", "memory = '4KiB', operations = 1"},
      {"zipf", "memory = '4KiB', operations = 1"},
      {"phases", "memory = '4KiB', operations = 1, window = '4KiB', phase_operations = 1"},
      {"trace", "file = 'x'"},
      {"image", "image = 'x'"},
      {"demand", "length = '1s', steps = [{ at = '0s', used = '4KiB', active = '4KiB' }]"},
  };
  for (const auto& [kind, keys] : programs)
    known[fmt::format("process.program({})", kind)] =
        known_keys(replaced(small, "kind = \"uniform\", memory = \"1MiB\", operations = 100",
                            fmt::format("kind = '{}', {}, zzz = 1", kind, keys)));
  const Keys documented = documented_keys(slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "docs/scenarios.md"));
  EXPECT_EQ(documented, known);
}

TEST(ScenarioDocument, ItsExamplesAreScenarios) {
  const auto blocks = split(slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "docs/scenarios.md"), "```");
  std::size_t examples = 0;
  for (const std::string& block : blocks) {
    if (!block.starts_with("toml\n")) continue;
    ++examples;
    const auto scenario = parse_scenario(block.substr(5), "example.toml");
    if (block.starts_with("toml\n# typo.toml\n")) {
      EXPECT_FALSE(scenario) << "the example of a refused scenario";
    } else {
      EXPECT_TRUE(scenario) << scenario.error().message;
    }
  }
  EXPECT_GE(examples, 1U);
}

}  // namespace
}  // namespace pagoda::sim::testing
