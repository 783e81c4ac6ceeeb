// What guests cost their host: how many there can be, what is written in their name, and what they pay for each other.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "pagoda/hv/shadow_mmu.h"
#include "pagoda/hv/testing/test_vm.h"
#include "tests/checked_run.h"
#include "tests/support/growth.h"

namespace pagoda::hv::testing {
namespace {

using pagoda::testing::cost_of;
using pagoda::testing::does_not_grow;

// Virtual processors are threads of the host: there may be more of them than processors.
TEST(GuestCosts, AHundredGuestsFitOnSixtyFourProcessors) {
  constexpr unsigned kProcessors = 64;
  constexpr unsigned kGuests = 100;
  TestHost host({.frames = pages_of(1_GiB), .processors = kProcessors});
  std::vector<std::unique_ptr<Partition>> guests;
  for (unsigned i = 0; i < kGuests; ++i) {
    auto guest = Partition::create(host.manager(), host.cpu(), {.memory = pages_of(4_MiB)});
    ASSERT_TRUE(guest) << "guest " << i << ": " << to_string(guest.error());
    guests.push_back(std::move(*guest));
  }
  // All are there at once and take turns, on another processor each time.
  constexpr PhysicalAddress kWord{0x1000};
  for (unsigned turn = 0; turn < 3; ++turn) {
    for (unsigned i = 0; i < kGuests; ++i) {
      WorldSwitch& world = guests[i]->processor(0).world();
      const machine::PhysicalView memory = guests[i]->processor(0).guest().physical();
      world.enter(host.machine().processor((i + turn) % kProcessors));
      EXPECT_EQ(memory.load<std::uint64_t>(kWord), turn == 0 ? 0 : i * 1000 + turn - 1);
      memory.store<std::uint64_t>(kWord, i * 1000 + turn);
      world.leave();
    }
  }
  for (const auto& guest : guests) EXPECT_EQ(hv::to_string(hv::check(*guest)), "");
  EXPECT_EQ(host.check(), "");
}

// Clusters bring pages in for the guest; they write none. Pages that were clean in the host stay clean, and keep their
// slots.
TEST(GuestCosts, AWriteDirtiesNoCleanNeighbourInTheHost) {
  constexpr PageCount kPages{512};
  constexpr std::uint64_t kCluster = 16;
  TestHost host({.frames = PageCount(8192)});
  TestVm vm(host, {.partition = {.memory = pages_of(4_MiB), .fault_cluster = PageCount(kCluster), .disks = {{}}}});
  const VirtualAddress base = vm.commit(kPages);
  vm.fill(base, kPages);
  const auto written = [&] {
    static_cast<void>(vm.partition().vmmem().empty_working_set(host.cpu()));
    EXPECT_TRUE(host.manager().flush_modified(host.cpu()));
    return host.manager().counters().page_file_pages_written;
  };
  const std::uint64_t before = written();

  for (std::uint64_t i = 0; i < kPages.value(); i += kCluster) vm.must_put(base, i, 7);
  // One page in a cluster, and some of the guest's page tables.
  EXPECT_LE(written() - before, kPages.value() / kCluster + 4);
  EXPECT_EQ(vm.check(), "");
}

// What a guest's program does costs the same beside many guests on a host that has 60 % of what it promised them.
TEST(GuestCosts, AnOperationOfAGuestIsAsFastBesideSixtyGuests) {
  static constexpr std::uint64_t kOperations = 6000;
  const auto cost = [](unsigned guests) {
    std::string text = fmt::format(
        "[host]\nmemory = '{}KiB'\nprocessors = 4\n[[disk]]\nname = 'd'\ncapacity = '4GiB'\nstore = 'memory'\n"
        "[[page_file]]\ndisk = 'd'\nminimum = '{}MiB'\n",
        guests * 1024 * 6 / 10 * 4, guests * 8);
    for (unsigned i = 0; i < guests; ++i)
      text += fmt::format(
          "[[vm]]\nname = 'v{}'\nmemory = '4MiB'\n[[vm.process]]\nname = 'p'\n"
          "program = {{ kind = 'zipf', memory = '3MiB', operations = {} }}\n",
          i, kOperations);
    const auto simulation = *sim::Simulation::create(sim::testing::parsed(text), {});
    return cost_of(guests * kOperations, [&] { EXPECT_TRUE(simulation->run()); });
  };
  EXPECT_TRUE(does_not_grow([&] { return cost(4); }, [&] { return cost(60); }, 1.3));
}

TEST(GuestCosts, InvlpgUnderShadowPagingIsAsFastBesideMoreProcesses) {
  constexpr std::uint64_t kOperations = 2000;
  const auto cost = [](unsigned processes) {
    TestHost host({.frames = PageCount(40'000)});
    TestVm vm(
        host,
        {.partition = {
             .memory = pages_of(32_MiB), .mmu = MmuKind::kShadow, .shadow_limit = PageCount(8192), .disks = {{}}}});
    VirtualAddress base;
    mm::ProcessSpace* space = nullptr;
    for (unsigned i = 0; i < processes; ++i) {
      space = *vm.manager().create_space(vm.cpu(), {});
      vm.manager().attach(vm.cpu(), *space);
      base = VirtualAddress(space->reserve({.size = 16_KiB, .commit = mm::MemCommit::kYes})->first);
      vm.fill(base, pages_of(16_KiB));
    }
    return cost_of(kOperations, [&] {
      for (std::uint64_t i = 0; i < kOperations; ++i) vm.cpu().invalidate_page(base, space->asid());
    });
  };
  EXPECT_TRUE(does_not_grow([&] { return cost(16); }, [&] { return cost(256); }));
}

}  // namespace
}  // namespace pagoda::hv::testing
