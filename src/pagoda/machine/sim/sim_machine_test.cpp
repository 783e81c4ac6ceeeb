#include "pagoda/machine/sim/sim_machine.h"

#include <gtest/gtest.h>

#include "pagoda/machine/testing/page_tables.h"

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
  EXPECT_EQ(refused({.processors = SimMachine::kMostProcessors + 1}), Status::kInvalidParameter);
  EXPECT_EQ(refused({.processors = SimMachine::kMostProcessors, .tlb = TlbGeometry::kRealistic}), Status::kSuccess);
  EXPECT_EQ(refused({.frames = pages_of(4_GiB), .paging = PteFormat::kX86}), Status::kSuccess);
  EXPECT_EQ(refused({.frames = pages_of(4_GiB) + 1_pages, .paging = PteFormat::kX86}), Status::kInvalidParameter);
  EXPECT_EQ(refused({.frames = pages_of(256_GiB) + 1_pages, .paging = PteFormat::kPae}), Status::kInvalidParameter);
  EXPECT_EQ(refused({.frames = pages_of(16_TiB)}), Status::kInvalidParameter);  // The last frame number is kNoPfn.
  EXPECT_EQ(refused({.disks = {{.bandwidth_per_second = 0_B}}}), Status::kInvalidParameter);
  CostModel stopped;
  stopped.cycles_per_us = 0;
  EXPECT_EQ(refused({.costs = stopped}), Status::kInvalidParameter);
}

// As many TLBs as processors, whose numbers are beyond what one word of a set holds.
void shoot_down_two_hundred(Driving driving) {
  auto machine = *SimMachine::create({.processors = 200, .tlb = TlbGeometry::kRealistic, .driving = driving});
  testing::PageTables tables(machine->memory().view(), machine->paging(), Pfn(1));
  constexpr VirtualAddress kVa{0x10000};
  const auto map_frame_with = [&](std::uint32_t word) {
    const Pfn frame = tables.allocate();
    machine->memory().view().store(PhysicalAddress(frame), word);
    tables.map(kVa, frame, pte_bits::kWrite | pte_bits::kUser);
  };
  map_frame_with(1);
  for (SimProcessor* cpu : machine->sim_processors()) {
    cpu->load_root(tables.root(), Asid{1});
    ASSERT_EQ(cpu->load<std::uint32_t>(kVa), 1U);
  }
  map_frame_with(2);
  ProcessorSet odd;
  for (unsigned number = 1; number < 200; number += 2) odd.add(number);
  const StaleRun run{{kVa.vpn(), 1_pages}, kNoPfn};
  machine->shoot_down(machine->processor(199), {tables.root(), Asid{1}, odd}, std::span(&run, 1));
  for (SimProcessor* cpu : machine->sim_processors()) {
    const bool told = cpu->number() % 2 == 1;
    EXPECT_EQ(cpu->load<std::uint32_t>(kVa), told ? 2U : 1U) << cpu->number();
    EXPECT_EQ(cpu->counts().invalidations, told ? 1U : 0U) << cpu->number();
    EXPECT_EQ(cpu->counts().shootdowns_received, told && cpu->number() != 199 ? 1U : 0U) << cpu->number();
  }
}

TEST(SimMachine, ShootsDownTwoHundredProcessors) { shoot_down_two_hundred(Driving::kOneThread); }

TEST(SimMachine, ShootsDownTwoHundredProcessorsOfThreads) { shoot_down_two_hundred(Driving::kThreads); }

}  // namespace
}  // namespace pagoda::machine
