#include "pagoda/mm/backing/resident.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>
#include <vector>

namespace pagoda::mm {
namespace {

TEST(ResidentLedgerTest, ChargesUpToTheLimitAndGivesBack) {
  ResidentLedger ledger(PageCount(100));
  EXPECT_TRUE(ledger.charge(PageCount(60)));
  EXPECT_TRUE(ledger.charge(PageCount(40)));
  EXPECT_EQ(ledger.available(), 0_pages);
  const auto refused = ledger.charge(1_pages);
  EXPECT_EQ(refused.error(), Status::kInsufficientResources);
  EXPECT_EQ(ledger.charged(), PageCount(100));
  EXPECT_EQ(ledger.refusals(), 1U);
  ledger.give_back(PageCount(70));
  EXPECT_EQ(ledger.charged(), PageCount(30));
  EXPECT_EQ(ledger.available(), PageCount(70));
  EXPECT_EQ(ledger.peak(), PageCount(100));
}

TEST(ResidentLedgerTest, NothingIsAlwaysFreeAndWildCountsNever) {
  ResidentLedger ledger(PageCount(10));
  EXPECT_TRUE(ledger.charge(PageCount(10)));
  EXPECT_TRUE(ledger.charge(0_pages));
  ledger.give_back(PageCount(4));
  EXPECT_FALSE(ledger.charge(PageCount(std::numeric_limits<std::uint64_t>::max())));
  EXPECT_FALSE(ledger.charge(PageCount(std::numeric_limits<std::uint64_t>::max() - 5)));
  EXPECT_EQ(ledger.charged(), PageCount(6));
}

TEST(ResidentLedgerTest, ThreadsNeverPassTheLimitTogether) {
  static constexpr std::uint64_t kLimit = 64;
  ResidentLedger ledger{PageCount(kLimit)};
  std::vector<std::uint64_t> held(4);
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t& mine : held) {
      threads.emplace_back([&ledger, &mine] {
        for (std::uint64_t i = 0; i < 20'000; ++i) {
          if (ledger.charge(PageCount(i % 7 + 1))) {
            mine += i % 7 + 1;
            EXPECT_LE(ledger.charged().value(), kLimit);
          } else if (mine > 0) {
            ledger.give_back(PageCount(mine));
            mine = 0;
          }
        }
      });
    }
  }
  std::uint64_t all = 0;
  for (const std::uint64_t mine : held) all += mine;
  EXPECT_EQ(ledger.charged(), PageCount(all));
  EXPECT_LE(ledger.peak(), PageCount(kLimit));
}

}  // namespace
}  // namespace pagoda::mm
