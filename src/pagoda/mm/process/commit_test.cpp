// Committing, decommitting and protecting.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using testing::TestMachine;

constexpr ByteCount kHuge{~std::uint64_t{0}};
constexpr Protection kGuarded = with_modifier(Protection::kReadWrite, kProtectionGuard);

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}

// reference/nt.md 7.1 and 7.3, the rows that this API has, in their order.
TEST(Commit, CommitAndProtectRefuseInNtsOrder) {
  TestMachine t;
  const VirtualAddress base = t.reserve(PageCount(16));
  ASSERT_TRUE(t.space().commit(t.cpu(), base, bytes_of(PageCount(8)), Protection::kReadWrite));
  const VirtualAddress beyond(std::uint64_t{0x7FFFFFE0000});
  struct Row {
    std::string mistake;
    VirtualAddress base;
    ByteCount size;
    Protection protection;
    Status commit;
    Status protect;
  };
  const std::vector<Row> rows{
      {"no protection", beyond, 0_B, Protection::kNone, Status::kInvalidPageProtection, Status::kInvalidPageProtection},
      {"base out of reach", beyond, 0_B, Protection::kReadWrite, Status::kInvalidParameter2,
       Status::kInvalidParameter2},
      {"no size", base - 64_KiB, 0_B, Protection::kReadWrite, Status::kInvalidParameter4, Status::kInvalidParameter3},
      {"wraps", base, kHuge, Protection::kReadWrite, Status::kInvalidParameter4, Status::kInvalidParameter3},
      {"no region", base + 64_KiB, 1_B, Protection::kReadWrite, Status::kConflictingAddresses,
       Status::kConflictingAddresses},
      {"leaves the region", base, 64_KiB + 1_B, Protection::kReadWrite, Status::kConflictingAddresses,
       Status::kConflictingAddresses},
      {"write-copy", base, 4_KiB, Protection::kWriteCopy, Status::kInvalidPageProtection, Status::kInvalidParameter4},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(status_of(t.space().protect(t.cpu(), row.base, row.size, row.protection)), row.protect) << row.mistake;
    EXPECT_EQ(status_of(t.space().commit(t.cpu(), row.base, row.size, row.protection)), row.commit) << row.mistake;
  }
  EXPECT_EQ(status_of(t.space().protect(t.cpu(), base, 32_KiB, Protection::kWriteCopy)), Status::kInvalidParameter4);
  EXPECT_EQ(status_of(t.space().protect(t.cpu(), base, 36_KiB, Protection::kReadOnly)), Status::kNotCommitted);
  EXPECT_EQ(t.put(base, 0, 1), Status::kSuccess) << "a refused protect changes nothing";
  EXPECT_EQ(t.check(), "");
}

TEST(Commit, ChargesNewPagesOnlyAndTakesTheProtectionForAll) {
  TestMachine t;
  const VirtualAddress base = t.reserve(PageCount(16));
  const PageCount before = t.manager().commit().charged;
  ASSERT_TRUE(t.space().commit(t.cpu(), TestMachine::page(base, 2), bytes_of(PageCount(4)), Protection::kReadWrite));
  t.fill(TestMachine::page(base, 2), PageCount(4));
  EXPECT_EQ(t.manager().commit().charged - before, 4_pages);
  ASSERT_TRUE(t.space().commit(t.cpu(), base, bytes_of(PageCount(8)), Protection::kReadOnly));
  EXPECT_EQ(t.manager().commit().charged - before, 8_pages);
  EXPECT_EQ(t.differences(TestMachine::page(base, 2), PageCount(4)), 0U);
  EXPECT_EQ(t.put(base, 3, 9), Status::kAccessViolation);
  EXPECT_EQ(t.get(base, 0), 0U);
  EXPECT_EQ(t.space().statistics().commit, 8_pages);
  EXPECT_EQ(t.check(), "");
}

// Page rounding, not 64 KB (reference/nt.md 7.1).
TEST(Commit, RoundsToPages) {
  TestMachine t;
  const VirtualAddress base = t.reserve(PageCount(16));
  ASSERT_TRUE(t.space().commit(t.cpu(), base + 4095_B, 2_B, Protection::kReadWrite));
  EXPECT_EQ(t.space().statistics().commit, 2_pages);
  ASSERT_TRUE(t.space().decommit(t.cpu(), base + 4096_B, 1_B));
  EXPECT_EQ(t.space().statistics().commit, 1_pages);
  EXPECT_EQ(t.check(), "");
}

