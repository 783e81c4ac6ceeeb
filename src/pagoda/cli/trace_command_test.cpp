// `pagoda trace` as a person types it.
#include "pagoda/cli/trace_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/cli/testing/typed_command.h"

namespace pagoda::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Ran run(std::vector<std::string> arguments) { return run_typed(add_trace_command, std::move(arguments)); }

class TraceCommand : public testing::Test {
 protected:
  TraceCommand() {
    std::string name = (std::filesystem::temp_directory_path() / "pagoda-trace-command-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  ~TraceCommand() override { std::filesystem::remove_all(directory_); }
  std::string file(const char* name) const { return (directory_ / name).string(); }

 private:
  std::filesystem::path directory_;
};

TEST_F(TraceCommand, ImportsLackeyAndShowsIt) {
  std::ofstream(file("in.txt")) << "==1== hello\nI  00400000,4\n S 00601000,8\nI  00400004,4\n M 00602000,8\n";
  const Ran imported =
      run({"trace", "import", file("in.txt"), "-o", file("t.vmpt.zst"), "--program", "hello", "-k", "8"});
  EXPECT_EQ(imported.status, 0) << imported.error;
  EXPECT_EQ(imported.out, "");
  EXPECT_THAT(imported.error, HasSubstr("5 raw references in 4 records, 3 pages"));

  const Ran info = run({"trace", "info", file("t.vmpt.zst")});
  EXPECT_EQ(info.status, 0);
  EXPECT_THAT(info.out, AllOf(HasSubstr("hello"), HasSubstr("valgrind-lackey"), HasSubstr("from 8 frames on"),
                              HasSubstr("1 read, 2 write, 2 execute"), HasSubstr("0x601..0x602"), HasSubstr("100 %")));

  const Ran json = run({"trace", "info", "--json", file("t.vmpt.zst")});
  const auto parsed = nlohmann::json::parse(json.out);
  EXPECT_EQ(parsed["references"], 5);
  EXPECT_EQ(parsed["pages"], 3);
  EXPECT_EQ(parsed["ranges"].size(), 2U);
  EXPECT_EQ(parsed["working_set"].size(), 5U);

  const Ran again = run({"trace", "import", file("t.vmpt.zst"), "-o", file("u.vmpt.zst"), "--level", "19"});
  EXPECT_EQ(again.status, 0) << again.error;
  EXPECT_THAT(run({"trace", "info", file("u.vmpt.zst")}).out, AllOf(HasSubstr("hello"), HasSubstr("from 8 frames on")));
}

TEST_F(TraceCommand, ImportSaysWhatItReadAndWhatItLeftOut) {
  std::ofstream(file("in.txt"))
      << "0041f7a0 R\n13f5e2c0 W\n"
      << std::string(20, '#') << "\n0041f7a0 R\n0041f7a0 R\n"
      << "0041f7a0 R\n0041f7a0 R\n0041f7a0 R\n0041f7a0 R\n0041f7a0 R\n0041f7a0 R\nhello\n0041";
  const Ran refused = run({"trace", "import", file("in.txt"), "-o", file("t.vmpt.zst")});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.error, AllOf(HasSubstr("in.txt:12: \"hello\""), HasSubstr("--skip-bad")));
  EXPECT_FALSE(std::filesystem::exists(file("t.vmpt.zst")));

  const Ran imported = run({"trace", "import", file("in.txt"), "-o", file("t.vmpt.zst"), "--skip-bad"});
  EXPECT_EQ(imported.status, 0) << imported.error;
  EXPECT_THAT(
      imported.error,
      AllOf(HasSubstr("in.txt: read as hexaddr\n"), HasSubstr("1 of 13 lines were left out, the first is "),
            HasSubstr("in.txt:12: \"hello\""), HasSubstr("the last line is cut"), HasSubstr("10 raw references")));
}

TEST_F(TraceCommand, FormatDecidesAgainstTheContent) {
  std::ofstream(file("in.txt")) << "W 12288\nR 4096\n";
  const Ran asked = run({"trace", "import", file("in.txt"), "-o", file("t.vmpt.zst")});
  EXPECT_EQ(asked.status, 2);
  EXPECT_THAT(asked.error, HasSubstr("--format"));
  EXPECT_EQ(run({"trace", "import", file("in.txt"), "-o", file("t.vmpt.zst"), "--format", "pinatrace-decimal"}).status,
            0);
  EXPECT_THAT(run({"trace", "info", file("t.vmpt.zst")}).out, HasSubstr("0x1..0x3"));
  EXPECT_THAT(run({"trace", "info", file("in.txt"), "--format", "pinatrace-hex"}).out, HasSubstr("0x4..0x12"));
  const Ran unknown = run({"trace", "info", file("in.txt"), "--format", "hexadr"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.error, AllOf(HasSubstr("hexadr"), HasSubstr("hexaddr")));
}

TEST_F(TraceCommand, ImportDoesNotOverwriteItsInput) {
  std::ofstream(file("in.txt")) << "0041f7a0 R\n";
  std::filesystem::create_symlink("in.txt", file("link.txt"));
  for (const char* output : {"in.txt", "link.txt"}) {
    const Ran refused = run({"trace", "import", file("in.txt"), "-o", file(output)});
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.error, HasSubstr("name another file"));
  }
  std::ifstream in(file("in.txt"));
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(line, "0041f7a0 R");
}

TEST_F(TraceCommand, InfoLooksAtOtherToolsTraces) {
  std::ofstream(file("msr.csv")) << "1,usr,0,Write,8192,4096,1\n2,usr,0,Read,0,512,1\n";
  const Ran info = run({"trace", "info", file("msr.csv")});
  EXPECT_EQ(info.status, 0) << info.error;
  EXPECT_THAT(info.out, AllOf(HasSubstr("msr.csv"), HasSubstr("msr (another tool's"), HasSubstr("disk-blocks"),
                              HasSubstr("2 raw, in 2 records")));
  EXPECT_THAT(info.error, HasSubstr("read as msr"));
  const Ran json = run({"trace", "info", "--json", file("msr.csv")});
  EXPECT_EQ(nlohmann::json::parse(json.out)["space"], "disk-blocks");
}

TEST_F(TraceCommand, BadInputIsOneLineAndStatusTwo) {
  std::ofstream(file("bad.txt")) << "I  00400000,4\nnonsense\n";
  std::ofstream(file("empty.txt")) << "==1== nothing\n";
  std::ofstream(file("nothing.txt")) << "";
  const std::string out = file("out.vmpt.zst");
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"trace", "info", file("missing")},
           {"trace", "info", file("bad.txt")},
           {"trace", "import", file("missing"), "-o", out},
           {"trace", "import", file("bad.txt"), "-o", out},
           {"trace", "import", file("empty.txt"), "-o", out},
           {"trace", "import", file("empty.txt"), "-o", out, "--format", "lackey"},
           {"trace", "import", file("nothing.txt"), "-o", out},
           {"trace", "import", file("bad.txt"), "-o", out, "--format", "unheard-of"},
           {"trace", "info", file("empty.txt")},
           {"trace", "info", "/"},
           {"trace", "import", file("bad.txt"), "-o", "/dev/null"},
           {"trace", "import", file("bad.txt"), "-o", out, "--level", "77"},
           {"trace", "record", "-o", out, "--", file("missing")},
           {"trace", "record", "-o", out, "-k", "0", "--", "true"},
       }) {
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.status, 2) << ran.error;
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(std::ranges::count(ran.error, '\n'), 1) << ran.error;
    EXPECT_THAT(ran.error, testing::StartsWith("pagoda: "));
    EXPECT_FALSE(std::filesystem::exists(out));
  }
}

TEST_F(TraceCommand, HelpTeaches) {
  for (const char* command : {"record", "import", "info"}) {
    const Ran ran = run({"trace", command, "--help"});
    EXPECT_EQ(ran.status, 0);
    EXPECT_THAT(ran.out, AllOf(HasSubstr("Example: "), HasSubstr("pagoda trace")));
  }
}

}  // namespace
}  // namespace pagoda::cli
