// The order of the floors: a file below src/pagoda includes only from its own floor and from floors below it
// (DESIGN.md, "The floors"). The checker is a pure function over text, so that its own tests can plant violations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace pagoda {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The floors of the house as one graph, bottom-up: what each stands on. A file includes from its own floor, from those that
// its floor names and from what these stand on. src/pagoda/README.md lists the floors in the same order, CMakeLists.txt gives
// the libraries the same dependencies. Inside mm the floors are folders, and mm's root is one of them (the manager).
struct Floor {
  std::string_view name;
  std::vector<std::string_view> stands_on;
};

const std::vector<Floor>& floors() {
  static const std::vector<Floor> kFloors = {
      {"base", {}},
      {"machine", {"base"}},
      {"mm/base", {"machine"}},
      {"mm/pte", {"mm/base"}},
      {"mm/pfn", {"mm/pte"}},
      {"mm/backing", {"mm/pfn"}},
      {"mm/space", {"mm/backing"}},
      {"mm/ws", {"mm/space"}},
      {"mm/section", {"mm/ws"}},
      {"mm/fault", {"mm/section"}},
      {"mm/region", {"mm/fault"}},
      {"mm/process", {"mm/region"}},
      {"mm/combine", {"mm/process"}},
      {"mm/threads", {"mm/combine"}},
      {"mm", {"mm/threads"}},
      {"mm/check", {"mm"}},
      {"mm/testing", {"mm/check"}},
      {"cc", {"mm/testing"}},
      {"nt", {"mm/testing"}},
      {"hv", {"mm/testing"}},
      {"policy", {"base"}},       // What is decided stays apart from what it is done with.
      {"guest", {"mm/testing"}},  // A guest knows its machine, not what made it.
      {"sim", {"hv", "guest", "policy"}},
      {"live", {"policy"}},
      {"kd", {"nt", "hv", "guest"}},
      {"report", {"sim"}},
      {"cli", {"report"}},
  };
  return kFloors;
}

const Floor* find_floor(std::string_view name) {
  const auto found = std::ranges::find(floors(), name, &Floor::name);
  return found == floors().end() ? nullptr : &*found;
}

// The floor of a path below src/pagoda: its first folder, or for the header of a whole floor ("nt.h") the floor's own
// name; inside mm, the first folder there.
std::string floor_of(std::string_view path) {
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos) return std::string(path.substr(0, path.find('.')));
  const std::string first(path.substr(0, slash));
  if (first != "mm") return first;
  const std::size_t second = path.find('/', slash + 1);
  return std::string(path.substr(0, second == std::string_view::npos ? slash : second));
}

// The top folder of a floor: its library.
std::string library_of(std::string_view floor) { return std::string(floor.substr(0, floor.find('/'))); }

bool stands_on(const Floor& floor, std::string_view lower) {
  return floor.name == lower || std::ranges::any_of(floor.stands_on, [&](std::string_view below) {
           return stands_on(*find_floor(below), lower);
         });
}

// Tests may use what stands above them inside their own library: a whole manager, the checker.
bool is_test(std::string_view path) {
  return path.ends_with("_test.cpp") || path.find("/testing/") != std::string_view::npos;
}

// Why the file `path` (below src/pagoda) must not include `included` in quotes; nothing if it may.
std::optional<std::string> objection(std::string_view path, std::string_view included) {
  const std::string from = floor_of(path);
  const Floor* const own = find_floor(from);
  if (own == nullptr) return "lies in the unknown floor '" + from + "'";

  constexpr std::string_view kPrefix = "pagoda/";
  if (!included.starts_with(kPrefix)) return "an include in quotes begins with \"pagoda/\"";
  const std::string to = floor_of(included.substr(kPrefix.size()));
  if (find_floor(to) == nullptr) return "names the unknown floor '" + to + "'";
  if (is_test(path) && library_of(from) == library_of(to)) return std::nullopt;
  if (to == "mm/testing" && !is_test(path)) return "'" + to + "' is for tests";
  if (!stands_on(*own, to)) return "'" + from + "' does not stand on '" + to + "'";
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
    EXPECT_NE(find_floor(floor_of(path)), nullptr) << path << " lies in no floor";
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
  std::vector<std::string> libraries;
  for (const Floor& floor : floors()) {
    const std::string library = library_of(floor.name);
    if (std::ranges::find(libraries, library) == libraries.end()) libraries.push_back(library);
  }
  EXPECT_EQ(listed, libraries);
}

// What the graph lets a library include, and what CMake links to it, are the same libraries.
TEST(Floors, CMakeKnowsTheSameDependencies) {
  static const std::regex kFloor(R"(pagoda_floor\(([a-z]+)([^)]*)\))");
  static const std::regex kDepends(R"(DEPENDS((\s+[a-z]+)+))");
  const std::string text = read_file(std::filesystem::path(PAGODA_SOURCE_DIR) / "CMakeLists.txt");
  std::map<std::string, std::set<std::string>> linked;
  for (std::sregex_iterator it(text.begin(), text.end(), kFloor), end; it != end; ++it) {
    const std::string arguments = (*it)[2];
    std::set<std::string>& below = linked[(*it)[1]];
    std::smatch depends;
    if (!std::regex_search(arguments, depends, kDepends)) continue;
    std::istringstream names(depends[1].str());
    for (std::string name; names >> name;) below.insert(name);
  }
  ASSERT_GE(linked.size(), 9U) << "CMakeLists.txt names its floors in another way";
  const std::function<std::set<std::string>(const std::string&)> reached = [&](const std::string& library) {
    std::set<std::string> all{library};
    for (const std::string& below : linked.at(library)) all.merge(reached(below));
    return all;
  };
  for (const auto& [library, below] : linked) {
    std::set<std::string> allowed;
    for (const Floor& floor : floors()) {
      if (library_of(floor.name) != library) continue;
      for (const Floor& lower : floors())
        if (stands_on(floor, lower.name) && linked.contains(library_of(lower.name)))
          allowed.insert(library_of(lower.name));
    }
    EXPECT_EQ(reached(library), allowed) << library;
  }
}

