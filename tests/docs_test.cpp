// What README.md and docs/*.md show is what the program does.
//
// In a fenced block a line that begins with "$ " is a command, and the lines below it, up to the next command or the end of the
// block, are what it prints: on both outputs, "..." for lines left out, text in columns as it is. Each command runs in a folder that
// has the tree's scenarios and data, with `pagoda` on the path, after all earlier commands of the same file. Numbers, sizes and what
// is measured may differ; everything else must not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pagoda {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Lines = std::vector<std::string>;

// Shown and not run here. A prefix of the command, and why.
struct Unrun {
  std::string_view prefix;
  std::string_view reason;
};
constexpr std::array kUnrun = {
    Unrun{"./run", "builds; .ci/run does it in a bare root"},
    Unrun{"./test", "runs this very test"},
    Unrun{"./lint", "takes minutes, and packages that no test needs"},
    Unrun{".ci/run", "takes half an hour"},
    Unrun{"scripts/", "takes minutes"},
    Unrun{"pagoda bench", "measures: minutes, and figures that another load changes"},
    Unrun{"cmake ", "builds"},
    Unrun{"ninja ", "builds"},
    Unrun{"ctest ", "runs this very test"},
    Unrun{"g++ ", "builds; the test install_and_embed does it with examples/embed"},
    Unrun{"git ", "is not ours"},
    Unrun{"apt", "is not ours"},
    Unrun{"sudo ", "is not ours"},
    Unrun{"cat ", "is not ours"},
    Unrun{"pagoda trace record", "needs QEMU; trace/recorder_test runs it"},
    Unrun{"pagoda trace info ls.vmpt.zst", "is about what was recorded, which differs from machine to machine"},
    Unrun{"pagoda run bad.toml", "is about a file that is not shown; cli_test has its like"},
};

struct Command {
  std::string text;
  std::size_t line = 0;  // In its file, from 1.
  Lines output;
};

std::string trimmed_right(std::string line) {
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0) line.pop_back();
  return line;
}

