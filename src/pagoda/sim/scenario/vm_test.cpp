// [[vm]].
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "pagoda/sim/testing/small_scenario.h"

namespace pagoda::sim::testing {
namespace {

TEST(Scenario, AVirtualMachineHasWhatAHostHas) {
  const auto scenario = parse_scenario(with_vm(R"(paging = "pae"
processors = 2
mmu = "shadow"
backing = "pinned"
fault_cluster = "8KiB"
shadow_memory = "1MiB"
guest = "plain"
hints = { cold = false }
working_set = { maximum = "1MiB" }
[vm.memory_manager]
read_cluster = 3
find_zero_pages = false
compression_store = "512KiB"
victims = "random"
[[vm.disk]]
name = "d"
capacity = "16MiB"
[[vm.page_file]]
disk = "d"
minimum = "2MiB"
[[vm.process]]
name = "a"
program = { kind = "uniform", memory = "64KiB", operations = 5 }
[[vm.process]]
name = "b"
fork_of = "a"
[[vm]]
name = "w"
memory = "4MiB")"),
                                       "s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->processes.size(), 1U);
  EXPECT_EQ(scenario->manager.tunables->read_cluster, 8U);
  ASSERT_EQ(scenario->vms.size(), 2U);
  const VmConfig& vm = scenario->vms[0];
  EXPECT_EQ(vm.partition.name, "v");
  EXPECT_EQ(vm.partition.memory, 512_pages);
  EXPECT_EQ(vm.partition.paging, machine::PteFormat::kPae);
  EXPECT_EQ(vm.partition.processors, 2U);
  EXPECT_EQ(vm.partition.mmu, hv::MmuKind::kShadow);
  EXPECT_EQ(vm.partition.backing, hv::Backing::kPinned);
  EXPECT_EQ(vm.partition.fault_cluster, 2_pages);
  EXPECT_EQ(vm.partition.shadow_limit, 256_pages);
  EXPECT_EQ(vm.guest, VmConfig::GuestKind::kPlain);
  EXPECT_FALSE(vm.partition.cold_hints);
  EXPECT_TRUE(vm.partition.hot_hints && vm.partition.cold_discard_hints);
  EXPECT_EQ(vm.partition.limits->maximum, 256_pages);
  EXPECT_EQ(vm.partition.limits->minimum, 50_pages);
  EXPECT_EQ(vm.manager.tunables->read_cluster, 3U);
  EXPECT_FALSE(vm.manager.tunables->find_zero_pages);
  EXPECT_EQ(vm.manager.tunables->compression_budget, 128_pages);
  EXPECT_EQ(vm.manager.tunables->victim, mm::Tunables::Victim::kRandom);
  EXPECT_EQ(vm.manager.tunables->plenty_free, mm::Tunables::for_memory(512_pages).plenty_free);
  ASSERT_EQ(vm.partition.disks.size(), 1U);
  EXPECT_EQ(vm.injections.size(), 1U);
  ASSERT_EQ(vm.manager.paging_files.size(), 1U);
  ASSERT_EQ(vm.processes.size(), 2U);  // "a" is the name of a process of the host too.
  EXPECT_EQ(vm.processes[1].fork_of, 0U);
  EXPECT_EQ(scenario->vms[1].guest, VmConfig::GuestKind::kWindows);
  EXPECT_FALSE(scenario->vms[1].partition.limits);
}

const BadScenario kBadVms[] = {
    {"[run]", "[[vm]]\nmemory = \"2MiB\"\n[run]", {"bad.toml:21: vm.name: is missing"}},
    {"[run]", "[[vm]]\nname = \"v\"\n[run]", {"bad.toml:21: vm.memory: is missing"}},
    {"[run]", "[vm]\nname = \"v\"\n[run]", {"bad.toml:21: vm: must be an array of tables: [[vm]]"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"3MiB\"\nbacking = \"pinned\"\n[run]",
     {"bad.toml:23: vm.memory: must be a multiple of 2MiB where it is pinned"}},
    {"[run]", "[[vm]]\nname = \"v\"\nmemory = \"0B\"\n[run]", {"bad.toml:23: vm.memory: a guest of 0 B is too small"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"252KiB\"\n[run]",
     {"bad.toml:23: vm.memory: a guest of 252 KiB is too small to start; give it 256 KiB or more"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nmmu = \"ept\"\n[run]",
     {"bad.toml:24: vm.mmu: \"ept\" is not one of nested, shadow, paravirtual"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nmmu = \"paravirtual\"\nrefill = \"software\"\n[run]",
     {"bad.toml:24: vm.mmu: is \"paravirtual\", which needs refill = \"hardware\""}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nfault_cluster = \"12KiB\"\n[run]",
     {"bad.toml:24: vm.fault_cluster: must be a power of two from 4KiB to 2MiB"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nfault_cluster = \"4MiB\"\n[run]",
     {"bad.toml:24: vm.fault_cluster: must be a power of two"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nshadow_memory = \"4KiB\"\n[run]",
     {"bad.toml:24: vm.shadow_memory: must be at least 256 KiB"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nguest = \"linux\"\n[run]",
     {"bad.toml:24: vm.guest: \"linux\" is not one of plain, windows"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nhints = { warm = true }\n[run]",
     {"bad.toml:24: vm.hints.warm: is not a known key"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n[[vm.page_file]]\ndisk = \"ssd\"\nminimum = \"1MiB\"\n[run]",
     {"bad.toml:25: vm.page_file.disk: there is no disk \"ssd\""}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n[[vm.process]]\nname = \"b\"\nfork_of = \"a\"\n[run]",
     {"bad.toml:26: vm.process.fork_of: there is no process \"a\""}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n[run]",
     {"bad.toml:25: vm.name: there is a virtual machine \"v\" already"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nprocessors = 65\n[run]",
     {"bad.toml:24: vm.processors: must be a whole number from 1 to 64"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\n[[vm.process]]\nname = \"b\"\nworking_set = { minimum = \"4MiB\" }\n"
     "program = { kind = \"uniform\", memory = \"4KiB\", operations = 1 }\n[run]",
     {"bad.toml:21: vm.memory: the working-set minimums of the processes (4 MiB) are more than the guest \"v\" can "
      "keep",
      "raise vm.memory"}},
};

TEST(BadVirtualMachine, IsRefusedInOneLineWithFileLineKeyAndWhatToDo) { expect_refused(kBadVms); }

}  // namespace
}  // namespace pagoda::sim::testing
