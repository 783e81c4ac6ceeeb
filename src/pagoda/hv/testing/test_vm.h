// For tests: a small host with a memory manager, partitions on it, and in each of them a guest's memory manager with
// one space.
//
//   TestHost host({.frames = PageCount(512)});
//   TestVm vm(host, {.memory = 4_MiB});
//   const VirtualAddress base = vm.commit(PageCount(16));
//   vm.must_put(base, 1, 42);
//   EXPECT_EQ(vm.check(), "");
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/hv/check.h"
#include "pagoda/hv/partition.h"
#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/mm/check/check.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::hv::testing {

inline constexpr std::array kAllMmus{MmuKind::kNested, MmuKind::kShadow, MmuKind::kParavirtual};

struct TestHostConfig {
  PageCount frames{2048};
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  unsigned processors = 5;  // Number 0 is the host's own; the others are for virtual processors.
  ByteCount paging_file = 64_MiB;
  mm::Tunables tunables = mm::testing::small_tunables();
};

class TestHost {
 public:
  explicit TestHost(const TestHostConfig& config = {})
      : machine_(*machine::SimMachine::create(
            {.frames = config.frames, .paging = config.paging, .processors = config.processors, .disks = {{}}})),
        manager_(*mm::MemoryManager::create(
            *machine_, {.tunables = config.tunables,
                        .paging_files = {{.disk = 0, .minimum = config.paging_file, .maximum = config.paging_file}}})) {
  }

  [[nodiscard]] machine::SimMachine& machine() { return *machine_; }
  [[nodiscard]] mm::MemoryManager& manager() { return *manager_; }
  [[nodiscard]] machine::SimProcessor& cpu() { return machine_->processor(0); }
  // Each of the partition's virtual processors runs on a processor of this host, used for nothing else, for good.
  void dispatch(Partition& partition) {
    for (unsigned number = 0; number < partition.processor_count(); ++number)
      partition.processor(number).world().enter(machine_->processor(next_processor_++));
  }
  // Others take frames, at most so many, until none is on standby, and give them back: the next access to pages that
  // were on standby reads them from the paging file.
  void reuse_standby(PageCount most = PageCount(~std::uint64_t{0})) {
    mm::PfnDatabase& pfns = manager_->core().pfns;
    const LockGuard guard(pfns.lock);
    std::vector<Pfn> held;  // Frames given back at once would be taken again.
    for (; !most.is_zero() && pfns.lists().oldest_standby() != kNoPfn; --most) {
      held.push_back(pfns.take_kept(cpu(), mm::Contents::kAny)->frame);
      cpu().physical().zero(held.back());
    }
    for (const Pfn frame : held) pfns.give_back(frame, mm::Contents::kAny);
  }
  [[nodiscard]] std::string check() { return mm::testing::TestMachine::check_manager(*manager_, cpu()); }

 private:
  std::unique_ptr<machine::SimMachine> machine_;
  std::unique_ptr<mm::MemoryManager> manager_;
  unsigned next_processor_ = 1;
};

// A guest that does not look at pages before it writes them.
inline mm::Tunables guest_tunables() {
  mm::Tunables tunables = mm::testing::small_tunables();
  tunables.find_zero_pages = false;
  return tunables;
}

struct TestVmConfig {
  PartitionConfig partition{.memory = pages_of(2_MiB), .disks = {{}}};
  mm::Tunables tunables = guest_tunables();
  ByteCount paging_file = 16_MiB;
};

class TestVm : public mm::testing::ProgramMemory<TestVm> {
 public:
  explicit TestVm(TestHost& host, TestVmConfig config = {}) : host_(host) {
    partition_ = *Partition::create(host.manager(), host.cpu(), config.partition);
    host.dispatch(*partition_);
    std::vector<mm::PagingFileConfig> files;
    if (!config.partition.disks.empty())
      files.push_back({.disk = 0, .minimum = config.paging_file, .maximum = config.paging_file});
    manager_ = *mm::MemoryManager::create(partition_->machine(),
                                          {.tunables = config.tunables, .paging_files = files, .depth = 1});
    space_ = *manager_->create_space(cpu(), {});
    for (unsigned number = 0; number < config.partition.processors; ++number) manager_->attach(cpu(number), *space_);
  }

  [[nodiscard]] Partition& partition() { return *partition_; }
  [[nodiscard]] mm::MemoryManager& manager() { return *manager_; }
  [[nodiscard]] mm::ProcessSpace& space() { return *space_; }
  [[nodiscard]] machine::SimProcessor& cpu(unsigned number = 0) { return partition_->machine().processor(number); }

  // What the checkers of the guest, of the caches between and of the host find; empty for healthy machines.
  [[nodiscard]] std::string check() {
    return mm::testing::TestMachine::check_manager(*manager_, cpu()) + hv::to_string(hv::check(*partition_)) +
           host_.check();
  }

 private:
  TestHost& host_;
  std::unique_ptr<Partition> partition_;
  std::unique_ptr<mm::MemoryManager> manager_;
  mm::ProcessSpace* space_ = nullptr;
};

}  // namespace pagoda::hv::testing
