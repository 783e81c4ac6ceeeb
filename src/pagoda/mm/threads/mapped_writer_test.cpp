#include "pagoda/mm/threads/mapped_writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;

class MappedWriterTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kPages = 40;

  MappedWriterTest() : t(TestMachineConfig{.frames = PageCount(512)}) {
    auto file = *t.machine().sim_disk(0).create("data");
    PAGODA_CHECK(file->resize(bytes_of(PageCount(kPages))).has_value());
    stream = std::make_shared<FileStream>("data", std::move(file));
    Section& section = **t.manager().sections().create(t.cpu(), {.file = stream, .kind = SectionKind::kData});
    base = VirtualAddress(t.space().map_view(t.cpu(), section, {})->first);
  }

  void dirty(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t page = first; page < first + count; ++page) t.must_put(base, page, page + 100);
    t.space().empty_working_set(t.cpu());
  }
  std::uint64_t on_disk(std::uint64_t page) {
    std::uint64_t word = 0;
    PAGODA_CHECK(stream->file().peek(FileOffset(page * kPageBytes), std::as_writable_bytes(std::span(&word, 1))));
    return word;
  }
  Counters counters() { return t.manager().counters(); }
  MappedWriter& writer() { return t.manager().mapped_writer(); }

  TestMachine t;
  std::shared_ptr<FileStream> stream;
  VirtualAddress base;
};

TEST_F(MappedWriterTest, WritesNeighboursInOneTransfer) {
  dirty(4, 6);
  dirty(20, 1);
  ASSERT_TRUE(writer().write_cluster(t.cpu()));
  EXPECT_EQ(counters().mapped_file_writes, 1U);
  EXPECT_EQ(counters().mapped_file_pages_written, 6U);
  EXPECT_EQ(on_disk(9), 109U);
  EXPECT_EQ(on_disk(20), 0U);
  ASSERT_TRUE(writer().write_cluster(t.cpu()));
  EXPECT_EQ(on_disk(20), 120U);
  EXPECT_FALSE(writer().write_cluster(t.cpu()));
  t.finish_io();
  EXPECT_EQ(t.count(PageState::kModified), 0_pages);
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_F(MappedWriterTest, TakesNoMoreThanACluster) {
  dirty(0, 20);
  ASSERT_TRUE(writer().write_cluster(t.cpu()));
  EXPECT_EQ(counters().mapped_file_pages_written, 16U);
  EXPECT_EQ(t.check(), "");
}

TEST_F(MappedWriterTest, LeavesPrivatePagesToTheOther) {
  const VirtualAddress region = t.commit(PageCount(2));
  t.fill(region, PageCount(2));
  t.space().empty_working_set(t.cpu());
  EXPECT_FALSE(writer().write_cluster(t.cpu()));
  EXPECT_EQ(writer().due(t.cpu().now()), kNever);
  EXPECT_EQ(counters().mapped_file_writes, 0U);
}

TEST_F(MappedWriterTest, IsDueAtOnceAboveTheModifiedMaximum) {
  dirty(0, 16);
  EXPECT_GT(writer().due(t.cpu().now()), t.cpu().now());
  dirty(16, 1);
  EXPECT_EQ(writer().due(t.cpu().now()), t.cpu().now());
  writer().run(t.cpu());
  EXPECT_GT(counters().mapped_file_pages_written, 0U);
  t.finish_io();
  EXPECT_LE(t.count(PageState::kModified), 16_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_F(MappedWriterTest, WritesWhatIsOldWhateverTheThresholds) {
  dirty(0, 3);
  const Time due = writer().due(t.cpu().now());
  EXPECT_EQ(due, Time{} + kMappedPageAge);
  writer().run(t.cpu());
  EXPECT_EQ(counters().mapped_file_writes, 0U);
  t.cpu().advance_to(due);
  EXPECT_EQ(writer().due(t.cpu().now()), due);
  writer().run(t.cpu());
  EXPECT_EQ(counters().mapped_file_pages_written, 3U);
  t.finish_io();
  // What becomes modified afterwards waits for the next time.
  dirty(0, 1);
  EXPECT_EQ(writer().due(t.cpu().now()), due + kMappedPageAge);
  EXPECT_EQ(t.check(), "");
}

TEST_F(MappedWriterTest, FailedWritesComeBackAndAreTriedAgainLater) {
  dirty(0, 17);
  t.injection().write_error_rate = 1;
  writer().run(t.cpu());
  EXPECT_EQ(counters().write_errors, 1U);
  EXPECT_GT(writer().due(t.cpu().now()), t.cpu().now());  // Not at once.
  EXPECT_EQ(t.check(), "");
  t.finish_io();
  EXPECT_EQ(t.count(PageState::kModified), 17_pages);
  EXPECT_EQ(t.check(), "");
  t.injection().write_error_rate = 0;
  t.cpu().advance_to(writer().due(t.cpu().now()));
  EXPECT_TRUE(t.manager().flush_modified(t.cpu()));
  for (std::uint64_t page = 0; page < 17; ++page) EXPECT_EQ(on_disk(page), page + 100);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
