// MEM_RESET of views of paging-file sections, whose pages others see too.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/pe_images.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using testing::TestMachine;

Status status_of(const auto& result) { return result ? Status::kSuccess : result.error(); }

class ResetViews : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  static constexpr PageCount kPages{16};

  ResetViews()
      : t({.frames = PageCount(256), .paging = GetParam(), .processors = 2}),
        other(t.add_space()),
        section(**t.manager().sections().create(t.cpu(), {.size = bytes_of(kPages)})),
        here(map(t.space())),
        there(map(other)) {
    t.manager().attach(t.cpu(1), other);
  }

  VirtualAddress map(ProcessSpace& space, Protection protection = Protection::kReadWrite) {
    const auto mapped = space.map_view(t.cpu(), section, {.protection = protection});
    PAGODA_CHECK(mapped.has_value());
    return VirtualAddress(mapped->first);
  }
  Status reset(VirtualAddress base, std::uint64_t first = 0, PageCount count = kPages) {
    return status_of(t.space().reset(t.cpu(), TestMachine::page(base, first), bytes_of(count)));
  }
  Status undo(VirtualAddress base, std::uint64_t first = 0, PageCount count = kPages) {
    return status_of(t.space().undo_reset(t.cpu(), TestMachine::page(base, first), bytes_of(count)));
  }
  void empty_both() {
    t.space().empty_working_set(t.cpu());
    other.empty_working_set(t.cpu(1));
  }

  TestMachine t;
  ProcessSpace& other;
  Section& section;
  const VirtualAddress here;
  const VirtualAddress there;
};

