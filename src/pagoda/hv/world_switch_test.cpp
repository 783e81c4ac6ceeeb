// Virtual processors as threads of the host: on one of its processors, on another, on none.
#include "pagoda/hv/world_switch.h"

#include <gtest/gtest.h>

#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv::testing {
namespace {

constexpr PageCount kPages{64};

TEST(WorldSwitch, AVirtualProcessorTakesItsTlbsFromProcessorToProcessor) {
  TestHost host;
  TestVm vm(host);
  const VirtualAddress base = vm.commit(kPages);
  vm.fill(base, kPages);
  WorldSwitch& world = vm.partition().processor(0).world();
  const std::uint64_t misses = vm.cpu().counts().tlb_misses;
  for (unsigned number = 1; number < 4; ++number) {
    world.leave();
    EXPECT_FALSE(world.is_running());
    world.enter(host.machine().processor(number));
    EXPECT_EQ(&world.host(), &host.machine().processor(number));
    EXPECT_EQ(vm.differences(base, kPages), 0U);
  }
  EXPECT_EQ(vm.cpu().counts().tlb_misses, misses) << "a world switch flushes nothing";
  EXPECT_EQ(vm.partition().counts().dispatches, 4U);
  EXPECT_EQ(vm.check(), "");
}

TEST(WorldSwitch, WhatTheHostTookWhileItRanNowhereIsForgotten) {
  for (const MmuKind mmu : kAllMmus) {
    TestHost host;
    TestVm vm(host, {.partition = {.memory = pages_of(2_MiB), .mmu = mmu, .disks = {{}}}});
    const VirtualAddress base = vm.commit(kPages);
    vm.fill(base, kPages);
    WorldSwitch& world = vm.partition().processor(0).world();
    machine::Processor& before = world.host();
    world.leave();
    vm.partition().vmmem().empty_working_set(host.cpu());
    ASSERT_TRUE(host.manager().flush_modified(host.cpu()));
    host.reuse_standby();
    world.enter(host.machine().processor(before.number() + 1));
    EXPECT_EQ(vm.differences(base, kPages), 0U);
    EXPECT_EQ(vm.check(), "");
  }
}

TEST(WorldSwitch, AShootDownReachesAProcessorThatRunsNowhere) {
  for (const MmuKind mmu : kAllMmus) {
    TestHost host;
    TestVm vm(host, {.partition = {.memory = pages_of(2_MiB), .processors = 2, .mmu = mmu, .disks = {{}}}});
    const VirtualAddress base = vm.commit(kPages);
    vm.fill(base, kPages);
    vm.must_put(base, 0, 1, 1);
    vm.partition().processor(1).world().leave();
    const Time before = vm.cpu(1).now();
    ASSERT_TRUE(vm.space().protect(vm.cpu(), base, bytes_of(kPages), mm::Protection::kReadOnly));
    EXPECT_GT(vm.cpu(1).now(), before) << "it pays when it runs again";
    vm.partition().processor(1).world().enter(host.machine().processor(4));
    EXPECT_EQ(vm.put(base, 0, 2, 1), Status::kAccessViolation);
    EXPECT_EQ(*vm.get(base, 0, 1), 1U);
    EXPECT_EQ(vm.check(), "");
  }
}

TEST(WorldSwitch, TheHostProcessorIsGivenBackInTheSpaceItWasIn) {
  TestHost host;
  TestVm vm(host);
  mm::ProcessSpace& space = **host.manager().create_space(host.cpu(), {});
  host.manager().attach(host.cpu(), space);
  const VirtualAddress page(space.reserve({.size = kPageSize, .commit = mm::MemCommit::kYes})->first);
  ASSERT_TRUE(host.cpu().store<std::uint64_t>(page, 7));

  WorldSwitch& world = vm.partition().processor(0).world();
  world.leave();
  world.enter(host.cpu());
  EXPECT_EQ(host.manager().attached(host.cpu()), &vm.partition().vmmem());
  const VirtualAddress base = vm.commit(kPages);
  vm.fill(base, kPages);
  world.leave();
  EXPECT_EQ(host.manager().attached(host.cpu()), &space);
  EXPECT_EQ(*host.cpu().load<std::uint64_t>(page), 7U);

  world.enter(host.machine().processor(1));
  EXPECT_EQ(vm.check(), "");
  host.manager().detach(host.cpu());
  host.manager().destroy_space(host.cpu(), space);
}

TEST(WorldSwitch, AVisitTakesNoTimeOfTheHostProcessor) {
  TestHost host;
  TestVm vm(host);
  WorldSwitch& world = vm.partition().processor(0).world();
  const VirtualAddress base = vm.commit(kPages);
  {
    const Time before = world.host().now();
    {
      const WorldSwitch::Visit visit(world, host.cpu());
      EXPECT_NE(&world.host(), &host.cpu()) << "it is running";
      vm.must_put(base, 0, 1);
      EXPECT_GT(world.host().now(), before);
    }
    EXPECT_TRUE(world.is_running());
    EXPECT_EQ(world.host().now(), before);
  }
  world.leave();
  const Time before = host.cpu().now();
  {
    const WorldSwitch::Visit visit(world, host.cpu());
    vm.fill(base, kPages);
    EXPECT_GT(host.cpu().now(), before);
  }
  EXPECT_FALSE(world.is_running());
  EXPECT_EQ(host.cpu().now(), before);
  world.enter(host.machine().processor(1));
  EXPECT_EQ(vm.check(), "");
}

// Under a scheduler processors of the host yield when they have to wait, but nobody can put a guest aside in the midst
// of an exit.
TEST(WorldSwitch, AnExitWaitsForTheHostsDiskAndSaysHowLong) {
  TestHost host;
  TestVm vm(host);
  const VirtualAddress base = vm.commit(kPages);
  vm.fill(base, kPages);
  vm.partition().vmmem().empty_working_set(host.cpu());
  ASSERT_TRUE(host.manager().flush_modified(host.cpu()));
  host.reuse_standby();

  WorldSwitch& world = vm.partition().processor(0).world();
  machine::Processor& core = world.host();
  core.set_waiting(machine::Processor::Waiting::kYields);
  const Time before = vm.cpu().now();
  EXPECT_EQ(*vm.get(base, 5), 6U);
  EXPECT_GT(world.waited(), Duration{});
  EXPECT_GE(vm.cpu().now() - before, world.waited());
  EXPECT_EQ(core.waiting(), machine::Processor::Waiting::kYields);
  EXPECT_FALSE(core.is_blocked());
  core.set_waiting(machine::Processor::Waiting::kAdvancesClock);
  EXPECT_EQ(vm.check(), "");
}

}  // namespace
}  // namespace pagoda::hv::testing
