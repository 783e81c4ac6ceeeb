// What holds for every format: pages, bad lines, ends that are cut, remarks, long lines. Lackey's lines stand for all.
#include "pagoda/sim/trace/foreign/foreign_import.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/sim/testing/foreign_text.h"
#include "pagoda/sim/trace/replacement_oracles.h"
#include "pagoda/sim/trace/trace.h"
#include "pagoda/sim/trace/trace_reader.h"

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(ForeignImport, AnAccessThatStraddlesTouchesBothPages) {
  const ForeignRead read = read_foreign("lackey", " S 00001ffe,4\n L 00002ffc,4\nI  ffffffffffffffff,1\n");
  ASSERT_TRUE(read.totals.has_value());
  EXPECT_EQ(read.totals->references, 4U);
  EXPECT_EQ(read.records, (std::vector<TraceRecord>{{Vpn(1), 1, kTraceWrite},
                                                    {Vpn(2), 1, kTraceWrite | kTraceRead},
                                                    {Vpn(0xfffffffffffff), 2, kTraceExecute}}));
}

TEST(ForeignImport, ABadLineIsNamed) {
  for (const char* line : {"hello", "I  ,3", "I  0401a2b0", "I  0401a2b0,", "I  0401a2b0,3x", "I  0401a2b0,0",
                           "I  0401a2b0,99999", " L 12345678123456781,4", " S ffffffffffffffff,2", " X 1000,4",
                           " L -1000,4", "I  04 01a2b0,3", "SB", "SB here", " L 1000,4 five"}) {
    const ForeignRead read = read_foreign("lackey", std::string("I  00001000,4\n") + line + "\nI  00001000,4\n");
    ASSERT_FALSE(read.totals.has_value()) << line;
    EXPECT_THAT(read.totals.error().message,
                AllOf(HasSubstr("in.txt:2: "), HasSubstr(line), HasSubstr("read as lackey"), HasSubstr("--skip-bad"),
                      Not(HasSubstr("\n"))));
  }
}

TEST(ForeignImport, BadLinesAreLeftOutAndCountedWhenAskedFor) {
  const ForeignRead read = read_foreign(
      "lackey", " L 00001000,4\nhello\n L 00002000,4\n S ffffffffffffffff,2\n L 00003000,4\n", BadRecords::kSkip);
  ASSERT_TRUE(read.totals.has_value()) << read.totals.error().message;
  EXPECT_EQ(read.totals->records, 5U);
  EXPECT_EQ(read.totals->bad_records, 2U);
  EXPECT_THAT(read.totals->first_bad, AllOf(HasSubstr("in.txt:2: \"hello\""), HasSubstr("does not begin with")));
  EXPECT_EQ(read.records,
            (std::vector<TraceRecord>{{Vpn(1), 1, kTraceRead}, {Vpn(2), 1, kTraceRead}, {Vpn(3), 1, kTraceRead}}));
}

TEST(ForeignImport, ALastLineThatIsCutIsLeftOut) {
  // Every place at which the last line may end.
  const std::string last = " L 00002000,4";
  for (std::size_t length = 1; length < last.size(); ++length) {
    const ForeignRead read = read_foreign("lackey", " L 00001000,4\n" + last.substr(0, length));
    ASSERT_TRUE(read.totals.has_value()) << length << ": " << read.totals.error().message;
    EXPECT_EQ(read.totals->end_is_cut, length != 1) << length;  // A blank line is none.
    EXPECT_EQ(read.totals->bad_records, 0U);
    EXPECT_EQ(read.records, (std::vector<TraceRecord>{{Vpn(1), 1, kTraceRead}}));
  }
  const ForeignRead whole = read_foreign("lackey", " L 00001000,4\n" + last);
  ASSERT_TRUE(whole.totals.has_value());
  EXPECT_FALSE(whole.totals->end_is_cut);
  EXPECT_EQ(whole.records.size(), 2U);
}

TEST(ForeignImport, RemarksAreNoLines) {
  const ForeignRead read = read_foreign("lackey",
                                        "==123== Lackey, an example Valgrind tool\n--123-- warning\n\n   \t\r\n"
                                        "# a comment\n#eof\n L 00001000,4\r\n");
  ASSERT_TRUE(read.totals.has_value()) << read.totals.error().message;
  EXPECT_EQ(read.totals->records, 7U);
  EXPECT_EQ(read.records, (std::vector<TraceRecord>{{Vpn(1), 1, kTraceRead}}));
}

TEST(ForeignImport, AByteOrderMarkIsNoPartOfTheFirstLine) {
  EXPECT_TRUE(read_foreign("lackey", "\xef\xbb\xbf L 00001000,4\n").totals.has_value());
  EXPECT_EQ(recognised("\xef\xbb\xbf L 00001000,4\n"), "lackey");
  EXPECT_FALSE(read_foreign("lackey", " L 00001000,4\n\xef\xbb\xbf L 00001000,4\n").totals.has_value());
}

