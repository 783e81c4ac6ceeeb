#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

class Fork : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  Fork() : t({.frames = PageCount(512), .paging = GetParam(), .processors = 3}) {}

  ProcessSpace& fork(ProcessSpace& parent, unsigned processor) {
    ProcessSpace& child = **t.manager().clone_space(t.cpu(), parent);
    t.manager().attach(t.cpu(processor), child);
    return child;
  }
  void end(ProcessSpace& space, unsigned processor) {
    t.manager().attach(t.cpu(processor), t.space());
    t.manager().destroy_space(t.cpu(), space);
  }

  TestMachine t;
};

TEST_P(Fork, SharesEveryPageUntilOneWrites) {
  const VirtualAddress base = t.commit(PageCount(32));
  t.fill(base, PageCount(20));
  const PageCount available = t.available();
  ProcessSpace& child = fork(t.space(), 1);
  EXPECT_EQ(t.check(), "");
  for (unsigned i = 0; i < 20; ++i) EXPECT_EQ(*t.get(base, i, 1), i + 1);
  EXPECT_LE(available - t.available(), 10_pages) << "tables and clone entries only";
  EXPECT_EQ(t.entry(base).share_count, 2U);
  t.must_put(base, 0, 100, 1);
  t.must_put(base, 1, 200, 0);
  EXPECT_EQ(*t.get(base, 0, 0), 1U);
  EXPECT_EQ(*t.get(base, 1, 1), 2U);
  EXPECT_EQ(*t.get(base, 0, 1), 100U);
  EXPECT_EQ(*t.get(base, 1, 0), 200U);
  t.must_put(base, 30, 7, 1);  // Never touched before the fork.
  EXPECT_EQ(*t.get(base, 30, 0), 0U);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  child.empty_working_set(t.cpu(1));
  t.push_out();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(base + kPageSize * 2, PageCount(18), 3), 0U);
  for (unsigned i = 2; i < 20; ++i) EXPECT_EQ(*t.get(base, i, 1), i + 1);
  EXPECT_EQ(*t.get(base, 0, 1), 100U);
  EXPECT_EQ(t.check(), "");
  end(child, 1);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(base + kPageSize * 2, PageCount(18), 3), 0U);
}

TEST_P(Fork, SharesPagesOnBothSidesOfAPageTablesEnd) {
  const ByteCount table = bytes_of(PageCount(t.core().mode.entries(1)));
  const VirtualAddress end(table.value() * 8);
  const VirtualAddress base = end - kPageSize * 16;
  ASSERT_TRUE(t.space().reserve(
      {.base = base, .size = kPageSize * 32, .protection = Protection::kReadWrite, .commit = MemCommit::kYes}));
  t.fill(base, 32_pages);
  ProcessSpace& child = fork(t.space(), 1);
  EXPECT_EQ(t.check(), "");
  for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(*t.get(base, i, 1), i + 1);
  Fork::end(child, 1);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Fork, OfAForkOfAForkWithPagesOnDisk) {
  const VirtualAddress base = t.commit(PageCount(24));
  t.fill(base, PageCount(24));
  t.push_out();
  t.must_touch(base);
  ProcessSpace& child = fork(t.space(), 1);
  t.must_put(base, 5, 55, 1);
  ProcessSpace& grandchild = fork(child, 2);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(*t.get(base, 5, 2), 55U);
  EXPECT_EQ(*t.get(base, 5, 0), 6U);
  end(child, 1);
  EXPECT_EQ(t.check(), "");
  for (unsigned i = 0; i < 24; ++i) EXPECT_EQ(*t.get(base, i, 2), i == 5 ? 55U : i + 1);
  t.must_put(base, 6, 66, 2);
  EXPECT_EQ(*t.get(base, 6, 0), 7U);
  end(grandchild, 2);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(base, PageCount(24)), 0U);
  ASSERT_TRUE(t.space().release(t.cpu(), base, {}));
  t.finish_io();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
}

TEST_P(Fork, KeepsProtectionsAndLetsThemChange) {
  const VirtualAddress base = t.commit(PageCount(16));
  t.fill(base, PageCount(8));
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kReadOnly));
  ASSERT_TRUE(t.space().protect(t.cpu(), base + kPageSize, kPageSize, Protection::kNoAccess));
  ASSERT_TRUE(t.space().protect(t.cpu(), base + kPageSize * 2, kPageSize,
                                with_modifier(Protection::kReadWrite, kProtectionGuard)));
  ProcessSpace& child = fork(t.space(), 1);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.put(base, 0, 9, 1), Status::kAccessViolation);
  EXPECT_EQ(t.get(base, 1, 1).error(), Status::kAccessViolation);
  EXPECT_EQ(t.get(base, 2, 1).error(), Status::kGuardPageViolation);
  EXPECT_EQ(*t.get(base, 2, 1), 3U);
  EXPECT_EQ(t.get(base, 2, 0).error(), Status::kGuardPageViolation) << "each has its own guard";
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(child.protect(t.cpu(1), base, kPageSize * 4, Protection::kReadWrite), Protection::kReadOnly);
  for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(*t.get(base, i, 1), i + 1);
  t.must_put(base, 1, 22, 1);
  EXPECT_EQ(t.get(base, 1, 0).error(), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize * 3, Protection::kReadOnly));
  EXPECT_EQ(*t.get(base, 1, 0), 2U);
  end(child, 1);
  EXPECT_EQ(t.check(), "");
}

