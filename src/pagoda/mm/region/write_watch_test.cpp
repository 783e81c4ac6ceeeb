// Write watch: which pages were written, whoever wrote them, and what forgets it.
#include "pagoda/mm/region/write_watch.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using machine::Privilege;
using testing::TestMachine;
using Reset = ProcessSpace::WatchReset;

constexpr PageCount kPages{64};

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}

std::vector<std::uint64_t> numbers(const WriteWatch& watch, VpnRange pages) {
  std::vector<std::uint64_t> found;
  watch.for_each(pages, [&](Vpn page) {
    found.push_back(page.value());
    return true;
  });
  return found;
}

TEST(WriteWatchMarks, AgreeWithASetThroughRandomUse) {
  constexpr VpnRange kRange{Vpn(1000), PageCount(20000)};
  WriteWatch watch(kRange);
  std::set<std::uint64_t> model;
  Random random(7);
  const auto some = [&] {
    const std::uint64_t first = random.below(kRange.count.value());
    const std::uint64_t count = 1 + random.below(std::min<std::uint64_t>(kRange.count.value() - first, 9000));
    return VpnRange{kRange.first + PageCount(first), PageCount(count)};
  };
  for (int round = 0; round < 2000; ++round) {
    for (std::uint64_t i = random.below(20); i > 0; --i) {
      const Vpn page = kRange.first + PageCount(random.below(kRange.count.value()));
      watch.set(page);
      model.insert(page.value());
    }
    const VpnRange asked = some();
    const std::vector<std::uint64_t> expected(model.lower_bound(asked.first.value()),
                                              model.lower_bound(asked.end().value()));
    ASSERT_EQ(numbers(watch, asked), expected);
    if (random.below(4) != 0) continue;
    const VpnRange cleared = some();
    watch.clear(cleared);
    model.erase(model.lower_bound(cleared.first.value()), model.lower_bound(cleared.end().value()));
    for (const Vpn page : {cleared.first, cleared.last(), asked.first})
      ASSERT_EQ(watch.test(page), model.contains(page.value()));
  }
  const VpnRange part{kRange.first + PageCount(4097), PageCount(777)};
  const WriteWatch copy(watch, part);
  EXPECT_EQ(numbers(copy, part), numbers(watch, part));
}

class WriteWatchTest : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  WriteWatchTest() : t_({.frames = PageCount(256), .paging = GetParam(), .processors = 2}) {
    base_ = watch(MemCommit::kYes);
  }
  VirtualAddress watch(MemCommit commit) {
    return VirtualAddress(
        t_.space().reserve({.size = bytes_of(kPages), .commit = commit, .type = VadType::kWriteWatch})->first);
  }
  // The numbers of the pages said to be written.
  std::vector<std::uint64_t> written(Reset reset = Reset::kNo, VirtualAddress base = VirtualAddress(std::uint64_t{0})) {
    std::array<VirtualAddress, kPages.value()> out;
    if (base.value() == 0) base = base_;
    const auto count = t_.space().get_write_watch(t_.cpu(), base, bytes_of(kPages), out, reset);
    EXPECT_TRUE(count);
    std::vector<std::uint64_t> pages;
    for (std::size_t i = 0; i < count.value_or(0); ++i) pages.push_back((out[i] - base).value() / kPageBytes);
    return pages;
  }
  using Numbers = std::vector<std::uint64_t>;

  TestMachine t_;
  VirtualAddress base_;
};