TEST(ForeignImport, QuotesNoControlCharacters) {
  const ForeignRead read = read_foreign("lackey", "\x1b[2J\x01" + std::string(200, 'x') + "\n");
  ASSERT_FALSE(read.totals.has_value());
  EXPECT_THAT(read.totals.error().message, AllOf(HasSubstr("?[2J?xxx"), HasSubstr("...")));
}

TEST(ForeignImport, LinesMayCrossBlocks) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += i % 2 == 0 ? "I  0401a2b0,3\n" : " L 1ffefff008,8\n";
  const ForeignRead read = read_foreign("lackey", text);
  ASSERT_TRUE(read.totals.has_value()) << read.totals.error().message;
  EXPECT_EQ(read.totals->records, 300'000U);
  EXPECT_EQ(read.records.size(), 300'000U);
  EXPECT_TRUE(read_foreign("lackey", "").totals.has_value());
}

TEST(ForeignImport, AnEndlessLineIsOneBadLine) {
  for (const std::size_t length : {std::size_t{70'000}, std::size_t{1} << 20, std::size_t{3} << 20}) {
    const std::string text = " L 00001000,4\n" + std::string(length, 'x') + "\n L 00002000,4\n";
    const ForeignRead refused = read_foreign("lackey", text);
    ASSERT_FALSE(refused.totals.has_value());
    EXPECT_THAT(refused.totals.error().message, AllOf(HasSubstr("in.txt:2: "), HasSubstr("longer than 64 KiB")));
    const ForeignRead read = read_foreign("lackey", text, BadRecords::kSkip);
    ASSERT_TRUE(read.totals.has_value());
    EXPECT_EQ(read.totals->records, 3U);
    EXPECT_EQ(read.totals->bad_records, 1U);
    EXPECT_EQ(read.records.size(), 2U);
  }
}

TEST(ForeignImport, MakesATraceThatSaysWhatItIsOf) {
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("pagoda-foreign-import-{}.vmpt.zst", getpid())).string();
  DecompressedFile file = foreign_file("1,usr,0,Write,8192,4096,1\n2,usr,0,Read,0,512,1\n");
  const auto written = write_foreign(file, *find_foreign_format("msr"), path, {.window = 8}, BadRecords::kRefuse);
  ASSERT_TRUE(written.has_value()) << written.error().message;
  auto reader = TraceReader::open(path);
  ASSERT_TRUE(reader.has_value()) << reader.error().message;
  EXPECT_EQ(reader->info().source, "msr");
  EXPECT_EQ(reader->info().space, kDiskSpace);
  EXPECT_EQ(reader->info().window, 8U);
  EXPECT_EQ(reader->info().pages, PageCount(2));
  std::filesystem::remove(path);

  DecompressedFile empty = foreign_file("# nothing\n");
  const auto refused = write_foreign(empty, *find_foreign_format("msr"), path, {.window = 8}, BadRecords::kRefuse);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("in.txt: holds no references"), HasSubstr("MSR Cambridge")));
  EXPECT_FALSE(std::filesystem::exists(path));
}

// What a cache's requests miss is what the string of their pages misses, for memories of the window or more.
TEST(ForeignImport, StringsOfObjectsServeTheOracles) {
  constexpr std::uint32_t kObjects = 40;
  constexpr std::uint64_t kWindow = 8;
  Random random(3);
  std::string text = "id\n";
  std::map<std::uint64_t, std::uint32_t> numbers;
  std::vector<std::uint32_t> requests;
  for (int i = 0; i < 3000; ++i) {
    const std::uint64_t id = random.below(random.below(kObjects) + 1);
    text += "object-" + std::to_string(id) + "\n";
    requests.push_back(numbers.try_emplace(id, static_cast<std::uint32_t>(numbers.size())).first->second);
  }
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("pagoda-foreign-oracles-{}.vmpt.zst", getpid())).string();
  DecompressedFile file = foreign_file(text);
  ASSERT_TRUE(write_foreign(file, *find_foreign_format("csv-objects"), path, {.window = kWindow}, BadRecords::kRefuse));
  const auto trace = Trace::load(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(trace.has_value()) << trace.error().message;
  EXPECT_EQ(trace->info().space, kObjectSpace);
  const auto objects = static_cast<std::uint32_t>(numbers.size());
  for (std::uint64_t frames = kWindow; frames <= objects; ++frames) {
    EXPECT_EQ(count_lru_misses(trace->dense_sequence(), objects, PageCount(frames)),
              count_lru_misses(requests, objects, PageCount(frames)));
    EXPECT_EQ(count_opt_misses(trace->dense_sequence(), objects, PageCount(frames)),
              count_opt_misses(requests, objects, PageCount(frames)));
  }
}

}  // namespace
}  // namespace pagoda::sim
