#include "pagoda/hv/virtual_machine.h"

#include "pagoda/hv/partition.h"
#include "pagoda/hv/virtual_disk.h"

namespace pagoda::hv {

using machine::FrameRange;
using machine::HeatHint;

VirtualMachine::VirtualMachine(Partition& partition, const machine::CostModel& costs)
    : partition_(partition), costs_(costs) {
  for (const machine::DiskModel& model : partition.config().disks) {
    sim_disks_.push_back(std::make_unique<machine::SimDisk>(model));
    disks_.push_back(std::make_unique<VirtualDisk>(partition, *sim_disks_.back()));
    disk_pointers_.push_back(disks_.back().get());
  }
}

VirtualMachine::~VirtualMachine() = default;

const machine::PagingMode& VirtualMachine::paging() const { return machine::paging_mode(partition_.config().paging); }

machine::TlbRefill VirtualMachine::refill() const { return partition_.config().refill; }

PageCount VirtualMachine::frame_count() const { return partition_.config().memory; }

void VirtualMachine::shoot_down(machine::Processor& initiator, const machine::ProcessorSet& targets, machine::Asid asid,
                                VpnRange pages) {
  processors_.shoot_down(initiator, targets, asid, pages);
}

machine::Hypercalls::Capabilities VirtualMachine::query_capabilities(machine::Processor& cpu) {
  const PartitionConfig& config = partition_.config();
  partition_.hypercall(partition_.processor(cpu.number()), [](mm::Processor&) {});
  return {.cold_hint = config.cold_hints,
          .hot_hint = config.hot_hints,
          .cold_discard_hint = config.cold_discard_hints,
          .memory_report = true,
          .reporting_granule = config.fault_cluster};
}

bool VirtualMachine::accepts(HeatHint hint) const {
  const PartitionConfig& config = partition_.config();
  switch (hint) {
    case HeatHint::kCold:
      return config.cold_hints;
    case HeatHint::kHot:
      return config.hot_hints;
    case HeatHint::kColdDiscard:
      return config.cold_discard_hints;
  }
  return false;
}

Result<> VirtualMachine::heat_hint(machine::Processor& cpu, HeatHint hint, std::span<const FrameRange> ranges) {
  return partition_.hypercall(partition_.processor(cpu.number()), [&](mm::Processor& host) -> Result<> {
    if (ranges.empty() || ranges.size() > kMostRanges) return fail(Status::kInvalidParameter);
    for (const FrameRange& range : ranges)
      if (!partition_.map().is_memory(range)) return fail(Status::kInvalidParameter);
    if (!accepts(hint)) return fail(Status::kNotSupported);
    for (const FrameRange& range : ranges) partition_.heat_hint(host, hint, range);
    return {};
  });
}

Result<> VirtualMachine::report_memory(machine::Processor& cpu, const MemoryReport& report) {
  partition_.hypercall(partition_.processor(cpu.number()), [](mm::Processor&) {});
  report_ = report;
  return {};
}

std::span<const machine::Hypercalls::DirectMap> VirtualMachine::direct_maps(machine::Processor& cpu) {
  partition_.hypercall(partition_.processor(cpu.number()), [](mm::Processor&) {});
  return direct_maps_;
}

}  // namespace pagoda::hv
