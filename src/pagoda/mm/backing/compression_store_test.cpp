#include "pagoda/mm/backing/compression_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;

TestMachineConfig with_store(PageCount budget) {
  TestMachineConfig config;
  config.tunables.compression_budget = budget;
  return config;
}

// Half of the page, or all of it, is noise.
enum class Noise : std::uint8_t { kHalf, kAll };
void fill_page(TestMachine& t, VirtualAddress va, std::uint64_t seed, Noise noise) {
  Random random(seed);
  const std::uint64_t bytes = noise == Noise::kAll ? kPageBytes : kPageBytes / 2;
  for (std::uint64_t at = 0; at < bytes; at += 8)
    PAGODA_CHECK(t.cpu().store<std::uint64_t>(va + ByteCount(at), random.next() | 1));
}
bool holds_page(TestMachine& t, VirtualAddress va, std::uint64_t seed, Noise noise) {
  Random random(seed);
  const std::uint64_t bytes = noise == Noise::kAll ? kPageBytes : kPageBytes / 2;
  for (std::uint64_t at = 0; at < kPageBytes; at += 8) {
    const std::uint64_t expected = at < bytes ? random.next() | 1 : 0;
    if (*t.cpu().load<std::uint64_t>(va + ByteCount(at)) != expected) return false;
  }
  return true;
}

// Pages written and out of memory, each by itself, so that the store has them alone.
VirtualAddress out_of_memory(TestMachine& t, PageCount pages, Noise noise) {
  const VirtualAddress base = t.commit(pages);
  for (std::uint64_t page = 0; page < pages.value(); ++page) fill_page(t, TestMachine::page(base, page), page, noise);
  t.push_out();
  return base;
}

TEST(CompressionStore, KeepsPagesThatLeftMemory) {
  TestMachine t(with_store(PageCount(32)));
  const VirtualAddress base = out_of_memory(t, PageCount(40), Noise::kHalf);
  const Counters counters = t.manager().counters();
  EXPECT_EQ(counters.pages_compressed, 40U);
  EXPECT_EQ(counters.page_file_writes, 0U);
  EXPECT_EQ(t.slots_used(), 0_pages);
  // 2048 bytes of noise and a little: 17 chunks of 128 bytes.
  EXPECT_EQ(t.manager().frame_counts().compression_store, PageCount((40 * 17 + 31) / 32));
  EXPECT_EQ(t.kind(base), PteKind::kPageFile);
  EXPECT_EQ(t.core().codec.file(t.pte(base)), CompressionStore::kNumber);
  EXPECT_EQ(t.check(), "");

  for (std::uint64_t page = 0; page < 40; ++page)
    EXPECT_TRUE(holds_page(t, TestMachine::page(base, page), page, Noise::kHalf)) << page;
  EXPECT_EQ(t.faults(FaultKind::kCompressed), 40U);
  EXPECT_EQ(t.faults(FaultKind::kPageFile), 0U);
  EXPECT_EQ(t.manager().counters().pages_decompressed, 40U);
  EXPECT_EQ(t.check(), "");
}

TEST(CompressionStore, ACleanPageKeepsItsEntryAndAWrittenOneFreesIt) {
  TestMachine t(with_store(PageCount(32)));
  const VirtualAddress base = out_of_memory(t, PageCount(2), Noise::kHalf);
  const auto pages = [&] {
    const LockGuard guard(t.core().pfns.lock);
    return t.core().store.pages();
  };
  t.must_touch(base);
  EXPECT_EQ(pages(), 2_pages);
  EXPECT_EQ(t.entry(base).modified, 0U);
  EXPECT_EQ(t.check(), "");
  // Clean: it leaves memory without being compressed again.
  t.push_out();
  EXPECT_EQ(t.manager().counters().pages_compressed, 2U);
  EXPECT_TRUE(holds_page(t, base, 0, Noise::kHalf));
  t.must_put(base, 0, 4711);
  EXPECT_EQ(pages(), 1_pages);
  // A fault that writes frees it at once.
  t.must_put(base, 1, 4711);
  EXPECT_EQ(pages(), 0_pages);
  EXPECT_EQ(t.manager().frame_counts().compression_store, 0_pages);
  EXPECT_EQ(t.check(), "");
}

TEST(CompressionStore, WhatDoesNotCompressGoesToThePagingFile) {
  TestMachine t(with_store(PageCount(32)));
  const VirtualAddress base = out_of_memory(t, PageCount(4), Noise::kAll);
  EXPECT_EQ(t.manager().counters().pages_incompressible, 4U);
  EXPECT_EQ(t.manager().counters().pages_compressed, 0U);
  EXPECT_EQ(t.slots_used(), 4_pages);
  for (std::uint64_t page = 0; page < 4; ++page)
    EXPECT_TRUE(holds_page(t, TestMachine::page(base, page), page, Noise::kAll)) << page;
  EXPECT_EQ(t.check(), "");
}

