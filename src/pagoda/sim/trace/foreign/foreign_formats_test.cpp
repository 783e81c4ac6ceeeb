// Each format: what its records mean, in a row of a table that every format has at least one row in.
#include "pagoda/sim/trace/foreign/foreign_formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "pagoda/sim/testing/foreign_text.h"
#include "pagoda/sim/trace/foreign/disk_lines.h"

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr TraceAccess kReadWrite = kTraceRead | kTraceWrite;

// A request of oracleGeneral's.
std::string oracle_request(std::uint32_t seconds, std::uint64_t id, std::int64_t next) {
  const std::uint32_t size = 512;
  std::string record(24, '\0');
  std::memcpy(&record[0], &seconds, 4);
  std::memcpy(&record[4], &id, 8);
  std::memcpy(&record[12], &size, 4);
  std::memcpy(&record[16], &next, 8);
  return record;
}

struct FormatExample {
  const char* format;
  const char* what;
  std::string text;
  std::vector<TraceRecord> records;
  bool recognised = true;  // By this text alone.
};

const std::vector<FormatExample>& format_examples() {
  // Source of the lines: reference formats.md 5 and 6, if not said otherwise.
  static const std::vector<FormatExample> kExamples = {
      {"lackey",
       "Kinds",
       "SB 0401a2b0\nI  0401a2b0,3\n L 1ffefff008,8\n S 1ffeffe008,4\n M 00001008,4\n",
       {{Vpn(0x401a), 1, kTraceExecute},
        {Vpn(0x1ffefff), 1, kTraceRead},
        {Vpn(0x1ffeffe), 1, kTraceWrite},
        {Vpn(0x1), 2, kReadWrite}}},
      {"lackey",
       "Blanks",
       "I 0401a2b0,3\n\tL   1ffefff008,8  \nS 1ffeffe008,4\t\r\n",
       {{Vpn(0x401a), 1, kTraceExecute}, {Vpn(0x1ffefff), 1, kTraceRead}, {Vpn(0x1ffeffe), 1, kTraceWrite}}},
      {"cachelab",
       "ShortAddresses",
       " L 10,4 \n M 1020,1\nI 2000,4\n S 0,8\n",
       {{Vpn(0), 1, kTraceRead}, {Vpn(1), 2, kReadWrite}, {Vpn(0), 1, kTraceWrite}}},
      {"cachelab",
       "ValuesBehind",
       " L 00001010,4 19\n S 00002018,4 20\n",
       {{Vpn(1), 1, kTraceRead}, {Vpn(2), 1, kTraceWrite}}},
      {"hexaddr",
       "Lines",
       "0041f7a0 R\n13f5e2c0 W\n0x7fff12345678 r\n",
       {{Vpn(0x41f), 1, kTraceRead}, {Vpn(0x13f5e), 1, kTraceWrite}, {Vpn(0x7fff12345), 1, kTraceRead}}},
      {"load-store",
       "Sizes",
       "l 0xDEADBEEF 4\ns 0x00001ffe 4\n",
       {{Vpn(0xdeadb), 1, kTraceRead}, {Vpn(1), 1, kTraceWrite}, {Vpn(2), 1, kTraceWrite}}},
      {"load-store",
       "NoSizes",
       "l 0x190a7c20\ns 0x3856bbe0",
       {{Vpn(0x190a7), 1, kTraceRead}, {Vpn(0x3856b), 1, kTraceWrite}}},
      {"pinatrace",
       "Instructions",
       "0x7f85d3b852d3: W 0x7fffc7177908\n0x7f85d3b88a70: R 0x1008\n0x1: R (nil)\n#eof\n",
       {{Vpn(0x7fffc7177), 1, kTraceWrite}, {Vpn(1), 1, kTraceRead}, {Vpn(0), 1, kTraceRead}}},
      {"pinatrace",
       "SizesAndValues",
       "R 0x1ffe 4\n0x401000: W 0x3000 8 0x1234\n",
       {{Vpn(1), 1, kTraceRead}, {Vpn(2), 1, kTraceRead}, {Vpn(3), 1, kTraceWrite}}},
      {"pinatrace",
       "OnWindows",
       "00007ff6a1b2c3d4: W 000000c1df2ff8b8\n00401000: R 00002000\n",
       {{Vpn(0xc1df2ff), 1, kTraceWrite}, {Vpn(2), 1, kTraceRead}}},
      {"pinatrace-hex", "Letters", "W bf801234\nR 1000\n", {{Vpn(0xbf801), 1, kTraceWrite}, {Vpn(1), 1, kTraceRead}}},
      {"pinatrace-hex", "DigitsOnly", "W 3000\nR 1000\n", {{Vpn(3), 1, kTraceWrite}, {Vpn(1), 1, kTraceRead}}, false},
      {"pinatrace-decimal",
       "DigitsOnly",
       "W 12288\nR 4096 8\n",
       {{Vpn(3), 1, kTraceWrite}, {Vpn(1), 1, kTraceRead}},
       false},
      {"dinero",
       "Labels",
       "2 408ed4\n0 10019d94\n1 10019d88 extra\n3 0\n4 0\n0 0x2000\n",
       {{Vpn(0x408), 1, kTraceExecute}, {Vpn(0x10019), 1, kReadWrite}, {Vpn(2), 2, kTraceRead}}},
      {"drcachesim-view",
       "Records",
       "Output format:\n<--record#-> <--instr#->: <Wrkld.Tid> <record details>\n"
       "------------------------------------------------------------\n"
       "           1           0: W0.T3256418 <marker: version 6>\n"
       "           8           1: W0.T3256418 ifetch       3 byte(s) @ 0x00007fc205a61940 48 89 e7  mov    %rsp, %rdi\n"
       "          10           2: W0.T3256418 write        8 byte(s) @ 0x00007fff9a9e3ffc by PC 0x00007fc205a61943\n"
       "          11           2: W0.T3256418 read         8 byte(s) @ 0x0000000000001000 by PC 0x00007fc205a61943\n"
       "          12           2: W0.T3256418 <marker: uncompleted instruction, encoding 0x898568ff>\n"
       "...\n(a line that the program printed)\n"
       "          13           3: W1.T7 read         1 byte(s) @ 0x0000000000002000 by PC 0x00007fc205a61943\n"
       "View tool results:\n              3 : total instructions\n",
       {{Vpn(0x7fc205a61), 1, kTraceExecute},
        {Vpn(0x7fff9a9e3), 1, kTraceWrite},
        {Vpn(0x7fff9a9e4), 1, kTraceWrite},
        {Vpn(1), 1, kTraceRead},
        {Vpn(2), 1, kTraceRead}}},
      {"drcachesim-view",
       "OlderThreads",
       "     8     1: T3256418 ifetch       3 byte(s) @ 0x0000000000001940 48 89 e7\n"
       "     9: T3256418 read       3 byte(s) @ 0x0000000000002940 by PC 0x1\n",
       {{Vpn(1), 1, kTraceExecute}, {Vpn(2), 1, kTraceRead}}},
      {"perf-script",  // Measured: perf 6.1, perf script -F comm,tid,time,event,addr of page faults.
       "Addresses",
       "              ls 23168 26195.776779: page-faults:     55ed564cd5c0 \n"
       "      tmux: server 23168 26195.776812: page-faults:u:     7fa067668110 \n"
       "              ls 23168 26195.776828: page-faults:                0 \n",
       {{Vpn(0x55ed564cd), 1, kTraceRead}, {Vpn(0x7fa067668), 1, kTraceRead}}},
      {"perf-script",  // Measured likewise, with -F addr,ip,sym,symoff,dso,period.
       "AddressesWithSymbols",
       "  ls 26195.776779:    1 page-faults:     55ed564cd5c0 __progname+0x0 (/usr/bin/ls) ffffffff821e8700 "
       "rep_stos_alternative+0x40 ([kernel.kallsyms])\n"
       "  ls 26195.776828:    1 page-faults:     7ffdadb4cb99 [unknown] ([stack]) ffffffff81b73418 f+0x28 ([k])\n",
       {{Vpn(0x55ed564cd), 1, kTraceRead}, {Vpn(0x7ffdadb4c), 1, kTraceRead}}},
      {"perf-script",  // Measured likewise: -F addr,ip,sym; -F addr,ip; -F event,addr.
       "AddressesWithFewFields",
       "  ls 26195.776812: page-faults:     7fa067668110 dl_close_state.2 ffffffff821e8700 rep_stos_alternative\n"
       "  ls 26195.776813: page-faults:     1000 [unknown] 401136 main\n"
       "  ls 26195.776828: page-faults:     7ffdadb4cb99 ffffffff821e8700\npage-faults:     2000 \n",
       {{Vpn(0x7fa067668), 1, kTraceRead},
        {Vpn(1), 1, kTraceRead},
        {Vpn(0x7ffdadb4c), 1, kTraceRead},
        {Vpn(2), 1, kTraceRead}}},
      {"perf-script",
       "Stacks",
       "perf 47118 [011] 51499.088689:          1 page-faults:  7f0000001000 \n"
       "\t           29ebc cmd_record (/usr/bin/perf)\n"
       "\t           21ec5 operator new(unsigned long) (/lib/x86_64-linux-gnu/libc-2.19.so)\n\n"
       "perf 47118 [011] 51499.088702:          1 page-faults:  7f0000002000 \n",
       {{Vpn(0x7f0000001), 1, kTraceRead}, {Vpn(0x7f0000002), 1, kTraceRead}}},
      {"perf-script",
       "PerfMem",
       "  taskset  182628 247517.778385:  1  cpu_core/mem-loads,ldlat=30/: ffffb33a850078a0     40268100142 |OP "
       "LOAD|LVL "
       "L1 hit|SNP None|BLK  Addr               5              33               0 ffffffff8cc2ba08 [unknown] ([k])\n"
       "  taskset  182628 247517.778409:  1  cpu_core/mem-stores/: 1000     5080184 |OP STORE|LVL N/A  0 401000 f "
       "(x)\n",
       {{Vpn(0xffffb33a85007), 1, kTraceRead}, {Vpn(1), 1, kTraceWrite}}},
      {"csv-blocks",
       "Blocks",
       "version,time,op,size,lbn\n1,5633898,2a,4096,8\n1,5633898,28,8192,31\n1,5633899,35,0,0\n1,5633899,88,512,0\n",
       {{Vpn(1), 1, kTraceWrite},
        {Vpn(3), 1, kTraceRead},
        {Vpn(4), 1, kTraceRead},
        {Vpn(5), 1, kTraceRead},
        {Vpn(0), 1, kTraceRead}}},
      {"csv-blocks",
       "OtherColumns",
       "LBN, Size\n8, 512\n 16 ,512\n",
       {{Vpn(1), 1, kTraceRead}, {Vpn(2), 1, kTraceRead}}},
      {"msr",
       "TwoDisks",
       "128166372003061629,usr,0,Read,7014609920,24576,41286\n128166372016382155,usr,1,Write,4096,512,1\n"
       "128166372026382155,usr,1,Write,0,0,1\n",
       {{Vpn(1712551), 1, kTraceRead},
        {Vpn(1712552), 1, kTraceRead},
        {Vpn(1712553), 1, kTraceRead},
        {Vpn(1712554), 1, kTraceRead},
        {Vpn(1712555), 1, kTraceRead},
        {Vpn(1712556), 1, kTraceRead},
        {Vpn(1712557), 1, kTraceRead},
        {Vpn(kDiskPages + 1), 1, kTraceWrite}}},
      {"blkparse",
       "QueuedOnly",
       "  8,0    3       11     0.009507758   697  A   R 223490 + 8 <- (8,1) 223427\n"
       "  8,0    3       12     0.009507758   697  Q   R 223488 + 8 [kjournald]\n"
       "  8,0    3       13     0.009513000   697  G   R 223488 + 8 [kjournald]\n"
       "  8,0    3       14     0.009520000   697  P   N [kjournald]\n"
       "  8,0    3       15     0.009520000   697  U   N [kjournald] 1\n"
       "  8,0    3       16     0.009530000   697  D   R 223488 + 8 [kjournald]\n"
       "  8,0    0        0     0.009540000     0  m   N cfq697 dispatched\n"
       "  8,0    3       17     0.019530000     0  C   R 223488 + 8 [0]\n"
       "  8,16   3       18     0.029530000   697  Q  WS 8 + 8 [kjournald]\n"
       "  8,16   3       19     0.029530000   697  Q   D 8 + 8 [fstrim]\n"
       "  8,16   3       20     0.029530000   697  Q FWS [kjournald]\n"
       "CPU0 (8,0):\n Reads Queued:           1,        4KiB\t Writes Queued:           0,        0KiB\n\n"
       "Total (8,0):\n Reads Queued:           1,        4KiB\n\nThroughput (R/W): 4KiB/s / 0KiB/s\n"
       "Events (8,0): 8 entries\nSkips: 0 forward (0 -   0.0%)\n",
       {{Vpn(223488 / 8), 1, kTraceRead}, {Vpn(kDiskPages + 1), 1, kTraceWrite}}},
      {"blkparse",
       "CompletedOnly",
       "8,0 3 11 0.009507758 697 C R 8 + 8 [0]\n8,0 3 12 0.009507758 697 C W 16 + 8 [0]\n",
       {{Vpn(1), 1, kTraceRead}, {Vpn(2), 1, kTraceWrite}}},
      {"csv-objects",
       "Names",
       "time,object,size,op\n1,/a.html,20,get\n2,/b.html,20,set\n3,/a.html,20,delete\n4,/a.html,20,GET\n",
       {{Vpn(0), 1, kTraceRead}, {Vpn(1), 1, kTraceWrite}, {Vpn(0), 1, kTraceRead}}},
      {"csv-objects",
       "NoTimes",
       "id\nb\na\nb\n",
       {{Vpn(0), 1, kTraceRead}, {Vpn(1), 1, kTraceRead}, {Vpn(0), 1, kTraceRead}},
       false},
      {"oracleGeneral",
       "Requests",
       oracle_request(5, 0xfedcba9876543210, 3) + oracle_request(5, 7, -1) +
           oracle_request(6, 0xfedcba9876543210, INT64_MAX),
       {{Vpn(0), 1, kTraceRead}, {Vpn(1), 1, kTraceRead}, {Vpn(0), 1, kTraceRead}}},
  };
  return kExamples;
}

