#include "pagoda/mm/ws/table_trim.h"

#include <gtest/gtest.h>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {
namespace {

using machine::PteFormat;

// Private pages with a page table each, as far apart as a table reaches.
class TableTrim : public ::testing::TestWithParam<PteFormat> {
 protected:
  static constexpr std::uint64_t kPages = 8;

  explicit TableTrim(PageCount store = PageCount(0)) : t_(config(store)) {
    base_ = t_.commit(PageCount(kPages * reach()));
  }

  [[nodiscard]] std::uint64_t reach() { return t_.core().mode.entries(1); }
  [[nodiscard]] VirtualAddress page(std::uint64_t i) { return TestMachine::page(base_, i * reach()); }
  void fill() {
    for (std::uint64_t i = 0; i < kPages; ++i) t_.must_put(page(i), 0, i + 1);
  }
  // The pages are in the paging file alone.
  void push_out() {
    fill();
    t_.push_out();
  }
  PageCount trim(PageCount most = PageCount(1000)) {
    const LockGuard guard(t_.space().lock);
    return trim_tables(t_.space(), t_.cpu(), most);
  }
  // The table's entry above it.
  [[nodiscard]] RawPte entry_above(std::uint64_t i) {
    const LockGuard guard(t_.space().lock);
    const PageTables::Out out = t_.space().tables().find_out(t_.cpu(), page(i).vpn());
    return out.any() ? t_.core().load(t_.cpu(), out.entry) : 0;
  }
  [[nodiscard]] RawPte peek(std::uint64_t i) {
    const LockGuard guard(t_.space().lock);
    const LockGuard pfn_guard(t_.core().pfns.lock);
    return t_.space().tables().peek(t_.cpu(), page(i).vpn());
  }
  void expect_all_there() {
    for (std::uint64_t i = 0; i < kPages; ++i) EXPECT_EQ(t_.get(page(i), 0), i + 1) << i;
    EXPECT_EQ(t_.check(), "");
  }

  // The region goes while writes are under way, and nothing stays.
  void release_all() {
    ASSERT_TRUE(t_.space().release(t_.cpu(), base_, {}));
    EXPECT_EQ(t_.check(), "");
    t_.finish_io();
    EXPECT_EQ(t_.slots_used(), 0_pages);
    EXPECT_EQ(t_.check(), "");
  }

  static TestMachineConfig config(PageCount store) {
    TestMachineConfig config{
        .frames = PageCount(512),
        .paging = GetParam(),
        .paging_files = {{.name = "pagefile.sys", .disk = 0, .minimum = 64_MiB, .maximum = 64_MiB}}};
    config.tunables.compression_budget = store;
    return config;
  }

  TestMachine t_;
  VirtualAddress base_;
};
std::string name_of(const ::testing::TestParamInfo<PteFormat>& format) {
  return std::array{"x86", "pae", "amd64"}[static_cast<std::size_t>(format.param)];
}
INSTANTIATE_TEST_SUITE_P(Modes, TableTrim, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         name_of);

TEST_P(TableTrim, ATableStaysWhileAnEntryIsValidOrInTransition) {
  fill();
  EXPECT_EQ(trim(), 0_pages);
  t_.space().empty_working_set(t_.cpu());
  EXPECT_EQ(trim(), 0_pages) << "modified pages are in transition";
  t_.page_out();
  EXPECT_EQ(trim(), 0_pages) << "standby pages are too";
  expect_all_there();
}

TEST_P(TableTrim, ATableWithoutResidentEntriesGoesToTheModifiedList) {
  push_out();
  const PageCount tables = t_.manager().frame_counts().page_tables;
  EXPECT_EQ(trim(), PageCount(kPages));
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.manager().frame_counts().page_tables, tables - PageCount(kPages));
  EXPECT_EQ(t_.manager().counters().page_tables_paged_out, kPages);
  for (std::uint64_t i = 0; i < kPages; ++i) {
    ASSERT_TRUE(PteCodec::is_transition(entry_above(i))) << i;
    EXPECT_EQ(t_.core().pfns.entry(t_.core().codec.frame(entry_above(i))).state, PageState::kModified) << i;
  }
  expect_all_there();
  EXPECT_EQ(t_.manager().counters().page_tables_paged_in, kPages);
}

TEST_P(TableTrim, FromThePagingFileItComesBackWithItsEntries) {
  push_out();
  const PageCount slots = t_.slots_used();
  trim();
  t_.push_out();
  EXPECT_GE(t_.slots_used(), slots + PageCount(kPages)) << "each table has one";
  EXPECT_EQ(t_.check(), "");
  const PteCodec& codec = t_.core().codec;
  EXPECT_TRUE(codec.has_slot(entry_above(0)));
  EXPECT_EQ(codec.use_count(entry_above(0)), codec.has_use_count() ? 1U : 0U);
  EXPECT_TRUE(codec.has_slot(peek(3)));
  expect_all_there();
  EXPECT_EQ(t_.slots_used(), PageCount(kPages)) << "the pages' own: they are clean";
}

