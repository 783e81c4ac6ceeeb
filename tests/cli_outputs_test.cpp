// What commands write, where it goes, and what becomes of it when the computer refuses.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/base/units.h"
#include "tests/cli_run.h"

namespace pagoda::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(Cli, ADashIsStandardOutput) {
  write("s.toml", kSmall);
  for (const char* line : {"\"$PAGODA\" run s.toml --json -", "\"$PAGODA\" run s.toml --json /dev/stdout"}) {
    const Ran ran = shell(line);
    EXPECT_EQ(ran.status, 0) << ran.error;
    EXPECT_EQ(nlohmann::json::parse(ran.out)["schema"], "pagoda-run") << line;  // And nothing else.
    EXPECT_EQ(ran.error, "");
  }
  const Ran page = run("run s.toml --report - --json out.json");
  EXPECT_EQ(page.status, 0) << page.error;
  EXPECT_THAT(page.out, AllOf(StartsWith("<!"), testing::EndsWith("</html>\n")));
  EXPECT_EQ(nlohmann::json::parse(slurp(file("out.json")))["schema"], "pagoda-run");
  expect_refused("run s.toml --report - --json -", {"two files"});
  // The file that standard output is, by its name.
  EXPECT_EQ(shell("\"$PAGODA\" run s.toml --json same.json >same.json").status, 0);
  EXPECT_EQ(nlohmann::json::parse(slurp(file("same.json")))["schema"], "pagoda-run");
  EXPECT_EQ(files(), (std::set<std::string>{"desk/s.toml", "desk/out.json", "desk/same.json"}));
}

TEST_F(Cli, AnOutputOntoWhatIsReadIsRefused) {
  const std::string trace = slurp(std::filesystem::path(PAGODA_SOURCE_DIR) / "data/traces/gzip.vmpt.zst");
  write("t.zst", trace);
  write("data", std::string(1 << 16, 'x'));
  write("other.toml", kSmall);
  const std::string more =
      "[[process]]\nname = \"t\"\nprogram = { kind = \"trace\", file = \"t.zst\" }\n"
      "[[process]]\nname = \"m\"\nprogram = { kind = \"uniform\", file = \"data\", disk = \"d\", operations = 1 }\n";
  const std::string text = "compare_with = \"other.toml\"\n" + std::string(kSmall) + more;
  write("s.toml", text);
  std::filesystem::create_symlink("s.toml", file("link.toml"));
  std::filesystem::create_hard_link(file("s.toml"), file("hard.toml"));
  for (const char* option : {"--json", "--report"}) {
    for (const char* name :
         {"s.toml", "./s.toml", "../desk/s.toml", "link.toml", "hard.toml", "t.zst", "data", "other.toml"})
      expect_refused(fmt::format("run s.toml {} {}", option, name), {name, option, "name another file"});
  }
  expect_refused("run link.toml --json s.toml", {"s.toml", "link.toml"});
  EXPECT_EQ(slurp(file("s.toml")), text);
  EXPECT_EQ(slurp(file("t.zst")), trace);
}

TEST_F(Cli, OutputsOntoEachOtherAreRefused) {
  write("s.toml", kSmall);
  write("old", "old");
  std::filesystem::create_symlink("old", file("link"));
  std::filesystem::create_hard_link(file("old"), file("hard"));
  for (const auto& [json, html] : std::vector<std::pair<const char*, const char*>>{
           {"new", "./new"}, {"old", "link"}, {"link", "hard"}, {"a/b/../new", "a/new"}, {"-", "/dev/stdout"}})
    expect_refused(fmt::format("run s.toml --json {} --report {}", json, html), {"two files"});
  expect_refused("run s.toml --json ''", {"--json", "name a file"});
  EXPECT_EQ(slurp(file("old")), "old");
  EXPECT_EQ(run("run s.toml --json /dev/null --report /dev/null").status, 0);
}