TEST(FloorsChecker, AcceptsOwnAndLowerFloorsAndSystemHeaders) {
  EXPECT_THAT(check_includes("mm/fault/resolve.cpp",
                             "#include \"pagoda/mm/fault/fault.h\"\n"
                             "#include <vector>\n"
                             "#include \"pagoda/mm/ws/replacement.h\"\n"
                             "#include \"pagoda/machine/machine.h\"\n"
                             "#include \"pagoda/base/units.h\"\n"
                             "// #include \"pagoda/sim/engine.h\"\n"),
              IsEmpty());
}

TEST(FloorsChecker, FindsAnIncludeOfAHigherFloor) {
  EXPECT_THAT(
      check_includes("mm/fault/resolve.cpp", "\n#include \"pagoda/sim/engine.h\"\n"),
      ElementsAre("mm/fault/resolve.cpp:2: #include \"pagoda/sim/engine.h\": 'mm/fault' does not stand on 'sim'"));
  EXPECT_THAT(check_includes("base/units.h", "  #  include\t\"pagoda/cli/options.h\""),
              ElementsAre(HasSubstr("does not stand on")));
  EXPECT_THAT(check_includes("mm/x.h", "#include \"pagoda/nt.h\""),
              ElementsAre(HasSubstr("'mm' does not stand on 'nt'")));
}

TEST(FloorsChecker, FindsAnUpwardIncludeInsideMm) {
  EXPECT_THAT(check_includes("mm/space/address_space.h", "#include \"pagoda/mm/process/process_space.h\""),
              ElementsAre(HasSubstr("'mm/space' does not stand on 'mm/process'")));
  EXPECT_THAT(check_includes("mm/pfn/page_lists.cpp", "#include \"pagoda/mm/backing/paging_file.h\""),
              ElementsAre(HasSubstr("'mm/pfn' does not stand on 'mm/backing'")));
  EXPECT_THAT(check_includes("mm/section/sections.cpp", "#include \"pagoda/mm/memory_manager.h\""),
              ElementsAre(HasSubstr("'mm/section' does not stand on 'mm'")));
  EXPECT_THAT(check_includes("mm/memory_manager.cpp", "#include \"pagoda/mm/check/check.h\""),
              ElementsAre(HasSubstr("does not stand on")));
  // Tests of a part look at it through a whole manager.
  EXPECT_THAT(check_includes("mm/pfn/page_lists_test.cpp", "#include \"pagoda/mm/testing/test_machine.h\""), IsEmpty());
  EXPECT_THAT(check_includes("hv/slat.cpp", "#include \"pagoda/mm/testing/test_machine.h\""),
              ElementsAre(HasSubstr("is for tests")));
}

TEST(FloorsChecker, FindsAnIncludeBesideItsFloor) {
  EXPECT_THAT(check_includes("hv/slat.cpp", "#include \"pagoda/nt/kernel.h\""),
              ElementsAre(HasSubstr("'hv' does not stand on 'nt'")));
}

TEST(FloorsChecker, FindsUnknownFloors) {
  EXPECT_THAT(check_includes("mm/x.cpp", "#include \"pagoda/attic/x.h\""),
              ElementsAre(HasSubstr("unknown floor 'attic'")));
  EXPECT_THAT(check_includes("mm/x.cpp", "#include \"pagoda/mm/attic/x.h\""),
              ElementsAre(HasSubstr("unknown floor 'mm/attic'")));
  EXPECT_THAT(check_includes("attic/x.cpp", "#include \"pagoda/base/units.h\""),
              ElementsAre(HasSubstr("unknown floor")));
}

TEST(FloorsChecker, FindsIncludesThatAreNotWrittenInFull) {
  EXPECT_THAT(check_includes("base/units.cpp", "#include \"units.h\""), ElementsAre(HasSubstr("begins with")));
  EXPECT_THAT(check_includes("base/units.cpp", "#include \"../mm/pfn.h\""), ElementsAre(HasSubstr("begins with")));
  EXPECT_THAT(check_includes("cli/main.cpp", "#include \"bench/faults.h\""), ElementsAre(HasSubstr("begins with")));
}

TEST(FloorsChecker, KeepsPolicyPure) {
  EXPECT_THAT(check_includes("policy/idle_tax.h", "#include \"pagoda/mm/base/counters.h\""),
              ElementsAre(HasSubstr("'policy' does not stand on 'mm/base'")));
  EXPECT_THAT(
      check_includes("policy/idle_tax.h", "#include \"pagoda/base/units.h\"\n#include \"pagoda/policy/shares.h\""),
      IsEmpty());
  EXPECT_THAT(check_includes("sim/host.cpp", "#include \"pagoda/policy/idle_tax.h\""), IsEmpty());
}

TEST(FloorsChecker, KeepsGuestsFromTheirHypervisor) {
  EXPECT_THAT(check_includes("guest/enlightenments.h", "#include \"pagoda/hv/partition.h\""),
              ElementsAre(HasSubstr("'guest' does not stand on 'hv'")));
  EXPECT_THAT(check_includes("guest/enlightenments.h", "#include \"pagoda/machine/hypercalls.h\""), IsEmpty());
}

}  // namespace
}  // namespace pagoda
