#include "pagoda/policy/admission.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pagoda/base/random.h"

namespace pagoda::policy {
namespace {

Commitment machine(ByteCount minimum, ByteCount maximum, ByteCount overhead) {
  return {.minimum = pages_of(minimum), .maximum = pages_of(maximum), .overhead = pages_of(overhead)};
}

// reference/virtualization.md 1.7: min + overhead of memory, max - min of swap, to the page.
TEST(Admission, TakesMinimumAndOverheadOfMemoryAndTheRestOfSwap) {
  const Commitment one = machine(256_MiB, 512_MiB, 32_MiB);
  const auto after = admit({.memory = pages_of(288_MiB), .swap = pages_of(256_MiB)}, one);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->memory, 0_pages);
  EXPECT_EQ(after->swap, 0_pages);
}

TEST(Admission, RefusesByAPage) {
  const Commitment one = machine(256_MiB, 512_MiB, 32_MiB);
  const auto memory = admit({.memory = pages_of(288_MiB) - 1_pages, .swap = pages_of(1_GiB)}, one);
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().lacks, Lacks::kMemory);
  EXPECT_EQ(memory.error().needed, pages_of(288_MiB));
  EXPECT_EQ(to_string(memory.error()), "needs 288 MiB of unreserved memory, and there are 288.0 MiB");
  const auto swap = admit({.memory = pages_of(1_GiB), .swap = pages_of(256_MiB) - 1_pages}, one);
  ASSERT_FALSE(swap);
  EXPECT_EQ(swap.error().lacks, Lacks::kSwap);
}

// As many are admitted one by one as the formula says.
TEST(Admission, AdmittingOneByOneIsTheFormula) {
  Random random(3);
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t minimum = random.below(1'000);
    const Commitment one{.minimum = PageCount(minimum),
                         .maximum = PageCount(minimum + random.below(1'000)),
                         .overhead = PageCount(1 + random.below(50))};
    Unreserved host{.memory = PageCount(random.below(100'000)), .swap = PageCount(random.below(100'000))};
    const std::uint64_t most = most_admitted(host, one);
    std::uint64_t admitted = 0;
    while (const auto after = admit(host, one)) {
      host = *after;
      ++admitted;
    }
    EXPECT_EQ(admitted, most);
  }
}

// reference/virtualization.md 7.1, ESX guide: 8 web servers of 512 MB with one processor:
// 24 + 192 + 1.06 * 8 * (512 + 54) = 5016 MB.
TEST(Admission, OverheadIsTheOneOfTheWorkedExample) {
  const PageCount overhead = esx2_overhead(pages_of(512_MiB), 1);
  EXPECT_EQ(overhead, pages_of(54_MiB));
  const double mebibyte = static_cast<double>(pages_of(1_MiB).value());
  const double needed = 24 + 192 + 1.06 * 8 * static_cast<double>((pages_of(512_MiB) + overhead).value()) / mebibyte;
  EXPECT_NEAR(needed, 5016, 0.5);
  EXPECT_EQ(esx2_overhead(pages_of(512_MiB), 2), pages_of(64_MiB));
  EXPECT_EQ(esx2_overhead(pages_of(513_MiB), 1), pages_of(86_MiB));
  EXPECT_EQ(esx2_overhead(pages_of(2560_MiB), 1), pages_of(118_MiB));
}

// reference/virtualization.md 7.1: the largest N with N mu + z sigma sqrt(N (1 + (N - 1) rho)) <= M.
TEST(Admission, StatisticsFitAsManyAsTheFormulaAndNotOneMore) {
  for (const double correlation : {0.0, 0.3, 1.0}) {
    const DemandOfClass demand{.mean = 1'000, .deviation = 400, .correlation = correlation, .quantile = 3.09};
    const std::uint64_t most = most_by_statistics(100'000_pages, demand);
    EXPECT_LE(demand_of(most, demand), 100'000);
    EXPECT_GT(demand_of(most + 1, demand), 100'000);
  }
  // A boot storm: all peak together, so that each needs its own peak.
  const DemandOfClass storm{.mean = 1'000, .deviation = 400, .correlation = 1, .quantile = 2};
  EXPECT_EQ(most_by_statistics(18'000_pages, storm), 10U);
  const DemandOfClass steady{.mean = 1'000, .deviation = 0};
  EXPECT_EQ(most_by_statistics(9'999_pages, steady), 9U);
}

}  // namespace
}  // namespace pagoda::policy
