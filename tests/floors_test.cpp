// The order of the floors: a file below src/pagoda includes only from its own floor and from floors below it
// (DESIGN.md, "The floors"). The checker is a pure function over text, so that its own tests can plant violations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace pagoda {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Bottom-up. src/pagoda/README.md lists the same floors in the same order.
constexpr std::array<std::string_view, 13> kFloors = {
    "base", "machine", "mm", "cc", "nt", "hv", "policy", "guest", "sim", "live", "kd", "report", "cli",
};

// A floor that may use less than everything below it: what is decided stays apart from what it is done with; and a
// guest knows its machine, not who made it.
struct Restriction {
  std::string_view floor;
  std::string_view highest;  // Besides its own.
};
constexpr std::array<Restriction, 2> kRestrictions = {{{"policy", "base"}, {"guest", "mm"}}};

std::optional<std::size_t> level(std::string_view floor) {
  const auto* const found = std::find(kFloors.begin(), kFloors.end(), floor);
  if (found == kFloors.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kFloors.begin());
}

// The floor of a path below src/pagoda: its first folder, or for the header of a whole floor ("nt.h") the floor's own
// name.
std::string floor_of(std::string_view path) {
  const std::size_t slash = path.find('/');
  if (slash != std::string_view::npos) return std::string(path.substr(0, slash));
  return std::string(path.substr(0, path.find('.')));
}

// Why the file `path` (below src/pagoda) must not include `included` in quotes; nothing if it may.
std::optional<std::string> objection(std::string_view path, std::string_view included) {
  const std::string from = floor_of(path);
  const auto from_level = level(from);
  if (!from_level) return "lies in the unknown floor '" + from + "'";

  constexpr std::string_view kPrefix = "pagoda/";
  if (!included.starts_with(kPrefix)) {
    return "an include in quotes begins with \"pagoda/\"";
  }
  const std::string to = floor_of(included.substr(kPrefix.size()));
  const auto to_level = level(to);
  if (!to_level) return "names the unknown floor '" + to + "'";
  if (*to_level > *from_level) return "'" + from + "' lies below '" + to + "'";
  for (const Restriction& restriction : kRestrictions) {
    if (from == restriction.floor && to != from && *to_level > *level(restriction.highest)) {
      return "'" + from + "' includes nothing above '" + std::string(restriction.highest) + "'";
    }
  }
  return std::nullopt;
}

// What is wrong with the includes of one file, one line per finding.
std::vector<std::string> check_includes(std::string_view path, const std::string& text) {
  static const std::regex kInclude(R"re(^[ \t]*#[ \t]*include[ \t]*"([^"]*)")re");
  std::vector<std::string> findings;
  std::istringstream lines(text);
  std::string line;
  for (std::size_t number = 1; std::getline(lines, line); ++number) {
    std::smatch match;
    if (!std::regex_search(line, match, kInclude)) continue;
    const std::string included = match[1];
    if (const auto why = objection(path, included)) {
      findings.push_back(std::string(path) + ":" + std::to_string(number) + ": #include \"" + included + "\": " + *why);
    }
  }
  return findings;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

const std::filesystem::path kRoot = std::filesystem::path(PAGODA_SOURCE_DIR) / "src" / "pagoda";

TEST(Floors, AFileIncludesOnlyItsOwnAndLowerFloors) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kRoot)) {
    const std::string extension = entry.path().extension().string();
    if (!entry.is_regular_file() || (extension != ".h" && extension != ".cpp")) continue;
    ++files;
    const std::string path = entry.path().lexically_relative(kRoot).generic_string();
    EXPECT_TRUE(level(floor_of(path))) << path << " lies in no floor";
    EXPECT_THAT(check_includes(path, read_file(entry.path())), IsEmpty());
  }
  EXPECT_GT(files, 0U) << "nothing to check below " << kRoot;
}