TEST(Commit, RefusedAtThePromiseAndNeverAtTheFault) {
  for (const std::uint64_t frames : {64U, 96U, 144U, 256U}) {
    for (const std::uint64_t slots : {0U, 256U, 512U}) {
      testing::TestMachineConfig config{.frames = PageCount(frames),
                                        .tunables = Tunables::for_memory(PageCount(frames))};
      config.paging_files.clear();
      if (slots > 0) config.paging_files = {{.minimum = 1_MiB, .maximum = bytes_of(PageCount(slots))}};
      TestMachine t(config);
      const VirtualAddress base = t.reserve(PageCount(2048));
      std::uint64_t pages = 0;
      while (t.space().commit(t.cpu(), TestMachine::page(base, pages), kPageSize, Protection::kReadWrite)) ++pages;
      EXPECT_EQ(t.manager().commit().charged, t.manager().commit().limit) << frames << " frames " << slots;
      EXPECT_GT(pages + 32, frames + slots - frames / 8) << frames << " frames " << slots;
      for (std::uint64_t page = 0; page < pages; ++page)
        ASSERT_EQ(t.put(base, page, page + 1), Status::kSuccess) << frames << " frames " << slots << " page " << page;
      EXPECT_EQ(t.check(), "");
      EXPECT_EQ(t.differences(base, PageCount(pages)), 0U) << frames << " frames " << slots;
      EXPECT_EQ(t.check(), "");
    }
  }
}

TEST(Commit, OverTheLimitChangesNothing) {
  TestMachine t;
  const VirtualAddress base = t.reserve(PageCount(4096));
  const auto before = t.manager().commit();
  EXPECT_EQ(status_of(t.space().commit(t.cpu(), base, bytes_of(PageCount(4000)), Protection::kReadWrite)),
            Status::kCommitmentLimit);
  EXPECT_EQ(t.manager().commit().charged, before.charged);
  EXPECT_EQ(t.space().statistics().commit, 0_pages);
  EXPECT_EQ(t.manager().counters().commit_refusals, 1U);
  EXPECT_EQ(t.touch(base), Status::kAccessViolation);
  EXPECT_EQ(t.manager().frame_counts().page_tables, 1_pages);
  EXPECT_EQ(t.check(), "");
}

TEST(Commit, WithoutAFrameForItsPageTablesGivesItsChargeBack) {
  TestMachine t;
  const VirtualAddress base = t.reserve(PageCount(16));
  const PageCount charged = t.manager().commit().charged;
  t.while_only(0_pages, [&] {
    EXPECT_EQ(status_of(t.space().commit(t.cpu(), base, bytes_of(PageCount(4)), Protection::kReadWrite)),
              Status::kNoMemory);
  });
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.space().statistics().commit, 0_pages);
  EXPECT_EQ(t.check(), "");
}

// A page that a fork shares is copied before its protection is set anew; here there is no frame for the copy.
TEST(Commit, WithoutAFrameForACopyGivesItsChargeBack) {
  TestMachine t;
  const VirtualAddress base = t.reserve(PageCount(16));
  ASSERT_TRUE(t.space().commit(t.cpu(), base, kPageSize, Protection::kReadWrite));
  t.must_put(base, 0, 1);
  ASSERT_TRUE(t.manager().clone_space(t.cpu(), t.space()));
  const PageCount charged = t.manager().commit().charged;
  t.while_only(0_pages, [&] {
    EXPECT_EQ(status_of(t.space().commit(t.cpu(), base, bytes_of(PageCount(2)), Protection::kReadWrite)),
              Status::kNoMemory);
  });
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.space().statistics().commit, 1_pages);
  EXPECT_EQ(t.check(), "");
}

// Does something while only so many pages can be committed, because another space has the rest.
template <class Body>
void while_only_committable(TestMachine& t, PageCount pages, const Body& body) {
  ProcessSpace& other = t.add_space();
  const auto left = [&] { return t.manager().commit().limit - t.manager().commit().charged; };
  constexpr PageCount kForPageTables{16};
  ASSERT_TRUE(other.reserve({.size = bytes_of(left() - pages - kForPageTables), .commit = MemCommit::kYes}));
  while (left() > pages) ASSERT_TRUE(other.reserve({.size = kPageSize, .commit = MemCommit::kYes}));
  ASSERT_EQ(left(), pages);
  body();
  t.manager().destroy_space(t.cpu(), other);
}

