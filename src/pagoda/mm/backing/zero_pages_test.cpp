#include "pagoda/mm/backing/zero_pages.h"

#include <gtest/gtest.h>

#include "pagoda/mm/testing/test_machine.h"
#include "pagoda/mm/ws/eviction_batch.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;

// Every second page holds something, the others were written and are zero again.
VirtualAddress half_zero(TestMachine& t, PageCount pages) {
  const VirtualAddress base = t.commit(pages);
  for (std::uint64_t page = 0; page < pages.value(); ++page) {
    t.must_put(base, page, 77);
    t.must_put(base, page, page % 2 == 0 ? 0 : page);
  }
  return base;
}

// Onto the modified list without a look at what they hold, as pages leave that are replaced.
void evict_all(TestMachine& t) {
  const LockGuard guard(t.space().lock);
  EvictionBatch batch(t.space(), t.cpu());
  WorkingSet& ws = t.space().working_set();
  for (std::uint32_t slot = 0; slot < ws.end_slot(); ++slot)
    if (ws[slot].is_valid()) batch.add(slot);
  batch.flush();
}

TEST(ZeroPages, AreForgottenByATrim) {
  TestMachine t;
  const VirtualAddress base = half_zero(t, PageCount(8));
  const PageCount zeroed = t.count(PageState::kZeroed);
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(t.count(PageState::kModified), 4_pages);
  EXPECT_EQ(t.count(PageState::kZeroed), zeroed + 4_pages);
  EXPECT_EQ(t.manager().counters().zero_pages_found, 4U);
  EXPECT_EQ(t.manager().counters().zero_pages_by_trim, 4U);
  for (std::uint64_t page = 0; page < 8; ++page) {
    EXPECT_EQ(t.kind(TestMachine::page(base, page)), page % 2 == 0 ? PteKind::kDemandZero : PteKind::kTransition);
  }
  EXPECT_EQ(t.check(), "");
  for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(t.get(base, page), page % 2 == 0 ? 0 : page);
  EXPECT_EQ(t.check(), "");
}

TEST(ZeroPages, AreForgottenInPlaceOfBeingWritten) {
  TestMachine t;
  const VirtualAddress base = half_zero(t, PageCount(8));
  evict_all(t);
  EXPECT_EQ(t.count(PageState::kModified), 8_pages);
  const PageCount zeroed = t.count(PageState::kZeroed);
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_EQ(t.manager().counters().zero_pages_found, 4U);
  EXPECT_EQ(t.manager().counters().zero_pages_by_writer, 4U);
  EXPECT_EQ(t.manager().counters().page_file_pages_written, 4U);
  EXPECT_EQ(t.slots_used(), 4_pages);
  EXPECT_EQ(t.count(PageState::kZeroed), zeroed + 4_pages);
  for (std::uint64_t page = 0; page < 8; ++page) {
    EXPECT_EQ(t.kind(TestMachine::page(base, page)), page % 2 == 0 ? PteKind::kDemandZero : PteKind::kTransition);
  }
  EXPECT_EQ(t.check(), "");
  t.finish_io();
  const std::uint64_t zero_faults = t.faults(FaultKind::kDemandZero);
  for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(t.get(base, page), page % 2 == 0 ? 0 : page);
  EXPECT_EQ(t.faults(FaultKind::kDemandZero), zero_faults + 4);
  EXPECT_EQ(t.check(), "");
}

TEST(ZeroPages, KeepTheirProtection) {
  TestMachine t;
  const VirtualAddress base = half_zero(t, PageCount(2));
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kReadOnly));
  t.page_out();
  ASSERT_EQ(t.kind(base), PteKind::kDemandZero);
  EXPECT_EQ(t.get(base, 0), 0U);
  EXPECT_EQ(t.put(base, 0, 1), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
}

TEST(ZeroPages, AClusterOfNothingElseIsNoTransfer) {
  TestMachine t;
  const VirtualAddress base = t.commit(PageCount(20));
  for (std::uint64_t page = 0; page < 20; ++page) t.must_put(base, page, 0);
  t.page_out();
  EXPECT_EQ(t.manager().counters().zero_pages_found, 20U);
  EXPECT_EQ(t.manager().counters().page_file_writes, 0U);
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.manager().next_completion(), kNever);
  EXPECT_EQ(t.check(), "");
}

TEST(ZeroPages, GoEvenWithoutAFreeSlot) {
  TestMachineConfig config;
  config.paging_files = {};
  TestMachine t(config);
  const VirtualAddress base = half_zero(t, PageCount(8));
  evict_all(t);
  EXPECT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_FALSE(t.manager().modified_writer().write_cluster(t.cpu()));
  EXPECT_EQ(t.manager().counters().zero_pages_found, 4U);
  EXPECT_EQ(t.count(PageState::kModified), 4_pages);
  for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(t.get(base, page), page % 2 == 0 ? 0 : page);
  EXPECT_EQ(t.check(), "");
}

TEST(ZeroPages, OfASectionBecomeDemandZeroForAllViews) {
  TestMachine t;
  auto section = t.manager().sections().create(t.cpu(), {.size = bytes_of(PageCount(4))});
  ASSERT_TRUE(section);
  const auto view = [&](ProcessSpace& space) {
    return VirtualAddress(space.map_view(t.cpu(), **section, {.protection = Protection::kReadWrite})->first);
  };
  const VirtualAddress one = view(t.space());
  const VirtualAddress two = view(t.space());
  for (std::uint64_t page = 0; page < 4; ++page) t.must_put(one, page, page % 2);
  t.page_out();
  EXPECT_EQ(t.manager().counters().zero_pages_found, 2U);
  EXPECT_EQ(t.slots_used(), 2_pages);
  for (std::uint64_t page = 0; page < 4; ++page) EXPECT_EQ(t.get(two, page), page % 2);
  EXPECT_EQ(t.check(), "");
}

TEST(ZeroPages, AreWrittenIfTheTunableSaysSo) {
  TestMachineConfig config;
  config.tunables.find_zero_pages = false;
  TestMachine t(config);
  half_zero(t, PageCount(8));
  t.page_out();
  EXPECT_EQ(t.manager().counters().zero_pages_found, 0U);
  EXPECT_EQ(t.manager().counters().page_file_pages_written, 8U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
