#include "pagoda/machine/sim/sim_machine.h"

#include <gtest/gtest.h>

namespace pagoda::machine {
namespace {

Status refused(SimMachineConfig config) {
  const auto machine = SimMachine::create(std::move(config));
  return machine ? Status::kSuccess : machine.error();
}

TEST(SimMachine, IsWhatItsConfigurationSays) {
  auto machine = SimMachine::create(
      {.frames = 1000_pages, .paging = PteFormat::kPae, .processors = 3, .disks = {{.name = "a"}, {.name = "b"}}});
  ASSERT_TRUE(machine);
  EXPECT_EQ((*machine)->frame_count(), 1000_pages);
  EXPECT_EQ(&(*machine)->paging(), &kPaePaging);
  EXPECT_EQ((*machine)->refill(), TlbRefill::kHardware);
  EXPECT_EQ((*machine)->hypercalls(), nullptr);
  ASSERT_EQ((*machine)->processors().size(), 3U);
  for (unsigned number = 0; number < 3; ++number) {
    EXPECT_EQ((*machine)->processors()[number], &(*machine)->processor(number));
    EXPECT_EQ((*machine)->processor(number).number(), number);
    EXPECT_EQ(&(*machine)->processor(number).machine(), machine->get());
    EXPECT_EQ((*machine)->processor(number).now(), Time());
  }
  ASSERT_EQ((*machine)->disks().size(), 2U);
  EXPECT_EQ((*machine)->disks()[1]->name(), "b");
}

TEST(SimMachine, RefusesWhatCannotBeBuilt) {
  EXPECT_EQ(refused({.frames = 0_pages}), Status::kInvalidParameter);
  EXPECT_EQ(refused({.processors = 0}), Status::kInvalidParameter);
  EXPECT_EQ(refused({.processors = kMaxProcessors + 1}), Status::kInvalidParameter);
  EXPECT_EQ(refused({.processors = kMaxProcessors}), Status::kSuccess);
  EXPECT_EQ(refused({.frames = pages_of(4_GiB), .paging = PteFormat::kX86}), Status::kSuccess);
  EXPECT_EQ(refused({.frames = pages_of(4_GiB) + 1_pages, .paging = PteFormat::kX86}), Status::kInvalidParameter);
  EXPECT_EQ(refused({.frames = pages_of(256_GiB) + 1_pages, .paging = PteFormat::kPae}), Status::kInvalidParameter);
  EXPECT_EQ(refused({.frames = pages_of(16_TiB)}), Status::kInvalidParameter);  // The last frame number is kNoPfn.
  EXPECT_EQ(refused({.disks = {{.bandwidth_per_second = 0_B}}}), Status::kInvalidParameter);
  CostModel stopped;
  stopped.cycles_per_us = 0;
  EXPECT_EQ(refused({.costs = stopped}), Status::kInvalidParameter);
}

TEST(ProcessorSet, HoldsUpToSixtyFour) {
  ProcessorSet set;
  EXPECT_TRUE(set.empty());
  set.add(0);
  set.add(63);
  EXPECT_TRUE(set.contains(0) && set.contains(63));
  EXPECT_FALSE(set.contains(32));
  set.remove(0);
  set.remove(63);
  EXPECT_EQ(set, ProcessorSet());
}

}  // namespace
}  // namespace pagoda::machine
