// The simulated machine: an arena of frames, processors with our own walker and TLB, disks over files, a virtual clock.
//
// Deterministic where one thread drives it (Driving::kOneThread). With Driving::kThreads each processor is driven by a thread of
// its own: shoot-downs cross between them, and the disks serve them all.
#pragma once

#include <memory>
#include <vector>

#include "pagoda/machine/machine.h"
#include "pagoda/machine/sim/physical_memory.h"
#include "pagoda/machine/sim/sim_disk.h"
#include "pagoda/machine/sim/sim_processor_list.h"

namespace pagoda::machine {

struct SimMachineConfig {
  PageCount frames = pages_of(64_MiB);
  PteFormat paging = PteFormat::kAmd64;
  unsigned processors = 1;
  TlbGeometry tlb = TlbGeometry::kLarge;
  TlbRefill refill = TlbRefill::kHardware;
  FrameMemory frame_memory = FrameMemory::kPrivate;
  Driving driving = Driving::kOneThread;
  CostModel costs;
  std::vector<DiskModel> disks;
};

class SimMachine : public Machine {
 public:
  // Choice: as many as NT takes (Windows Server 2022: 2048 logical processors). Each has a TLB of its own, of 400 KB in
  // the large geometry.
  static constexpr unsigned kMostProcessors = 2048;

  // Fails with: kInvalidParameter (no frames, more frames than the paging mode can name, no processor or more than
  // kMostProcessors, a clock or a disk that stands still); kInsufficientResources.
  static Result<std::unique_ptr<SimMachine>> create(SimMachineConfig config);

  [[nodiscard]] const PagingMode& paging() const override { return paging_mode(config_.paging); }
  [[nodiscard]] TlbRefill refill() const override { return config_.refill; }
  [[nodiscard]] PageCount frame_count() const override { return memory_.frames(); }
  [[nodiscard]] const CostModel& costs() const override { return config_.costs; }
  [[nodiscard]] std::span<Processor* const> processors() override { return processors_.interfaces(); }
  [[nodiscard]] std::span<Disk* const> disks() override { return disk_pointers_; }
  [[nodiscard]] Hypercalls* hypercalls() override { return nullptr; }
  [[nodiscard]] PageCount give_back_granule() const override { return PageCount(1); }
  void give_back(PfnRange frames) override { memory_.give_back(frames); }
  void shoot_down(Processor& initiator, const CachedSpace& space, std::span<const StaleRun> runs) override;

  [[nodiscard]] SimProcessor& processor(unsigned number = 0) { return processors_[number]; }
  [[nodiscard]] std::span<SimProcessor* const> sim_processors() const { return processors_.all(); }
  [[nodiscard]] SimDisk& sim_disk(unsigned number = 0) { return *disks_[number]; }
  [[nodiscard]] const PhysicalMemory& memory() const { return memory_; }
  [[nodiscard]] const SimMachineConfig& config() const { return config_; }

 private:
  SimMachine(SimMachineConfig config, PhysicalMemory memory);

  SimMachineConfig config_;
  PhysicalMemory memory_;
  std::vector<std::unique_ptr<SimProcessor>> owned_processors_;
  SimProcessorList processors_;
  std::vector<std::unique_ptr<SimDisk>> disks_;
  std::vector<Disk*> disk_pointers_;
};

}  // namespace pagoda::machine