TEST(Floors, ReadmeListsTheFloorsBottomUp) {
  static const std::regex kItem(R"(^[0-9]+\. `([a-z]+)/`)");
  std::vector<std::string> listed;
  std::istringstream lines(read_file(kRoot / "README.md"));
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_search(line, match, kItem)) listed.push_back(match[1]);
  }
  EXPECT_EQ(listed, std::vector<std::string>(kFloors.begin(), kFloors.end()));
}

TEST(FloorsChecker, AcceptsOwnAndLowerFloorsAndSystemHeaders) {
  EXPECT_THAT(check_includes("mm/pfn/page_lists.cpp",
                             "#include \"pagoda/mm/pfn/page_lists.h\"\n"
                             "#include <vector>\n"
                             "#include \"pagoda/mm/ws/working_set.h\"\n"
                             "#include \"pagoda/machine/machine.h\"\n"
                             "#include \"pagoda/base/units.h\"\n"
                             "// #include \"pagoda/sim/engine.h\"\n"),
              IsEmpty());
}

TEST(FloorsChecker, FindsAnIncludeOfAHigherFloor) {
  EXPECT_THAT(check_includes("mm/fault/resolve.cpp", "\n#include \"pagoda/sim/engine.h\"\n"),
              ElementsAre("mm/fault/resolve.cpp:2: #include \"pagoda/sim/engine.h\": 'mm' lies below 'sim'"));
  EXPECT_THAT(check_includes("base/units.h", "  #  include\t\"pagoda/cli/options.h\""),
              ElementsAre(HasSubstr("below")));
  EXPECT_THAT(check_includes("mm/x.h", "#include \"pagoda/nt.h\""), ElementsAre(HasSubstr("'mm' lies below 'nt'")));
}

TEST(FloorsChecker, FindsUnknownFloors) {
  EXPECT_THAT(check_includes("mm/x.cpp", "#include \"pagoda/attic/x.h\""),
              ElementsAre(HasSubstr("unknown floor 'attic'")));
  EXPECT_THAT(check_includes("attic/x.cpp", "#include \"pagoda/base/units.h\""),
              ElementsAre(HasSubstr("unknown floor")));
}

TEST(FloorsChecker, FindsIncludesThatAreNotWrittenInFull) {
  EXPECT_THAT(check_includes("base/units.cpp", "#include \"units.h\""), ElementsAre(HasSubstr("begins with")));
  EXPECT_THAT(check_includes("base/units.cpp", "#include \"../mm/pfn.h\""), ElementsAre(HasSubstr("begins with")));
  EXPECT_THAT(check_includes("mm/x.cpp", "#include \"bench/faults.h\""), ElementsAre(HasSubstr("begins with")));
  EXPECT_THAT(check_includes("cli/main.cpp", "#include \"bench/faults.h\""), ElementsAre(HasSubstr("begins with")));
}

TEST(FloorsChecker, KeepsPolicyPure) {
  EXPECT_THAT(check_includes("policy/idle_tax.h", "#include \"pagoda/mm/base/counters.h\""),
              ElementsAre(HasSubstr("'policy' includes nothing above 'base'")));
  EXPECT_THAT(
      check_includes("policy/idle_tax.h", "#include \"pagoda/base/units.h\"\n#include \"pagoda/policy/shares.h\""),
      IsEmpty());
  EXPECT_THAT(check_includes("sim/host.cpp", "#include \"pagoda/policy/idle_tax.h\""), IsEmpty());
}

TEST(FloorsChecker, KeepsGuestsFromTheirHypervisor) {
  EXPECT_THAT(check_includes("guest/enlightenments.h", "#include \"pagoda/hv/partition.h\""),
              ElementsAre(HasSubstr("'guest' includes nothing above 'mm'")));
  EXPECT_THAT(check_includes("guest/enlightenments.h", "#include \"pagoda/machine/hypercalls.h\""), IsEmpty());
}

}  // namespace
}  // namespace pagoda
