// Sharing by other rules than the default ones: zeros, tables that are full, hashes that are weak, no hints.
#include <gtest/gtest.h>

#include "pagoda/base/random.h"
#include "pagoda/mm/testing/combiner_test_base.h"

namespace pagoda::mm {
namespace {

using testing::config_of_sharers;
using testing::TestMachine;
using testing::TestMachineConfig;

class CombinerOptions : public ::testing::TestWithParam<machine::PteFormat> {};

TEST_P(CombinerOptions, OneSharedPageOfZeros) {
  TestMachineConfig with = config_of_sharers(GetParam());
  with.tunables.sharing.zeros = SharingTunables::Zeros::kOnePage;
  TestMachine machine(with);
  Combiner& combine = machine.manager().combiner();
  ASSERT_TRUE(combine.allow(machine.space()));
  const VirtualAddress base = machine.commit(PageCount(8));
  for (unsigned i = 0; i < 8; ++i) machine.must_put(base, i, 0);
  for (int pass = 0; pass < 2; ++pass) combine.scan(machine.cpu(), {PageCount(1000), PageCount(1000)});
  EXPECT_EQ(combine.statistics().shared, 1_pages);
  EXPECT_EQ(combine.statistics().saved, 7_pages);
  machine.must_put(base, 3, 1);
  EXPECT_EQ(*machine.get(base, 4), 0U);
  EXPECT_EQ(machine.check(), "");
}

TEST_P(CombinerOptions, AFullTableTakesNoMoreAndFindsWhatItHas) {
  TestMachineConfig with = config_of_sharers(GetParam());
  with.tunables.sharing.table_entries = PageCount(4);
  TestMachine machine(with);
  Combiner& combine = machine.manager().combiner();
  ASSERT_TRUE(combine.allow(machine.space()));
  const VirtualAddress base = machine.commit(PageCount(40));
  for (unsigned i = 0; i < 40; ++i) machine.must_put(base, i, i % 20 + 1);
  for (int pass = 0; pass < 3; ++pass) combine.scan(machine.cpu(), {PageCount(1000), PageCount(1000)});
  EXPECT_GT(machine.manager().counters().sharing_table_full, 0U);
  EXPECT_GT(combine.statistics().saved, 0_pages);
  EXPECT_LE(combine.statistics().saved, 4_pages);
  for (unsigned i = 0; i < 40; ++i) EXPECT_EQ(*machine.get(base, i), i % 20 + 1);
  EXPECT_EQ(machine.check(), "");
}

TEST_P(CombinerOptions, WithoutHintsAPageIsMadeReadOnlyAtOnce) {
  TestMachineConfig with = config_of_sharers(GetParam());
  with.tunables.sharing.hints = SharingTunables::Hints::kNo;
  TestMachine machine(with);
  Combiner& combine = machine.manager().combiner();
  ASSERT_TRUE(combine.allow(machine.space()));
  const VirtualAddress base = machine.commit(PageCount(8));
  for (unsigned i = 0; i < 8; ++i) machine.must_put(base, i, i < 5 ? 7 : 10 + i);
  combine.scan(machine.cpu(), {PageCount(1000), PageCount(1000)});
  EXPECT_EQ(combine.statistics().hints, 0_pages);
  EXPECT_EQ(combine.statistics().shared, 4_pages);
  EXPECT_EQ(combine.statistics().saved, 4_pages) << "in one pass";
  EXPECT_EQ(machine.check(), "");
  const std::uint64_t first_writes = machine.faults(FaultKind::kFirstWrite);
  machine.must_put(base, 6, 60);
  EXPECT_EQ(machine.faults(FaultKind::kFirstWrite), first_writes + 1);
  EXPECT_EQ(machine.check(), "");
}

// Reference virtualization.md 6.2 and section 9, row 5: a deliberately weak hash, and no wrong merge.
class CombinerHashes : public ::testing::TestWithParam<unsigned> {};

TEST_P(CombinerHashes, MergeNothingThatIsNotEqualHoweverWeak) {
  constexpr unsigned kContents = 700;  // Two pages of each.
  TestMachineConfig with = config_of_sharers(machine::PteFormat::kAmd64, PageCount(2048));
  with.limits = WorkingSet::Limits{PageCount(50), PageCount(2000)};
  with.tunables.sharing.hash_bits = GetParam();
  TestMachine machine(with);
  Combiner& combine = machine.manager().combiner();
  ASSERT_TRUE(combine.allow(machine.space()));
  const VirtualAddress base = machine.commit(PageCount(2 * kContents));
  for (unsigned i = 0; i < 2 * kContents; ++i) machine.must_put(base, i, Random::mix(i % kContents + 1));
  for (int pass = 0; pass < 4; ++pass) {
    combine.scan(machine.cpu(), {PageCount(10'000), PageCount(10'000)});
    ASSERT_EQ(machine.check(), "");
  }
  for (unsigned i = 0; i < 2 * kContents; ++i) ASSERT_EQ(*machine.get(base, i), Random::mix(i % kContents + 1));
  const Counters counters = machine.manager().counters();
  EXPECT_LE(combine.statistics().saved, PageCount(kContents));
  EXPECT_EQ(combine.statistics().saved.value(), counters.sharing_merged);
  if (GetParam() == 8) {
    EXPECT_GT(counters.sharing_false_matches, 500U) << "256 keys for 700 contents";
  } else if (GetParam() == 16) {
    EXPECT_GT(counters.sharing_false_matches, 0U) << "four collisions are likely";
  }
  if (GetParam() >= 24) {
    EXPECT_EQ(combine.statistics().saved, PageCount(kContents));
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, CombinerHashes, ::testing::Values(8U, 16U, 24U, 64U));
INSTANTIATE_TEST_SUITE_P(Modes, CombinerOptions, testing::all_modes(), testing::name_of_mode);

}  // namespace
}  // namespace pagoda::mm