TEST_F(Cli, EveryCommandTakesADashForStandardOutput) {
  write("raw", std::string(3 << 12, 'x') + std::string(1 << 12, '\0'));
  const Ran info = run("image info --raw raw --json -");
  EXPECT_EQ(info.status, 0) << info.error;
  EXPECT_EQ(nlohmann::json::parse(info.out)["groups"][0]["images"][0]["alone"]["pages"], 4);  // And nothing else.
  EXPECT_EQ(shell("\"$PAGODA\" image make --raw raw -o - | cmp - raw").status, 0);
  write("lines", "0x1000 R\n0x2000 W\n0x1000 R\n");
  for (const char* name : {"-", "/dev/stdout"}) {
    EXPECT_EQ(shell(fmt::format("\"$PAGODA\" trace import lines -o {} > t.zst", name)).status, 0) << name;
    const Ran shown = run("trace info --json t.zst");
    EXPECT_EQ(nlohmann::json::parse(shown.out)["references"], 3) << name << shown.error;
  }
  EXPECT_EQ(shell("cat lines | \"$PAGODA\" trace import - -o - | cmp - t.zst").status, 0);
  expect_refused("trace record -o - -- true", {"-: ", "give -o the name of a file"});
  EXPECT_EQ(files(), (std::set<std::string>{"desk/raw", "desk/lines", "desk/t.zst"}));
}

TEST_F(Cli, EveryCommandSparesWhatItReads) {
  write("raw", std::string(1 << 12, 'x'));
  write("lines", "0x1000 R\n0x2000 W\n");
  std::filesystem::create_hard_link(file("raw"), file("hard"));
  std::filesystem::create_symlink("lines", file("link"));
  expect_refused("image info --raw raw --json hard", {"hard", "--json", "name another file"});
  expect_refused("image make --raw raw -o ./raw", {"./raw", "--output", "name another file"});
  expect_refused("trace import lines -o link", {"link", "--output", "name another file"});
  expect_ended("\"$PAGODA\" trace import - -o lines <lines", 2, {"lines", "--output", "name another file"});
  expect_refused("image info --raw raw --json ''", {"--json", "name a file"});
  EXPECT_EQ(slurp(file("raw")), std::string(1 << 12, 'x'));
  EXPECT_EQ(slurp(file("lines")), "0x1000 R\n0x2000 W\n");
}

