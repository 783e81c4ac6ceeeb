#include "pagoda/mm/backing/zero_pages.h"

#include "pagoda/base/zero_scan.h"

namespace pagoda::mm {

namespace {

std::uint64_t& by(Counters& counters, ZeroFinder finder) {
  switch (finder) {
    case ZeroFinder::kWriter:
      return counters.zero_pages_by_writer;
    case ZeroFinder::kTrim:
      return counters.zero_pages_by_trim;
    case ZeroFinder::kHint:
      break;
  }
  return counters.zero_pages_by_hint;
}

}  // namespace

bool forget_if_zero(Core& core, Processor& cpu, Pfn frame, ZeroFinder finder) {
  if (!core.tunables.find_zero_pages) return false;
  if (!is_zero(cpu.physical().bytes(frame, machine::Access::kRead).bytes())) return false;
  cpu.charge(core.machine.costs().scan_page);
  core.note(cpu, EventKind::kZeroFound, core.pfns.entry(frame).pte(), frame);
  core.pfns.forget_zero(cpu, frame);
  ++core.counters.zero_pages_found;
  ++by(core.counters, finder);
  return true;
}

}  // namespace pagoda::mm