TEST_P(TableTrim, OnlySoManyAsAreWantedGo) {
  push_out();
  EXPECT_EQ(trim(PageCount(3)), 3_pages);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(trim(), PageCount(kPages - 3));
  expect_all_there();
}

TEST_P(TableTrim, AReadThatFailsRaisesAnInPageErrorAndChangesNothing) {
  push_out();
  trim();
  t_.push_out();
  t_.injection().read_error_rate = 1;
  EXPECT_EQ(t_.get(page(2), 0).error(), Status::kInPageError);
  EXPECT_EQ(t_.check(), "");
  t_.injection().read_error_rate = 0;
  expect_all_there();
}

TEST_P(TableTrim, AWriteThatFailsLosesNothing) {
  push_out();
  trim();
  t_.injection().write_error_rate = 1;
  EXPECT_TRUE(t_.manager().modified_writer().write_cluster(t_.cpu()));
  t_.finish_io();
  EXPECT_EQ(t_.check(), "");
  t_.injection().write_error_rate = 0;
  expect_all_there();
}

TEST_P(TableTrim, AWriteUnderWayMayBeOvertakenByAFault) {
  push_out();
  trim();
  ASSERT_TRUE(t_.manager().modified_writer().write_cluster(t_.cpu()));
  EXPECT_EQ(t_.get(page(1), 0), 2U);
  EXPECT_EQ(t_.check(), "");
  release_all();
}

// --- Pages in the compression store keep their tables ---

class TablesOfCompressedPages : public TableTrim {
 protected:
  TablesOfCompressedPages() : TableTrim(PageCount(64)) { push_out(); }

  [[nodiscard]] PageCount in_store() {
    const LockGuard guard(t_.core().pfns.lock);
    return t_.core().store.pages();
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, TablesOfCompressedPages,
                         ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64), name_of);

TEST_P(TablesOfCompressedPages, GoAfterTheirPagesWentOnToThePagingFile) {
  ASSERT_EQ(in_store(), PageCount(kPages));
  EXPECT_EQ(trim(), 0_pages);
  ASSERT_TRUE(t_.manager().modified_writer().evict_cluster(t_.cpu()));
  EXPECT_EQ(in_store(), 0_pages);
  EXPECT_EQ(t_.check(), "");
  t_.finish_io();
  EXPECT_EQ(t_.slots_used(), PageCount(kPages));
  EXPECT_EQ(trim(), 0_pages) << "the pages are on standby";
  t_.reuse_standby();
  EXPECT_EQ(trim(), PageCount(kPages));
  EXPECT_EQ(t_.check(), "");
  EXPECT_FALSE(t_.manager().modified_writer().evict_cluster(t_.cpu()));
  expect_all_there();
}

TEST_P(TablesOfCompressedPages, GoOneByOneWithOneFrame) {
  t_.while_only(1_pages, [&] {
    for (std::uint64_t left = kPages; left-- > 0;) {
      ASSERT_TRUE(t_.manager().modified_writer().evict_cluster(t_.cpu()));
      EXPECT_EQ(in_store(), PageCount(left));
      EXPECT_EQ(t_.available(), left == 0 ? 1_pages : 0_pages) << "the last one's frame is the store's";
      EXPECT_FALSE(t_.manager().modified_writer().evict_cluster(t_.cpu())) << "there is no frame";
      t_.finish_io();
    }
    EXPECT_EQ(t_.manager().counters().pages_evicted, kPages);
  });
  expect_all_there();
}

TEST_P(TablesOfCompressedPages, AnEvictionMayBeOvertaken) {
  ASSERT_TRUE(t_.manager().modified_writer().evict_cluster(t_.cpu()));
  EXPECT_EQ(t_.get(page(1), 0), 2U);
  t_.must_put(page(2), 0, 3);
  EXPECT_EQ(t_.check(), "");
  release_all();
}

TEST_P(TablesOfCompressedPages, AnEvictionThatFailsLosesNothing) {
  t_.injection().write_error_rate = 1;
  ASSERT_TRUE(t_.manager().modified_writer().evict_cluster(t_.cpu()));
  t_.finish_io();
  EXPECT_EQ(t_.check(), "");
  t_.injection().write_error_rate = 0;
  expect_all_there();
}

// Table by table, though the oldest pages are one in each.
TEST_P(TablesOfCompressedPages, ATableIsEmptiedAtOnce) {
  for (const std::uint64_t more : {1, 2}) {
    for (std::uint64_t i = 0; i < kPages; ++i) t_.must_put(page(i), more, i + 1);
    t_.push_out();
  }
  ASSERT_EQ(in_store(), PageCount(3 * kPages));
  ASSERT_TRUE(t_.manager().modified_writer().evict_cluster(t_.cpu()));
  std::uint64_t emptied = 0;
  for (std::uint64_t i = 0; i < kPages; ++i) {
    const LockGuard guard(t_.space().lock);
    const LockGuard pfn_guard(t_.core().pfns.lock);
    if (t_.core().pfns.compressed_in(t_.space().tables().find(t_.cpu(), page(i).vpn()).pfn()) == 0) ++emptied;
  }
  EXPECT_EQ(emptied, kMaxTransferPages / 3);
  expect_all_there();
}

