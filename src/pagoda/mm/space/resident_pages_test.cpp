#include "pagoda/mm/space/resident_pages.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

std::vector<std::pair<Vpn, ResidentPage>> resident_pages(TestMachine& t, VirtualAddress base, PageCount pages) {
  std::vector<std::pair<Vpn, ResidentPage>> found;
  const LockGuard guard(t.space().lock);
  for_each_resident(t.space(), t.cpu(), {base.vpn(), pages},
                    [&](Vpn page, const ResidentPage& resident) { found.emplace_back(page, resident); });
  return found;
}
bool paged_out(TestMachine& t, VirtualAddress va) {
  const LockGuard guard(t.space().lock);
  return is_paged_out(t.space(), t.cpu(), va.vpn());
}
PrefetchCost cost_of(TestMachine& t, VirtualAddress va, PageCount margin = 0_pages) {
  const LockGuard guard(t.space().lock);
  return prefetch_cost(t.space(), t.cpu(), va.vpn(), margin);
}

TEST(ResidentPages, AreThoseThatAreMapped) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(8));
  t.must_put(base, 1, 42);
  t.must_touch(t.page(base, 5));
  const auto found = resident_pages(t, base, PageCount(8));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].first, base.vpn() + PageCount(1));
  EXPECT_EQ(found[0].second.frame, t.frame(t.page(base, 1)));
  EXPECT_TRUE(found[0].second.writable);
  EXPECT_FALSE(found[0].second.is_large);
  EXPECT_EQ(found[1].first, base.vpn() + PageCount(5));
  EXPECT_FALSE(found[1].second.writable) << "its first write faults";
}

TEST(ResidentPages, APageAfterAnotherPageTableIsFoundToo) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(1100));
  for (const std::uint64_t page : {0, 511, 512, 1099}) t.must_put(base, page, 1);
  EXPECT_EQ(resident_pages(t, base, PageCount(1100)).size(), 4U);
}

TEST(ResidentPages, ALargePageIsInPieces) {
  TestMachine t({.frames = PageCount(2048)});
  const auto large = t.space().reserve(
      t.cpu(), {.size = bytes_of(PageCount(512)), .commit = MemCommit::kYes, .type = VadType::kLargePages});
  ASSERT_TRUE(large);
  const auto found = resident_pages(t, VirtualAddress(large->first), PageCount(512));
  ASSERT_EQ(found.size(), 512U);
  for (const auto& [page, resident] : found) {
    EXPECT_TRUE(resident.is_large && resident.writable);
    EXPECT_EQ(resident.frame - found[0].second.frame, page - found[0].first);
  }
}

TEST(ResidentPages, OnlyPagesInAPagingFileArePagedOut) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(3));
  t.fill(base, PageCount(2));
  EXPECT_FALSE(paged_out(t, base));
  t.page_out();
  EXPECT_FALSE(paged_out(t, base)) << "on standby";
  t.push_out();
  EXPECT_TRUE(paged_out(t, base));
  EXPECT_FALSE(paged_out(t, t.page(base, 2))) << "never touched";
}

TEST(ResidentPages, PrefetchCostsAFrameASoftFaultOrMore) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(3));
  t.fill(base, PageCount(2));
  EXPECT_EQ(cost_of(t, base), PrefetchCost::kMore) << "mapped";
  EXPECT_EQ(cost_of(t, t.page(base, 2)), PrefetchCost::kZeros) << "zero";
  t.page_out();
  EXPECT_EQ(cost_of(t, base), PrefetchCost::kSoftFault) << "on standby";
  t.push_out();
  EXPECT_EQ(cost_of(t, base), PrefetchCost::kMore) << "a transfer";
  const PageCount plenty = t.core().tunables.plenty_free;
  EXPECT_EQ(cost_of(t, t.page(base, 2), t.available() - plenty), PrefetchCost::kZeros);
  EXPECT_EQ(cost_of(t, t.page(base, 2), t.available() - plenty + 1_pages), PrefetchCost::kOthers);
}

}  // namespace
}  // namespace pagoda::mm
