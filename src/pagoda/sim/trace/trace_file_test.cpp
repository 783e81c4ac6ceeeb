// Writing a trace file and reading it back: nothing is lost, and no damage passes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>
#include <zstd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/sim/trace/trace.h"
#include "pagoda/sim/trace/trace_format.h"
#include "pagoda/sim/trace/trace_reader.h"
#include "pagoda/sim/trace/trace_rewrite.h"
#include "pagoda/sim/trace/trace_writer.h"

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Bytes = std::vector<std::uint8_t>;

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "pagoda-trace-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string file(std::string_view name) const { return (path_ / name).string(); }
  std::size_t file_count() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

Bytes slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

TraceRecord record(std::uint64_t page, TraceAccess access, std::uint64_t raw = 1) { return {Vpn(page), raw, access}; }

std::vector<TraceRecord> read_all(TraceReader& reader, std::size_t batch = 7) {
  std::vector<TraceRecord> all;
  std::vector<TraceRecord> some(batch);
  for (;;) {
    const auto count = reader.next_batch(some);
    EXPECT_TRUE(count.has_value()) << count.error().message;
    if (!count || *count == 0) return all;
    all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(*count));
  }
}

// The first message when the file is read to its end; empty if there is none.
std::string read_error(const Bytes& file) {
  auto reader = TraceReader::from_bytes("f", file);
  if (!reader) return reader.error().message;
  std::vector<TraceRecord> some(100);
  for (;;) {
    const auto count = reader->next_batch(some);
    if (!count) return count.error().message;
    if (*count == 0) return {};
  }
}

