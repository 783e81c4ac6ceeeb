// A page of a region of device frames that was not touched before: the frame is there, and only has to be mapped.
#include "pagoda/mm/fault/fault.h"

namespace pagoda::mm::fault {

Outcome device_frame(Context& c, const Vad& vad) {
  const Pfn frame = vad.extra->device->frame_of(c.page);
  const RawPte before = c.raw;
  c.raw = c.core.codec.valid(frame, c.protection, PteCodec::Owner::kUser, PteCodec::Dirty::kNo);
  c.space.tables().store(c.cpu, c.pte, c.raw);
  {
    const LockGuard guard(c.core.pfns.lock);
    c.core.pfns.add_table_share(c.pte.pfn());
  }
  c.core.note(c.cpu, EventKind::kMapped, c.pte, frame, before);
  if (c.fault.access == machine::Access::kWrite) {
    // Without a frame for the copy the page is mapped all the same, and the write comes again.
    const Outcome copied = copy_on_write(c);
    if (copied.status == Status::kSuccess) return copied;
  }
  return {Status::kSuccess, FaultKind::kShared};
}

}  // namespace pagoda::mm::fault