// Its input was right: what fails is the work.
TEST_F(Cli, AnOutputThatDoesNotFitIsStatus1) {
  write("raw", std::string(1 << 20, 'x'));
  write("old", "old");
  std::string lines;
  Random random(1);
  for (int i = 0; i < 200'000; ++i) lines += fmt::format("{:#x} R\n", random.below(1'000'000) << kPageShift);
  write("lines", lines);
  expect_ended("ulimit -f 64; \"$PAGODA\" image make --raw raw -o old", 1, {"old: cannot write", "File too large"});
  expect_ended("ulimit -f 64; \"$PAGODA\" trace import lines -o old", 1, {"old: cannot write", "File too large"});
  for (const char* command : {"image info --raw raw --json -", "image make --raw raw -o -", "trace import lines -o -"})
    expect_ended(fmt::format("\"$PAGODA\" {} >/dev/full", command), 1, {"standard output: cannot write"});
  EXPECT_EQ(slurp(file("old")), "old");
}

TEST_F(Cli, AFailedWriteOfStandardOutputIsStatus1) {
  write("s.toml", kSmall);
  for (const char* arguments : {"--help", "--version", "run --help", "run s.toml", "run s.toml --json -"})
    expect_ended(fmt::format("\"$PAGODA\" {} >/dev/full", arguments), 1, {"standard output: cannot write"});
  // Nobody has it: no file of the run may get its number.
  expect_ended("\"$PAGODA\" run s.toml >&-", 1, {"standard output: cannot write"});
  expect_refused("run s.toml --json - >&-", {"standard output: cannot write"});
  EXPECT_EQ(shell("\"$PAGODA\" run s.toml --quiet --json out.json <&- >&- 2>&-").status, 0);
  EXPECT_EQ(nlohmann::json::parse(slurp(file("out.json")))["schema"], "pagoda-run");
}

TEST_F(Cli, AnErrorThatCannotBeSaidIsInTheStatus) {
  for (const char* error : {"/dev/full", "&-"}) {
    EXPECT_EQ(shell(fmt::format("\"$PAGODA\" run missing.toml 2>{}", error)).status, 2) << error;
    EXPECT_EQ(shell(fmt::format("\"$PAGODA\" frobnicate 2>{}", error)).status, 2) << error;
    EXPECT_EQ(shell(fmt::format("\"$PAGODA\" --version >/dev/full 2>{}", error)).status, 1) << error;
  }
}

// What the shell limits here a full disk would refuse too.
TEST_F(Cli, AReportThatDoesNotFitIsNotThereAtAll) {
  write("s.toml",
        "[host]\nmemory = \"1MiB\"\n[[process]]\nname = \"a\"\nprogram = { kind = \"uniform\", memory = "
        "\"256KiB\", operations = 500 }\n");
  write("out.html", "old");
  expect_ended("ulimit -f 64; \"$PAGODA\" run s.toml --report out.html --json out.json", 1,
               {"out.html: cannot write", "File too large"});
  EXPECT_EQ(slurp(file("out.html")), "old");
}

TEST_F(Cli, ARealDiskThatIsFullStopsTheRunAndNamesTheFolder) {
  std::string text = replaced(kSmall, "store = \"memory\"", "");
  write("s.toml", text);
  expect_ended("ulimit -f 2048; \"$PAGODA\" run s.toml --json out.json", 2, {"disk \"d\"", "/tmp\"", "File too large"});
  // The paging file begins small enough and has to grow.
  text = replaced(text, "minimum = \"8MiB\"", "minimum = \"1MiB\"\nmaximum = \"8MiB\"");
  text = replaced(text, "1536KiB", "4MiB");
  write("s.toml", text);
  expect_ended("ulimit -f 2048; \"$PAGODA\" run s.toml --json out.json", 1, {"disk \"d\"", "/tmp\"", "File too large"});
  EXPECT_EQ(run("run s.toml --quiet").status, 0);
}

TEST_F(Cli, WhatCannotBeIsRefusedByItsKey) {
  write("data", std::string(1 << 16, 'x'));
  std::filesystem::resize_file(file("data"), std::uintmax_t{100} << 30);  // 100 GiB, all of it a hole.
  const std::string mapping = replaced(kSmall, "memory = \"1536KiB\"", "file = \"data\", disk = \"d\"");
  write("s.toml", mapping);
  expect_refused("run s.toml", {"s.toml:12: process.program.file: ", "100 GiB", "more than its disk \"d\" holds"});
  write("s.toml", replaced(kSmall, "memory = \"1MiB\"", "memory = \"1MiB\"\npaging = \"x86\"") + "[run]\n");
  EXPECT_EQ(run("run s.toml --quiet").status, 0);
  write("s.toml", replaced(replaced(kSmall, "memory = \"1MiB\"", "memory = \"1MiB\"\npaging = \"x86\""),
                           "memory = \"1536KiB\"", "memory = \"3GiB\""));
  expect_refused("run s.toml", {"s.toml:13: process.program.memory: ", "x86"});
  write("s.toml", replaced(kSmall, "store = \"memory\"", "store = \"" + std::string(5000, 'x') + "\""));
  expect_refused("run s.toml", {"s.toml:6: disk.store: ", "File name too long"});
  expect_refused("run /dev/zero", {"/dev/zero: is larger than a scenario can be"});
  write("s.toml", replaced(kSmall, "store = \"memory\"", ""));
  expect_ended("TMPDIR=/no/such \"$PAGODA\" run s.toml", 2, {"disk.store: ", "temporary files", "TMPDIR"});
}

// The memory for it is this computer's, which a shell limits here: it is said, and nothing is thrown.
TEST_F(Cli, ALargeMappedFileCostsWhatIsTouched) {
  write("data", std::string(1 << 16, 'x'));
  std::filesystem::resize_file(file("data"), std::uintmax_t{1} << 30);
  std::string text = replaced(kSmall, "memory = \"1536KiB\"", "file = \"data\", disk = \"d\"");
  text = replaced(replaced(text, "capacity = \"16MiB\"", "capacity = \"2GiB\""), "memory = \"1MiB\"",
                  "memory = \"16MiB\"");
  write("s.toml", replaced(text, "kind = \"zipf\"", "kind = \"uniform\""));
  const Ran ran = run("run s.toml --verify");
  EXPECT_EQ(ran.status, 0) << ran.error;
  EXPECT_THAT(ran.out, HasSubstr("every load returned what was stored"));
}

}  // namespace
}  // namespace pagoda::cli
