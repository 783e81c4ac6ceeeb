#include "pagoda/mm/process/process_space.h"

#include <gtest/gtest.h>

#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

void expect_region(TestMachine& t, VirtualAddress at, const RegionInfo& expected) {
  const auto info = t.space().query(t.cpu(), at);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->base, expected.base);
  EXPECT_EQ(info->size, expected.size);
  EXPECT_EQ(info->state, expected.state);
  EXPECT_EQ(info->protection, expected.protection);
  EXPECT_EQ(info->allocation_base, expected.allocation_base);
  EXPECT_EQ(info->allocation_protection, expected.allocation_protection);
}

// reference/nt.md 7.4.
TEST(Query, AnEmptySpaceIsOneFreeRegion) {
  TestMachine t;
  expect_region(t, VirtualAddress(std::uint64_t{0x12345}),
                {.base = VirtualAddress(std::uint64_t{0x12000}), .size = ByteCount(0x7FFFFFF0000 - 0x12000)});
  EXPECT_EQ(t.space().query(t.cpu(), VirtualAddress(std::uint64_t{0x7FFFFFF0000})).error(), Status::kInvalidParameter);
}

TEST(Query, ARegionIsARunOfEqualStateAndProtection) {
  TestMachine t;
  const VirtualAddress base(std::uint64_t{0x1F8000 & ~0xFFFF});  // Crosses a border between page tables.
  ASSERT_TRUE(t.space().reserve({.base = base, .size = bytes_of(PageCount(32)), .protection = Protection::kReadOnly}));
  ASSERT_TRUE(t.space().commit(t.cpu(), TestMachine::page(base, 4), bytes_of(PageCount(20)), Protection::kReadWrite));
  t.fill(TestMachine::page(base, 6), PageCount(5));
  ASSERT_TRUE(t.space().protect(t.cpu(), TestMachine::page(base, 8), bytes_of(PageCount(2)), Protection::kNoAccess));
  t.push_out();

  struct Run {
    std::uint64_t first;
    std::uint64_t pages;
    MemoryState state;
    Protection protection;
  };
  const std::vector<Run> runs{{0, 4, MemoryState::kReserved, Protection::kNone},
                              {4, 4, MemoryState::kCommitted, Protection::kReadWrite},
                              {8, 2, MemoryState::kCommitted, Protection::kNoAccess},
                              {10, 14, MemoryState::kCommitted, Protection::kReadWrite},
                              {24, 8, MemoryState::kReserved, Protection::kNone}};
  for (const Run& run : runs) {
    for (const std::uint64_t into : {std::uint64_t{0}, run.pages - 1}) {
      const VirtualAddress at = TestMachine::page(base, run.first + into);
      expect_region(t, at + ByteCount(123),
                    {.base = at,
                     .size = bytes_of(PageCount(run.pages - into)),
                     .state = run.state,
                     .protection = run.protection,
                     .allocation_base = base,
                     .allocation_protection = Protection::kReadOnly});
    }
  }
  expect_region(t, base - kPageSize, {.base = base - kPageSize, .size = kPageSize});
  EXPECT_EQ(t.check(), "");
}

TEST(ProcessSpace, AnObserverHearsOfEveryPageThatIsTakenAway) {
  struct Observer : SecondaryMmu {
    void invalidate(VpnRange pages) override {
      for (Vpn page = pages.first; page < pages.end() && told.size() < 100; ++page) told.push_back(page);
    }
    bool test_and_clear_accessed(Vpn) override { return false; }
    std::vector<Vpn> told;
  };
  TestMachine t;
  Observer observer;
  t.space().add_observer(observer);
  const VirtualAddress base = t.commit(PageCount(3));
  t.fill(base, PageCount(3));
  EXPECT_TRUE(observer.told.empty());
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(observer.told, (std::vector{base.vpn(), base.vpn() + 1_pages, base.vpn() + 2_pages}));
  observer.told.clear();
  t.must_touch(base);
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kReadOnly));
  EXPECT_EQ(observer.told, std::vector{base.vpn()});
  observer.told.clear();
  ASSERT_TRUE(t.space().decommit(t.cpu(), base, kPageSize));
  EXPECT_EQ(observer.told, std::vector{base.vpn()});
  t.space().remove_observer(observer);
  observer.told.clear();
  t.must_touch(base + kPageSize);
  t.space().empty_working_set(t.cpu());
  EXPECT_TRUE(observer.told.empty());
  EXPECT_EQ(t.check(), "");
}

TEST(ProcessSpace, PagesCoveringRoundsOutward) {
  const auto pages = [](std::uint64_t base, std::uint64_t size) {
    return pages_covering(VirtualAddress(base), ByteCount(size));
  };
  EXPECT_EQ(pages(0x1000, 0x1000), (VpnRange{Vpn(1), PageCount(1)}));
  EXPECT_EQ(pages(0x1FFF, 2), (VpnRange{Vpn(1), PageCount(2)}));
  EXPECT_EQ(pages(~std::uint64_t{0}, 1), (VpnRange{Vpn(~std::uint64_t{0} >> kPageShift), PageCount(1)}));
  EXPECT_EQ(pages(0x1000, 0), std::nullopt);
  EXPECT_EQ(pages(~std::uint64_t{0}, 2), std::nullopt);
}

}  // namespace
}  // namespace pagoda::mm
