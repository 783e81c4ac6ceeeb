// For tests of the command line: the binary, as a person or a script runs it, in a folder of its own.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pagoda::cli {

inline constexpr std::string_view kSmall = R"([host]
memory = "1MiB"
[[disk]]
name = "d"
capacity = "16MiB"
store = "memory"
[[page_file]]
disk = "d"
minimum = "8MiB"
[[process]]
name = "a"
program = { kind = "zipf", memory = "1536KiB", operations = 5000 }
)";

class Cli : public testing::Test {
 protected:
  struct Ran {
    int status = -1;
    std::string out;
    std::string error;
  };

  Cli() {
    std::string name = (std::filesystem::temp_directory_path() / "pagoda-cli-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    std::filesystem::create_directory(root_ / "desk");
    std::filesystem::create_directory(root_ / "tmp");
  }
  ~Cli() override { std::filesystem::remove_all(root_); }

  // Runs the binary in the working folder, with its output in files and its temporary files in a folder of their own.
  Ran run(const std::string& arguments) const { return shell("\"$PAGODA\" " + arguments); }
  // The same for a line of the shell, which finds the binary's name in PAGODA.
  Ran shell(const std::string& line) const {
    const std::string command =
        fmt::format("cd '{0}/desk' && export TMPDIR='{0}/tmp' PAGODA='{1}' && ({2}) >'{0}/out' 2>'{0}/err' </dev/null",
                    root_.string(), PAGODA_BINARY, line);
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, slurp(root_ / "out"), slurp(root_ / "err")};
  }
  std::string write(const std::string& name, std::string_view text) const {
    std::ofstream(root_ / "desk" / name, std::ios::binary) << text;
    return name;
  }
  std::filesystem::path file(std::string_view name) const { return root_ / "desk" / name; }
  // Everything below the working folder, and what is left of temporary files.
  std::set<std::string> files() const {
    std::set<std::string> all;
    for (const char* folder : {"desk", "tmp"})
      for (const auto& entry : std::filesystem::recursive_directory_iterator(root_ / folder))
        all.insert(std::filesystem::relative(entry.path(), root_).string());
    return all;
  }
  static std::string slurp(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  static std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
    std::string result(text);
    const std::size_t at = result.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return result.replace(at, from.size(), to);
  }
  // One line for a person, exit status 2, no new file.
  void expect_refused(const std::string& arguments, const std::vector<std::string>& parts) const {
    expect_ended("\"$PAGODA\" " + arguments, 2, parts);
  }
  // The same for a line of the shell and any exit status.
  void expect_ended(const std::string& line, int status, const std::vector<std::string>& parts) const {
    SCOPED_TRACE(line);
    const auto before = files();
    const Ran ran = shell(line);
    EXPECT_EQ(ran.status, status);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(std::ranges::count(ran.error, '\n'), 1) << ran.error;
    EXPECT_THAT(ran.error, testing::AllOf(testing::StartsWith("pagoda: "), testing::EndsWith("\n")));
    for (const std::string& part : parts) EXPECT_THAT(ran.error, testing::HasSubstr(part));
    EXPECT_EQ(files(), before);
  }

 private:
  std::filesystem::path root_;
};

}  // namespace pagoda::cli
