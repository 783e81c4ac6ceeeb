// combine = "same_behaviour": what a tenant can time does not tell whether its page was merged (reference
// virtualization.md 6.2, VUsion).
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "pagoda/mm/testing/combiner_test_base.h"

namespace pagoda::mm {
namespace {

using testing::config_of_sharers;
using testing::TestMachine;
using testing::TestMachineConfig;
using Combine = SharingTunables::Combine;

TestMachineConfig config_of(machine::PteFormat paging, Combine combine) {
  TestMachineConfig config = config_of_sharers(paging);
  config.tunables.sharing.combine = combine;
  return config;
}

class SameBehaviour : public testing::CombinerTest {
 protected:
  SameBehaviour() : CombinerTest(config_of(GetParam(), Combine::kSameBehaviour)) {}

  [[nodiscard]] Counters counters() { return t.manager().counters(); }
};

// What an access cost in virtual time, of pages that were merged and of pages that were not.
struct Costs {
  std::vector<Duration> merged;
  std::vector<Duration> not_merged;
  void sort() {
    std::ranges::sort(merged);
    std::ranges::sort(not_merged);
  }
};
enum class Next : std::uint8_t { kRead, kWrite };
enum class Place : std::uint8_t { kModified, kStandby, kCompressed, kPagingFile };

// The next access to pages that were looked at, of which every second one has an equal.
Costs costs_of(machine::PteFormat paging, Combine combine, Next next, Place place) {
  constexpr unsigned kPages = 24;
  TestMachineConfig config = config_of(paging, combine);
  config.tunables.read_cluster = 1;
  if (place == Place::kCompressed) config.tunables.compression_budget = PageCount(16);
  TestMachine t(config);
  PAGODA_CHECK(t.manager().combiner().allow(t.space()).has_value());
  const VirtualAddress base = t.commit(PageCount(kPages));
  const auto word_of = [](unsigned page) { return page % 2 == 0 ? 7 : std::uint64_t{100} + page; };
  for (unsigned page = 0; page < kPages; ++page) t.must_put(base, page, word_of(page));
  for (int pass = 0; pass < 2; ++pass) t.manager().combiner().scan(t.cpu(), {PageCount(1000), PageCount(1000)});
  PAGODA_CHECK_EQ(t.manager().combiner().statistics().saved, PageCount(kPages / 2 - 1));
  if (place != Place::kModified) PAGODA_CHECK(t.manager().flush_modified(t.cpu()));
  if (place == Place::kCompressed || place == Place::kPagingFile) t.reuse_standby();
  PAGODA_CHECK(t.check().empty());
  Costs costs;
  for (unsigned page = 0; page < kPages; ++page) {
    const Time before = t.cpu().now();
    if (next == Next::kWrite) {
      t.must_put(base, page, 5);
    } else {
      const std::uint64_t word = t.get(base, page).value();
      PAGODA_CHECK_EQ(word, word_of(page));
    }
    (page % 2 == 0 ? costs.merged : costs.not_merged).push_back(t.cpu().now() - before);
  }
  PAGODA_CHECK(t.check().empty());
  costs.sort();
  return costs;
}

TEST_P(SameBehaviour, TheNextReadAndTheNextWriteCostTheSameMergedOrNot) {
  for (const Next next : {Next::kRead, Next::kWrite}) {
    for (const Place place : {Place::kModified, Place::kStandby, Place::kCompressed}) {
      const Costs costs = costs_of(GetParam(), Combine::kSameBehaviour, next, place);
      EXPECT_EQ(costs.merged, costs.not_merged) << static_cast<int>(next) << static_cast<int>(place);
      EXPECT_GT(costs.merged.front(), Duration{});
    }
  }
}

TEST_P(SameBehaviour, WhichTheOrdinaryModeTells) {
  const Costs reads = costs_of(GetParam(), Combine::kOrdinary, Next::kRead, Place::kModified);
  const Costs writes = costs_of(GetParam(), Combine::kOrdinary, Next::kWrite, Place::kModified);
  EXPECT_NE(reads.merged, reads.not_merged);
  EXPECT_NE(writes.merged, writes.not_merged);
  EXPECT_GT(writes.merged.front(), writes.not_merged.back()) << "every one";
}

// A disk's times depend on where its head is; that each page asks it does not.
TEST_P(SameBehaviour, WhatIsOutIsReadByEachOfItsSharers) {
  const auto reads = [&](bool equal) {
    TestMachineConfig config = config_of(GetParam(), Combine::kSameBehaviour);
    config.tunables.read_cluster = 1;
    TestMachine machine(config);
    PAGODA_CHECK(machine.manager().combiner().allow(machine.space()).has_value());
    const VirtualAddress base = machine.commit(PageCount(6));
    for (unsigned page = 0; page < 6; ++page) machine.must_put(base, page, equal ? 7 : page + 100);
    machine.manager().combiner().scan(machine.cpu(), {PageCount(1000), PageCount(1000)});
    machine.push_out();
    EXPECT_EQ(machine.slots_used(), equal ? 1_pages : 6_pages);
    const std::uint64_t before = machine.manager().counters().page_file_reads;
    for (unsigned page = 0; page < 6; ++page) EXPECT_EQ(*machine.get(base, page), equal ? 7U : page + 100U);
    EXPECT_EQ(machine.check(), "");
    return machine.manager().counters().page_file_reads - before;
  };
  EXPECT_EQ(reads(true), 6U);
  EXPECT_EQ(reads(false), 6U);
}

TEST_P(SameBehaviour, PagesAreSharedUntilTheirNextAccess) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7, 7, 8});
  const PageCount available = t.available();
  scan(1);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(counters().sharing_withheld, 4U);
  EXPECT_EQ(combiner().statistics().hints, 0_pages);
  EXPECT_EQ(shared(), 2_pages) << "the one without an equal too";
  EXPECT_EQ(saved(), 2_pages);
  EXPECT_GE(t.available() + t.count(PageState::kModified), available + 4_pages - 1_pages);
  for (unsigned i = 0; i < 4; ++i) EXPECT_NE(t.kind(base + bytes_of(PageCount(i))), PteKind::kValid);
  EXPECT_EQ(*t.get(base, 1), 7U);
  EXPECT_EQ(saved(), 1_pages);
  t.must_put(base, 2, 9);
  EXPECT_EQ(saved(), 0_pages);
  EXPECT_EQ(*t.get(base, 3), 8U);
  EXPECT_EQ(*t.get(base, 0), 7U);
  EXPECT_EQ(counters().sharing_copied, 4U);
  EXPECT_EQ(shared(), 0_pages);
  EXPECT_EQ(t.check(), "");
  scan(1);
  EXPECT_EQ(saved(), 1_pages) << "and again";
  EXPECT_EQ(t.check(), "");
}

