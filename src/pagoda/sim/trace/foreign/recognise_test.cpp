#include "pagoda/sim/trace/foreign/recognise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/sim/testing/foreign_text.h"

namespace pagoda::sim {
namespace {

using namespace std::string_view_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string lines(std::string_view line, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += line;
  return text;
}

TEST(Recognise, NineLinesInTenAreEnough) {
  EXPECT_EQ(recognised(lines("0041f7a0 R\n", 9) + "hello\n"), "hexaddr");
  EXPECT_THAT(recognised(lines("0041f7a0 R\n", 89) + lines("hello\n", 11)),
              AllOf(HasSubstr("nearest is hexaddr, with 89 of the first 100"), HasSubstr("--format"),
                    HasSubstr("lackey, "), Not(HasSubstr("\n"))));
}

TEST(Recognise, OneOfFewLinesMayBeBad) {
  EXPECT_EQ(recognised("I  04001000,4\nhello\n S 1ffefff008,8\n"), "lackey");
  EXPECT_EQ(recognised("0x1000 R\n0x2000 W\nhello\n"), "hexaddr");
  EXPECT_THAT(recognised("0x1000 R\nhello\n"), HasSubstr("nearest is hexaddr, with 1 of the first 2"));
  EXPECT_THAT(recognised("0x1000 R\n0x2000 W\nhello\nhello\n"), HasSubstr("with 2 of the first 4"));
}

TEST(Recognise, RemarksDoNotCount) {
  EXPECT_EQ(recognised(lines("==1== valgrind\n# x\n\n--1-- y\n", 100) + " L 0041f7a0,1\n"), "lackey");
  EXPECT_THAT(recognised(lines("# x\n", 100)), HasSubstr("no line is one of theirs"));
}

TEST(Recognise, OnlyTheFrontCounts) {
  EXPECT_EQ(recognised(lines("0041f7a0 R\n", 6000) + lines("hello\n", 20'000)), "hexaddr");
}

TEST(Recognise, ALineThatIsCutDoesNotCount) {
  EXPECT_EQ(recognised("0041f7a0 R\n0041f7a8 R\n0041"), "hexaddr");
  EXPECT_EQ(recognised("0041f7a0 R"), "hexaddr");
  // The 64 KiB end within a line.
  EXPECT_EQ(recognised(lines("0041f7a0 R\r\n", 10'000)), "hexaddr");
}

TEST(Recognise, AsksWhereTwoFitAlike) {
  EXPECT_THAT(recognised("R 4096\nW 8192\n"),
              AllOf(HasSubstr("pinatrace-hex and pinatrace-decimal"), HasSubstr("--format"), Not(HasSubstr("\n"))));
  EXPECT_EQ(recognised("R 4096\nW 8192\nW 819a\n"), "pinatrace-hex");  // One letter tells.
  EXPECT_EQ(recognised(lines("R 4096\n", 15) + "W 81920000000000000000\n"),
            "in.txt: may be pinatrace-hex and "
            "pinatrace-decimal alike; say which with "
            "--format");
}

TEST(Recognise, LackeysOwnLinesAreNotTheCacheLabs) {
  EXPECT_EQ(recognised("I  0041f7a0,3\n L 1ffefff008,8\n"), "lackey");
  EXPECT_EQ(recognised("I  0041f7a0,3\n L 1ffefff008,8\n L 10,8\n"), "cachelab");
  EXPECT_EQ(recognised("I  0041f7a0,3\n L 1ffefff008,8 5\n"), "cachelab");
}

TEST(Recognise, TellsOfPerfsMissingAddressesWhenReading) {
  const std::string text = "ls 47118 [011] 51499.088689: 1 page-faults: 29ebc cmd_record (/usr/bin/perf)\n";
  EXPECT_EQ(recognised(text), "perf-script");
  EXPECT_THAT(read_foreign("perf-script", text).totals.error().message, HasSubstr("perf record -d"));
}

struct Unreadable {
  std::string_view front;
  const char* what;
  const char* instead;
};

// Source: reference formats.md 1, 4, 5.
TEST(Recognise, NamesTheToolThatPrintsText) {
  const std::vector<Unreadable> kFiles = {
      {"\x19\0\0\0\x01\0\0\0\0\0\0\0\x16\0\x04\0"sv, "drmemtrace", "-tool view"},
      {"PK\x03\x04\x14\0\0\0\x08\0ttddccccssssSSSS\x0a\0\0\0chunk.0000"sv, "drmemtrace", "-tool view"},
      {"gem5\x0a\x01"sv, "gem5", "decode_packet_trace.py"},
      {"PERFILE2\x68\0\0\0"sv, "perf", "perf script"},
      {"\xf0\xde\xbc\x9a\x78\x56\x34\x12\0\0"sv, "lcs", "traceConv"},
      {"\x07tae\x01\0\0\0"sv, "blktrace", "blkparse"},
      {"damon_recfmt_ver\x02\0\0\0"sv, "damo", "pagoda trace record"},
      {"\x78\x9c\xec\xbd\xdd\xce\xe3\x5a"sv, "damo", "no accesses"},
      {"[\n {\n  \"kdamond_idx\": 0,\n"sv, "damo", "no accesses"},
      {"kdamond.0 4452 [000] 82820.95: damon:damon_aggregated: target_id=1 nr_regions=8 1-2: 0\n"sv, "DAMON", "no acc"},
      {"123 execve(\"/bin/cat\", [\"cat\"], 0x7ffd16bb5ab0 /* 60 vars */) = 0\n"sv, "strace", "no accesses"},
      {"\xff\xfeW\0 \0"sv, "UTF-16", "iconv"},
      {"PK\x03\x04\x14\0"sv, "zip", "unpack"},
      {"\x7f"
       "ELF\x02\x01"sv,
       "ELF", "pagoda trace record"},
  };
  for (const Unreadable& file : kFiles) {
    EXPECT_THAT(recognised(file.front),
                AllOf(HasSubstr("in.txt: is "), HasSubstr(file.what), HasSubstr(file.instead), Not(HasSubstr("\n"))));
  }
  std::string tar(1024, '\0');
  tar.replace(257, 5, "ustar");
  EXPECT_THAT(recognised(tar), AllOf(HasSubstr("tar archive"), HasSubstr("unpack")));
}

TEST(Recognise, ChampSimIsKnownByItsName) {
  auto file = DecompressedFile::from_bytes("600.perlbench.champsimtrace.xz", std::vector<char>(640, '\x01'));
  ASSERT_TRUE(file.has_value());
  const auto format = recognise(*file);
  ASSERT_FALSE(format.has_value());
  EXPECT_THAT(format.error().message, AllOf(HasSubstr("ChampSim"), HasSubstr("pagoda trace record")));
}

TEST(Recognise, GuessesNothing) {
  EXPECT_THAT(recognised(""), HasSubstr("is empty"));
  for (const std::string_view text :
       {"hello\nworld\n"sv, "1\n2\n3\n"sv, "1 2 3\n4 5 6\n"sv, "\0\0\0\0"sv, "a,b\nc,d\n"sv}) {
    EXPECT_THAT(recognised(text), HasSubstr("say what it is with --format")) << text;
  }
  // Text with zeros in it is none, and zeros are no requests for objects.
  EXPECT_THAT(recognised(lines("0041f7a0 R\n", 99) + std::string(5, '\0') + "\n"), HasSubstr("--format"));
  EXPECT_THAT(recognised(std::string(24 * 100, '\0')), HasSubstr("--format"));
  EXPECT_THAT(recognised(std::string(24 * 100, ' ')), HasSubstr("--format"));
}

// What tells oracleGeneral is its fourth field: record 0 says that record 2 asks for its object again.
TEST(Recognise, OracleGeneralMustTellTheFutureRightly) {
  const auto requests = [](std::uint8_t seconds, std::uint8_t id, std::uint8_t next) {
    std::string bytes;
    for (const auto& [s, i, n] :
         {std::array<std::uint8_t, 3>{seconds, id, next}, {5, 7, 4}, {6, 9, 0xff}, {7, 7, 0xff}}) {
      std::string record(24, n == 0xff ? '\xff' : '\0');
      record.replace(0, 16, 16, '\0');
      record[0] = static_cast<char>(s);
      record[4] = static_cast<char>(i);
      record[16] = static_cast<char>(n);
      bytes += record;
    }
    return bytes;
  };
  EXPECT_EQ(recognised(requests(5, 9, 3)), "oracleGeneral");
  EXPECT_THAT(recognised(requests(5, 8, 3)), HasSubstr("--format"));  // Another object.
  EXPECT_THAT(recognised(requests(5, 9, 1)), HasSubstr("--format"));  // Itself.
  EXPECT_THAT(recognised(requests(6, 9, 3)), HasSubstr("--format"));  // Time goes back.
}

TEST(Recognise, KnowsPagodasOwn) {
  EXPECT_TRUE(is_page_trace(foreign_file("VMPT2\nsource=x\n")));
  EXPECT_TRUE(is_page_trace(foreign_file("VMPT1\n")));
  EXPECT_FALSE(is_page_trace(foreign_file("VMPT3\n")));
}

}  // namespace
}  // namespace pagoda::sim
