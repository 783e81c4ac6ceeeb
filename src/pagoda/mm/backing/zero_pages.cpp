#include "pagoda/mm/backing/zero_pages.h"

#include "pagoda/base/zero_scan.h"

namespace pagoda::mm {

bool forget_if_zero(Core& core, Processor& cpu, Pfn frame) {
  if (!core.tunables.find_zero_pages) return false;
  if (!is_zero(cpu.physical().bytes(frame, machine::Access::kRead).bytes())) return false;
  cpu.charge(core.machine.costs().scan_page);
  core.note(cpu, EventKind::kZeroFound, core.pfns.entry(frame).pte(), frame);
  core.pfns.forget_zero(cpu, frame);
  ++core.counters.zero_pages_found;
  return true;
}

}  // namespace pagoda::mm
