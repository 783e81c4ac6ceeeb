#include "pagoda/machine/sim/sim_machine.h"

#include <utility>

namespace pagoda::machine {

Result<std::unique_ptr<SimMachine>> SimMachine::create(SimMachineConfig config) {
  const PagingMode& mode = paging_mode(config.paging);
  if (config.frames.is_zero() || config.frames > mode.max_frames() || config.frames.value() >= kNoPfn.value() ||
      config.processors == 0 || config.processors > kMostProcessors || config.costs.cycles_per_us == 0)
    return fail(Status::kInvalidParameter);
  for (const DiskModel& disk : config.disks)
    if (disk.bandwidth_per_second.is_zero()) return fail(Status::kInvalidParameter);
  auto memory = PAGODA_TRY(PhysicalMemory::create(config.frames, config.frame_memory));
  return std::unique_ptr<SimMachine>(new SimMachine(std::move(config), std::move(memory)));
}

SimMachine::SimMachine(SimMachineConfig config, PhysicalMemory memory)
    : config_(std::move(config)), memory_(std::move(memory)) {
  for (unsigned number = 0; number < config_.processors; ++number) {
    owned_processors_.push_back(
        std::make_unique<SimProcessor>(*this, number, memory_.view(), config_.tlb, config_.driving));
    processors_.add(*owned_processors_.back());
  }
  for (const DiskModel& model : config_.disks) {
    disks_.push_back(std::make_unique<SimDisk>(model));
    disk_pointers_.push_back(disks_.back().get());
  }
}

void SimMachine::shoot_down(Processor& initiator, const CachedSpace& space, std::span<const StaleRun> runs) {
  processors_.shoot_down(initiator, space, runs);
}

}  // namespace pagoda::machine