Bytes small_trace() {
  const TemporaryDirectory directory;
  auto writer = TraceWriter::create(directory.file("t"), {.source = "test", .program = "small", .window = 4}).value();
  for (std::uint64_t i = 0; i < 60; ++i) {
    writer->append(
        record((i * i * 7919) % 100 + (i % 2 != 0 ? 0x7fff00000 : 0), i % 3 == 0 ? kTraceWrite : kTraceRead, 50'000));
  }
  EXPECT_TRUE(writer->publish());
  return slurp(directory.file("t"));
}

Bytes compress(std::string_view text) {
  Bytes out(ZSTD_compressBound(text.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

RC_GTEST_PROP(TraceFile, ReadsBackWhatWasWritten, ()) {
  const auto pages = *rc::gen::container<std::vector<std::uint64_t>>(
      rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, 50), rc::gen::inRange<std::uint64_t>(0, kTracePageLimit)));
  const TemporaryDirectory directory;
  auto writer = TraceWriter::create(directory.file("t"), {.source = "test", .window = 9}).value();
  std::vector<TraceRecord> written;
  std::uint64_t references = 0;
  std::set<std::uint64_t> distinct;
  for (const std::uint64_t page : pages) {
    written.push_back(record(page, TraceAccess::from_bits(*rc::gen::inRange<std::uint64_t>(1, 8)),
                             *rc::gen::inRange<std::uint64_t>(0, 3 << 20)));
    references += written.back().raw_references;
    distinct.insert(page);
    writer->append(written.back());
  }
  const auto info = writer->publish();
  RC_ASSERT(info.has_value());
  RC_ASSERT(directory.file_count() == 1U);

  auto reader = TraceReader::open(directory.file("t"));
  RC_ASSERT(reader.has_value());
  RC_ASSERT(reader->info().records == written.size());
  RC_ASSERT(reader->info().references == references);
  RC_ASSERT(reader->info().pages.value() == distinct.size());
  RC_ASSERT(reader->info().window == 9U);
  RC_ASSERT(reader->info().ranges == info->ranges);
  const std::vector<TraceRecord> read = read_all(*reader, *rc::gen::inRange<std::size_t>(1, 40));
  RC_ASSERT(read.size() == written.size());
  std::uint64_t read_references = 0;
  for (std::size_t i = 0; i < read.size(); ++i) {
    RC_ASSERT(read[i].page == written[i].page);
    RC_ASSERT(read[i].access == written[i].access);
    read_references += read[i].raw_references;
  }
  RC_ASSERT(read_references == references);
  reader->rewind();
  RC_ASSERT(read_all(*reader) == read);
}

TEST(TraceFile, InfoCountsRecordsPagesAndRanges) {
  const TemporaryDirectory directory;
  auto writer = TraceWriter::create(directory.file("t"), {.source = "test", .program = "prog"}).value();
  writer->append(record(5, kTraceRead, 10));
  writer->append(record(6, kTraceWrite | kTraceRead, 20));
  writer->append(record(5, kTraceExecute, 30));
  writer->append(record(4095, kTraceWrite, 1));
  writer->append(record(4096, kTraceWrite, 1));  // The neighbour in another chunk of the census.
  writer->append_references(8);
  ASSERT_TRUE(writer->publish("exit"));
  const TraceInfo info = TraceReader::open(directory.file("t")).value().info();
  EXPECT_EQ(info.version, 2U);
  EXPECT_EQ(info.source, "test");
  EXPECT_EQ(info.program, "prog");
  EXPECT_EQ(info.ending, "exit");
  EXPECT_EQ(info.records, 5U);
  EXPECT_EQ(info.references, 70U);
  EXPECT_EQ(info.records_reading, 2U);
  EXPECT_EQ(info.records_writing, 3U);
  EXPECT_EQ(info.records_executing, 1U);
  EXPECT_EQ(info.pages, PageCount(4));
  EXPECT_EQ(info.pages_read, PageCount(2));
  EXPECT_EQ(info.pages_written, PageCount(3));
  EXPECT_EQ(info.pages_executed, PageCount(1));
  EXPECT_EQ(info.ranges, (std::vector<VpnRange>{{Vpn(5), PageCount(2)}, {Vpn(4095), PageCount(2)}}));
}

TEST(TraceFile, ALongPauseStaysInFrontOfItsRecord) {
  const TemporaryDirectory directory;
  auto writer = TraceWriter::create(directory.file("t"), {}).value();
  const std::vector<TraceRecord> written = {record(1, kTraceRead, 5), record(2, kTraceRead, 7 << 20),
                                            record(3, kTraceRead, 4)};
  for (const TraceRecord& r : written) writer->append(r);
  ASSERT_TRUE(writer->publish());
  auto reader = TraceReader::open(directory.file("t")).value();
  EXPECT_EQ(read_all(reader), written);
}

TEST(TraceFile, PublishAgainHoldsWhatCameInBetween) {
  const TemporaryDirectory directory;
  auto writer = TraceWriter::create(directory.file("t"), {}).value();
  EXPECT_EQ(directory.file_count(), 0U);  // The spool has no name.
  std::vector<TraceRecord> written;
  for (std::uint64_t round = 1; round <= 3; ++round) {
    written.push_back(record(round * 10, kTraceWrite, round));
    writer->append(written.back());
    ASSERT_TRUE(writer->publish());
    auto reader = TraceReader::open(directory.file("t")).value();
    EXPECT_EQ(read_all(reader), written);
  }
  EXPECT_EQ(directory.file_count(), 1U);
}

TEST(TraceFile, AWriterThatIsDroppedLeavesNothing) {
  const TemporaryDirectory directory;
  {
    auto writer = TraceWriter::create(directory.file("t"), {}).value();
    writer->append(record(1, kTraceRead));
  }
  EXPECT_EQ(directory.file_count(), 0U);
}

TEST(TraceFile, AnEmptyTraceIsATrace) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(TraceWriter::create(directory.file("t"), {}).value()->publish());
  auto reader = TraceReader::open(directory.file("t")).value();
  EXPECT_EQ(reader.info().records, 0U);
  EXPECT_TRUE(read_all(reader).empty());
  EXPECT_EQ(Trace::load(reader).value().size(), 0U);
}

TEST(TraceFile, TruncationIsFoundAtEveryByte) {
  const Bytes file = small_trace();
  ASSERT_EQ(read_error(file), "");
  for (std::size_t length = 0; length < file.size(); ++length) {
    const std::string error = read_error(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length)));
    EXPECT_THAT(error, AllOf(testing::StartsWith("f: "), HasSubstr(";"), Not(HasSubstr("\n")))) << length;
  }
}

