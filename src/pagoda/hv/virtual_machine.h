// A partition from the inside: a machine like any other, on which a guest's memory manager runs.
//
//   auto partition = hv::Partition::create(host, cpu, {...});
//   auto guest = mm::MemoryManager::create((*partition)->machine(), {.depth = 1});
//
// Its disks are simulated disks of its own, whose transfers reach guest memory as a DMA does. Hypercalls arrive here,
// and here the guest's frame numbers in them become Gfns.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "pagoda/hv/balloon_device.h"
#include "pagoda/hv/hot_io_pages.h"
#include "pagoda/hv/virtual_processor.h"
#include "pagoda/machine/hypercalls.h"
#include "pagoda/machine/machine.h"
#include "pagoda/machine/sim/sim_disk.h"
#include "pagoda/machine/sim/sim_processor_list.h"

namespace pagoda::hv {

class VirtualMachine final : public machine::Machine, private machine::Hypercalls {
 public:
  // Makes the virtual processors and disks. All that is named outlives this.
  VirtualMachine(const PartitionConfig& config, SecondLevel& second_level, const GuestTables& tables,
                 PartitionCounts& counts);
  ~VirtualMachine() override;

  [[nodiscard]] const machine::PagingMode& paging() const override;
  [[nodiscard]] machine::TlbRefill refill() const override { return config_.refill; }
  [[nodiscard]] PageCount frame_count() const override { return config_.memory; }
  [[nodiscard]] const machine::CostModel& costs() const override { return costs_; }
  [[nodiscard]] std::span<machine::Processor* const> processors() override { return processors_.interfaces(); }
  [[nodiscard]] std::span<machine::Disk* const> disks() override { return disk_pointers_; }
  [[nodiscard]] machine::Hypercalls* hypercalls() override { return this; }
  // The device, for the guest's driver and for the host. Null: it has none.
  [[nodiscard]] BalloonDevice* balloon() override { return balloon_ ? &*balloon_ : nullptr; }
  void shoot_down(machine::Processor& initiator, const machine::CachedSpace& space,
                  std::span<const machine::StaleRun> runs) override;

  [[nodiscard]] machine::SimProcessor& processor(unsigned number = 0) { return processors_[number]; }
  [[nodiscard]] std::span<machine::SimProcessor* const> sim_processors() const { return processors_.all(); }
  [[nodiscard]] VirtualProcessor& virtual_processor(unsigned number) { return *virtual_processors_[number]; }
  [[nodiscard]] std::size_t processor_count() const { return virtual_processors_.size(); }
  [[nodiscard]] machine::SimDisk& sim_disk(unsigned number = 0) { return *sim_disks_[number]; }
  // What the guest last said about its memory.
  [[nodiscard]] const MemoryReport& last_report() const { return second_level_.memory().last_report(); }

 private:
  // machine::Hypercalls.
  Capabilities query_capabilities(machine::Processor& cpu) override;
  Result<> heat_hint(machine::Processor& cpu, machine::HeatHint hint,
                     std::span<const machine::FrameRange> ranges) override;
  Result<> report_memory(machine::Processor& cpu, const MemoryReport& report) override;
  std::span<const DirectMap> direct_maps(machine::Processor& cpu) override;
  [[nodiscard]] bool accepts(machine::HeatHint hint) const;

  // An exit that the guest asked for: runs `work(host processor)` in the host.
  template <class Work>
  decltype(auto) hypercall(machine::Processor& cpu, Work&& work) {
    ++counts_.hypercalls;
    return virtual_processors_[cpu.number()]->world().exit_to_host(std::forward<Work>(work));
  }

  const PartitionConfig& config_;
  SecondLevel& second_level_;
  PartitionCounts& counts_;
  const machine::CostModel costs_;
  std::vector<std::unique_ptr<VirtualProcessor>> virtual_processors_;
  machine::SimProcessorList processors_;
  std::vector<std::unique_ptr<machine::SimDisk>> sim_disks_;
  std::vector<std::unique_ptr<HotIoPages>> hot_pages_;  // Of the disks that do not reach all memory.
  std::vector<std::unique_ptr<machine::Disk>> disks_;   // The guest's way to them.
  std::vector<machine::Disk*> disk_pointers_;
  std::vector<DirectMap> direct_maps_;
  std::optional<BalloonDevice> balloon_;
};

}  // namespace pagoda::hv
