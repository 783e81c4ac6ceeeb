// What page_info and residency say of a page, wherever it is.
#include <gtest/gtest.h>

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::PteFormat;
using testing::TestMachine;
using testing::TestMachineConfig;

class Look : public ::testing::TestWithParam<PteFormat> {
 public:
  static std::string name_of(const ::testing::TestParamInfo<PteFormat>& info) {
    return std::string(machine::paging_mode(info.param).name);
  }

 protected:
  static TestMachineConfig config() { return {.frames = PageCount(4096), .paging = GetParam()}; }
  static PageInfo info_of(TestMachine& t, VirtualAddress va) { return t.space().page_info(t.cpu(), va); }
};

TEST_P(Look, APageIsFoundInEachPlaceThatItPassesThrough) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(2_pages);
  EXPECT_EQ(info_of(t, base).place, PagePlace::kNowhere);
  EXPECT_EQ(info_of(t, base).frame, kNoPfn);

  t.must_put(base, 0, 1);
  PageInfo info = info_of(t, base);
  EXPECT_EQ(info.place, PagePlace::kWorkingSet);
  EXPECT_EQ(info.frame, t.frame(base));
  EXPECT_EQ(info.protection, Protection::kReadWrite);
  EXPECT_EQ(info.share_count, 1U);
  EXPECT_TRUE(info.dirty);
  EXPECT_FALSE(info.shared || info.large || info.device || info.locked);
  {
    const LockGuard guard(t.space().lock);
    EXPECT_EQ(info.pte, t.space().tables().find(t.cpu(), base.vpn()));
  }
  // Its neighbour shares the page table and has an entry of zero.
  EXPECT_EQ(info_of(t, base + kPageSize).place, PagePlace::kNowhere);
  EXPECT_EQ(info_of(t, base + kPageSize).pte, info.pte + ByteCount(t.core().mode.entry_bytes));

  t.space().empty_working_set(t.cpu());
  info = info_of(t, base);
  EXPECT_EQ(info.place, PagePlace::kModified);
  EXPECT_EQ(info.frame, t.frame(base));
  EXPECT_EQ(info.protection, Protection::kNone);
  EXPECT_TRUE(info.dirty);

  t.page_out();
  info = info_of(t, base);
  EXPECT_EQ(info.place, PagePlace::kStandby);
  EXPECT_EQ(info.frame, t.frame(base));
  EXPECT_FALSE(info.dirty);

  t.reuse_standby();
  info = info_of(t, base);
  EXPECT_EQ(info.place, PagePlace::kPagingFile);
  EXPECT_EQ(info.frame, kNoPfn);
  EXPECT_FALSE(info.dirty);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Look, AReadPageIsCleanAndAWrittenOneStaysDirtyWhenItIsProtected) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(1_pages);
  t.must_put(base, 0, 1);
  t.page_out();
  t.must_touch(base);
  EXPECT_EQ(info_of(t, base).place, PagePlace::kWorkingSet);
  EXPECT_FALSE(info_of(t, base).dirty);
  t.must_put(base, 0, 2);
  EXPECT_TRUE(info_of(t, base).dirty);
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kReadOnly));
  EXPECT_EQ(info_of(t, base).protection, Protection::kReadOnly);
  EXPECT_TRUE(info_of(t, base).dirty);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Look, ALockedPageIsLockedUntilItIsUnlocked) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(2_pages);
  t.fill(base, 2_pages);
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), base, kPageSize, LockKind::kInWorkingSet));
  EXPECT_TRUE(info_of(t, base).locked);
  EXPECT_FALSE(info_of(t, base + kPageSize).locked);
  ASSERT_TRUE(t.space().unlock_pages(t.cpu(), base, kPageSize, LockKind::kInWorkingSet));
  EXPECT_FALSE(info_of(t, base).locked);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Look, ASharedPageSaysHowManyEntriesMapIt) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(2_pages);
  t.fill(base, 2_pages);
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  EXPECT_EQ(child.page_info(t.cpu(), base).place, PagePlace::kShared);
  EXPECT_TRUE(child.page_info(t.cpu(), base).shared);
  t.must_touch(base);
  const PageInfo info = info_of(t, base);
  EXPECT_EQ(info.place, PagePlace::kWorkingSet);
  EXPECT_TRUE(info.shared);
  EXPECT_EQ(info.share_count, 1U);
  t.manager().destroy_space(t.cpu(), child);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Look, APageOfAViewIsTheOriginalUntilItIsCopied) {
  TestMachine t(config());
  Section& section = **t.manager().sections().create(
      t.cpu(), {.size = kPageSize * 3, .protection = Protection::kReadWrite, .flags = {.reserve = true}});
  const VpnRange view = *t.space().map_view(
      t.cpu(), section, {.commit = kPageSize * 2, .protection = Protection::kWriteCopy, .inherit = Inherit::kShare});
  t.manager().sections().dereference(t.cpu(), section);
  const VirtualAddress base(view.first);
  const auto expect = [&](ProcessSpace& space, PagePlace place, bool shared, bool original) {
    const PageInfo info = space.page_info(t.cpu(), base);
    EXPECT_EQ(info.place, place);
    EXPECT_EQ(info.shared, shared);
    EXPECT_EQ(info.original, original);
  };
  const PageInfo not_committed = info_of(t, TestMachine::page(base, 2));
  EXPECT_FALSE(not_committed.shared || not_committed.original);
  expect(t.space(), PagePlace::kNowhere, true, true);
  t.must_touch(base);
  expect(t.space(), PagePlace::kWorkingSet, true, true);
  EXPECT_EQ(info_of(t, base).priority, kNormalPriority);
  t.space().empty_working_set(t.cpu());
  EXPECT_TRUE(info_of(t, base).original);
  t.must_put(base, 0, 1);
  expect(t.space(), PagePlace::kWorkingSet, false, false);
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  expect(t.space(), PagePlace::kWorkingSet, true, false);  // The fork shares the copy.
  expect(child, PagePlace::kShared, true, false);
  t.manager().destroy_space(t.cpu(), child);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Look, EachPieceOfALargePageHasItsFrame) {
  TestMachine t(config());
  const ByteCount large = large_page_size(t.core().mode);
  const VirtualAddress base(t.space()
                                .reserve(t.cpu(), {.size = large,
                                                   .protection = Protection::kReadOnly,
                                                   .commit = MemCommit::kYes,
                                                   .type = VadType::kLargePages})
                                ->first);
  const PageInfo first = info_of(t, base);
  EXPECT_EQ(first.place, PagePlace::kWorkingSet);
  EXPECT_TRUE(first.large);
  EXPECT_EQ(first.protection, Protection::kReadOnly);
  EXPECT_EQ(info_of(t, base + kPageSize * 3).frame, first.frame + 3_pages);
  EXPECT_EQ(info_of(t, base + large).place, PagePlace::kNowhere);
  const Residency where = t.space().residency(t.cpu(), {base.vpn() + 3_pages, 4_pages});
  EXPECT_EQ(where.working_set, 4_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Look, ResidencyCountsWhatPageInfoSays) {
  TestMachine t(config());
  const VirtualAddress base = t.commit(64_pages);
  t.fill(base, 32_pages);
  t.push_out();
  t.fill(base, 24_pages);
  t.page_out();
  t.fill(base, 16_pages);
  t.space().empty_working_set(t.cpu());
  t.fill(base, 5_pages);
  const Residency where = t.space().residency(t.cpu(), {base.vpn(), 64_pages});
  Residency counted;
  for (unsigned number = 0; number < 64; ++number) {
    const PagePlace place = info_of(t, TestMachine::page(base, number)).place;
    if (place == PagePlace::kWorkingSet) ++counted.working_set;
    if (place == PagePlace::kStandby) ++counted.standby;
    if (place == PagePlace::kModified) ++counted.modified;
    if (place == PagePlace::kPagingFile) ++counted.paging_file;
  }
  EXPECT_EQ(where.working_set, 5_pages);
  EXPECT_EQ(where.modified, 11_pages);
  EXPECT_EQ(where.standby + where.paging_file, 16_pages);
  EXPECT_EQ(where.compressed, 0_pages);
  EXPECT_EQ(where.working_set, counted.working_set);
  EXPECT_EQ(where.modified, counted.modified);
  EXPECT_EQ(where.standby, counted.standby);
  EXPECT_EQ(where.paging_file, counted.paging_file);
  // A part of the range is counted as a part.
  EXPECT_EQ(t.space().residency(t.cpu(), {base.vpn() + 3_pages, 4_pages}).working_set, 2_pages);
  EXPECT_EQ(t.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, Look, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         Look::name_of);

}  // namespace
}  // namespace pagoda::mm
