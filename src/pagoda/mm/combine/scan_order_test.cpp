#include "pagoda/mm/combine/scan_order.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

namespace pagoda::mm {
namespace {

using Order = SharingTunables::Order;

constexpr std::uint32_t kSlots = 1000;  // Of 16 regions, the last of which is not full.

// The slots of a pass, or round, each as often as it was given. `note(slot)` is called for each.
template <class Note>
std::vector<unsigned> pass(ScanOrder& order, Order kind, Random& random, ScanOrder::Step& first, Note&& note) {
  std::vector<unsigned> seen(kSlots);
  ScanOrder::Step step = first;
  do {
    ++seen[step.slot];
    note(step.slot);
    step = order.next(kSlots, kind, random);
  } while (!step.begins_pass);
  first = step;
  return seen;
}

std::size_t looks(const std::vector<unsigned>& seen, std::uint32_t region) {
  std::size_t count = 0;
  for (std::uint32_t slot = region * ScanOrder::kSlotsOfRegion;
       slot < std::min(kSlots, (region + 1) * ScanOrder::kSlotsOfRegion); ++slot)
    count += seen[slot];
  return count;
}

TEST(ScanOrder, AtRandomGivesEachSlotOnceAPassInAnotherOrder) {
  ScanOrder order;
  Random random(1);
  ScanOrder::Step step = order.next(kSlots, Order::kRandom, random);
  EXPECT_TRUE(step.begins_pass);
  std::set<std::vector<std::uint32_t>> orders;
  for (int round = 0; round < 5; ++round) {
    std::vector<std::uint32_t> given;
    const std::vector<unsigned> seen =
        pass(order, Order::kRandom, random, step, [&](std::uint32_t slot) { given.push_back(slot); });
    EXPECT_EQ(seen, std::vector<unsigned>(kSlots, 1));
    orders.insert(given);
  }
  EXPECT_EQ(orders.size(), 5U);
}

TEST(ScanOrder, SlotsThatComeLaterWaitForTheNextPass) {
  ScanOrder order;
  Random random(1);
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 10; ++i) seen.insert(order.next(10, Order::kRandom, random).slot);
  EXPECT_EQ(seen.size(), 10U);
  EXPECT_EQ(*seen.rbegin(), 9U);
  seen.clear();
  for (int i = 0; i < 20; ++i) seen.insert(order.next(20, Order::kRandom, random).slot);
  EXPECT_EQ(seen.size(), 20U);
}

TEST(ScanOrder, ByYieldBeginsWithAWholePassAndSamplesWhatYieldsNothing) {
  ScanOrder order;
  Random random(1);
  ScanOrder::Step step = order.next(kSlots, Order::kByYield, random);
  const auto nothing = [](std::uint32_t) {};
  EXPECT_EQ(pass(order, Order::kByYield, random, step, nothing), std::vector<unsigned>(kSlots, 1));
  std::vector<unsigned> seen = pass(order, Order::kByYield, random, step, nothing);
  EXPECT_EQ(looks(seen, 3), 16U);
  seen = pass(order, Order::kByYield, random, step, nothing);
  EXPECT_EQ(looks(seen, 3), 4U);
  // In time each is looked at, twice in a row.
  std::vector<unsigned> all(kSlots);
  seen = pass(order, Order::kByYield, random, step, nothing);
  for (int round = 0; round < 32; ++round) {
    seen = pass(order, Order::kByYield, random, step, nothing);
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) all[slot] += seen[slot];
  }
  EXPECT_EQ(all, std::vector<unsigned>(kSlots, 2));
}

TEST(ScanOrder, ByYieldARegionRisesWithWhatLastsAndSinksWithWhatIsWrittenAgain) {
  ScanOrder order;
  Random random(2);
  ScanOrder::Step step = order.next(kSlots, Order::kByYield, random);
  // Region 2 becomes shared, and is written again from visit to visit; of region 5 all but each fourth slot lasts; region 9
  // is as region 2 until round 12, and then as region 5.
  unsigned round = 0;
  const auto note = [&](std::uint32_t slot) {
    const std::uint32_t region = slot / ScanOrder::kSlotsOfRegion;
    if (region != 2 && region != 5 && region != 9) return;
    const bool lasts = region == 5 || (region == 9 && round >= 12);
    if (!lasts || random.below(4) == 0) order.note(slot, false);
    order.note(slot, true);
  };
  std::array<std::size_t, 16> looked{};
  std::size_t looked_late = 0;
  for (round = 0; round < 24; ++round) {
    const std::vector<unsigned> seen = pass(order, Order::kByYield, random, step, note);
    for (std::uint32_t region = 0; round >= 8 && region < looked.size(); ++region)
      looked[region] += looks(seen, region);
    if (round >= 20) looked_late += looks(seen, 9);
  }
  EXPECT_EQ(looked[5], std::size_t{ScanOrder::kSlotsOfRegion} * 16) << "all of them, each round";
  EXPECT_EQ(looked[7], std::size_t{ScanOrder::kSlotsOfRegion}) << "a sixteenth";
  EXPECT_LT(looked[2], looked[5] / 8);
  EXPECT_EQ(looked_late, std::size_t{ScanOrder::kSlotsOfRegion} * 4) << "a region whose pages last now is found";
}

}  // namespace
}  // namespace pagoda::mm
