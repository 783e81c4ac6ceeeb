// Faults on pages of mapped files: clusters, collisions, errors.
#include "pagoda/mm/section/mapped_read.h"

#include <gtest/gtest.h>

#include <memory>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Processor;
using testing::TestMachine;
using testing::TestMachineConfig;

class MappedFile : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kPages = 32;

  MappedFile() : t(TestMachineConfig{.frames = PageCount(256), .processors = 2}), other(t.add_space()) {
    auto file = *t.machine().sim_disk(0).create("data");
    PAGODA_CHECK(file->resize(bytes_of(PageCount(kPages))).has_value());
    stream = std::make_shared<FileStream>("data", std::move(file));
    Section& section = **t.manager().sections().create(t.cpu(), {.file = stream, .kind = SectionKind::kData});
    here = VirtualAddress(t.space().map_view(t.cpu(), section, {})->first);
    there = VirtualAddress(other.map_view(t.cpu(), section, {})->first);
    t.manager().attach(t.cpu(1), other);
    t.fill(here, PageCount(kPages));
    t.push_out();
    reads = t.manager().counters().mapped_file_reads;
    faults = t.faults(FaultKind::kMappedFile);
  }
  std::uint64_t reads_done() { return t.manager().counters().mapped_file_reads - reads; }

  TestMachine t;
  ProcessSpace& other;
  std::shared_ptr<FileStream> stream;
  VirtualAddress here;
  VirtualAddress there;
  std::uint64_t reads = 0;
  std::uint64_t faults = 0;
};

TEST_F(MappedFile, ComesWithItsNeighbours) {
  EXPECT_EQ(t.get(here, 4), 5U);
  EXPECT_EQ(reads_done(), 1U);
  for (std::uint64_t page = 4; page < 12; ++page) EXPECT_EQ(t.get(here, page), page + 1);
  EXPECT_EQ(reads_done(), 1U);
  EXPECT_EQ(t.get(here, kPages - 1), kPages);  // At the end the neighbours are those before.
  EXPECT_EQ(t.get(here, kPages - 8), kPages - 7);
  EXPECT_EQ(reads_done(), 2U);
  EXPECT_EQ(t.faults(FaultKind::kMappedFile), faults + 2);
  EXPECT_EQ(t.check(), "");
}

TEST_F(MappedFile, IsReadOnceForTwoSpacesThatWaitForIt) {
  t.cpu(0).set_waiting(Processor::Waiting::kYields);
  t.cpu(1).set_waiting(Processor::Waiting::kYields);
  t.cpu(1).advance_to(t.cpu(0).now());
  EXPECT_EQ(t.get(here, 4).error(), Status::kPending);
  EXPECT_EQ(t.get(there, 5, 1).error(), Status::kPending);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.faults(FaultKind::kCollided), 1U);
  const Time first = t.cpu(0).take_blocked_until();
  EXPECT_EQ(first, t.cpu(1).take_blocked_until());
  t.cpu(0).advance_to(first);
  t.cpu(1).advance_to(first);
  EXPECT_EQ(t.get(there, 5, 1), 6U);
  EXPECT_EQ(t.get(here, 4), 5U);
  EXPECT_EQ(reads_done(), 1U);
  EXPECT_EQ(t.check(), "");
}

TEST_F(MappedFile, AnErrorIsForTheAccessThatNeededThePage) {
  t.injection().read_error_rate = 1;
  EXPECT_EQ(t.get(here, 4).error(), Status::kInPageError);
  EXPECT_EQ(t.faults(FaultKind::kInPageError), 1U);
  EXPECT_EQ(reads_done(), 2U);  // With the neighbours, then alone.
  EXPECT_EQ(t.check(), "");
  t.injection().read_error_rate = 0;
  EXPECT_EQ(t.get(there, 4, 1), 5U);
  EXPECT_EQ(t.get(here, 4), 5U);
  EXPECT_EQ(t.check(), "");
}

TEST_F(MappedFile, AnErrorOfANeighbourDoesNotMatter) {
  t.injection().fail_operation = t.injection().operations() + 1;
  EXPECT_EQ(t.get(here, 4), 5U);
  EXPECT_EQ(t.faults(FaultKind::kInPageError), 0U);
  EXPECT_EQ(t.manager().counters().read_errors, 1U);
  EXPECT_EQ(t.get(here, 5), 6U);
  EXPECT_EQ(t.check(), "");
}

TEST_F(MappedFile, BehindTheEndThereIsNothing) {
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), here));
  ASSERT_TRUE(other.unmap_view(t.cpu(), there));
  Section& section = **t.manager().sections().create(t.cpu(), {.file = stream, .kind = SectionKind::kData});
  ASSERT_TRUE(stream->file().resize(kPageSize * 3).has_value());  // By somebody else, as on a network.
  const VirtualAddress again(t.space().map_view(t.cpu(), section, {})->first);
  EXPECT_EQ(t.get(again, 2), 3U);
  EXPECT_EQ(t.get(again, 3).error(), Status::kInPageError);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
