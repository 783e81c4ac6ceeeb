#include "pagoda/hv/virtual_machine.h"

#include <utility>

#include "pagoda/hv/virtual_disk.h"

namespace pagoda::hv {

using machine::FrameRange;
using machine::HeatHint;

VirtualMachine::VirtualMachine(const PartitionConfig& config, SecondLevel& second_level, const GuestTables& tables,
                               PartitionCounts& counts)
    : config_(config),
      second_level_(second_level),
      counts_(counts),
      costs_(second_level.memory().host().machine().costs()) {
  GuestMemory& memory = second_level.memory();
  for (unsigned number = 0; number < config.processors; ++number) {
    virtual_processors_.push_back(
        std::make_unique<VirtualProcessor>(*this, number, second_level, tables, config, counts));
    processors_.add(virtual_processors_.back()->guest());
  }
  for (const machine::DiskModel& model : config.disks) {
    // What it reaches is the host's memory, not the guest's.
    machine::DiskModel of_guest = model;
    of_guest.reach.reset();
    sim_disks_.push_back(std::make_unique<machine::SimDisk>(std::move(of_guest)));
    HotIoPages* hot = nullptr;
    if (model.reach) {
      const Pfn end = PhysicalAddress(model.reach->value()).pfn();
      hot = hot_pages_.emplace_back(std::make_unique<HotIoPages>(second_level, counts, end)).get();
    }
    disks_.push_back(std::make_unique<VirtualDisk>(memory, *sim_disks_.back(), hot, virtual_processors_));
    disk_pointers_.push_back(disks_.back().get());
  }
  if (config.balloon) balloon_.emplace(*this, memory, counts, *config.balloon);
  for (const GuestMemory::DirectMap& file : memory.direct_maps())
    direct_maps_.push_back({.name = file.name, .frames = to_guest_pfns(file.frames), .size = file.size});
}

VirtualMachine::~VirtualMachine() = default;

const machine::PagingMode& VirtualMachine::paging() const { return machine::paging_mode(config_.paging); }

void VirtualMachine::shoot_down(machine::Processor& initiator, const machine::CachedSpace& space,
                                std::span<const machine::StaleRun> runs) {
  processors_.shoot_down(initiator, space, runs);
}

machine::Hypercalls::Capabilities VirtualMachine::query_capabilities(machine::Processor& cpu) {
  hypercall(cpu, [](mm::Processor&) {});
  return {.cold_hint = config_.cold_hints,
          .hot_hint = config_.hot_hints,
          .cold_discard_hint = config_.cold_discard_hints,
          .memory_report = true,
          .reporting_granule = config_.fault_cluster};
}

bool VirtualMachine::accepts(HeatHint hint) const {
  switch (hint) {
    case HeatHint::kCold:
      return config_.cold_hints;
    case HeatHint::kHot:
      return config_.hot_hints;
    case HeatHint::kColdDiscard:
      return config_.cold_discard_hints;
  }
  return false;
}

Result<> VirtualMachine::heat_hint(machine::Processor& cpu, HeatHint hint, std::span<const FrameRange> ranges) {
  return hypercall(cpu, [&](mm::Processor& host) -> Result<> {
    if (ranges.empty() || ranges.size() > kMostRanges) return fail(Status::kInvalidParameter);
    for (const FrameRange& range : ranges)
      if (!second_level_.memory().map().is_memory(to_gfns(range))) return fail(Status::kInvalidParameter);
    if (!accepts(hint)) return fail(Status::kNotSupported);
    for (const FrameRange& range : ranges) second_level_.heat_hint(host, hint, to_gfns(range));
    return {};
  });
}

Result<> VirtualMachine::report_memory(machine::Processor& cpu, const MemoryReport& report) {
  hypercall(cpu, [](mm::Processor&) {});
  second_level_.memory().report(report);
  return {};
}

std::span<const machine::Hypercalls::DirectMap> VirtualMachine::direct_maps(machine::Processor& cpu) {
  hypercall(cpu, [](mm::Processor&) {});
  return direct_maps_;
}

}  // namespace pagoda::hv
