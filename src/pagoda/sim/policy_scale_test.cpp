#include "pagoda/sim/policy_scale.h"

#include <gtest/gtest.h>

namespace pagoda::sim {
namespace {

TEST(PolicyScale, EnlargesEveryAmountOfMemoryAndNothingElse) {
  const policy::HostMeasure host = enlarged({.now = Time(1),
                                             .total = 2_pages,
                                             .free = 3_pages,
                                             .used_by_machines = 4_pages,
                                             .swap_total = 5_pages,
                                             .swap_free = 6_pages,
                                             .stall = 0.5},
                                            10);
  EXPECT_EQ(host.now, Time(1));
  EXPECT_EQ(host.total, 20_pages);
  EXPECT_EQ(host.free, 30_pages);
  EXPECT_EQ(host.used_by_machines, 40_pages);
  EXPECT_EQ(host.swap_total, 50_pages);
  EXPECT_EQ(host.swap_free, 60_pages);
  EXPECT_EQ(host.stall, 0.5);
  const policy::VmMeasure vm =
      enlarged({.machine = policy::MachineId(1),
                .maximum = 2_pages,
                .minimum = 3_pages,
                .shares = 4,
                .granted = 5_pages,
                .active = 6_pages,
                .balloon = policy::BalloonMeasure{.target = 7_pages, .actual = 8_pages, .moved_at = Time(9)},
                .guest = policy::GuestStatistics{.age = Duration(10),
                                                 .free = 11_pages,
                                                 .available = 12_pages,
                                                 .total = 13_pages,
                                                 .caches = 14_pages,
                                                 .swap_in = 15_pages,
                                                 .swap_out = 16_pages,
                                                 .major_faults = 17,
                                                 .oom_kills = 18,
                                                 .committed = 19_pages},
                .stall = 0.25,
                .busy = 0.5,
                .swapped_in = 20_pages,
                .shared_saved = 21_pages,
                .compressed = 22_pages,
                .paged_out = 23_pages},
               10);
  EXPECT_EQ(vm.machine, policy::MachineId(1));
  EXPECT_EQ(vm.maximum, 20_pages);
  EXPECT_EQ(vm.minimum, 30_pages);
  EXPECT_EQ(vm.shares, 4U);
  EXPECT_EQ(vm.granted, 50_pages);
  EXPECT_EQ(vm.active, 60_pages);
  EXPECT_EQ(vm.balloon->target, 70_pages);
  EXPECT_EQ(vm.balloon->actual, 80_pages);
  EXPECT_EQ(vm.balloon->moved_at, Time(9));
  EXPECT_EQ(vm.guest->age, Duration(10));
  EXPECT_EQ(vm.guest->free, 110_pages);
  EXPECT_EQ(vm.guest->available, 120_pages);
  EXPECT_EQ(vm.guest->total, 130_pages);
  EXPECT_EQ(vm.guest->caches, 140_pages);
  EXPECT_EQ(vm.guest->swap_in, 150_pages);
  EXPECT_EQ(vm.guest->swap_out, 160_pages);
  EXPECT_EQ(vm.guest->major_faults, 170U);
  EXPECT_EQ(vm.guest->oom_kills, 18U);
  EXPECT_EQ(vm.guest->committed, 190_pages);
  EXPECT_EQ(vm.swapped_in, 200_pages);
  EXPECT_EQ(vm.shared_saved, 210_pages);
  EXPECT_EQ(vm.compressed, 220_pages);
  EXPECT_EQ(vm.paged_out, 230_pages);
  EXPECT_EQ(vm.stall, 0.25);
  EXPECT_FALSE(enlarged(policy::VmMeasure{}, 10).active) << "what is unknown stays so";
}

TEST(PolicyScale, ReducesWhatIsDecidedAndItsReason) {
  const policy::Decision decision = reduced({.previous = 19_pages,
                                             .target = 20_pages,
                                             .balloon = 30_pages,
                                             .compress = 40_pages,
                                             .page_out = 50_pages,
                                             .reclaim_cache = 60_pages,
                                             .reason = {.price = 0.5, .available = 70_pages, .charged_to = 80_pages}},
                                            10);
  EXPECT_EQ(decision.previous, 1_pages);
  EXPECT_EQ(decision.target, 2_pages);
  EXPECT_EQ(decision.balloon, 3_pages);
  EXPECT_EQ(decision.compress, 4_pages);
  EXPECT_EQ(decision.page_out, 5_pages);
  EXPECT_EQ(decision.reclaim_cache, 6_pages);
  EXPECT_EQ(decision.reason.price, 0.5);
  EXPECT_EQ(decision.reason.available, 7_pages);
  EXPECT_EQ(decision.reason.charged_to, 8_pages);
}

}  // namespace
}  // namespace pagoda::sim