// --- What programs ask of regions whose tables are out ---

class OutTables : public TableTrim {
 protected:
  void SetUp() override {
    push_out();
    trim();
    t_.push_out();
    ASSERT_TRUE(t_.core().codec.has_slot(entry_above(0)));
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, OutTables, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         name_of);

TEST_P(OutTables, AreReleasedWithTheirSlots) {
  ASSERT_TRUE(t_.space().release(t_.cpu(), base_, {}));
  EXPECT_EQ(t_.slots_used(), 0_pages);
  EXPECT_EQ(t_.manager().frame_counts().page_tables, 1_pages) << "the root";
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OutTables, EndWithTheirSpace) {
  ProcessSpace& other = t_.add_space();
  t_.manager().attach(t_.cpu(), other);
  t_.manager().destroy_space(t_.cpu(), t_.space());
  EXPECT_EQ(t_.slots_used(), 0_pages);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OutTables, AreDecommittedInPart) {
  ASSERT_TRUE(t_.space().decommit(t_.cpu(), page(2), bytes_of(PageCount(2 * reach()))));
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.get(page(2), 0).error(), Status::kAccessViolation);
  EXPECT_EQ(t_.get(page(1), 0), 2U);
  EXPECT_EQ(t_.get(page(4), 0), 5U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OutTables, AreProtected) {
  EXPECT_EQ(t_.space().protect(t_.cpu(), page(1), kPageSize, Protection::kReadOnly), Protection::kReadWrite);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.put(page(1), 0, 9), Status::kAccessViolation);
  expect_all_there();
}

TEST_P(OutTables, AreCommittedAgain) {
  ASSERT_TRUE(t_.space().commit(t_.cpu(), base_, bytes_of(PageCount(kPages * reach())), Protection::kReadWrite));
  expect_all_there();
}

TEST_P(OutTables, AreForked) {
  ProcessSpace& child = **t_.manager().clone_space(t_.cpu(), t_.space());
  EXPECT_EQ(t_.check(), "");
  expect_all_there();
  t_.manager().attach(t_.cpu(), child);
  expect_all_there();
}

TEST_P(OutTables, AreResetPageByPage) {
  ASSERT_TRUE(t_.space().reset(t_.cpu(), page(0), bytes_of(PageCount(4 * reach()))));
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.get(page(0), 0), 0U);
  EXPECT_EQ(t_.get(page(5), 0), 6U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OutTables, LetTheirResetBeUndoneWhereNothingWasLost) {
  EXPECT_TRUE(t_.space().undo_reset(t_.cpu(), page(3), kPageSize));
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OutTables, AreLookedAtWithoutComingIn) {
  EXPECT_EQ(t_.space().page_info(t_.cpu(), page(3)).place, PagePlace::kPagingFile);
  EXPECT_EQ(t_.space().residency(t_.cpu(), {base_.vpn(), PageCount(kPages * reach())}).paging_file, PageCount(kPages));
  EXPECT_EQ(t_.manager().counters().page_tables_paged_in, 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OutTables, AreQueriedAsARun) {
  ASSERT_TRUE(t_.space().protect(t_.cpu(), page(6), kPageSize, Protection::kReadOnly));
  t_.push_out();
  trim();
  t_.push_out();
  const RegionInfo info = *t_.space().query(t_.cpu(), base_);
  EXPECT_EQ(info.size, bytes_of(PageCount(6 * reach())));
  EXPECT_EQ(info.protection, Protection::kReadWrite);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OutTables, AreLockedAndUnlocked) {
  ASSERT_TRUE(t_.space().lock_pages(t_.cpu(), page(2), kPageSize, LockKind::kInWorkingSet));
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.space().unlock_pages(t_.cpu(), page(4), kPageSize, LockKind::kInWorkingSet).error(), Status::kNotLocked);
  ASSERT_TRUE(t_.space().unlock_pages(t_.cpu(), page(2), kPageSize, LockKind::kInWorkingSet));
  expect_all_there();
}

TEST_P(OutTables, AreDiscarded) {
  ASSERT_TRUE(t_.space().discard(t_.cpu(), {base_.vpn(), PageCount(kPages * reach())}));
  EXPECT_EQ(t_.slots_used(), 0_pages);
  EXPECT_EQ(t_.get(page(3), 0), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OutTables, AreSecured) {
  EXPECT_TRUE(t_.space().secure(t_.cpu(), page(1), kPageSize, Protection::kReadWrite));
  EXPECT_EQ(t_.space().protect(t_.cpu(), page(1), kPageSize, Protection::kReadOnly).error(),
            Status::kInvalidPageProtection);
  expect_all_there();
}

}  // namespace
}  // namespace pagoda::mm::testing