TEST(TraceFile, EveryFlippedBitIsFound) {
  const Bytes file = small_trace();
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    Bytes flipped = file;
    flipped[bit / 8] = static_cast<std::uint8_t>(flipped[bit / 8] ^ (1U << (bit % 8)));
    EXPECT_FALSE(TraceReader::from_bytes("f", flipped).has_value()) << bit;  // Already when it is opened.
  }
}

TEST(TraceFile, BytesBehindTheEndAreFound) {
  for (const std::size_t count : {1, 3, 4, 24, 1000}) {
    Bytes file = small_trace();
    file.insert(file.end(), count, 0);
    EXPECT_NE(read_error(file), "") << count;
    Bytes old = compress("VMPT1\n\n\x11");
    ASSERT_EQ(read_error(old), "");
    old.insert(old.end(), count, 'x');
    EXPECT_NE(read_error(old), "") << count;
  }
}

TEST(TraceFile, ReadsVmpt1AndCountsIt) {
  // window=3; write page 2, read page 1, tick 100, execute page 300, tick 7, tick 1.
  const std::string text =
      std::string("VMPT1\nsource=old\nwindow=3\nnews=ignored\n\n") + "\x22\x09" + "\xa0\x06" + "\xb4\x25" + "\x38\x08";
  auto reader = TraceReader::from_bytes("f", compress(text)).value();
  EXPECT_EQ(reader.info().version, 1U);
  EXPECT_EQ(reader.info().source, "old");
  EXPECT_EQ(reader.info().window, 3U);
  EXPECT_EQ(reader.info().records, 3U);
  EXPECT_EQ(reader.info().references, 108U);
  EXPECT_EQ(reader.info().pages, PageCount(3));
  EXPECT_EQ(read_all(reader), (std::vector<TraceRecord>{record(2, kTraceWrite, 50), record(1, kTraceRead, 50),
                                                        record(300, kTraceExecute, 8)}));
}

TEST(TraceFile, RefusesWhatNoRecorderWrites) {
  const std::string start = "VMPT1\nwindow=3\n\n";
  EXPECT_THAT(read_error(compress(start + "\x19")), HasSubstr("impossible page"));  // Page -2.
  EXPECT_THAT(read_error(compress(start + "\x81\x80\x80\x80\x80\x80\x80\x80\x40")), HasSubstr("impossible page"));
  EXPECT_THAT(read_error(compress(start + "\x89")), HasSubstr("no number"));  // Ends in a varint.
  EXPECT_THAT(read_error(compress(start + std::string(11, '\xff'))), HasSubstr("no number"));
  EXPECT_THAT(read_error(compress("VMPT1\nwindow=x\n\n")), HasSubstr("window=x"));
  EXPECT_THAT(read_error(compress("VMPT1\nwindow=3\n")), HasSubstr("truncated"));
  EXPECT_THAT(read_error(compress("VMPT3\n\n")), HasSubstr("not a page trace"));
  EXPECT_THAT(read_error(compress("")), HasSubstr("truncated"));
  EXPECT_THAT(read_error(Bytes{'V', 'M', 'P', 'T', '1', '\n', '\n'}), HasSubstr("no zstd frame"));
  EXPECT_THAT(read_error(compress(trace_format::make_header(TraceInfo(), 0))), HasSubstr("seal"));
  EXPECT_THAT(TraceReader::open("/nonexistent/t").error().message,
              HasSubstr("/nonexistent/t: cannot be read: No such file"));
  EXPECT_THAT(TraceReader::open("/").error().message, HasSubstr("cannot be read"));
}

