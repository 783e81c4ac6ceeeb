// Reserving and releasing addresses: statuses in NT's order, rounding, splitting.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

constexpr ByteCount kHuge{~std::uint64_t{0}};

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}

// The last page of which a region may consist (reference/nt.md section 1), on AMD64.
constexpr std::uint64_t kLastPage = 0x7FFFFFDF000;

TEST(Reserve, RoundsAsNtDoes) {
  struct Row {
    std::uint64_t base;
    std::uint64_t size;
    std::uint64_t first;
    std::uint64_t bytes;
  };
  // reference/nt.md 7.1, "Rounding": its two examples, and the borders.
  const std::vector<Row> rows{{0x50001010, 0x1000, 0x50000000, 0x3000},
                              {0x5000FFFF, 0x3000, 0x50000000, 0x13000},
                              {0x50000000, 1, 0x50000000, 0x1000},
                              {0x50000000, 0x1001, 0x50000000, 0x2000},
                              {0x5000FFFF, 1, 0x50000000, 0x10000}};
  for (const Row& row : rows) {
    TestMachine t;
    const auto range = t.space().reserve({.base = VirtualAddress(row.base), .size = ByteCount(row.size)});
    ASSERT_TRUE(range) << row.base;
    EXPECT_EQ(VirtualAddress(range->first), VirtualAddress(row.first)) << row.base;
    EXPECT_EQ(bytes_of(range->count), ByteCount(row.bytes)) << row.base;
    EXPECT_EQ(t.check(), "");
  }
}

// reference/nt.md 7.1, the rows that this API has, in their order: a request with two mistakes gets the first one's.
TEST(Reserve, RefusesInNtsOrder) {
  struct Row {
    std::string mistake;
    ReserveRequest request;
    Status expected;
  };
  const VirtualAddress taken(std::uint64_t{0x50000000});
  const VirtualAddress beyond(std::uint64_t{0x7FFFFFE0000});
  const std::vector<Row> rows{
      {"write-copy",
       {.base = beyond, .size = 1_B, .protection = Protection::kWriteCopy},
       Status::kInvalidPageProtection},
      {"execute write-copy",
       {.size = 0_B, .protection = Protection::kExecuteWriteCopy},
       Status::kInvalidPageProtection},
      {"no protection", {.size = 1_B, .protection = Protection::kNone}, Status::kInvalidPageProtection},
      {"no rights but a modifier", {.size = 1_B, .protection = Protection{0x08}}, Status::kInvalidPageProtection},
      {"decommitted", {.size = 1_B, .protection = Protection::kDecommitted}, Status::kInvalidPageProtection},
      {"base above the highest VAD", {.base = beyond, .size = 0_B}, Status::kInvalidParameter2},
      {"base beyond all", {.base = VirtualAddress(~std::uint64_t{0}), .size = 1_B}, Status::kInvalidParameter2},
      {"size 0", {.base = taken, .size = 0_B}, Status::kInvalidParameter4},
      {"size 0 anywhere", {.size = 0_B}, Status::kInvalidParameter4},
      {"runs past the top", {.base = VirtualAddress(kLastPage), .size = 4097_B}, Status::kInvalidParameter4},
      {"wraps", {.base = taken, .size = kHuge}, Status::kInvalidParameter4},
      {"wraps when the base is rounded down", {.base = taken + 16_B, .size = kHuge}, Status::kInvalidParameter4},
      {"larger than all addresses", {.size = kHuge}, Status::kInvalidParameter4},
      {"the first 64 KB", {.base = VirtualAddress(std::uint64_t{0x1000}), .size = 1_B}, Status::kInvalidParameter2},
      {"taken", {.base = taken, .size = 1_B, .commit = MemCommit::kYes}, Status::kConflictingAddresses},
      {"overlaps from below", {.base = taken - 64_KiB, .size = 64_KiB + 1_B}, Status::kConflictingAddresses},
      {"more than may be promised", {.size = 1_GiB, .commit = MemCommit::kYes}, Status::kCommitmentLimit},
  };
  TestMachine t;
  ASSERT_TRUE(t.space().reserve({.base = taken, .size = 64_KiB}));
  const PageCount charged = t.manager().commit().charged;
  for (const Row& row : rows) EXPECT_EQ(status_of(t.space().reserve(row.request)), row.expected) << row.mistake;
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.check(), "");
}

TEST(Reserve, TheHighestPageCanBeHad) {
  TestMachine t;
  EXPECT_TRUE(t.space().reserve({.base = VirtualAddress(kLastPage), .size = 4096_B}));
  EXPECT_EQ(t.check(), "");
}