Lines lines_of(const std::string& text) {
  std::istringstream in(text);
  Lines lines;
  for (std::string line; std::getline(in, line);) lines.push_back(trimmed_right(line));
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

std::vector<Command> commands_of(const std::string& markdown) {
  std::vector<Command> commands;
  bool in_block = false;
  bool below_command = false;
  std::size_t number = 0;
  for (const std::string& line : lines_of(markdown)) {
    ++number;
    if (line.starts_with("```")) {
      in_block = !in_block;
      below_command = false;
    } else if (in_block && line.starts_with("$ ")) {
      commands.push_back({line.substr(2), number, {}});
      below_command = true;
    } else if (below_command) {
      commands.back().output.push_back(line);
    }
  }
  for (Command& command : commands)
    while (!command.output.empty() && command.output.back().empty()) command.output.pop_back();
  return commands;
}

std::optional<std::string_view> why_unrun(std::string_view command) {
  constexpr std::string_view kHere = "build/release/";
  if (command.starts_with(kHere)) command.remove_prefix(kHere.size());
  const auto* const found =
      std::ranges::find_if(kUnrun, [&](const Unrun& unrun) { return command.starts_with(unrun.prefix); });
  return found == kUnrun.end() ? std::nullopt : std::optional(found->reason);
}

// A line without what may differ: numbers with their units, in digits and in the words that count; widths of columns.
std::string shape_of(const std::string& line) {
  static const std::regex kHex("\\b(0x)?[0-9a-f]{8,}\\b");
  static const std::regex kNumber("[-+]?[0-9][0-9,]*(\\.[0-9]+)?( ?(%|(B|KiB|MiB|GiB|TiB|ns|us|µs|ms|s|min|h)\\b))?");
  static const std::regex kRule("-{3,}");
  static const std::regex kBar("[#.]{4,}");
  static const std::regex kSpace("\\s+");
  std::string shape = std::regex_replace(line, kBar, "####");
  shape = std::regex_replace(shape, kHex, "#");
  shape = std::regex_replace(shape, kNumber, "#");
  shape = std::regex_replace(shape, kRule, "---");
  return std::regex_replace(shape, kSpace, " ");
}

Lines shapes_of(const Lines& lines) {
  Lines shapes;
  for (const std::string& line : lines) shapes.push_back(line == "..." ? line : shape_of(line));
  return shapes;
}

// Prose is broken into lines where numbers make it long enough, even between a number and its unit: paragraphs are
// compared, not lines. A table is a paragraph, too.
Lines paragraphs_of(const Lines& lines) {
  Lines paragraphs{""};
  for (const std::string& line : lines) {
    if (line.empty() || line == "...") {
      if (!paragraphs.back().empty()) paragraphs.emplace_back();
      if (line == "...") {
        paragraphs.back() = "...";
        paragraphs.emplace_back();
      }
    } else {
      std::string& last = paragraphs.back();
      last += (last.empty() ? "" : " ") + line.substr(line.find_first_not_of(' '));
    }
  }
  if (paragraphs.back().empty()) paragraphs.pop_back();
  return paragraphs;
}

// Whether `shown`, where "..." stands for anything, is `printed`.
bool agrees(const std::string& shown, const std::string& printed) {
  std::size_t at = 0;
  std::size_t begin = 0;
  for (bool first = true;; first = false) {
    const std::size_t end = shown.find("\n...\n", begin);
    const std::string piece = shown.substr(begin, end == std::string::npos ? end : end - begin);
    if (end == std::string::npos) {
      if (first) return printed == piece;
      return printed.size() - at >= piece.size() && printed.ends_with(piece);
    }
    const std::size_t found = first ? (printed.starts_with(piece) ? 0 : std::string::npos) : printed.find(piece, at);
    if (found == std::string::npos) return false;
    at = found + piece.size();
    begin = end + 5;
  }
}

std::string joined(const Lines& paragraphs) {
  std::string text = "\n";
  for (const std::string& paragraph : paragraphs) text += paragraph + "\n";
  return text;
}

// How what a command printed differs in kind from what is shown; nothing if it does not. A block may end or begin within a paragraph
// where lines are left out, so that lines are compared first and paragraphs only if no line fits.
std::string difference(const Lines& shown, const Lines& printed) {
  const Lines shown_shapes = shapes_of(shown);
  const Lines printed_shapes = shapes_of(printed);
  if (agrees(joined(shown_shapes), joined(printed_shapes))) return "";
  if (agrees(joined(shapes_of(paragraphs_of(shown))), joined(shapes_of(paragraphs_of(printed))))) return "";
  return "shown:" + joined(shown_shapes) + "printed:" + joined(printed_shapes);
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

const fs::path kTree = PAGODA_SOURCE_DIR;

std::vector<std::string> documents() {
  std::vector<std::string> names{"README.md"};
  for (const fs::directory_entry& entry : fs::directory_iterator(kTree / "docs"))
    if (entry.path().extension() == ".md") names.push_back("docs/" + entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

// A folder like the tree after a build: what commands read is there, what they write is removed with it.
class Desk {
 public:
  Desk() {
    std::string name = (fs::temp_directory_path() / "pagoda-docs-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    fs::create_directories(root_ / "build");
    fs::create_directories(root_ / "out");
    fs::create_directory_symlink(fs::path(PAGODA_BINARY).parent_path(), root_ / "build" / "release");
    for (const char* folder : {"scenarios", "data", "docs", "examples"})
      fs::create_directory_symlink(kTree / folder, root_ / folder);
  }
  ~Desk() { fs::remove_all(root_); }
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  Lines run(const std::string& command) const {
    std::ofstream(root_ / "command") << command << '\n';
    const std::string line =
        "cd '" + root_.string() + "' && PATH=\"$PWD/build/release:$PATH\" sh ./command >printed 2>&1 </dev/null";
    const int status = std::system(line.c_str());
    EXPECT_TRUE(WIFEXITED(status)) << command;
    return lines_of(read_file(root_ / "printed"));
  }
  void write(const std::string& name, const std::string& text) const { std::ofstream(root_ / name) << text; }

 private:
  fs::path root_;
};

// Files that a document shows are there for its commands: a block whose first line is "# NAME.toml", or "# cat NAME".
void write_shown_files(const std::string& markdown, const Desk& desk) {
  static const std::regex kNamed("# ([A-Za-z0-9_.-]+\\.toml)\\b.*");
  bool in_block = false;
  bool first = false;
  std::string name;
  std::string text;
  for (const std::string& line : lines_of(markdown)) {
    if (line.starts_with("```")) {
      if (in_block && !name.empty()) desk.write(name, text);
      in_block = !in_block;
      first = in_block;
      name.clear();
      text.clear();
      continue;
    }
    if (!in_block) continue;
    if (std::smatch match; std::exchange(first, false) && std::regex_match(line, match, kNamed)) name = match[1];
    text += line + "\n";
  }
}

class Docs : public testing::TestWithParam<std::string> {};
std::string name_of(const testing::TestParamInfo<std::string>& document) {
  std::string name = document.param;
  std::ranges::replace_if(name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Files, Docs, testing::ValuesIn(documents()), name_of);

TEST_P(Docs, ShowsWhatCommandsPrint) {
  const std::string markdown = read_file(kTree / GetParam());
  ASSERT_FALSE(markdown.empty());
  const Desk desk;
  write_shown_files(markdown, desk);
  for (const Command& command : commands_of(markdown)) {
    if (why_unrun(command.text)) continue;
    EXPECT_EQ(difference(command.output, desk.run(command.text)), "")
        << GetParam() << ":" << command.line << ": $ " << command.text;
  }
}

// --- The test's own tests ---

TEST(DocsTest, CommandsAreFoundInBlocksAlone) {
  const auto commands = commands_of("$ no\n```\n$ one\na\n\n$ two\n```\n$ no\n```sh\nnot output\n```\n");
  ASSERT_EQ(commands.size(), 2U);
  EXPECT_EQ(commands[0].text, "one");
  EXPECT_EQ(commands[0].line, 3U);
  EXPECT_THAT(commands[0].output, ElementsAre("a"));
  EXPECT_EQ(commands[1].text, "two");
  EXPECT_THAT(commands[1].output, IsEmpty());
}

TEST(DocsTest, NumbersMayDifferAndWordsMayNot) {
  EXPECT_EQ(difference({"a  12.3 MiB in 4 s"}, {"a 1,212 KiB in 17 ms"}), "");
  EXPECT_EQ(difference({"state 0f8a9bc21d"}, {"state 123456789a"}), "");
  EXPECT_THAT(difference({"a 1 b"}, {"a 1 c"}), HasSubstr("a # c"));
  EXPECT_NE(difference({"a"}, {"a", "b"}), "");
  EXPECT_NE(difference({"a", "b"}, {"a"}), "");
}

TEST(DocsTest, ThreeDotsLeaveLinesOut) {
  EXPECT_EQ(difference({"a", "...", "d"}, {"a", "b", "c", "d"}), "");
  EXPECT_EQ(difference({"...", "d"}, {"a", "d"}), "");
  EXPECT_EQ(difference({"a", "..."}, {"a", "d"}), "");
  EXPECT_NE(difference({"a", "..."}, {"b", "d"}), "");
  EXPECT_NE(difference({"...", "c"}, {"a", "d"}), "");
  EXPECT_NE(difference({"a", "...", "b", "...", "c"}, {"a", "c", "b"}), "");
}

TEST(DocsTest, ProseMayBreakElsewhere) {
  EXPECT_EQ(difference({"there are 1,000", "pages"}, {"there are 1 pages"}), "");
  EXPECT_EQ(difference({"...", "of 16", "  MiB"}, {"use", "1 GiB of", "4 GiB"}), "");
  EXPECT_NE(difference({"there are 1,000", "", "pages"}, {"there are 1 pages"}), "");
}

TEST(DocsTest, WhatIsNotRunHasAReason) {
  EXPECT_EQ(why_unrun("pagoda run scenarios/host.toml"), std::nullopt);
  EXPECT_NE(why_unrun("build/release/pagoda bench mmu"), std::nullopt);
}

}  // namespace
}  // namespace pagoda
