#include "pagoda/mm/pfn/prototype_pool.h"

#include <gtest/gtest.h>

#include <memory>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

class PrototypePoolTest : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  PrototypePoolTest() : t({.frames = PageCount(256), .paging = GetParam()}) {}

  PrototypePool& pool() { return t.core().prototypes; }
  VirtualAddress reserve(std::uint64_t pages) {
    const LockGuard guard(t.core().pfns.lock);
    return *pool().reserve(PageCount(pages));
  }
  void release(VirtualAddress first, std::uint64_t pages) {
    const LockGuard guard(t.core().pfns.lock);
    pool().release(first, PageCount(pages));
  }
  PageCount pages() {
    const LockGuard guard(t.core().pfns.lock);
    return pool().pages();
  }
  PageCount in_use() { return t.manager().frame_counts().prototypes; }

  TestMachine t;
};

TEST_P(PrototypePoolTest, RunsAreGivenOutLowestFirstAndMerge) {
  const VirtualAddress a = reserve(2);
  const VirtualAddress b = reserve(3);
  const VirtualAddress c = reserve(1);
  EXPECT_EQ(b, a + kPageSize * 2);
  EXPECT_EQ(c, b + kPageSize * 3);
  release(a, 2);
  EXPECT_EQ(reserve(3), c + kPageSize);  // Two are not enough.
  release(b, 3);                         // Behind a free run.
  EXPECT_EQ(reserve(5), a);
  release(c, 1);
  release(a, 5);  // Before one.
  EXPECT_EQ(reserve(6), a);
}

TEST_P(PrototypePoolTest, TheShortestHoleThatIsLongEnoughIsTakenTheFirstOfEquals) {
  std::vector<VirtualAddress> runs;
  for (const std::uint64_t pages : {5U, 1U, 3U, 1U, 4U, 1U, 3U, 1U}) runs.push_back(reserve(pages));
  release(runs[0], 5);
  release(runs[2], 3);
  release(runs[4], 4);
  release(runs[6], 3);
  EXPECT_EQ(reserve(2), runs[2]);
  EXPECT_EQ(reserve(3), runs[6]);
  EXPECT_EQ(reserve(1), runs[2] + kPageSize * 2);
  EXPECT_EQ(reserve(3), runs[4]);
  EXPECT_EQ(reserve(5), runs[0]);
}

TEST_P(PrototypePoolTest, RunsOfAnyOrderBecomeOneAgain) {
  std::vector<VirtualAddress> runs;
  for (int i = 0; i < 6; ++i) runs.push_back(reserve(2));
  for (const std::size_t i : {4U, 0U, 2U, 3U, 1U, 5U}) release(runs[i], 2);
  EXPECT_EQ(reserve(12), runs[0]);
}

TEST_P(PrototypePoolTest, MoreThanPtesCanNameIsRefused) {
  const LockGuard guard(t.core().pfns.lock);
  EXPECT_EQ(pool().reserve(PageCount(std::uint64_t{1} << 40)).error(), Status::kInsufficientResources);
}

TEST_P(PrototypePoolTest, PagesAreMadeAsTheirSegmentBegan) {
  Section& section = **t.manager().sections().create(t.cpu(), {.size = 256_KiB, .protection = Protection::kReadOnly});
  ControlArea& area = section.control_area();
  EXPECT_EQ(pages(), 0_pages);
  const LockGuard guard(t.core().pfns.lock);
  const auto pte = pool().make(t.cpu(), area.prototype_of(t.core().codec, PageCount(3)), area);
  ASSERT_TRUE(pte);
  EXPECT_EQ(pool().make(t.cpu(), area.prototype_of(t.core().codec, PageCount(5)), area)->pfn(), pte->pfn());
  EXPECT_EQ(pool().pages(), 1_pages);
  EXPECT_EQ(pool().owner_of(*pte), &area);
  EXPECT_EQ(pool().address_of(*pte), area.prototype_of(t.core().codec, PageCount(3)));
  const std::uint64_t width = t.core().mode.entry_bytes;
  const PhysicalAddress first(pte->pfn());
  for (std::uint64_t page = 0; page < pool().entries_per_page(); ++page) {
    const RawPte raw = t.core().load(t.cpu(), first + ByteCount(page * width));
    EXPECT_EQ(raw, page < 64 ? t.core().codec.demand_zero(Protection::kReadOnly) : 0) << page;
  }
}