class ForeignFormatExample : public testing::TestWithParam<FormatExample> {};

TEST_P(ForeignFormatExample, ReadsItsRecords) {
  const FormatExample& example = GetParam();
  const ForeignRead read = read_foreign(example.format, example.text);
  ASSERT_TRUE(read.totals.has_value()) << read.totals.error().message;
  EXPECT_EQ(read.records, example.records);
  EXPECT_FALSE(read.totals->end_is_cut);
  if (example.recognised) {
    EXPECT_EQ(recognised(example.text), example.format);
  } else {
    EXPECT_THAT(recognised(example.text), HasSubstr("--format"));
  }
}

// Wherever the text ends, the file is read up to its last whole record.
TEST_P(ForeignFormatExample, MayBeCutAnywhere) {
  const FormatExample& example = GetParam();
  for (std::size_t length = 0; length < example.text.size(); ++length) {
    const ForeignRead read = read_foreign(example.format, example.text.substr(0, length));
    EXPECT_TRUE(read.totals.has_value()) << length << ": " << read.totals.error().message;
  }
}

INSTANTIATE_TEST_SUITE_P(ForeignFormats, ForeignFormatExample, testing::ValuesIn(format_examples()),
                         [](const auto& param_info) {
                           std::string name = std::string(param_info.param.format) + "_" + param_info.param.what;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(ForeignFormats, EachHasAnExampleAndAName) {
  std::set<std::string_view> names;
  for (const ForeignFormat& format : foreign_formats()) {
    EXPECT_TRUE(names.insert(format.name).second) << format.name;
    EXPECT_EQ(find_foreign_format(format.name), &format);
    EXPECT_THAT(foreign_format_names(), HasSubstr(std::string(format.name)));
    EXPECT_TRUE(std::ranges::any_of(format_examples(), [&](const FormatExample& example) {
      return example.format == format.name;
    })) << format.name;
  }
  EXPECT_EQ(find_foreign_format("nothing"), nullptr);
  EXPECT_EQ(find_foreign_format("ORACLEgeneral"), find_foreign_format("oracleGeneral"));
}

// docs/trace-format.md has a row for each, which says how one is made as the messages do.
TEST(ForeignFormats, AreInTheDocumentsTable) {
  std::ifstream in(std::string(PAGODA_SOURCE_DIR) + "/docs/trace-format.md");
  const std::string document{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  for (const ForeignFormat& format : foreign_formats()) {
    const std::size_t row = document.find("\n| `" + std::string(format.name) + "` | ");
    ASSERT_NE(row, std::string::npos) << format.name;
    std::string text = document.substr(row + 1, document.find('\n', row + 1) - row - 1);
    for (std::size_t escaped = 0; (escaped = text.find("\\|", escaped)) != std::string::npos;) text.erase(escaped, 1);
    EXPECT_THAT(text, AllOf(HasSubstr(std::string(format.make)), HasSubstr("`" + std::string(format.space) + "`")));
  }
}

struct BadLine {
  const char* format;
  const char* line;
  const char* problem;
  const char* before = "";  // Lines that must come first.
};

// A line of each kind that its format does not know.
TEST(ForeignFormats, NameWhatIsWrongWithALine) {
  const std::vector<BadLine> lines = {
      {"hexaddr", "0041f7a0", "no R or W"},
      {"hexaddr", "0041f7a0 X", "no R or W"},
      {"hexaddr", "R 0041f7a0", "address in hex"},
      {"hexaddr", "0041f7a0 R 3", "something behind"},
      {"hexaddr", "10041f7a00041f7a0 R", "address in hex"},
      {"load-store", "l 190a7c20", "0x"},
      {"load-store", "m 0x190a7c20", "l or s"},
      {"load-store", "l 0x190a7c20 0", "size"},
      {"load-store", "l 0x190a7c20 99999999999", "size"},
      {"load-store", "l 0x", "0x"},
      {"pinatrace", "0x1: 0x2", "R or W"},
      {"pinatrace", "1: R 0x2", "instruction"},
      {"pinatrace", "0x1: R 2", "0x"},
      {"pinatrace-hex", "R 0x12", "without 0x"},
      {"pinatrace-decimal", "R 1f", "decimal"},
      {"pinatrace-decimal", "R 18446744073709551616", "decimal"},
      {"dinero", "5 1000", "label"},
      {"dinero", "22 1000", "label"},
      {"dinero", "0 xyz", "hex"},
      {"drcachesim-view", "8 1: W0.T1 ifetch x byte(s) @ 0x1000", "byte(s)"},
      {"drcachesim-view", "8 1: W0.T1 read 8 byte(s) at 0x1000", "@"},
      {"perf-script", "hello there", "no event"},
      {"perf-script", "ls 1 2.5: page-faults: 1000 main+0x1 (/usr/bin/ls)", "perf record -d"},
      {"perf-script", "ls 1 2.5: page-faults: 401000 feedface (/usr/bin/ls)", "perf record -d"},
      {"perf-script", "ls 1 2.5: page-faults:", "perf record -d"},
      {"csv-blocks", "time,size,id", "no header"},
      {"csv-blocks", "1,2a,512", "fewer columns", "time,op,size,lbn\n"},
      {"csv-blocks", "1,2a,512,8,9", "more columns", "time,op,size,lbn\n"},
      {"csv-blocks", "1,flush,512,8", "op", "time,op,size,lbn\n"},
      {"csv-blocks", "1,2a,x,8", "no decimal", "time,op,size,lbn\n"},
      {"csv-blocks", "1,2a,512,36028797018963968", "4 PiB", "time,op,size,lbn\n"},
      {"csv-blocks", "1,2a,512,18446744073709551615", "4 PiB", "time,op,size,lbn\n"},
      {"csv-blocks", "1,2a,18446744073709551615,8", "1 GiB", "time,op,size,lbn\n"},
      {"msr", "1,usr,0,Trim,0,512,1", "Read or Write"},
      {"msr", "1,usr,0,Read,0,512", "response"},
      {"msr", "1,usr,0,Read,0,512,1,2", "response"},
      {"msr", "1,usr,0,Read,4503599627370496,512,1", "4 PiB"},
      {"msr", "now,usr,0,Read,0,512,1", "time"},
      {"blkparse", "8,0 3 11 soon 697 Q R 8 + 8", "device"},
      {"blkparse", "8,0 3 11 0.1 697 Q R 8 + many", "sectors"},
      {"csv-objects", "time,size", "no header"},
      {"csv-objects", "1,", "no id", "time,id\n"},
      {"csv-objects", "1", "fewer columns", "time,id\n"},
      {"csv-objects", "a,b", "more columns", "id\n"},
      {"csv-objects", "a,stat", "op", "id,op\n"},
  };
  for (const BadLine& bad : lines) {
    SCOPED_TRACE(bad.line);
    const ForeignRead read = read_foreign(bad.format, std::string(bad.before) + bad.line + "\n");
    ASSERT_FALSE(read.totals.has_value());
    EXPECT_THAT(read.totals.error().message, AllOf(HasSubstr(bad.line), HasSubstr(bad.problem)));
  }
}

TEST(ForeignFormats, ADiskOfOneTooManyIsRefused) {
  std::string text;
  for (int disk = 0; disk < 4096; ++disk) text += "1,usr," + std::to_string(disk) + ",Read,0,512,1\n";
  EXPECT_TRUE(read_foreign("msr", text).totals.has_value());
  const ForeignRead read = read_foreign("msr", text + "1,usr,4096,Read,0,512,1\n");
  ASSERT_FALSE(read.totals.has_value());
  EXPECT_THAT(read.totals.error().message, HasSubstr("4096"));
}

// An object is a page, whatever its size: what libCacheSim calls ignoring the object size.
TEST(ForeignFormats, ObjectsAreNumberedInOrderOfAppearance) {
  std::string text = "id\n";
  for (const char* id : {"z", "y", "z", "18446744073709551616", "x", "y"}) text += std::string(id) + "\n";
  const ForeignRead read = read_foreign("csv-objects", text);
  std::vector<std::uint64_t> pages;
  for (const TraceRecord& record : read.records) pages.push_back(record.page.value());
  EXPECT_THAT(pages, ElementsAre(0, 1, 0, 2, 3, 1));
}

}  // namespace
}  // namespace pagoda::sim