INSTANTIATE_TEST_SUITE_P(Modes, ResetViews,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<machine::PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(ResetViews, PagesThatNobodyElseMapsAreOldUntilRepurposedAndThenZero) {
  t.fill(here, kPages);
  EXPECT_EQ(reset(here), Status::kSuccess);
  EXPECT_EQ(t.resident(), kPages);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(here, kPages), 0U);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(t.get(there, i, 1), i + 1);
  EXPECT_EQ(t.check(), "");
  empty_both();
  EXPECT_EQ(t.count(PageState::kModified), 0_pages);  // There is nothing to write.
  t.reuse_standby();
  EXPECT_EQ(t.check(), "");
  for (std::uint64_t i = 0; i < kPages.value(); ++i) EXPECT_EQ(t.get(there, i, 1), 0U);
  EXPECT_EQ(t.manager().counters().page_file_writes, 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, APageThatSomebodyWritesAgainIsAnOrdinaryOne) {
  t.fill(here, kPages);
  EXPECT_EQ(reset(here), Status::kSuccess);
  for (std::uint64_t i = 0; i < 4; ++i) t.must_put(there, i, 100 + i, 1);  // While the first maps it.
  t.space().empty_working_set(t.cpu());
  for (std::uint64_t i = 4; i < 8; ++i) t.must_put(there, i, 100 + i, 1);  // From standby.
  for (std::uint64_t i = 8; i < 12; ++i) {                                 // Read before it is written.
    EXPECT_EQ(t.get(there, i, 1), i + 1);
    t.must_put(there, i, 100 + i, 1);
  }
  EXPECT_EQ(t.check(), "");
  empty_both();
  EXPECT_EQ(t.count(PageState::kModified), 12_pages);
  t.push_out();
  for (std::uint64_t i = 0; i < 12; ++i) EXPECT_EQ(t.get(here, i), 100 + i);
  for (std::uint64_t i = 12; i < 16; ++i) EXPECT_EQ(t.get(here, i), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, APageThatAnotherViewMapsKeepsItsContents) {
  t.fill(here, kPages);
  for (std::uint64_t i = 0; i < 8; ++i) t.must_touch(TestMachine::page(there, i), Access::kRead, 1);
  for (std::uint64_t i = 4; i < 8; ++i) t.must_put(there, i, i + 1, 1);
  EXPECT_EQ(reset(here), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
  empty_both();
  EXPECT_EQ(t.count(PageState::kModified), 8_pages);
  t.push_out();
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(t.get(here, i), i + 1);
  for (std::uint64_t i = 8; i < 16; ++i) EXPECT_EQ(t.get(here, i), 0U);
  // Mapped by the other alone.
  t.must_put(there, 9, 90, 1);
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(reset(here), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  other.empty_working_set(t.cpu(1));
  t.push_out();
  EXPECT_EQ(t.get(here, 9), 90U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, PagesInThePagingFileAreZeroAtOnceWhoeverPutThemThere) {
  for (std::uint64_t i = 0; i < kPages.value(); ++i) t.must_put(there, i, i + 1, 1);
  other.empty_working_set(t.cpu(1));
  t.push_out();
  EXPECT_EQ(t.slots_used(), kPages);
  EXPECT_EQ(reset(here), Status::kSuccess) << "without a page table of its own";
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.get(there, 3, 1), 0U);
  EXPECT_EQ(undo(here), kResetContentsLost);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, StandbyAndModifiedPagesLoseSlotAndDirtyState) {
  t.fill(here, kPages);
  t.page_out();
  t.fill(here, 8_pages, 9);
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(t.count(PageState::kModified), 8_pages);
  EXPECT_EQ(reset(here), Status::kSuccess);
  EXPECT_EQ(t.count(PageState::kModified), 0_pages);
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.get(there, 2, 1), 11U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, UndoKeepsWhatIsThereForEverybody) {
  t.fill(here, kPages);
  EXPECT_EQ(reset(here), Status::kSuccess);
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(undo(here), Status::kSuccess);
  EXPECT_EQ(t.count(PageState::kModified), kPages);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(undo(here), Status::kSuccess) << "in the paging file";
  for (std::uint64_t i = 0; i < kPages.value(); ++i) EXPECT_EQ(t.get(there, i, 1), i + 1);
  // One page is lost: nothing changes.
  EXPECT_EQ(t.differences(here, kPages), 0U);
  empty_both();
  t.push_out();
  EXPECT_EQ(reset(here, 15, 1_pages), Status::kSuccess);
  EXPECT_EQ(t.differences(here, 15_pages), 0U);
  EXPECT_EQ(reset(here, 0, 15_pages), Status::kSuccess);
  EXPECT_EQ(undo(here), kResetContentsLost);
  EXPECT_EQ(t.entry(here).reset, 1U);
  EXPECT_EQ(undo(here, 0, 15_pages), Status::kSuccess);
  EXPECT_EQ(t.entry(here).reset, 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, PrivateCopiesAreLikePrivatePagesAndTheirOriginalsStay) {
  t.fill(here, kPages);
  const VirtualAddress copy = map(t.space(), Protection::kWriteCopy);
  t.fill(copy, 8_pages, 100);
  empty_both();
  t.push_out();
  EXPECT_EQ(t.differences(copy, 8_pages, 100), 0U);
  EXPECT_EQ(reset(copy), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
  empty_both();
  t.push_out();
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(t.get(copy, i), 0U);
  for (std::uint64_t i = 8; i < 16; ++i) EXPECT_EQ(t.get(copy, i), i + 1) << "not copied, and not this view's to write";
  EXPECT_EQ(t.differences(here, kPages), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, WhoMayNotWriteCannotReset) {
  t.fill(here, kPages);
  t.space().empty_working_set(t.cpu());
  const VirtualAddress read_only = map(t.space(), Protection::kReadOnly);
  EXPECT_EQ(reset(read_only), Status::kSuccess);
  t.push_out();
  EXPECT_EQ(t.differences(here, kPages), 0U);
  ASSERT_TRUE(t.space().protect(t.cpu(), here, bytes_of(4_pages), Protection::kReadOnly));
  t.page_out();
  EXPECT_EQ(reset(here), Status::kSuccess);
  t.reuse_standby();
  for (std::uint64_t i = 0; i < 16; ++i) EXPECT_EQ(t.get(here, i), i < 4 ? i + 1 : 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, WhileBeingWritten) {
  t.fill(here, kPages);
  t.space().empty_working_set(t.cpu());
  EXPECT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_EQ(t.count(PageState::kModified), 0_pages);
  EXPECT_EQ(reset(here), Status::kSuccess);
  EXPECT_EQ(t.slots_used(), kPages) << "the transfer's";
  EXPECT_EQ(t.check(), "");
  t.must_put(there, 2, 77, 1);
  EXPECT_EQ(undo(here, 4, 4_pages), Status::kSuccess);
  t.finish_io();
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.count(PageState::kModified), 4_pages);
  EXPECT_EQ(t.check(), "");
  other.empty_working_set(t.cpu(1));
  t.push_out();
  EXPECT_EQ(t.get(here, 2), 77U);
  EXPECT_EQ(t.differences(TestMachine::page(here, 4), 4_pages, 5), 0U);
  EXPECT_EQ(t.get(here, 0), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, APageThatIsBeingReadIsWanted) {
  t.fill(here, kPages);
  t.push_out();
  t.cpu().set_waiting(machine::Processor::Waiting::kYields);
  EXPECT_EQ(t.touch(here), Status::kPending);
  EXPECT_TRUE(other.reset(t.cpu(1), there, kPageSize));
  EXPECT_EQ(t.check(), "");
  t.finish_io();
  t.cpu().set_waiting(machine::Processor::Waiting::kAdvancesClock);
  static_cast<void>(t.cpu().take_blocked_until());
  EXPECT_EQ(t.get(here, 0), 1U);
  EXPECT_EQ(t.entry(here).reset, 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, PagesNotCommittedAndPagesThatAForkShares) {
  Section& reserved = **t.manager().sections().create(t.cpu(), {.size = 256_KiB, .flags = {.reserve = true}});
  const VirtualAddress view(t.space().map_view(t.cpu(), reserved, {})->first);
  EXPECT_EQ(reset(view), Status::kSuccess);
  ASSERT_TRUE(t.space().commit(t.cpu(), view, 16_KiB, Protection::kReadWrite));
  t.fill(view, 4_pages);
  t.push_out();
  EXPECT_EQ(reset(view), Status::kSuccess);
  EXPECT_EQ(t.get(view, 1), 0U);
  EXPECT_EQ(t.get(view, 4), fail(Status::kAccessViolation));
  EXPECT_EQ(t.check(), "");

  const VirtualAddress copy(
      t.space().map_view(t.cpu(), section, {.protection = Protection::kWriteCopy, .inherit = Inherit::kShare})->first);
  t.fill(copy, 4_pages, 50);
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  t.manager().attach(t.cpu(1), child);
  EXPECT_EQ(reset(copy), Status::kSuccess);
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(reset(copy), Status::kSuccess);
  t.push_out();
  EXPECT_EQ(t.differences(copy, 4_pages, 50), 0U);
  EXPECT_EQ(t.get(copy, 2, 1), 52U);
  EXPECT_EQ(undo(copy, 0, 4_pages), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ResetViews, FilesAndImagesAreNotReset) {
  auto disk_file = *t.machine().sim_disk(0).create("data");
  ASSERT_TRUE(disk_file->resize(64_KiB));
  auto stream = std::make_shared<FileStream>("data", std::move(disk_file));
  Section& data = **t.manager().sections().create(t.cpu(), {.file = stream, .kind = SectionKind::kData});
  const VirtualAddress view(t.space().map_view(t.cpu(), data, {})->first);
  t.must_put(view, 0, 5);
  EXPECT_EQ(reset(view, 0, 1_pages), Status::kUserMappedFile);
  EXPECT_EQ(undo(view, 0, 1_pages), Status::kUserMappedFile);
  EXPECT_EQ(t.get(view, 0), 5U);
  const VirtualAddress copy(t.space().map_view(t.cpu(), data, {.protection = Protection::kWriteCopy})->first);
  t.must_put(copy, 0, 6);  // Its own page by now, and no less refused.
  EXPECT_EQ(reset(copy, 0, 1_pages), Status::kUserMappedFile);
  EXPECT_EQ(t.get(copy, 0), 6U);

  auto image_file = std::make_shared<FileStream>("image", *t.machine().sim_disk(0).create("image"));
  ASSERT_TRUE(t.manager().sections().write(t.cpu(), image_file, {}, testing::small_image(PeFormat::kPe32).build()));
  Section& image = **t.manager().sections().create(t.cpu(), {.file = image_file, .kind = SectionKind::kImage});
  const VirtualAddress of_image(t.space().map_view(t.cpu(), image, {})->first);
  EXPECT_EQ(reset(of_image, 0, 1_pages), Status::kUserMappedFile);
  EXPECT_EQ(undo(of_image, 0, 1_pages), Status::kUserMappedFile);
  // What leaves a view is in no region.
  EXPECT_EQ(reset(here, 0, 17_pages), Status::kConflictingAddresses);
  EXPECT_EQ(reset(view, 0, 17_pages), Status::kConflictingAddresses);
  EXPECT_EQ(t.check(), "");
}

// Two spaces write, read, reset and undo. A page holds what was written last; reset since, that or zero, and what was
// seen once it was seen.
TEST_P(ResetViews, AgreeWithAModelOverManyOperations) {
  struct Expected {
    std::uint64_t value = 0;
    bool may_be_zero = true;
  };
  std::vector<Expected> model(kPages.value());
  Random random(11);
  std::uint64_t next_value = 1;
  const auto look = [&](std::uint64_t page, unsigned side) {
    const auto value = t.get(side == 0 ? here : there, page, side);
    ASSERT_TRUE(value);
    if (*value == model[page].value) return;
    ASSERT_TRUE(*value == 0 && model[page].may_be_zero);
    model[page].value = 0;
  };
  for (int n = 0; n < 20'000; ++n) {
    const auto side = static_cast<unsigned>(random.below(2));
    const VirtualAddress base = side == 0 ? here : there;
    ProcessSpace& space = side == 0 ? t.space() : other;
    const std::uint64_t page = random.below(kPages.value());
    const PageCount count(1 + random.below(kPages.value() - page));
    const VirtualAddress at = TestMachine::page(base, page);
    switch (random.below(9)) {
      case 0:
      case 1:
        model[page] = {.value = next_value, .may_be_zero = false};
        t.must_put(base, page, next_value++, side);
        break;
      case 2:
      case 3:
        look(page, side);
        break;
      case 4:
        ASSERT_TRUE(space.reset(t.cpu(side), at, bytes_of(count)));
        for (std::uint64_t i = page; i < page + count.value(); ++i) model[i].may_be_zero = true;
        break;
      case 5:
        if (!space.undo_reset(t.cpu(side), at, bytes_of(count))) break;
        for (std::uint64_t i = page; i < page + count.value(); ++i) {
          look(i, side);
          model[i].may_be_zero = false;
        }
        break;
      case 6:
        space.empty_working_set(t.cpu(side));
        break;
      case 7:
        static_cast<void>(t.manager().modified_writer().write_cluster(t.cpu()));
        if (random.below(2) == 0) t.finish_io();
        break;
      default:
        t.reuse_standby();
        break;
    }
    if (HasFatalFailure()) FAIL() << "operation " << n;
    if (n % 64 == 0) {
      ASSERT_EQ(t.check(), "") << "operation " << n;
    }
  }
  EXPECT_GT(t.manager().counters().pages_repurposed, 500U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
