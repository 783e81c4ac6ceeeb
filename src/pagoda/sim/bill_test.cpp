#include "pagoda/sim/bill.h"

#include <gtest/gtest.h>

#include <vector>

namespace pagoda::sim {
namespace {

// A machine of 1,000 pages of which the host has something, which computed for a second and whose programs waited so long.
BillEntry entry(std::size_t machine, std::uint64_t held, Duration waited = {}, std::uint64_t shares = 1000,
                bool was_taken_from = true) {
  BillEntry entry{.machine = machine, .measure = {}, .busy = 1_s, .waited = waited};
  entry.measure.maximum = 1000_pages;
  entry.measure.shares = shares;
  entry.measure.granted = PageCount(held);
  entry.measure.swapped_in = PageCount(was_taken_from ? 1 : 0);
  return entry;
}

PolicyResult closed(const Bill& bill) {
  PolicyResult result;
  bill.close(result);
  return result;
}

TEST(Bill, WhoHasTooLittleIsPaidForByThoseWhoHaveTooMuchInProportion) {
  Bill bill(3);
  // Owed: 400 each. Too much: 300 and 100.
  bill.add_round(std::vector{entry(0, 0, 1_s), entry(1, 700), entry(2, 500)});
  const PolicyResult result = closed(bill);
  ASSERT_EQ(result.charges.size(), 2U);
  EXPECT_EQ(result.charges[0].payer, 0U);
  EXPECT_EQ(result.charges[0].taker, 1U);
  EXPECT_EQ(result.charges[0].waited, 750_ms);
  EXPECT_EQ(result.charges[1].taker, 2U);
  EXPECT_EQ(result.charges[1].waited, 250_ms);
  EXPECT_EQ(result.accounts[0].waited, 1_s);
  EXPECT_EQ(result.accounts[1].made_others_wait, 750_ms);
  EXPECT_EQ(result.accounts[0].made_others_wait, 0_s);
  EXPECT_DOUBLE_EQ(result.distance_to_fair, 400.0 / 1200);
}

TEST(Bill, WhoHasEnoughWaitsForItself) {
  Bill bill(2);
  bill.add_round(std::vector{entry(0, 600, 1_s), entry(1, 200)});
  const PolicyResult result = closed(bill);
  ASSERT_EQ(result.charges.size(), 1U);
  EXPECT_EQ(result.charges[0].taker, 0U);
  EXPECT_EQ(result.accounts[0].made_others_wait, 0_s);
}

TEST(Bill, WhoLostNothingWaitsForItself) {
  Bill bill(2);
  bill.add_round(std::vector{entry(0, 100, 1_s, 1000, false), entry(1, 900)});
  EXPECT_EQ(closed(bill).charges.at(0).taker, 0U);
  // What is in its balloon it lost.
  Bill ballooned(2);
  std::vector entries{entry(0, 100, 1_s, 1000, false), entry(1, 900)};
  entries[0].measure.balloon = policy::BalloonMeasure{.target = 5_pages, .actual = 5_pages, .moved_at = {}};
  ballooned.add_round(entries);
  EXPECT_EQ(closed(ballooned).charges.at(0).taker, 1U);
}

TEST(Bill, SharesAndMinimaSayWhatIsOwed) {
  Bill bill(2);
  bill.add_round(std::vector{entry(0, 400, {}, 3000), entry(1, 400)});
  PolicyResult result = closed(bill);
  EXPECT_EQ(result.accounts[0].fair, 600_pages);
  EXPECT_EQ(result.accounts[1].fair, 200_pages);
  Bill with_minimum(2);
  std::vector entries{entry(0, 400, {}, 3000), entry(1, 400)};
  entries[1].measure.minimum = 300_pages;
  with_minimum.add_round(entries);
  result = closed(with_minimum);
  EXPECT_EQ(result.accounts[0].fair, 500_pages);
  EXPECT_EQ(result.accounts[1].fair, 300_pages);
}

TEST(Bill, AveragesAreOverTheRoundsThatAMachineWasIn) {
  Bill bill(2);
  bill.add_round(std::vector{entry(0, 100), entry(1, 300)});
  bill.add_round(std::vector{entry(0, 300)});
  const PolicyResult result = closed(bill);
  EXPECT_EQ(result.accounts[0].held, 200_pages);
  EXPECT_EQ(result.accounts[1].held, 300_pages);
}

TEST(Bill, JainsIndexIsOfWhatMachinesDidOfWhatTheyCouldHaveDone) {
  Bill equal(2);
  equal.add_round(std::vector{entry(0, 100, 500_ms), entry(1, 100, 500_ms)});
  EXPECT_DOUBLE_EQ(closed(equal).fairness, 1);
  Bill unequal(2);
  unequal.add_round(std::vector{entry(0, 100), entry(1, 100, 3_s)});  // 1 and 1/4.
  EXPECT_DOUBLE_EQ(closed(unequal).fairness, 1.25 * 1.25 / (2 * (1 + 1.0 / 16)));
}

TEST(Bill, ManyMachinesHaveSumsAndNoPairs) {
  Bill bill(kMostBilled + 1);
  bill.add_round(std::vector{entry(0, 0, 1_s), entry(kMostBilled, 1000)});
  const PolicyResult result = closed(bill);
  EXPECT_TRUE(result.charges.empty());
  EXPECT_EQ(result.accounts[kMostBilled].made_others_wait, 1_s);
}

}  // namespace
}  // namespace pagoda::sim