INSTANTIATE_TEST_SUITE_P(AllModes, WriteWatchTest,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<machine::PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(WriteWatchTest, RefusesInNtsOrder) {
  const VirtualAddress other = t_.commit(PageCount(16));
  const VirtualAddress beyond = t_.core().mode.highest_user;
  std::array<VirtualAddress, 4> out;
  struct Row {
    const char* mistake;
    VirtualAddress base;
    ByteCount size;
    std::size_t room;
    Status get;
    Status reset;
  };
  const std::vector<Row> rows{
      {"base out of reach", beyond, 0_B, 0, Status::kInvalidParameter2, Status::kInvalidParameter2},
      {"no size", other, 0_B, 0, Status::kInvalidParameter3, Status::kInvalidParameter3},
      {"wraps", other, ByteCount(~std::uint64_t{0}), 0, Status::kInvalidParameter3, Status::kInvalidParameter3},
      {"no room", other, 1_B, 0, Status::kInvalidParameter5, Status::kInvalidParameter1},
      {"another region", other, 1_B, 4, Status::kInvalidParameter1, Status::kInvalidParameter1},
      {"no region", base_ + 8_MiB, 1_B, 4, Status::kInvalidParameter1, Status::kInvalidParameter1},
      {"leaves the region", base_, bytes_of(kPages) + 1_B, 4, Status::kInvalidParameter1, Status::kInvalidParameter1},
  };
  t_.must_put(base_, 3, 1);
  for (const Row& row : rows) {
    const auto got =
        t_.space().get_write_watch(t_.cpu(), row.base, row.size, std::span(out).first(row.room), Reset::kYes);
    EXPECT_EQ(status_of(got), row.get) << row.mistake;
    const auto reset = t_.space().reset_write_watch(t_.cpu(), row.base, row.size);
    EXPECT_EQ(status_of(reset), row.reset) << row.mistake;
  }
  EXPECT_EQ(written(), Numbers{3}) << "a refused call changes nothing";
  EXPECT_EQ(t_.check(), "");
}

TEST_P(WriteWatchTest, SeesWritesAndOnlyWrites) {
  t_.must_touch(TestMachine::page(base_, 1));
  EXPECT_EQ(written(), Numbers{});
  t_.must_put(base_, 1, 1);  // A first write to a clean page.
  t_.must_put(base_, 7, 1);  // A first touch that writes.
  ASSERT_TRUE(t_.cpu().store<std::uint64_t>(TestMachine::page(base_, 9), 1, Privilege::kKernel));
  t_.must_put(base_, 11, 1, 1);  // Another processor.
  EXPECT_EQ(written(), (Numbers{1, 7, 9, 11}));
  EXPECT_EQ(written(Reset::kYes), (Numbers{1, 7, 9, 11}));
  EXPECT_EQ(written(), Numbers{});
  EXPECT_EQ(t_.check(), "");
  t_.must_put(base_, 7, 2);
  t_.must_put(base_, 11, 2, 1);
  EXPECT_EQ(t_.get(base_, 9), 1U);
  EXPECT_EQ(written(), (Numbers{7, 11})) << "no processor may still write without being seen";
  EXPECT_EQ(t_.check(), "");
}

TEST_P(WriteWatchTest, GivesWhatFitsAndResetsThoseAlone) {
  for (const std::uint64_t page : {2U, 3U, 40U, 41U, 63U}) t_.must_put(base_, page, page);
  std::array<VirtualAddress, 3> out;
  const auto count =
      t_.space().get_write_watch(t_.cpu(), TestMachine::page(base_, 3), bytes_of(PageCount(61)), out, Reset::kYes);
  ASSERT_EQ(count, 3U);
  EXPECT_EQ(out[0], TestMachine::page(base_, 3));
  EXPECT_EQ(out[1], TestMachine::page(base_, 40));
  EXPECT_EQ(out[2], TestMachine::page(base_, 41));
  EXPECT_EQ(written(), (Numbers{2, 63}));
  ASSERT_TRUE(t_.space().reset_write_watch(t_.cpu(), TestMachine::page(base_, 63), 1_B));
  EXPECT_EQ(written(), Numbers{2});
  EXPECT_EQ(t_.check(), "");
}

TEST_P(WriteWatchTest, ResetOfManyPagesIsOneFlush) {
  t_.fill(base_, kPages);
  const std::uint64_t before = t_.cpu(1).counts().shootdowns_received;
  EXPECT_EQ(written(Reset::kYes).size(), kPages.value());
  EXPECT_EQ(t_.cpu(1).counts().shootdowns_received, before + 1);
  t_.fill(base_, kPages, 5);
  EXPECT_EQ(written().size(), kPages.value());
  EXPECT_EQ(t_.differences(base_, kPages, 5), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(WriteWatchTest, OutlivesTrimPageFileDecommitAndProtect) {
  t_.fill(base_, PageCount(8));
  t_.push_out();
  EXPECT_EQ(written(), (Numbers{0, 1, 2, 3, 4, 5, 6, 7}));
  ASSERT_TRUE(t_.space().reset_write_watch(t_.cpu(), base_, bytes_of(kPages)));
  EXPECT_EQ(t_.get(base_, 3), 4U);
  t_.finish_io();
  EXPECT_EQ(written(), Numbers{}) << "read back from the paging file";
  t_.must_put(base_, 5, 9);
  t_.must_put(base_, 3, 9);
  EXPECT_EQ(written(), (Numbers{3, 5})) << "written back from the paging file, and after a read";
  ASSERT_TRUE(t_.space().protect(t_.cpu(), base_, bytes_of(kPages), Protection::kReadOnly));
  ASSERT_TRUE(t_.space().decommit(t_.cpu(), base_, bytes_of(PageCount(8))));
  EXPECT_EQ(written(), (Numbers{3, 5}));
  EXPECT_EQ(t_.check(), "");
}

// The contents are still modified after a reset: they must reach the paging file.
TEST_P(WriteWatchTest, IsApartFromWhatThePagingFileNeeds) {
  t_.fill(base_, PageCount(8));
  EXPECT_EQ(written(Reset::kYes).size(), 8U);
  t_.push_out();
  EXPECT_EQ(t_.differences(base_, PageCount(8)), 0U);
  EXPECT_EQ(written(), Numbers{});
  t_.finish_io();
  EXPECT_EQ(t_.check(), "");
}

TEST_P(WriteWatchTest, AGuardFiresFirst) {
  const VirtualAddress guarded = TestMachine::page(base_, 4);
  ASSERT_TRUE(t_.space().protect(t_.cpu(), guarded, 1_B, with_modifier(Protection::kReadWrite, kProtectionGuard)));
  EXPECT_EQ(t_.put(guarded, 0, 1), Status::kGuardPageViolation);
  EXPECT_EQ(written(), Numbers{});
  t_.must_put(guarded, 0, 1);
  EXPECT_EQ(written(), Numbers{4});
  EXPECT_EQ(t_.check(), "");
}

// CR0.WP clear: the hardware sets Dirty alone, without a fault.
TEST_P(WriteWatchTest, SeesAKernelThatIgnoresWriteProtection) {
  t_.cpu().set_walk_rules({.write_protect = false});
  const auto kernel_writes = [&](std::uint64_t page) {
    t_.must_touch(TestMachine::page(base_, page));
    ASSERT_TRUE(t_.cpu().store<std::uint64_t>(TestMachine::page(base_, page), 77, Privilege::kKernel));
  };
  for (const std::uint64_t page : {1U, 2U, 3U, 5U}) kernel_writes(page);
  ASSERT_TRUE(t_.space().decommit(t_.cpu(), TestMachine::page(base_, 1), 1_B));
  ASSERT_TRUE(t_.space().protect(t_.cpu(), TestMachine::page(base_, 2), 1_B, Protection::kReadOnly));
  EXPECT_EQ(written(Reset::kYes), (Numbers{1, 2, 3, 5}));
  EXPECT_EQ(written(), Numbers{});
  kernel_writes(3);
  t_.push_out();
  EXPECT_EQ(written(), Numbers{3});
  EXPECT_EQ(t_.get(base_, 5), 77U);
  t_.finish_io();
  EXPECT_EQ(t_.check(), "");
}

TEST_P(WriteWatchTest, ContentsThatAreNotWantedWereWritten) {
  t_.fill(base_, PageCount(4));
  t_.cpu().set_walk_rules({.write_protect = false});
  t_.must_touch(TestMachine::page(base_, 9));
  ASSERT_TRUE(t_.cpu().store<std::uint64_t>(TestMachine::page(base_, 9), 77, Privilege::kKernel));
  ASSERT_TRUE(t_.space().reset(t_.cpu(), base_, bytes_of(kPages)));
  EXPECT_EQ(written(Reset::kYes), (Numbers{0, 1, 2, 3, 9}));
  EXPECT_EQ(t_.check(), "");
  t_.must_put(base_, 2, 5);
  EXPECT_EQ(written(), Numbers{2});
  EXPECT_EQ(t_.check(), "");
}

TEST_P(WriteWatchTest, ARegionCanReplaceAPlaceholder) {
  const auto placeholder =
      t_.space().reserve({.size = 64_KiB, .protection = Protection::kNoAccess, .placeholder = Placeholder::kReserve});
  ASSERT_TRUE(placeholder);
  const VirtualAddress base(placeholder->first);
  ASSERT_TRUE(t_.space().reserve({.base = base,
                                  .size = 64_KiB,
                                  .commit = MemCommit::kYes,
                                  .type = VadType::kWriteWatch,
                                  .placeholder = Placeholder::kReplace}));
  for (const std::uint64_t page : {3U, 6U, 11U}) t_.must_put(base, page, 1);
  // A hole in it; both sides keep their marks.
  ASSERT_TRUE(t_.space().release(t_.cpu(), TestMachine::page(base, 5), bytes_of(PageCount(3)),
                                 ReleaseMode::kPreservePlaceholder));
  std::array<VirtualAddress, 4> out;
  EXPECT_EQ(t_.space().get_write_watch(t_.cpu(), base, bytes_of(PageCount(5)), out, Reset::kNo), 1U);
  EXPECT_EQ(out[0], TestMachine::page(base, 3));
  EXPECT_EQ(t_.space().get_write_watch(t_.cpu(), TestMachine::page(base, 8), bytes_of(PageCount(8)), out, Reset::kNo),
            1U);
  EXPECT_EQ(out[0], TestMachine::page(base, 11));
  EXPECT_EQ(t_.check(), "");
  ASSERT_TRUE(t_.space().release(t_.cpu(), base, 0_B, ReleaseMode::kFree));
  EXPECT_EQ(t_.check(), "");
}

TEST_P(WriteWatchTest, PartsOfARegionKeepTheirMarks) {
  for (const std::uint64_t page : {1U, 20U, 50U, 63U}) t_.must_put(base_, page, page);
  ASSERT_TRUE(t_.space().release(t_.cpu(), TestMachine::page(base_, 16), bytes_of(PageCount(32))));
  std::array<VirtualAddress, 8> out;
  EXPECT_EQ(t_.space().get_write_watch(t_.cpu(), base_, bytes_of(PageCount(16)), out, Reset::kYes), 1U);
  EXPECT_EQ(out[0], TestMachine::page(base_, 1));
  EXPECT_EQ(
      t_.space().get_write_watch(t_.cpu(), TestMachine::page(base_, 48), bytes_of(PageCount(16)), out, Reset::kNo), 2U);
  EXPECT_EQ(out[1], TestMachine::page(base_, 63));
  EXPECT_EQ(t_.check(), "");
  ASSERT_TRUE(t_.space().release(t_.cpu(), base_, 0_B));
  EXPECT_EQ(t_.check(), "");
  // New memory at the old place was never written.
  const VirtualAddress again = watch(MemCommit::kNo);
  ASSERT_EQ(again, base_ + bytes_of(kPages));
  EXPECT_EQ(written(Reset::kNo, again), Numbers{});
  ASSERT_TRUE(t_.space().commit(t_.cpu(), again, 1_B, Protection::kReadWrite));
  t_.must_put(again, 0, 1);
  EXPECT_EQ(written(Reset::kNo, again), Numbers{0});
  EXPECT_EQ(t_.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