TEST(Reserve, NoGapIsNoMemory) {
  testing::TestMachineConfig config{.paging = machine::PteFormat::kX86};
  TestMachine t(config);
  ASSERT_TRUE(t.space().reserve({.base = VirtualAddress(std::uint64_t{0x40000000}), .size = 64_KiB}));
  EXPECT_EQ(status_of(t.space().reserve({.size = 1_GiB})), Status::kNoMemory);
  EXPECT_EQ(t.check(), "");
}

// reference/nt.md section 5: first fit upward from 10000 or downward from the highest, in 64 KB steps.
TEST(Reserve, FirstFitFromEitherEnd) {
  TestMachine t;
  using enum Direction;
  const auto at = [&](ByteCount size, Direction direction) {
    return VirtualAddress(t.space().reserve({.size = size, .direction = direction})->first).value();
  };
  EXPECT_EQ(at(1_B, kBottomUp), 0x10000U);
  EXPECT_EQ(at(65_KiB, kBottomUp), 0x20000U);
  EXPECT_EQ(at(1_B, kBottomUp), 0x40000U);
  EXPECT_EQ(at(1_B, kTopDown), 0x7FFFFFD0000U);
  EXPECT_EQ(at(64_KiB, kTopDown), 0x7FFFFFC0000U);
  ASSERT_TRUE(t.space().release(t.cpu(), VirtualAddress(std::uint64_t{0x20000}), 0_B));
  EXPECT_EQ(at(128_KiB, kBottomUp), 0x20000U);
  EXPECT_EQ(at(64_KiB, kBottomUp), 0x50000U);
  EXPECT_EQ(t.check(), "");
}

// reference/nt.md 7.2, the rows that this API has, in their order.
TEST(Release, RefusesInNtsOrder) {
  TestMachine t;
  const VirtualAddress base(std::uint64_t{0x50000000});
  ASSERT_TRUE(t.space().reserve({.base = base, .size = 64_KiB}));
  struct Row {
    std::string mistake;
    VirtualAddress base;
    ByteCount size;
    Status expected;
  };
  const std::vector<Row> rows{
      {"base above the highest VAD", VirtualAddress(std::uint64_t{0x7FFFFFE0000}), kHuge, Status::kInvalidParameter2},
      {"wraps", base, kHuge, Status::kInvalidParameter3},
      {"nothing there", base + 64_KiB, 4_KiB, Status::kMemoryNotAllocated},
      {"nothing there, whole", base + 64_KiB, 0_B, Status::kMemoryNotAllocated},
      {"past the region", base + 60_KiB, 4097_B, Status::kUnableToFreeVm},
      {"whole, not at its base", base + 4_KiB, 0_B, Status::kFreeVmNotAtBase},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(status_of(t.space().release(t.cpu(), row.base, row.size)), row.expected) << "release, " << row.mistake;
    EXPECT_EQ(status_of(t.space().decommit(t.cpu(), row.base, row.size)), row.expected) << "decommit, " << row.mistake;
  }
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(status_of(t.space().release(t.cpu(), base + 100_B, 0_B)), Status::kSuccess);  // In its first page.
  EXPECT_EQ(status_of(t.space().release(t.cpu(), base, 0_B)), Status::kMemoryNotAllocated);
}

TEST(Release, OfTheMiddleSplitsTheRegionAndKeepsTheRest) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(12));
  t.fill(base, PageCount(12));
  const PageCount charged = t.manager().commit().charged;
  ASSERT_TRUE(t.space().release(t.cpu(), TestMachine::page(base, 4), bytes_of(PageCount(3))));
  EXPECT_EQ(t.manager().commit().charged, charged - 3_pages);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
  EXPECT_EQ(t.differences(TestMachine::page(base, 7), PageCount(5), 8), 0U);
  EXPECT_EQ(t.touch(TestMachine::page(base, 5)), Status::kAccessViolation);
  // Two regions now: nothing reaches across.
  EXPECT_EQ(status_of(t.space().protect(t.cpu(), base, bytes_of(PageCount(12)), Protection::kReadOnly)),
            Status::kConflictingAddresses);
  EXPECT_EQ(status_of(t.space().release(t.cpu(), base, bytes_of(PageCount(8)))), Status::kUnableToFreeVm);
  ASSERT_TRUE(t.space().release(t.cpu(), base, 0_B));
  ASSERT_TRUE(t.space().release(t.cpu(), TestMachine::page(base, 7), 0_B));
  EXPECT_EQ(t.space().statistics().commit, 0_pages);
  EXPECT_EQ(t.resident(), 0_pages);
  EXPECT_EQ(t.check(), "");
}