// The section's pages are charged to it, and the view's copies to the view: both or none.
TEST(Commit, OfASectionsPagesIsChargedAsAWholeOrNotAtAll) {
  constexpr PageCount kPages{16};
  constexpr PageCount kHalf{8};
  for (const std::uint64_t room : {0U, 7U, 8U, 15U, 16U}) {
    TestMachine t;
    Section& section = **t.manager().sections().create(t.cpu(), {.size = bytes_of(kPages), .flags = {.reserve = true}});
    const VirtualAddress base(t.space().map_view(t.cpu(), section, {.protection = Protection::kWriteCopy})->first);
    // Half of it is committed and copies nothing.
    ASSERT_TRUE(t.space().commit(t.cpu(), base, bytes_of(kHalf), Protection::kWriteCopy));
    ASSERT_TRUE(t.space().protect(t.cpu(), base, bytes_of(kHalf), Protection::kReadOnly));
    EXPECT_EQ(t.space().allocation(base)->commit_charge, kHalf);
    while_only_committable(t, PageCount(room), [&] {
      const PageCount charged = t.manager().commit().charged;
      const PageCount tables = t.manager().frame_counts().page_tables;
      const auto committed = t.space().commit(t.cpu(), base, bytes_of(kPages), Protection::kWriteCopy);
      ASSERT_EQ(committed.has_value(), room == 16) << room;
      if (committed) {
        EXPECT_EQ(t.manager().commit().charged, charged + kPages);
        EXPECT_EQ(t.space().allocation(base)->commit_charge, kPages);
      } else {
        EXPECT_EQ(committed.error(), Status::kCommitmentLimit);
        EXPECT_EQ(t.manager().commit().charged, charged) << room;
        EXPECT_EQ(t.space().allocation(base)->commit_charge, kHalf);
        EXPECT_EQ(t.manager().frame_counts().page_tables, tables);
        EXPECT_EQ(t.touch(TestMachine::page(base, 8)), Status::kAccessViolation);
        EXPECT_EQ(t.put(base, 0, 1), Status::kAccessViolation);
      }
      EXPECT_EQ(t.check(), "");
    });
    EXPECT_EQ(t.check(), "");
  }
}

// Rights that copy are charged before any page gets them.
TEST(Protect, OfPartOfAViewWithoutChargeForItsCopiesChangesNothing) {
  TestMachine t;
  Section& section = **t.manager().sections().create(t.cpu(), {.size = 64_KiB});
  const VirtualAddress base(t.space().map_view(t.cpu(), section, {.protection = Protection::kReadWrite})->first);
  t.must_put(base, 1, 11);
  for (const std::uint64_t room : {0U, 7U, 8U}) {
    while_only_committable(t, PageCount(room), [&] {
      const PageCount charged = t.manager().commit().charged;
      const auto old = t.space().protect(t.cpu(), base, bytes_of(PageCount(8)), Protection::kWriteCopy);
      ASSERT_EQ(old.has_value(), room == 8) << room;
      EXPECT_EQ(t.manager().commit().charged, old ? charged + PageCount(8) : charged);
      EXPECT_EQ(t.space().query(t.cpu(), base)->protection, old ? Protection::kWriteCopy : Protection::kReadWrite);
      EXPECT_EQ(t.check(), "");
    });
  }
  EXPECT_EQ(t.get(base, 1), 11U);
}

// Thirty page tables, where more frames are available than a fault needs: pages of the program's make room, or none can.
TEST(Protect, MakesRoomForItsPageTablesOrIsRefused) {
  for (const bool can_page : {true, false}) {
    testing::TestMachineConfig config{.frames = PageCount(256)};
    if (!can_page) config.paging_files.clear();
    TestMachine t(config);
    const VirtualAddress base = t.commit(PageCount(60));
    t.fill(base, PageCount(60));
    Section& section =
        **t.manager().sections().create(t.cpu(), {.file = t.add_file(pages_of(64_MiB)), .kind = SectionKind::kData});
    const VirtualAddress view(t.space().map_view(t.cpu(), section, {.protection = Protection::kReadWrite})->first);
    t.while_only(kFaultReserve + 1_pages, [&] {
      const auto old = t.space().protect(t.cpu(), view, 60_MiB, Protection::kReadOnly);
      EXPECT_EQ(old.has_value(), can_page);
      if (!old) {
        EXPECT_EQ(old.error(), Status::kNoMemory);
      }
    });
    // Refused in the middle, the first pages keep what they got.
    EXPECT_EQ(t.space().query(t.cpu(), view)->protection, Protection::kReadOnly);
    EXPECT_EQ(t.differences(base, PageCount(60)), 0U);
    EXPECT_EQ(t.check(), "");
  }
}

