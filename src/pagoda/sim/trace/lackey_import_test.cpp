#include "pagoda/sim/trace/lackey_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Collector final : public TraceSink {
 public:
  void append(const TraceRecord& record) override { records.push_back(record); }
  std::vector<TraceRecord> records;
};

struct Imported {
  Input<LackeyTotals> totals;
  std::vector<TraceRecord> records;
};

// Imports `text` with a window of one page: only neighbours are merged.
Imported import_text(const std::string& text) {
  std::FILE* const file = std::tmpfile();
  std::fwrite(text.data(), 1, text.size(), file);
  std::rewind(file);
  Collector collector;
  TraceReducer reducer(1, collector);
  Input<LackeyTotals> totals = import_lackey(fileno(file), "in.txt", reducer);
  std::fclose(file);
  reducer.flush();
  return {std::move(totals), collector.records};
}

TEST(LackeyImport, ReadsEveryKindOfLine) {
  const Imported imported = import_text(
      "==123== Lackey, an example Valgrind tool\n"
      "--123-- warning\n"
      "\n"
      "I  0401a2b0,3\n"
      " L 1ffefff008,8\n"
      " S 1ffeffe008,4\r\n"
      " M 00001008,4");
  ASSERT_TRUE(imported.totals.has_value()) << imported.totals.error().message;
  EXPECT_EQ(imported.totals->lines, 7U);
  EXPECT_EQ(imported.totals->references, 5U);
  EXPECT_EQ(imported.records, (std::vector<TraceRecord>{{Vpn(0x401a), 1, kTraceExecute},
                                                        {Vpn(0x1ffefff), 1, kTraceRead},
                                                        {Vpn(0x1ffeffe), 1, kTraceWrite},
                                                        {Vpn(0x1), 2, kTraceRead | kTraceWrite}}));
}

TEST(LackeyImport, AnAccessThatStraddlesTouchesBothPages) {
  const Imported imported = import_text(" S 00001ffe,4\n L 00002ffc,4\nI  ffffffffffffffff,1\n");
  ASSERT_TRUE(imported.totals.has_value());
  EXPECT_EQ(imported.totals->references, 4U);
  EXPECT_EQ(imported.records, (std::vector<TraceRecord>{{Vpn(1), 1, kTraceWrite},
                                                        {Vpn(2), 1, kTraceWrite | kTraceRead},
                                                        {Vpn(0xfffffffffffff), 2, kTraceExecute}}));
}

TEST(LackeyImport, AMalformedLineIsNamed) {
  for (const char* line : {"hello", "I 0401a2b0,3", "I  ,3", "I  0401a2b0", "I  0401a2b0,", "I  0401a2b0,3x",
                           "I  0401a2b0,0", "I  0401a2b0,99999", " L 12345678123456781,4", " S ffffffffffffffff,2",
                           " X 1000,4", " L -1000,4", "I  04 01a2b0,3"}) {
    const Imported imported = import_text(std::string("I  00001000,4\n") + line + "\nI  00001000,4\n");
    ASSERT_FALSE(imported.totals.has_value()) << line;
    EXPECT_THAT(imported.totals.error().message, AllOf(HasSubstr("in.txt:2: "), HasSubstr(line), Not(HasSubstr("\n"))));
  }
}

TEST(LackeyImport, QuotesNoControlCharacters) {
  const Imported imported = import_text("\x1b[2J\x01" + std::string(200, 'x') + "\n");
  ASSERT_FALSE(imported.totals.has_value());
  EXPECT_THAT(imported.totals.error().message, AllOf(HasSubstr("?[2J?xxx"), HasSubstr("...")));
}

TEST(LackeyImport, LinesMayCrossBlocks) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += i % 2 == 0 ? "I  0401a2b0,3\n" : " L 1ffefff008,8\n";
  const Imported imported = import_text(text);
  ASSERT_TRUE(imported.totals.has_value()) << imported.totals.error().message;
  EXPECT_EQ(imported.records.size(), 300'000U);
  EXPECT_FALSE(import_text(std::string(3 << 20, 'x')).totals.has_value());
  EXPECT_TRUE(import_text("").totals.has_value());
}

}  // namespace
}  // namespace pagoda::sim
