#include "pagoda/mm/section/committed_pages.h"

#include <gtest/gtest.h>

#include <bitset>

#include "pagoda/base/random.h"

namespace pagoda::mm {
namespace {

TEST(CommittedPages, NoneAreAtFirst) {
  const CommittedPages pages;
  EXPECT_EQ(pages.count(), 0_pages);
  EXPECT_FALSE(pages.contains(PageCount(7)));
  EXPECT_EQ(pages.run_at(PageCount(7)).end, 0_pages) << "to the end";
}

TEST(CommittedPages, RunsThatTouchBecomeOne) {
  CommittedPages pages;
  pages.add(PageCount(4), PageCount(8));
  pages.add(PageCount(12), PageCount(16));
  EXPECT_EQ(pages.run_at(PageCount(5)).end, 8_pages);
  EXPECT_EQ(pages.run_at(PageCount(8)).end, 12_pages);
  pages.add(PageCount(8), PageCount(12));
  EXPECT_TRUE(pages.run_at(PageCount(4)).committed);
  EXPECT_EQ(pages.run_at(PageCount(4)).end, 16_pages);
  EXPECT_EQ(pages.count(), 12_pages);
}

TEST(CommittedPages, AreThoseOfASet) {
  constexpr std::size_t kPages = 200;
  Random random(1);
  for (int round = 0; round < 50; ++round) {
    CommittedPages pages;
    std::bitset<kPages> model;
    for (int step = 0; step < 30; ++step) {
      const std::uint64_t first = random.below(kPages);
      const std::uint64_t end = first + 1 + random.below(std::min<std::uint64_t>(kPages - first, 20));
      pages.add(PageCount(first), PageCount(end));
      for (std::uint64_t page = first; page < end; ++page) model.set(page);
      ASSERT_EQ(pages.count().value(), model.count());
      for (std::uint64_t page = 0; page < kPages; ++page) {
        const CommittedPages::Run run = pages.run_at(PageCount(page));
        ASSERT_EQ(run.committed, model.test(page));
        std::uint64_t same = page;
        while (same < kPages && model.test(same) == run.committed) ++same;
        if (run.end.is_zero()) {
          ASSERT_EQ(same, kPages);
        } else {
          ASSERT_EQ(run.end.value(), same);
        }
      }
    }
  }
}

}  // namespace
}  // namespace pagoda::mm
