#include "pagoda/mm/threads/modified_run.h"

#include <algorithm>

namespace pagoda::mm {

ModifiedRun modified_run(const Core& core, const Processor& cpu, Pfn head, std::size_t most) {
  const ByteCount width(core.mode.entry_bytes);
  const PfnEntry& first = core.pfns.entry(head);
  const auto modified_at = [&](PhysicalAddress pte) -> Pfn {
    if (pte.pfn() != first.pte().pfn()) return kNoPfn;
    const RawPte raw = core.load(cpu, pte);
    if (!PteCodec::is_transition(raw)) return kNoPfn;
    const Pfn frame = core.codec.frame(raw);
    const PfnEntry& entry = core.pfns.entry(frame);
    const bool belongs =
        entry.state == PageState::kModified && entry.pte() == pte && entry.maps_file() == first.maps_file();
    return belongs ? frame : kNoPfn;
  };
  ModifiedRun run{.pte = first.pte()};
  most = std::min(most, run.frame.size());
  for (std::size_t n = 1; n < most && modified_at(run.pte - width) != kNoPfn; ++n) run.pte = run.pte - width;
  for (PhysicalAddress pte = run.pte; run.count < most; pte += width) {
    const Pfn frame = modified_at(pte);
    if (frame == kNoPfn) break;
    run.frame[run.count++] = frame;
  }
  return run;
}

}  // namespace pagoda::mm