TEST(CompressionStore, TheOldestPagesGoOnWhenTheBudgetIsFull) {
  TestMachine t(with_store(PageCount(8)));
  // 17 chunks a page: 15 pages fill eight frames.
  const VirtualAddress base = t.commit(PageCount(60));
  for (std::uint64_t batch = 0; batch < 6; ++batch) {
    for (std::uint64_t page = batch * 10; page < batch * 10 + 10; ++page)
      fill_page(t, TestMachine::page(base, page), page, Noise::kHalf);
    t.push_out();
    EXPECT_LE(t.manager().frame_counts().compression_store, 8_pages);
    ASSERT_EQ(t.check(), "") << batch;
  }
  EXPECT_GE(t.manager().counters().pages_evicted, 30U);
  EXPECT_EQ(t.core().codec.file(t.pte(base)), 0U);
  EXPECT_EQ(t.core().codec.file(t.pte(TestMachine::page(base, 59))), CompressionStore::kNumber);
  for (std::uint64_t page = 0; page < 60; ++page)
    EXPECT_TRUE(holds_page(t, TestMachine::page(base, page), page, Noise::kHalf)) << page;
  EXPECT_GT(t.faults(FaultKind::kPageFile), 0U);
  EXPECT_GT(t.faults(FaultKind::kCompressed), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(CompressionStore, AnEvictionThatFailsLosesNothing) {
  TestMachine t(with_store(PageCount(4)));
  const VirtualAddress base = t.commit(PageCount(40));
  t.injection().write_error_rate = 0.5;
  for (std::uint64_t page = 0; page < 40; ++page) {
    fill_page(t, TestMachine::page(base, page), page, Noise::kHalf);
    if (page % 5 != 4) continue;
    t.space().empty_working_set(t.cpu());
    for (int i = 0; i < 3; ++i) t.manager().modified_writer().write_cluster(t.cpu());
    ASSERT_EQ(t.check(), "") << page;
    t.finish_io();
  }
  t.injection().write_error_rate = 0;
  EXPECT_GT(t.manager().counters().write_errors, 0U);
  EXPECT_GT(t.manager().counters().pages_evicted, 0U);
  for (std::uint64_t page = 0; page < 40; ++page)
    EXPECT_TRUE(holds_page(t, TestMachine::page(base, page), page, Noise::kHalf)) << page;
  EXPECT_EQ(t.check(), "");
}

TEST(CompressionStore, APageOfASectionIsDecompressedForAllViews) {
  TestMachine t(with_store(PageCount(32)));
  auto section = t.manager().sections().create(t.cpu(), {.size = bytes_of(PageCount(4))});
  ASSERT_TRUE(section);
  const auto view = [&] {
    return VirtualAddress(t.space().map_view(t.cpu(), **section, {.protection = Protection::kReadWrite})->first);
  };
  const VirtualAddress one = view();
  const VirtualAddress two = view();
  for (std::uint64_t page = 0; page < 4; ++page) fill_page(t, TestMachine::page(one, page), page, Noise::kHalf);
  t.push_out();
  EXPECT_EQ(t.manager().counters().pages_compressed, 4U);
  for (std::uint64_t page = 0; page < 4; ++page)
    EXPECT_TRUE(holds_page(t, TestMachine::page(two, page), page, Noise::kHalf)) << page;
  EXPECT_EQ(t.faults(FaultKind::kCompressed), 4U);
  EXPECT_EQ(t.check(), "");
}

// The entries' owners move into clone entries, from where eviction finds them.
TEST(CompressionStore, FollowsItsPagesThroughAFork) {
  TestMachine t(with_store(PageCount(12)));
  const VirtualAddress base = out_of_memory(t, PageCount(20), Noise::kHalf);
  for (std::uint64_t page = 0; page < 20; page += 3) t.must_touch(TestMachine::page(base, page));
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  EXPECT_EQ(t.check(), "");
  const VirtualAddress more = out_of_memory(t, PageCount(20), Noise::kHalf);
  EXPECT_GT(t.manager().counters().pages_evicted, 0U);
  EXPECT_EQ(t.check(), "");
  t.manager().attach(t.cpu(), child);
  for (std::uint64_t page = 0; page < 20; ++page)
    EXPECT_TRUE(holds_page(t, TestMachine::page(base, page), page, Noise::kHalf)) << page;
  t.manager().attach(t.cpu(), t.space());
  for (std::uint64_t page = 0; page < 20; ++page) {
    EXPECT_TRUE(holds_page(t, TestMachine::page(base, page), page, Noise::kHalf)) << page;
    EXPECT_TRUE(holds_page(t, TestMachine::page(more, page), page, Noise::kHalf)) << page;
  }
  EXPECT_EQ(t.check(), "");
}

TEST(CompressionStore, ServesAMachineWithoutAPagingFile) {
  TestMachineConfig config = with_store(PageCount(128));
  config.frames = PageCount(128);
  config.paging_files = {};
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(90));
  for (std::uint64_t round = 0; round < 3; ++round) {
    for (std::uint64_t page = 0; page < 90; ++page) {
      fill_page(t, TestMachine::page(base, page), page + round, Noise::kHalf);
      if (page % 30 == 29) t.space().empty_working_set(t.cpu());
      if (page % 30 == 29) t.manager().flush_modified(t.cpu());
    }
    EXPECT_GT(t.available(), PageCount(60));
    for (std::uint64_t page = 0; page < 90; ++page)
      EXPECT_TRUE(holds_page(t, TestMachine::page(base, page), page + round, Noise::kHalf)) << page;
  }
  EXPECT_EQ(t.check(), "");
}

TEST(CompressionStore, CostsWhatTheModelSays) {
  TestMachine t(with_store(PageCount(32)));
  const VirtualAddress base = t.commit(1_pages);
  fill_page(t, base, 1, Noise::kHalf);
  t.space().empty_working_set(t.cpu());
  const Time before = t.cpu().now();
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  const machine::CostModel& costs = t.machine().costs();
  EXPECT_EQ((t.cpu().now() - before).value(), costs.compress_page.value() * 1000 / costs.cycles_per_us);
}

TEST(CompressionStore, TakesTheNumberOfTheLastPagingFile) {
  TestMachine t(with_store(PageCount(32)));
  for (unsigned file = 1; file < 15; ++file) {
    EXPECT_TRUE(t.manager().add_paging_file(
        {.name = "more" + std::to_string(file), .disk = 0, .minimum = 1_MiB, .maximum = 1_MiB}));
  }
  const auto last = t.manager().add_paging_file({.name = "last", .disk = 0, .minimum = 1_MiB, .maximum = 1_MiB});
  EXPECT_EQ(last.error(), Status::kTooManyPagingFiles);
}

// Against a map: pages of all sizes come, go and move; frames are never more than their chunks need.
TEST(CompressionStore, AgreesWithAMap) {
  TestMachine t(with_store(PageCount(64)));
  CompressionStore& store = t.core().store;
  Random random(5);
  std::map<std::uint32_t, std::vector<std::byte>> model;
  const LockGuard guard(t.core().pfns.lock);
  for (int round = 0; round < 4000; ++round) {
    if (random.below(5) < 3) {
      std::vector<std::byte> page(kPageBytes);
      const std::uint64_t noise = random.below(kPageBytes);
      for (std::uint64_t i = 0; i < noise; ++i) page[i] = static_cast<std::byte>(random.next());
      const auto put = store.put(t.cpu(), CompressionStore::ConstPage(page), PhysicalAddress(0x1000));
      if (put.outcome == CompressionStore::Outcome::kStored) {
        ASSERT_FALSE(model.contains(put.slot.value()));
        model[put.slot.value()] = page;
      } else {
        const bool full = put.outcome == CompressionStore::Outcome::kNoRoom;
        ASSERT_TRUE(full ? store.frames() == 64_pages : noise > 2500) << noise;
      }
    } else if (!model.empty()) {
      auto it = model.begin();
      std::advance(it, static_cast<std::ptrdiff_t>(random.below(model.size())));
      store.free(PageFileSlot(it->first));
      model.erase(it);
    }
    if (round % 16 == 0) {
      store.tidy(t.cpu().physical());
      ASSERT_LE(store.frames().value(), (model.size() * 24 + 31) / 32);
      ASSERT_LE(store.frames().value(), model.size());
    }
    ASSERT_EQ(store.pages().value(), model.size());
  }
  std::vector<std::byte> page(kPageBytes);
  for (const auto& [slot, expected] : model) {
    ASSERT_TRUE(store.peek(t.cpu().physical(), PageFileSlot(slot), CompressionStore::Page(page)));
    ASSERT_EQ(page, expected);
  }
  while (!model.empty()) {
    store.free(PageFileSlot(model.begin()->first));
    model.erase(model.begin());
  }
  EXPECT_EQ(store.frames(), 0_pages);
  EXPECT_TRUE(store.bytes().is_zero());
}

}  // namespace
}  // namespace pagoda::mm
