// A private page in the compression store: a soft fault, since no disk is asked. It keeps its slot until it is written,
// like a page that was read from a paging file.
#include <span>

#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm::fault {

Outcome compressed(Context& c) {
  Pfn frame = kNoPfn;
  auto dirty = PteCodec::Dirty::kNo;
  {
    const LockGuard guard(c.core.pfns.lock);
    // The writer may be moving the page to a paging file.
    c.raw = c.core.load(c.cpu, c.pte);
    if (!c.core.is_compressed(c.raw)) return {Status::kSuccess, FaultKind::kSpurious, false};
    const auto taken = c.core.pfns.take(c.cpu, Contents::kAny);
    if (!taken) return {Status::kNoMemory};
    frame = taken->frame;
    c.core.backing_of(c.raw).read(c.cpu, c.core.codec.slot(c.raw), std::span(&frame, 1));
    ++c.core.counters.pages_decompressed;
    c.core.pfns.make_active(frame, c.pte, c.raw);
    // An eviction goes by the entry alone: from here on it must not say that the page is in the store and nowhere else, nor name
    // a slot that the page has given up.
    if (!PAGODA_FAULT_SWITCH(page_in_memory_is_stored_by_its_entry))
      c.space.tables().replace(c.cpu, c.pte, c.core.codec.transition(frame, c.protection));
    if (c.fault.access == machine::Access::kWrite) {
      c.core.pfns.make_dirty(frame);
      dirty = PteCodec::Dirty::kYes;
    }
  }
  make_room(c.space, c.cpu);
  map(c, frame, dirty);
  c.core.note(c.cpu, EventKind::kDecompressed, c.pte, frame, c.raw);
  return {Status::kSuccess, FaultKind::kCompressed};
}

}  // namespace pagoda::mm::fault
