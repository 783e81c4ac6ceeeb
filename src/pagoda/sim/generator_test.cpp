// Generators: what each makes, that a seed decides it, and that its length is kept.
#include "pagoda/sim/generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <set>
#include <vector>

namespace pagoda::sim {
namespace {

using Kind = GeneratorConfig::Kind;
constexpr Kind kKinds[] = {Kind::kSequential, Kind::kUniform, Kind::kZipf, Kind::kPhases};

GeneratorConfig config_of(Kind kind, PageCount memory, std::uint64_t operations) {
  return {.kind = kind, .memory = memory, .operations = operations, .window = PageCount(8), .phase_operations = 50};
}

std::vector<Operation> play(const GeneratorConfig& config, std::uint64_t seed, std::size_t batch = 100) {
  const auto program = make_generator(config, seed);
  std::vector<Operation> all;
  std::vector<Operation> some(batch);
  for (;;) {
    const auto count = program->next(some);
    EXPECT_TRUE(count);
    if (!count || *count == 0) return all;
    all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(*count));
  }
}

std::vector<std::uint32_t> pages_in(const std::vector<Operation>& operations) {
  std::vector<std::uint32_t> pages;
  for (const Operation& operation : operations) pages.push_back(operation.page);
  return pages;
}

bool equal(const Operation& a, const Operation& b) {
  return a.page == b.page && a.access == b.access && a.references == b.references;
}

TEST(Generator, TheSeedDecidesEverything) {
  for (const Kind kind : kKinds) {
    const GeneratorConfig config = config_of(kind, PageCount(64), 1000);
    const auto first = play(config, 7);
    EXPECT_TRUE(std::ranges::equal(first, play(config, 7), equal));
    EXPECT_FALSE(std::ranges::equal(first, play(config, 8), equal));
  }
}

TEST(Generator, LengthIsKeptWhateverTheBatch) {
  for (const Kind kind : kKinds) {
    const GeneratorConfig config = config_of(kind, PageCount(16), 1009);
    const auto whole = play(config, 3, 4096);
    EXPECT_EQ(whole.size(), 1009U);
    EXPECT_EQ(make_generator(config, 3)->length(), 1009U);
    for (const std::size_t batch : {1U, 7U, 64U, 1008U, 1009U, 1010U})
      EXPECT_TRUE(std::ranges::equal(whole, play(config, 3, batch), equal)) << batch;
  }
}

TEST(Generator, NothingForAnEmptyBatchAndNothingAfterTheEnd) {
  const auto program = make_generator(config_of(Kind::kUniform, PageCount(4), 3), 1);
  std::array<Operation, 8> batch;
  EXPECT_EQ(program->next(std::span(batch).first(0)), 0U);
  EXPECT_EQ(program->next(batch), 3U);
  EXPECT_EQ(program->next(batch), 0U);
  EXPECT_EQ(program->next(batch), 0U);
}

TEST(Generator, PagesAreItsMemory) {
  for (const Kind kind : kKinds) {
    const auto program = make_generator(config_of(kind, PageCount(33), 10), 1);
    ASSERT_EQ(program->pages().size(), 1U);
    EXPECT_EQ(program->pages()[0].count, 33_pages);
    for (const Operation& operation : play(config_of(kind, PageCount(33), 5000), 1)) ASSERT_LT(operation.page, 33U);
  }
}

TEST(Generator, WritesAreTheShareAskedFor) {
  GeneratorConfig config = config_of(Kind::kUniform, PageCount(64), 20'000);
  config.references = 17;
  for (const double share : {0.0, 0.3, 1.0}) {
    config.writes = share;
    std::size_t writes = 0;
    for (const Operation& operation : play(config, 5)) {
      EXPECT_NE(operation.access.reads(), operation.access.writes());
      EXPECT_EQ(operation.references, 17U);
      if (operation.access.writes()) ++writes;
    }
    // Four standard deviations of a binomial are 0.013 here.
    EXPECT_NEAR(static_cast<double>(writes) / 20'000, share, share == 0.3 ? 0.013 : 0);
  }
}

TEST(SequentialGenerator, GoesRoundAndRound) {
  const auto pages = pages_in(play(config_of(Kind::kSequential, PageCount(10), 25), 1, 4));
  for (std::size_t i = 0; i < pages.size(); ++i) EXPECT_EQ(pages[i], i % 10);
}

// Pearson's statistic of counts against expectations.
double chi_square(const std::vector<double>& counts, const std::vector<double>& expected) {
  double sum = 0;
  for (std::size_t i = 0; i < counts.size(); ++i)
    sum += (counts[i] - expected[i]) * (counts[i] - expected[i]) / expected[i];
  return sum;
}

TEST(UniformGenerator, CoversAllPagesEvenly) {
  constexpr std::size_t kPages = 100;
  std::vector<double> counts(kPages);
  for (const std::uint32_t page : pages_in(play(config_of(Kind::kUniform, PageCount(kPages), 100'000), 11)))
    ++counts[page];
  // 99 degrees of freedom: mean 99, standard deviation 14; the seed is fixed.
  EXPECT_LT(chi_square(counts, std::vector<double>(kPages, 1000)), 99 + 4 * 14.1);
}

TEST(ZipfGenerator, PopularityFollowsTheFormula) {
  constexpr std::size_t kPages = 100;
  constexpr std::size_t kOperations = 200'000;
  for (const double theta : {0.0, 0.8, 0.99, 1.5}) {
    GeneratorConfig config = config_of(Kind::kZipf, PageCount(kPages), kOperations);
    config.theta = theta;
    std::vector<double> counts(kPages);
    for (const std::uint32_t page : pages_in(play(config, 13))) ++counts[page];
    // Which page has which rank is the seed's secret; by counts it shows but for neighbours.
    std::ranges::sort(counts, std::greater{});
    double sum = 0;
    for (std::size_t rank = 1; rank <= kPages; ++rank) sum += std::pow(static_cast<double>(rank), -theta);
    std::vector<double> expected;
    for (std::size_t rank = 1; rank <= kPages; ++rank)
      expected.push_back(static_cast<double>(kOperations) * std::pow(static_cast<double>(rank), -theta) / sum);
    // Sorting only brings counts nearer to sorted expectations, so the bound of 99 degrees of freedom holds.
    EXPECT_LT(chi_square(counts, expected), 99 + 4 * 14.1) << theta;
  }
}

TEST(ZipfGenerator, PopularPagesAreStrewnByTheSeed) {
  std::set<std::uint32_t> favourites;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    GeneratorConfig config = config_of(Kind::kZipf, PageCount(1000), 5000);
    std::vector<unsigned> counts(1000);
    for (const std::uint32_t page : pages_in(play(config, seed))) ++counts[page];
    favourites.insert(static_cast<std::uint32_t>(std::ranges::max_element(counts) - counts.begin()));
  }
  EXPECT_GE(favourites.size(), 6U);
}

TEST(PhasesGenerator, StaysInItsWindowAndMovesOn) {
  constexpr std::uint64_t kMemory = 30;  // No multiple of the window: the last one goes over the end.
  const auto pages = pages_in(play(config_of(Kind::kPhases, PageCount(kMemory), 1000), 17, 33));
  std::set<std::uint64_t> seen;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const std::uint64_t start = i / 50 * 8 % kMemory;
    EXPECT_LT((pages[i] + kMemory - start) % kMemory, 8U) << i;
    seen.insert(pages[i]);
  }
  EXPECT_EQ(seen.size(), kMemory);
}

TEST(Generator, DescribesItself) {
  GeneratorConfig config = config_of(Kind::kZipf, pages_of(64_MiB), 1);
  EXPECT_EQ(make_generator(config, 1)->describe(), "zipf 0.99 over 64 MiB");
  config.kind = Kind::kPhases;
  EXPECT_EQ(make_generator(config, 1)->describe(), "phases of 32 KiB over 64 MiB");
  config.kind = Kind::kSequential;
  EXPECT_EQ(make_generator(config, 1)->describe(), "sequential over 64 MiB");
  config.kind = Kind::kUniform;
  EXPECT_EQ(make_generator(config, 1)->describe(), "uniform over 64 MiB");
}

}  // namespace
}  // namespace pagoda::sim
