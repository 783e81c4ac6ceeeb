#include "pagoda/mm/section/mapped_write.h"

namespace pagoda::mm {

MappedWrite write_mapped(Core& core, Processor& cpu, FileStream& file, PageCount first, std::span<const Pfn> frames,
                         Transfers::Id transfer) {
  // A page of a file's data has the same place in the segment and in the file.
  const machine::DiskTransfer done = file.file().write(cpu, FileOffset(bytes_of(first).value()), frames);
  const bool written = done.status == Status::kSuccess;
  const LockGuard guard(core.pfns.lock);
  ++core.counters.mapped_file_writes;
  ++file.writes;
  if (written) {
    core.counters.mapped_file_pages_written += frames.size();
  } else {
    ++core.counters.write_errors;
    for (const Pfn frame : frames) core.note(cpu, EventKind::kWriteFailed, core.pfns.entry(frame).pte(), frame);
  }
  core.transfers.answered(transfer, done.completes,
                          written ? PfnDatabase::WriteOutcome::kWritten : PfnDatabase::WriteOutcome::kFailed);
  return {done.status, done.completes};
}

}  // namespace pagoda::mm
