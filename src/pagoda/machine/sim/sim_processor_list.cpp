#include "pagoda/machine/sim/sim_processor_list.h"

namespace pagoda::machine {

void SimProcessorList::shoot_down(Processor& initiator, const ProcessorSet& targets, Asid asid, VpnRange pages) const {
  for (SimProcessor* const cpu : all_) {
    if (!targets.contains(cpu->number())) continue;
    if (cpu != &initiator) {
      cpu->take_shootdown();
      initiator.charge(initiator.machine().costs().shootdown);
    }
    if (pages.count > kSinglePageCeiling) {
      cpu->invalidate_range(pages, asid);
      continue;
    }
    for (Vpn page = pages.first; page < pages.end(); ++page) cpu->invalidate_page(VirtualAddress(page), asid);
  }
}

}  // namespace pagoda::machine