// A guard that is hit after a fork: the page is its space's own by then, and is written like any other, whether its guard was
// set while it had contents or before.
TEST_P(Fork, WhatIsGuardedIsWrittenOnceItsGuardIsGone) {
  const VirtualAddress base = t.commit(PageCount(4));
  t.must_put(base, 0, 1);
  t.must_put(base, 1, 2);
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize * 3, with_modifier(Protection::kReadWrite, kProtectionGuard)));
  ProcessSpace& child = fork(t.space(), 1);
  for (const unsigned processor : {0U, 1U}) {
    for (unsigned i = 0; i < 3; ++i) {
      EXPECT_EQ(t.get(base, i, processor).error(), Status::kGuardPageViolation);
      EXPECT_EQ(t.get(base, i, processor), i < 2 ? i + 1 : 0);
      t.must_put(base, i, 10 * processor + i, processor);
    }
    EXPECT_EQ(t.check(), "");
  }
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(t.get(base, i, 0), i);
  end(child, 1);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Fork, InheritsViewsAsTheyAsk) {
  Sections& sections = t.manager().sections();
  Section& section = **sections.create(t.cpu(), {.size = 64_KiB});
  const auto map = [&](Protection protection, Inherit inherit) {
    return VirtualAddress(t.space().map_view(t.cpu(), section, {.protection = protection, .inherit = inherit})->first);
  };
  const VirtualAddress shared = map(Protection::kReadWrite, Inherit::kShare);
  const VirtualAddress copied = map(Protection::kWriteCopy, Inherit::kShare);
  const VirtualAddress alone = map(Protection::kReadWrite, Inherit::kUnmap);
  t.fill(shared, PageCount(4));
  t.must_put(copied, 1, 77);
  ProcessSpace& child = fork(t.space(), 1);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(*t.get(shared, 2, 1), 3U);
  EXPECT_EQ(*t.get(copied, 1, 1), 77U);
  EXPECT_EQ(t.get(alone, 0, 1).error(), Status::kAccessViolation);
  t.must_put(shared, 2, 33, 1);
  EXPECT_EQ(*t.get(shared, 2), 33U);
  EXPECT_EQ(*t.get(copied, 2), 33U);
  t.must_put(copied, 1, 78, 1);
  EXPECT_EQ(*t.get(copied, 1), 77U);
  t.must_put(copied, 2, 34, 1);
  EXPECT_EQ(*t.get(copied, 2), 33U);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  child.empty_working_set(t.cpu(1));
  t.push_out();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(*t.get(copied, 1, 1), 78U);
  EXPECT_EQ(*t.get(copied, 1), 77U);
  EXPECT_EQ(child.protect(t.cpu(1), copied, kPageSize * 4, Protection::kReadOnly), Protection::kWriteCopy);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), copied));
  EXPECT_EQ(*t.get(copied, 1, 1), 78U);
  EXPECT_EQ(t.check(), "");
  end(child, 1);
  sections.dereference(t.cpu(), section);
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), shared));
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), alone));
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
}

TEST_P(Fork, RefusedForWantOfCommitLeavesEverythingAsItWas) {
  const PageCount limit = t.manager().commit().limit;
  const VirtualAddress base = t.commit(PageCount(limit.value() * 6 / 10));
  t.fill(base, PageCount(40));
  const PageCount charged = t.manager().commit().charged;
  const auto child = t.manager().clone_space(t.cpu(), t.space());
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error(), Status::kCommitmentLimit);
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.differences(base, PageCount(40)), 0U);
  EXPECT_EQ(t.check(), "");
}

