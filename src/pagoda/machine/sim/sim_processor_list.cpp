#include "pagoda/machine/sim/sim_processor_list.h"

namespace pagoda::machine {

namespace {

// Above this many pages one flush of the space is cheaper than page by page. Choice, as Linux's
// tlb_single_page_flush_ceiling (33).
constexpr PageCount kSinglePageCeiling{33};

}  // namespace

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
