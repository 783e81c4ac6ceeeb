#include "pagoda/hv/shadow_mmu.h"

#include "pagoda/hv/partition.h"

namespace pagoda::hv {

std::expected<machine::Translation, machine::PageFault> ShadowMmu::walk(machine::Processor& cpu, VirtualAddress va,
                                                                        machine::Access access,
                                                                        machine::Privilege privilege,
                                                                        std::uint64_t& loads) {
  VirtualProcessor& vcpu = partition_.processor(cpu.number());
  return machine::walk(vcpu.unwatched(), cpu.machine().paging(), cpu.root(), va, access, privilege, cpu.walk_rules(),
                       loads);
}

void ShadowMmu::root_loaded(machine::Processor& /*cpu*/) {}
void ShadowMmu::rules_changed(machine::Processor& /*cpu*/) {}
void ShadowMmu::page_invalidated(machine::Processor& /*cpu*/, VirtualAddress /*va*/, machine::Asid /*asid*/) {}
void ShadowMmu::space_invalidated(machine::Processor& /*cpu*/, machine::Asid /*asid*/) {}
void ShadowMmu::all_invalidated(machine::Processor& /*cpu*/) {}
void ShadowMmu::before_write(VirtualProcessor& /*vcpu*/, Pfn /*frame*/, machine::FrameExtent /*part*/) {}
void ShadowMmu::after_write(VirtualProcessor& /*vcpu*/, Pfn /*frame*/, machine::FrameExtent /*part*/) {}
void ShadowMmu::forget_frame(Pfn /*frame*/) {}
bool ShadowMmu::test_and_clear_accessed(Pfn /*frame*/) { return false; }

}  // namespace pagoda::hv