TEST(Decommit, TakesContentsAndPromiseBack) {
  TestMachine t;
  for (const MemCommit whole : {MemCommit::kYes, MemCommit::kNo}) {
    const VirtualAddress base = t.reserve(PageCount(16), whole);
    const PageCount before = t.manager().commit().charged;
    const PageCount committed = whole == MemCommit::kYes ? 16_pages : 0_pages;
    if (whole == MemCommit::kNo) {
      ASSERT_TRUE(t.space().commit(t.cpu(), base, 64_KiB, Protection::kReadWrite));
    }
    t.fill(base, PageCount(16));
    ASSERT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(base, 3), bytes_of(PageCount(2))));
    EXPECT_EQ(t.manager().commit().charged, before - committed + 14_pages);
    EXPECT_EQ(t.touch(TestMachine::page(base, 3)), Status::kAccessViolation);
    EXPECT_EQ(t.get(base, 5), 6U);
    // Decommitting what is not committed succeeds (reference/nt.md 7.2).
    ASSERT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(base, 2), bytes_of(PageCount(3))));
    EXPECT_EQ(t.manager().commit().charged, before - committed + 13_pages);
    EXPECT_EQ(t.check(), "");
    ASSERT_TRUE(t.space().commit(t.cpu(), TestMachine::page(base, 3), kPageSize, Protection::kReadWrite));
    EXPECT_EQ(t.get(base, 3), 0U);
    ASSERT_TRUE(t.space().decommit(t.cpu(), base, 0_B));
    EXPECT_EQ(t.manager().commit().charged, before - committed);
    EXPECT_EQ(t.touch(base), Status::kAccessViolation);
    EXPECT_EQ(t.check(), "");
    ASSERT_TRUE(t.space().commit(t.cpu(), base, kPageSize, Protection::kReadWrite));
    EXPECT_EQ(t.get(base, 0), 0U);
    ASSERT_TRUE(t.space().release(t.cpu(), base, 0_B));
    EXPECT_EQ(t.check(), "");
  }
}

TEST(Decommit, FreesPageTablesWhenTheirLastEntryGoes) {
  TestMachine t;
  const VirtualAddress base = t.reserve(PageCount(1024));
  EXPECT_EQ(t.manager().frame_counts().page_tables, 1_pages);
  ASSERT_TRUE(t.space().commit(t.cpu(), base, bytes_of(PageCount(1024)), Protection::kReadWrite));
  const PageCount most = t.manager().frame_counts().page_tables;
  EXPECT_GT(most, 4_pages);
  ASSERT_TRUE(t.space().decommit(t.cpu(), base + kPageSize, bytes_of(PageCount(1023))));
  EXPECT_EQ(t.manager().frame_counts().page_tables, 4_pages);  // Root and one on each level.
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().decommit(t.cpu(), base, kPageSize));
  EXPECT_EQ(t.manager().frame_counts().page_tables, 1_pages);
  EXPECT_EQ(t.manager().counters().page_tables_made, t.manager().counters().page_tables_freed + 1);
  EXPECT_EQ(t.check(), "");
}

// --- Protect ---

// Where a page can be when its protection changes.
enum class Where { kUntouched, kResidentClean, kResidentDirty, kStandby, kModified, kPageFile };
constexpr std::array kEverywhere{Where::kUntouched, Where::kResidentClean, Where::kResidentDirty,
                                 Where::kStandby,   Where::kModified,      Where::kPageFile};

// A page that holds 5 (untouched: 0), there.
VirtualAddress page_there(TestMachine& t, Where where) {
  const VirtualAddress base = t.commit(PageCount(1));
  if (where == Where::kUntouched) return base;
  t.must_put(base, 0, 5);
  if (where == Where::kModified) t.space().empty_working_set(t.cpu());
  if (where == Where::kStandby || where == Where::kResidentClean) t.page_out();
  if (where == Where::kResidentClean) t.must_touch(base);
  if (where == Where::kPageFile) t.push_out();
  return base;
}

