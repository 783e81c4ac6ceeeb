#include "pagoda/mm/section/mapped_write.h"

namespace pagoda::mm {

MappedWrite write_mapped(Core& core, Processor& cpu, FileStream& file, PageCount first, std::span<const Pfn> frames) {
  // A page of a file's data has the same place in the segment and in the file.
  const machine::DiskTransfer transfer = file.file().write(cpu, FileOffset(bytes_of(first).value()), frames);
  const LockGuard guard(core.pfns.lock);
  ++core.counters.mapped_file_writes;
  ++file.writes;
  if (transfer.status == Status::kSuccess) {
    core.counters.mapped_file_pages_written += frames.size();
    core.io.add(transfer.completes, PendingIo::Transfer::Kind::kWrite, frames);
  } else {
    ++core.counters.write_errors;
    for (const Pfn frame : frames) core.note(cpu, EventKind::kWriteFailed, core.pfns.entry(frame).pte(), frame);
    core.io.add(transfer.completes, PendingIo::Transfer::Kind::kFailedWrite, frames);
  }
  return {transfer.status, transfer.completes};
}

}  // namespace pagoda::mm
