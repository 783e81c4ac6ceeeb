// A page that is still in memory: on standby or modified, being written, or being read for another fault.
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm::fault {

Outcome transition(Context& c) {
  const bool writes = c.fault.access == machine::Access::kWrite;
  Outcome outcome{Status::kSuccess, FaultKind::kTransitionStandby};
  Pfn frame = kNoPfn;
  auto dirty = PteCodec::Dirty::kNo;
  {
    const LockGuard guard(c.core.pfns.lock);
    // While the space's lock alone was held the frame may have been repurposed.
    c.raw = c.core.load(c.cpu, c.pte);
    if (!PteCodec::is_transition(c.raw)) return {Status::kSuccess, FaultKind::kSpurious, false};
    frame = c.core.codec.frame(c.raw);
    const PfnEntry& entry = c.core.pfns.entry(frame);
    if (entry.read_in_progress) {
      c.being_read = frame;
      return {Status::kSuccess, FaultKind::kCollided};
    }
    if (entry.awaited) {
      outcome.counted = false;  // The page that the fault before this one read.
    } else if (entry.state != PageState::kStandby) {
      outcome.kind = FaultKind::kTransitionModified;
    }
    c.core.pfns.rescue(frame);
    if (writes) {
      c.core.pfns.make_dirty(frame);
      dirty = PteCodec::Dirty::kYes;
    }
  }
  make_room(c.space, c.cpu);
  map(c, frame, dirty);
  c.core.note(c.cpu, outcome.counted ? EventKind::kRescued : EventKind::kMapped, c.pte, frame, c.raw);
  return outcome;
}

}  // namespace pagoda::mm::fault