TEST_P(PrototypePoolTest, AFilesPageGoesWithItsLastResidentEntry) {
  auto file = *t.machine().sim_disk(0).create("data");
  ASSERT_TRUE(file->resize(64_KiB));
  const auto stream = std::make_shared<FileStream>("data", std::move(file));
  Section& section = **t.manager().sections().create(t.cpu(), {.file = stream, .kind = SectionKind::kData});
  const VirtualAddress base(t.space().map_view(t.cpu(), section, {})->first);
  t.must_touch(base);
  EXPECT_EQ(in_use(), 1_pages);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(in_use(), 0_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_P(PrototypePoolTest, APinKeepsAPageThatIsAllTemplate) {
  auto file = *t.machine().sim_disk(0).create("data");
  ASSERT_TRUE(file->resize(64_KiB));
  const auto stream = std::make_shared<FileStream>("data", std::move(file));
  ControlArea& area =
      (**t.manager().sections().create(t.cpu(), {.file = stream, .kind = SectionKind::kData})).control_area();
  const LockGuard guard(t.core().pfns.lock);
  const VirtualAddress prototype = area.prototype_of(t.core().codec, PageCount(0));
  const auto pte = pool().make(t.cpu(), prototype, area);
  ASSERT_TRUE(pte);
  {
    const PrototypePool::Pin outer(pool(), *pte);
    {
      const PrototypePool::Pin inner(pool(), *pte);
    }
    EXPECT_EQ(pool().find(prototype), *pte);
  }
  EXPECT_EQ(pool().find(prototype), PrototypePool::kNone);
}

TEST_P(PrototypePoolTest, ClonesGoWithTheirLastReference) {
  const PageCount available = t.available();
  const LockGuard guard(t.core().pfns.lock);
  const auto page = pool().make_clone_page(t.cpu());
  ASSERT_TRUE(page);
  const VirtualAddress second = *page + ByteCount(t.core().mode.entry_bytes);
  EXPECT_EQ(pool().clone_pages(), 1_pages);
  EXPECT_TRUE(pool().is_clone(pool().find(*page)));
  EXPECT_TRUE(pool().has_clone(pool().find(*page)));
  EXPECT_EQ(pool().owner_of(pool().find(*page)), nullptr);
  EXPECT_EQ(pool().find_clone_entry(), *page);
  pool().use_clone_entry(*page, Protection::kReadOnly, 2);
  EXPECT_EQ(pool().find_clone_entry(), second);
  pool().use_clone_entry(second, Protection::kReadWrite, 2);
  EXPECT_EQ(pool().clone_protection(*page), Protection::kReadOnly);
  pool().add_clone_reference(*page);
  EXPECT_EQ(pool().clone_references(*page), 3U);
  EXPECT_EQ(pool().drop_clone_reference(t.cpu(), *page), 0_pages);
  EXPECT_EQ(pool().drop_clone_reference(t.cpu(), second), 0_pages);
  EXPECT_EQ(pool().drop_clone_reference(t.cpu(), second), 0_pages);
  EXPECT_EQ(pool().drop_clone_reference(t.cpu(), *page), 0_pages);
  EXPECT_EQ(pool().clone_references(*page), 1U);
  EXPECT_EQ(pool().drop_clone_reference(t.cpu(), *page), 1_pages);
  EXPECT_EQ(pool().clone_pages(), 0_pages);
  EXPECT_EQ(t.core().pfns.available(), available);
  EXPECT_EQ(pool().make_clone_page(t.cpu()), *page);  // Its place and its number are used again.
}

INSTANTIATE_TEST_SUITE_P(Modes, PrototypePoolTest,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& mode) { return std::string(machine::paging_mode(mode.param).name); });

}  // namespace
}  // namespace pagoda::mm