TEST_P(SameBehaviour, AReadLeavesNoWriteBehind) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const auto region = t.space().reserve({.size = kPageSize * 4,
                                         .protection = Protection::kReadWrite,
                                         .commit = MemCommit::kYes,
                                         .type = VadType::kWriteWatch});
  ASSERT_TRUE(region);
  const VirtualAddress base(region->first);
  for (unsigned i = 0; i < 3; ++i) t.must_put(base, i, 7);
  std::array<VirtualAddress, 8> written{};
  const auto watched = [&] {
    return *t.space().get_write_watch(t.cpu(), base, kPageSize * 4, written, ProcessSpace::WatchReset::kYes);
  };
  EXPECT_EQ(watched(), 3U);
  scan(1);
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(*t.get(base, i), 7U);
  t.page_out();
  EXPECT_EQ(watched(), 0U) << "a copy to read is no write";
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(*t.get(base, i), 7U);
  scan(1);
  t.must_put(base, 1, 8);
  EXPECT_EQ(watched(), 1U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(SameBehaviour, WhereThereIsNoRoomForAllNoneIsWithheld) {
  TestMachineConfig with = config_of(GetParam(), Combine::kSameBehaviour);
  with.tunables.sharing.table_entries = PageCount(4);
  TestMachine machine(with);
  Combiner& combine = machine.manager().combiner();
  ASSERT_TRUE(combine.allow(machine.space()));
  const VirtualAddress base = machine.commit(PageCount(8));
  for (unsigned i = 0; i < 4; ++i) machine.must_put(base, i, 100 + i);
  combine.scan(machine.cpu(), {PageCount(1000), PageCount(1000)});
  EXPECT_EQ(machine.manager().counters().sharing_withheld, 4U);
  for (unsigned i = 4; i < 8; ++i) machine.must_put(base, i, i % 2 == 0 ? 100 : 100 + i);
  combine.scan(machine.cpu(), {PageCount(1000), PageCount(1000)});
  EXPECT_EQ(machine.manager().counters().sharing_withheld, 4U) << "nor what has an equal";
  EXPECT_EQ(combine.statistics().saved, 0_pages);
  EXPECT_GT(machine.manager().counters().sharing_table_full, 0U);
  EXPECT_EQ(machine.check(), "");
}

TEST_P(SameBehaviour, WhatLeavesMemoryIsWithheldMergedOrNot) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7, 8});
  static_cast<void>(t.space().empty_working_set(t.cpu()));
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(counters().sharing_withheld, 3U);
  EXPECT_EQ(saved(), 1_pages);
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(*t.get(base, i), i < 2 ? 7U : 8U);
  EXPECT_EQ(counters().sharing_copied, 3U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(SameBehaviour, AChildThatHasAWithheldPageMappedLosesIt) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 8});
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  t.manager().attach(t.cpu(1), child);
  for (unsigned i = 0; i < 2; ++i) EXPECT_EQ(*t.get(base, i, 1), i + 7);
  scan(1);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(child.statistics().working_set, 0_pages);
  EXPECT_EQ(t.space().statistics().working_set, 0_pages);
  EXPECT_EQ(shared(), 2_pages);
  t.must_put(base, 0, 1, 1);
  EXPECT_EQ(*t.get(base, 0, 0), 7U);
  EXPECT_EQ(*t.get(base, 1, 1), 8U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(SameBehaviour, RightsOfAWithheldPageMayChange) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7, 8});
  scan(1);
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize * 3, Protection::kReadOnly));
  EXPECT_EQ(t.check(), "");
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(*t.get(base, i), i < 2 ? 7U : 8U);
  EXPECT_EQ(t.put(base, 0, 1), Status::kAccessViolation);
  EXPECT_EQ(saved(), 0_pages);
  scan(1);
  EXPECT_EQ(t.put(base, 0, 1), Status::kAccessViolation);
  EXPECT_EQ(*t.get(base, 1), 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(SameBehaviour, WithoutAFrameForTheCopyTheAccessWaits) {
  ASSERT_TRUE(combiner().allow(t.space()));
  const VirtualAddress base = fill(t.space(), 0, {7, 7, 8});
  scan(1);
  ASSERT_TRUE(t.manager().flush_modified(t.cpu()));
  t.while_only(kFaultReserve, [&] {
    for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(*t.get(base, i), i < 2 ? 7U : 8U);
  });
  EXPECT_EQ(t.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, SameBehaviour, testing::all_modes(), testing::name_of_mode);

}  // namespace
}  // namespace pagoda::mm