// The first region's pages have moved into clone entries when the second is refused: they stay there, charged, until
// their only owner writes.
TEST_P(Fork, RefusedInTheMiddleKeepsWhatHasMoved) {
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  const PageCount limit = t.manager().commit().limit;
  const VirtualAddress large = t.commit(PageCount(limit.value() * 6 / 10));
  const PageCount charged = t.manager().commit().charged;
  const PageCount tables = t.manager().frame_counts().page_tables;
  const auto child = t.manager().clone_space(t.cpu(), t.space());
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error(), Status::kCommitmentLimit);
  EXPECT_EQ(t.manager().commit().charged, charged + 1_pages) << "the page of clone entries";
  EXPECT_EQ(t.manager().frame_counts().prototypes, 1_pages);
  EXPECT_EQ(t.manager().frame_counts().page_tables, tables);
  EXPECT_EQ(t.check(), "");
  t.fill(base, PageCount(4), 7);
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  t.must_put(large, 0, 1);
  EXPECT_EQ(t.differences(base, PageCount(4), 7), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Fork, TheCheckerFindsAnEntryThatMayWriteToASharedPage) {
  const VirtualAddress base = t.commit(PageCount(1));
  t.must_put(base, 0, 1);
  fork(t.space(), 1);
  t.page_out();
  ASSERT_EQ(t.check(), "");
  if (t.kind(base) != PteKind::kPrototype || t.core().codec.protection(t.pte(base)) == Protection::kNone)
    GTEST_SKIP() << "x86 pointers have no protection of their own";
  const RawPte wrong = t.core().codec.with_protection(t.pte(base), Protection::kReadWrite);
  const PhysicalAddress at = [&] {
    const LockGuard guard(t.space().lock);
    return t.space().tables().find(t.cpu(), base.vpn());
  }();
  machine::store_entry(t.cpu().physical(), t.core().mode, at, wrong);
  EXPECT_THAT(t.check(), ::testing::HasSubstr("the right to write to a clone"));
}

// More frames are available than a fault needs, and fewer than the fork: its parent's pages make room.
TEST_P(Fork, MakesRoomForItselfWhereFewFramesAreAvailable) {
  const VirtualAddress base = t.commit(PageCount(40));
  t.fill(base, PageCount(40));
  for (unsigned more = 0; more < 6; ++more) {
    t.while_only(kFaultReserve + PageCount(more), [&] {
      const auto child = t.manager().clone_space(t.cpu(), t.space());
      ASSERT_TRUE(child) << more;
      t.manager().destroy_space(t.cpu(), **child);
    });
    EXPECT_EQ(t.differences(base, PageCount(40)), 0U);
    EXPECT_EQ(t.check(), "");
  }
}

// Nor can its parent's pages make room: there is no paging file.
TEST_P(Fork, RefusedForWantOfFramesGivesItsChargesBack) {
  TestMachine full({.frames = PageCount(512), .paging = GetParam(), .paging_files = {}});
  const VirtualAddress base = full.commit(PageCount(40));
  full.fill(base, PageCount(40));
  const PageCount charged = full.manager().commit().charged;
  full.while_only(kFaultReserve + 1_pages, [&] {
    const auto child = full.manager().clone_space(full.cpu(), full.space());
    ASSERT_FALSE(child);
    EXPECT_EQ(child.error(), Status::kNoMemory);
  });
  EXPECT_EQ(full.manager().commit().charged, charged);
  EXPECT_EQ(full.differences(base, PageCount(40)), 0U);
  EXPECT_EQ(full.check(), "");
}

TEST_P(Fork, RefusedForWantOfCloneEntriesGivesItsChargesBack) {
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  const PageCount charged = t.manager().commit().charged;
  PrototypePool& pool = t.core().prototypes;
  // Everything else of the pool, in runs of any size.
  std::vector<std::pair<VirtualAddress, PageCount>> held;
  {
    const LockGuard guard(t.core().pfns.lock);
    for (PageCount size = pages_of(128_GiB); !size.is_zero(); size = PageCount(size.value() / 2))
      while (const auto run = pool.reserve(size)) held.emplace_back(*run, size);
  }
  const auto child = t.manager().clone_space(t.cpu(), t.space());
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error(), Status::kInsufficientResources);
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.check(), "");
  {
    const LockGuard guard(t.core().pfns.lock);
    for (const auto& [run, size] : held) pool.release(run, size);
  }
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
  EXPECT_EQ(t.check(), "");
}