// A file that is whole but says something else about itself than it holds.
TEST(TraceFile, ASealedHeaderMustMatchTheRecords) {
  TraceInfo info;
  info.records = 1;
  info.references = 7;
  info.pages = PageCount(1);
  info.ranges = {{Vpn(1), PageCount(1)}};
  const auto make = [](const TraceInfo& told, std::string_view held, std::uint64_t record_bytes) {
    Bytes file = compress(trace_format::make_header(told, record_bytes) + std::string(held));
    trace_format::SealHasher hasher;
    hasher.update(file);
    const auto seal = hasher.seal();
    file.insert(file.end(), seal.begin(), seal.end());
    return file;
  };
  const std::string held = "\x11\x38";  // Read page 1; tick 7.
  EXPECT_EQ(read_error(make(info, held, 2)), "");
  EXPECT_THAT(read_error(make(info, held, 3)), HasSubstr("length"));
  EXPECT_THAT(read_error(make(info, "\x11\x40", 2)), HasSubstr("references"));
  TraceInfo more = info;
  more.records = 2;
  EXPECT_THAT(read_error(make(more, held, 2)), HasSubstr("records"));
  more.pages = PageCount(2);
  EXPECT_THAT(read_error(make(more, held, 2)), HasSubstr("sum up"));
  more.ranges = {{Vpn(kTracePageLimit - 1), PageCount(2)}};
  EXPECT_THAT(read_error(make(more, held, 2)), HasSubstr("range 0 is impossible"));
  TraceInfo pages = info;
  pages.pages = PageCount(2);
  pages.ranges = {{Vpn(1), PageCount(2)}};
  EXPECT_THAT(read_error(make(pages, held, 2)), HasSubstr("more pages than records"));
  // The reader does not look pages up; the code that numbers them does.
  TraceInfo elsewhere = info;
  elsewhere.ranges = {{Vpn(2), PageCount(1)}};
  auto reader = TraceReader::from_bytes("f", make(elsewhere, held, 2)).value();
  EXPECT_THAT(Trace::load(reader).error().message, HasSubstr("no range"));
}

TEST(TraceFile, WriterRefusesPlacesThatAreNoFiles) {
  EXPECT_THAT(TraceWriter::create("/dev/null", {}).error().message, HasSubstr("not a regular file"));
  EXPECT_THAT(TraceWriter::create("/nonexistent/t", {}).error().message, HasSubstr("cannot create"));
  EXPECT_THAT(TraceWriter::create("/tmp/t", {.level = 99}).error().message, HasSubstr("level 99"));
}

TEST(TraceRewrite, SealsAndWidensAnOldTrace) {
  const TemporaryDirectory directory;
  // Pages 1 2 1 2 1 2: within a window of two pages all but the first and the last of each may go.
  auto reader =
      TraceReader::from_bytes("f", compress("VMPT1\nsource=old\nwindow=1\n\n\x11\x12\x0a\x11\x09\x11\x38")).value();
  const std::vector<TraceRecord> before = read_all(reader);
  ASSERT_EQ(before.size(), 6U);
  ASSERT_TRUE(rewrite_trace(reader, directory.file("same"), {}));
  auto same = TraceReader::open(directory.file("same")).value();
  EXPECT_EQ(same.info().source, "old");
  EXPECT_EQ(read_all(same), before);
  ASSERT_TRUE(rewrite_trace(reader, directory.file("wide"), {.window = 2}));
  auto wide = TraceReader::open(directory.file("wide")).value();
  EXPECT_EQ(wide.info().window, 2U);
  EXPECT_EQ(wide.info().records, 4U);
  EXPECT_EQ(wide.info().references, 7U);
}

TEST(Trace, NumbersPagesInAscendingOrder) {
  auto reader = TraceReader::from_bytes("f", small_trace()).value();
  const std::vector<TraceRecord> records = read_all(reader);
  const Trace trace = Trace::load(reader).value();
  ASSERT_EQ(trace.size(), records.size());
  EXPECT_EQ(trace.pages().size(), reader.info().pages.value());
  EXPECT_TRUE(std::ranges::is_sorted(trace.pages()));
  for (std::size_t i = 0; i < trace.size(); ++i) {
    EXPECT_EQ(trace.page(i), records[i].page);
    EXPECT_EQ(trace.access(i), records[i].access);
    EXPECT_EQ(trace.dense_sequence()[i], trace.dense(i));
  }
}

}  // namespace
}  // namespace pagoda::sim