TEST(Release, OfAnEndTrimsTheRegion) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(12));
  t.fill(base, PageCount(12));
  ASSERT_TRUE(t.space().release(t.cpu(), base, bytes_of(PageCount(2))));
  ASSERT_TRUE(t.space().release(t.cpu(), TestMachine::page(base, 10), bytes_of(PageCount(2))));
  EXPECT_EQ(t.differences(TestMachine::page(base, 2), PageCount(8), 3), 0U);
  EXPECT_EQ(t.space().statistics().commit, 8_pages);
  const auto info = t.space().query(t.cpu(), TestMachine::page(base, 2));
  ASSERT_TRUE(info);
  EXPECT_EQ(info->allocation_base, TestMachine::page(base, 2));
  EXPECT_EQ(info->size, bytes_of(PageCount(8)));
  EXPECT_EQ(t.check(), "");
}

TEST(Release, GivesSlotsAndFramesBackInEveryState) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(8));
  t.push_out();                   // Page-file entries,
  EXPECT_EQ(t.get(base, 0), 1U);  // resident and clean, with neighbours on standby,
  t.must_put(base, 1, 7);         // resident and dirty,
  EXPECT_EQ(t.slots_used(), 7_pages);
  ASSERT_TRUE(t.space().release(t.cpu(), base, 0_B));
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.resident(), 0_pages);
  EXPECT_EQ(t.count(PageState::kStandby), 0_pages);
  EXPECT_EQ(t.manager().frame_counts().page_tables, 1_pages);  // The root.
  EXPECT_EQ(t.check(), "");
}

// What a region is charged: its committed pages, and the tables that it alone spans.
TEST(Reserve, ChargesPageTablesExactly) {
  struct Row {
    machine::PteFormat format;
    std::uint64_t base;
    std::uint64_t pages;
    std::uint64_t tables;
  };
  // Four levels: a page table, a directory and a directory-pointer table each; 2 MB, 1 GB, 512 GB.
  const std::vector<Row> rows{
      {machine::PteFormat::kAmd64, 0x200000, 1, 3},    {machine::PteFormat::kAmd64, 0x3F0000, 17, 4},
      {machine::PteFormat::kAmd64, 0x3FFF0000, 17, 5}, {machine::PteFormat::kAmd64, 0x7FFFFF0000, 17, 6},
      {machine::PteFormat::kPae, 0x200000, 1, 2},      {machine::PteFormat::kPae, 0x3FFF0000, 17, 4},
      {machine::PteFormat::kX86, 0x400000, 1, 1},      {machine::PteFormat::kX86, 0x7F0000, 17, 2}};
  for (const Row& row : rows) {
    testing::TestMachineConfig config{.paging = row.format};
    TestMachine t(config);
    const PageCount before = t.manager().commit().charged;
    EXPECT_EQ(before, 1_pages);  // The root.
    const VirtualAddress base(row.base);
    ASSERT_TRUE(t.space().reserve({.base = base, .size = bytes_of(PageCount(row.pages))}));
    EXPECT_EQ(t.manager().commit().charged - before, PageCount(row.tables)) << to_string(base);
    // A neighbour in the same tables costs nothing more.
    ASSERT_TRUE(t.space().reserve({.base = base - 64_KiB, .size = 1_B}));
    EXPECT_EQ(t.check(), "");
    ASSERT_TRUE(t.space().release(t.cpu(), base - 64_KiB, 0_B));
    EXPECT_EQ(t.manager().commit().charged - before, PageCount(row.tables)) << to_string(base);
    ASSERT_TRUE(t.space().release(t.cpu(), base, 0_B));
    EXPECT_EQ(t.manager().commit().charged, before) << to_string(base);
    EXPECT_EQ(t.check(), "");
  }
}

TEST(Release, GivesTheChargeOfTablesBackThatNoRestSpans) {
  TestMachine t;
  const VirtualAddress base(std::uint64_t{0x200000});
  const PageCount before = t.manager().commit().charged;
  ASSERT_TRUE(t.space().reserve({.base = base, .size = 8_MiB}));
  EXPECT_EQ(t.manager().commit().charged - before, 6_pages);  // Four page tables, a directory, its pointer table.
  ASSERT_TRUE(t.space().release(t.cpu(), base + 2_MiB, 4_MiB));
  EXPECT_EQ(t.manager().commit().charged - before, 4_pages);
  ASSERT_TRUE(t.space().release(t.cpu(), base, 1_MiB));
  EXPECT_EQ(t.manager().commit().charged - before, 4_pages);
  ASSERT_TRUE(t.space().release(t.cpu(), base + 1_MiB, 1_MiB));
  EXPECT_EQ(t.manager().commit().charged - before, 3_pages);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