// A page of zeros that both share is not written out: its clone entry says so, and each makes a page of its own.
TEST_P(Fork, ThoseWhoWriteToAZeroPageLeaveItsCloneEntry) {
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  const PageCount charged = t.manager().commit().charged;
  for (unsigned i = 0; i < 4; ++i) t.must_put(base, i, 0);
  ProcessSpace& child = fork(t.space(), 1);
  t.page_out();
  ASSERT_EQ(t.manager().counters().zero_pages_found, 4U);
  EXPECT_EQ(t.check(), "");
  for (unsigned i = 0; i < 4; ++i) t.must_put(base, i, 5 + i, 1);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.manager().frame_counts().prototypes, 1_pages);
  t.fill(base, PageCount(4), 50);
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages) << "nobody shares anything";
  EXPECT_EQ(t.check(), "");
  end(child, 1);
  EXPECT_EQ(t.differences(base, PageCount(4), 50), 0U);
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Fork, TheLastOwnerTakesItsPagesBack) {
  const VirtualAddress base = t.commit(PageCount(24));
  t.fill(base, PageCount(24));
  const PageCount charged = t.manager().commit().charged;
  ProcessSpace& child = fork(t.space(), 1);
  t.must_put(base, 0, 100, 1);
  end(child, 1);
  // Some are mapped, some in memory, some on disk.
  ASSERT_EQ(t.space().trim_range(t.cpu(), {base.vpn() + PageCount(8), PageCount(16)}), PageCount(16));
  ASSERT_TRUE(t.manager().flush_modified(t.cpu()));
  t.reuse_standby();
  ASSERT_EQ(t.get(base, 17), 18U);  // A cluster of its neighbours comes with it.
  EXPECT_EQ(t.manager().frame_counts().prototypes, 1_pages);
  EXPECT_EQ(t.check(), "");
  const std::uint64_t copies = t.faults(FaultKind::kCopyOnWrite);
  const Pfn frame = t.frame(base);
  for (unsigned i = 0; i < 24; ++i) t.must_put(base, i, 50 + i);
  EXPECT_EQ(t.faults(FaultKind::kCopyOnWrite), copies);
  EXPECT_EQ(t.frame(base), frame);
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(t.differences(base, PageCount(24), 50), 0U);
  EXPECT_EQ(t.check(), "");
}

// Rights that a clone entry cannot have need a page of one's own: the last owner has it.
TEST_P(Fork, TheLastOwnerProtectsWithoutACopy) {
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(8));
  end(fork(t.space(), 1), 1);
  const std::uint64_t copies = t.faults(FaultKind::kCopyOnWrite);
  ASSERT_TRUE(t.space().protect(t.cpu(), base, bytes_of(PageCount(5)), Protection::kReadOnly));
  EXPECT_EQ(t.faults(FaultKind::kCopyOnWrite), copies);
  EXPECT_EQ(t.put(base, 1, 1), Status::kAccessViolation);
  EXPECT_EQ(t.differences(base, PageCount(8)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Fork, ForksShareAPageOfCloneEntries) {
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(8));
  std::vector<ProcessSpace*> children;
  for (unsigned i = 0; i < 6; ++i) {
    t.must_put(base, i, 10 * i);
    children.push_back(*t.manager().clone_space(t.cpu(), t.space()));
    EXPECT_EQ(t.manager().frame_counts().prototypes, 1_pages);
    EXPECT_EQ(t.check(), "");
  }
  for (const unsigned i : {2U, 0U, 5U, 1U, 4U, 3U}) {
    t.manager().destroy_space(t.cpu(), *children[i]);
    EXPECT_EQ(t.check(), "");
    t.must_put(base, i, 100 + i);
  }
  for (unsigned i = 0; i < 8; ++i) EXPECT_EQ(t.get(base, i), i < 6 ? 100 + i : i + 1);
  t.fill(base, PageCount(8));
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  EXPECT_EQ(t.check(), "");
}

// The processor of the other that runs in the space may still know the page as it was: it faults, and goes on.
TEST_P(Fork, ATakenBackPageIsWritableOnEveryProcessor) {
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  end(fork(t.space(), 1), 1);
  for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(*t.get(base, i, 2), i + 1);
  for (unsigned i = 0; i < 4; ++i) t.must_put(base, i, 70 + i, 0);
  for (unsigned i = 0; i < 4; ++i) {
    EXPECT_EQ(*t.get(base, i, 2), 70 + i);
    t.must_put(base, i, 80 + i, 2);
    EXPECT_EQ(*t.get(base, i, 0), 80 + i);
  }
  EXPECT_EQ(t.check(), "");
}

TEST_P(Fork, WorksWhileMemoryIsShort) {
  const VirtualAddress base = t.commit(PageCount(400));
  t.fill(base, PageCount(400));
  ProcessSpace& child = fork(t.space(), 1);
  EXPECT_EQ(t.check(), "");
  for (unsigned i = 0; i < 400; i += 3) t.must_put(base, i, 1000 + i, 1);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(base, PageCount(400)), 0U);
  for (unsigned i = 0; i < 400; ++i) EXPECT_EQ(*t.get(base, i, 1), i % 3 == 0 ? 1000 + i : i + 1);
  end(child, 1);
  EXPECT_EQ(t.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, Fork,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& mode) { return std::string(machine::paging_mode(mode.param).name); });

}  // namespace
}  // namespace pagoda::mm
