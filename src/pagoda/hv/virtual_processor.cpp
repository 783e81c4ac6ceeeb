#include "pagoda/hv/virtual_processor.h"

namespace pagoda::hv {

using machine::Access;

VirtualProcessor::VirtualProcessor(machine::Machine& machine, unsigned number, SecondLevel& second_level,
                                   const GuestTables& tables, const PartitionConfig& config, PartitionCounts& counts)
    : tables_(tables),
      guest_(machine, number, machine::PhysicalView(*this), config.tlb),
      world_(guest_, second_level.memory(), counts),
      view_(second_level, world_, config, counts) {
  if (tables_.shadow != nullptr) tables_.shadow->attach(view_);
  if (tables_.paravirtual != nullptr) tables_.paravirtual->attach(view_);
}

VirtualProcessor::~VirtualProcessor() { PAGODA_CHECK(!view_.tlb().pins_any()); }

std::byte* VirtualProcessor::pin(Pfn frame, Access use, machine::FrameExtent part) {
  if (interruption_ != nullptr) [[unlikely]]
    interruption_->before_access();
  if (use == Access::kWrite) {
    if (tables_.shadow != nullptr) tables_.shadow->before_write(world_, to_gfn(frame), part);
    if (tables_.paravirtual != nullptr) tables_.paravirtual->before_write(view_, to_gfn(frame), part);
  }
  return view_.pin(to_gfn(frame), use);
}

const std::byte* VirtualProcessor::reach_for_load(Pfn frame, machine::FrameExtent /*part*/) {
  if (interruption_ != nullptr) [[unlikely]]
    interruption_->before_access();
  return view_.reach(to_gfn(frame), Access::kRead);
}

void VirtualProcessor::unpin(Pfn frame, Access use, machine::FrameExtent part) {
  view_.unpin(to_gfn(frame), use);
  if (use != Access::kWrite) return;
  if (tables_.shadow != nullptr) tables_.shadow->after_write(to_gfn(frame), part);
  if (tables_.paravirtual != nullptr) tables_.paravirtual->after_write(view_, to_gfn(frame), part);
}

machine::TlbBytes VirtualProcessor::reach_for_tlb(Pfn frame, Access use, VirtualAddress va, machine::Asid asid) {
  if (tables_.shadow != nullptr && guest_.machine().refill() == machine::TlbRefill::kSoftware)
    tables_.shadow->tlb_written(world_);
  return view_.reach_for_tlb(to_gfn(frame), use, va, asid);
}

}  // namespace pagoda::hv