TEST(Protect, KeepsContentsWhereverThePageIs) {
  constexpr std::array kProtections{Protection::kReadOnly,
                                    Protection::kExecuteRead,
                                    Protection::kExecuteReadWrite,
                                    Protection::kNoAccess,
                                    kGuarded,
                                    with_modifier(Protection::kReadWrite, kProtectionNoCache)};
  for (const Where where : kEverywhere) {
    for (const Protection protection : kProtections) {
      const std::string what = std::to_string(static_cast<int>(where)) + " " + to_string(protection);
      TestMachine t;
      const VirtualAddress base = page_there(t, where);
      const std::uint64_t held = where == Where::kUntouched ? 0 : 5;
      EXPECT_EQ(t.space().protect(t.cpu(), base, kPageSize, protection), Protection::kReadWrite) << what;
      EXPECT_EQ(t.check(), "") << what;
      EXPECT_EQ(t.space().query(t.cpu(), base)->protection, protection) << what;

      if (is_guard(protection)) {
        EXPECT_EQ(t.touch(base), Status::kGuardPageViolation) << what;
      }
      const Status read = protection == Protection::kNoAccess ? Status::kAccessViolation : Status::kSuccess;
      EXPECT_EQ(t.touch(base), read) << what;
      if (read == Status::kSuccess) {
        EXPECT_EQ(t.get(base, 0), held) << what;
      }
      const bool writable = is_writable(protection);
      EXPECT_EQ(t.put(base, 0, held), writable ? Status::kSuccess : Status::kAccessViolation) << what;
      EXPECT_EQ(t.check(), "") << what;

      ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kReadWrite)) << what;
      EXPECT_EQ(t.get(base, 0), held) << what;
      t.must_put(base, 0, 6);
      t.push_out();
      EXPECT_EQ(t.get(base, 0), 6U) << what;
      EXPECT_EQ(t.check(), "") << what;
    }
  }
}

TEST(Protect, ADirtyPageMadeReadOnlyIsStillWritten) {
  TestMachine t;
  const VirtualAddress base = page_there(t, Where::kResidentDirty);
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kReadOnly));
  t.push_out();
  EXPECT_EQ(t.kind(base), PteKind::kPageFile);
  EXPECT_EQ(t.get(base, 0), 5U);
  EXPECT_EQ(t.check(), "");
}

TEST(Protect, AStaleTlbEntryLetsNobodyWrite) {
  testing::TestMachineConfig config{.processors = 2};
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(1));
  t.must_put(base, 0, 1, 0);
  t.must_put(base, 0, 2, 1);
  ASSERT_TRUE(t.space().protect(t.cpu(0), base, kPageSize, Protection::kReadOnly));
  EXPECT_EQ(t.put(base, 0, 3, 1), Status::kAccessViolation);
  ASSERT_TRUE(t.space().protect(t.cpu(0), base, kPageSize, Protection::kNoAccess));
  EXPECT_EQ(t.touch(base, Access::kRead, 1), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
}

// reference/nt.md section 4: the guard is taken away first, then raised, once.
TEST(Protect, AGuardPageIsRaisedOnceAndIsUsableThen) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(2), kGuarded);
  EXPECT_EQ(t.put(base, 0, 1), Status::kGuardPageViolation);
  EXPECT_EQ(t.faults(FaultKind::kGuard), 1U);
  EXPECT_EQ(t.space().query(t.cpu(), base)->protection, Protection::kReadWrite);
  EXPECT_EQ(t.put(base, 0, 1), Status::kSuccess);
  EXPECT_EQ(t.touch(base + kPageSize), Status::kGuardPageViolation) << "each page has its own";
  EXPECT_EQ(t.touch(base + kPageSize), Status::kSuccess);
  EXPECT_EQ(t.faults(FaultKind::kGuard), 2U);
  EXPECT_EQ(t.check(), "");
}

TEST(Protect, AGuardDoesNotHideThatTheAccessIsForbidden) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1), with_modifier(Protection::kReadOnly, kProtectionGuard));
  EXPECT_EQ(t.put(base, 0, 1), Status::kAccessViolation);
  EXPECT_EQ(t.touch(base), Status::kGuardPageViolation) << "the guard is still there";
  EXPECT_EQ(t.check(), "");
}

TEST(Protect, ExecutionNeedsTheRightWhereTheModeKnowsIt) {
  for (const auto format : {machine::PteFormat::kX86, machine::PteFormat::kPae, machine::PteFormat::kAmd64}) {
    testing::TestMachineConfig config{.paging = format};
    TestMachine t(config);
    const VirtualAddress data = t.commit(PageCount(1));
    const VirtualAddress code = t.commit(PageCount(1), Protection::kExecuteRead);
    EXPECT_EQ(t.touch(data, Access::kExecute),
              format == machine::PteFormat::kX86 ? Status::kSuccess : Status::kAccessViolation);
    EXPECT_EQ(t.touch(code, Access::kExecute), Status::kSuccess);
    EXPECT_EQ(t.put(code, 0, 1), Status::kAccessViolation);
    EXPECT_EQ(t.check(), "");
  }
}

}  // namespace
}  // namespace pagoda::mm
