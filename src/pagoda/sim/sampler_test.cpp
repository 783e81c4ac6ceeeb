// Samples: at even distances, thinned when there are too many, each with every frame in it.
#include "pagoda/sim/sampler.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::sim {
namespace {

using mm::testing::TestMachine;

PageCount sum(const FrameCensus& frames) {
  return std::accumulate(frames.standby.begin(), frames.standby.end(),
                         frames.active_private + frames.active_shared_file + frames.active_shared_page_file +
                             frames.active_page_tables + frames.active_prototypes + frames.transition +
                             frames.modified + frames.free + frames.zeroed + frames.bad + frames.system +
                             frames.active_compression_store);
}

TEST(Sampler, TheFirstIsAtZeroAndDistancesAreEven) {
  TestMachine t;
  Sampler sampler;
  EXPECT_EQ(sampler.due(), Time{});
  for (int i = 0; i < 100; ++i) sampler.take(t.manager(), {});
  ASSERT_EQ(sampler.samples().size(), 100U);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(sampler.samples()[i].time, Time{} + 1_ms * i);
  EXPECT_EQ(sampler.due(), Time{} + 100_ms);
}

TEST(Sampler, ThinningKeepsTheFirstAndTheSpacing) {
  TestMachine t;
  Sampler sampler;
  for (int taken = 0; taken < 5000; ++taken) {
    const Time due = sampler.due();
    sampler.take(t.manager(), {});
    const auto& samples = sampler.samples();
    ASSERT_LT(samples.size(), 400U);
    ASSERT_EQ(samples.front().time, Time{});
    if (samples.size() < 3) continue;
    const Duration distance = samples[1].time - samples[0].time;
    for (std::size_t i = 1; i < samples.size(); ++i) ASSERT_EQ(samples[i].time - samples[i - 1].time, distance);
    ASSERT_EQ(sampler.due() - samples.back().time, distance);
    ASSERT_GT(sampler.due(), due);
  }
  EXPECT_GE(sampler.samples().size(), 199U);
}

TEST(Sampler, ThinningKeepsTheLargerDemand) {
  TestMachine t;
  Sampler sampler;
  // Sample i says i for the odd ones and 1 for the even ones; the first is never joined.
  for (std::uint64_t i = 0; i < 400; ++i) {
    ProcessSample process;
    process.demand = PageCount(i % 2 == 1 ? i : 1);
    sampler.take(t.manager(), {process});
  }
  const auto& samples = sampler.samples();
  ASSERT_EQ(samples.size(), 200U);
  for (std::size_t i = 1; i < samples.size(); ++i) EXPECT_EQ(samples[i].processes[0].demand, PageCount(2 * i - 1)) << i;
}

TEST(Sampler, IntervalsAreNumberedFromOneAndNeverReused) {
  TestMachine t;
  Sampler sampler;
  EXPECT_EQ(sampler.interval_number(), 1U);
  for (std::uint32_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(sampler.interval_number(), i + 1);
    sampler.take(t.manager(), {});
  }
}

TEST(Sampler, TheLastIsAtTheEndAndNotTwice) {
  TestMachine t;
  Sampler sampler;
  sampler.take(t.manager(), {});
  sampler.finish(Time{} + 1_us, t.manager(), {});
  ASSERT_EQ(sampler.samples().size(), 2U);
  EXPECT_EQ(sampler.samples().back().time, Time{} + 1_us);
  sampler.finish(Time{} + 1_us, t.manager(), {});
  EXPECT_EQ(sampler.samples().size(), 2U);
}

TEST(Sampler, CensusAddsUpWhereverPagesAre) {
  TestMachine t;
  Sampler sampler;
  sampler.take(t.manager(), {});
  const VirtualAddress base = t.commit(120_pages);
  t.fill(base, 120_pages);
  sampler.take(t.manager(), {});
  t.space().empty_working_set(t.cpu());
  sampler.take(t.manager(), {});
  EXPECT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  sampler.take(t.manager(), {});
  EXPECT_TRUE(t.manager().flush_modified(t.cpu()));
  sampler.take(t.manager(), {});

  for (const Sample& sample : sampler.samples()) EXPECT_EQ(sum(sample.frames), PageCount(256));
  const auto& samples = sampler.samples();
  EXPECT_EQ(samples[0].frames.active_private, 0_pages);
  EXPECT_EQ(samples[0].frames.active_page_tables, 1_pages);
  EXPECT_EQ(samples[1].frames.active_private, 120_pages);
  EXPECT_EQ(samples[2].frames.modified, 120_pages);
  EXPECT_EQ(samples[3].frames.transition + samples[3].frames.modified, 120_pages);
  EXPECT_GT(samples[3].frames.transition, 0_pages);
  EXPECT_EQ(samples[4].frames.standby[5], 120_pages);
  EXPECT_EQ(samples[4].page_file_used, 120_pages);
  EXPECT_EQ(samples[4].page_file_size, pages_of(4_MiB));
  EXPECT_GE(samples[1].commit_charge, samples[0].commit_charge + 120_pages);
  EXPECT_EQ(samples[1].counters.faults[static_cast<std::size_t>(mm::FaultKind::kDemandZero)], 120U);
}

}  // namespace
}  // namespace pagoda::sim
