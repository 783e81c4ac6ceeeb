#include "pagoda/machine/sim/sim_processor_list.h"

#include <algorithm>

#include "pagoda/base/interleave.h"

namespace pagoda::machine {

void SimProcessorList::shoot_down(Processor& initiator, const CachedSpace& space,
                                  std::span<const StaleRun> runs) const {
  PAGODA_DCHECK(!runs.empty());
  PAGODA_INTERLEAVING_WINDOW();
  PageCount pages;
  Vpn first = runs.front().pages.first;
  Vpn end = first;
  for (const StaleRun& run : runs) {
    pages += run.pages.count;
    first = std::min(first, run.pages.first);
    end = std::max(end, run.pages.end());
  }
  space.loaded_on.for_each([&](unsigned number) {
    SimProcessor& cpu = *all_[number];
    if (&cpu != &initiator) {
      cpu.take_shootdown();
      initiator.charge(initiator.machine().costs().shootdown);
    }
    if (pages > kSinglePageCeiling) {
      cpu.invalidate_range(VpnRange::between(first, end), space.asid);
      return;
    }
    for (const StaleRun& run : runs)
      for (Vpn page = run.pages.first; page < run.pages.end(); ++page)
        cpu.invalidate_page(VirtualAddress(page), space.asid);
  });
}

}  // namespace pagoda::machine
