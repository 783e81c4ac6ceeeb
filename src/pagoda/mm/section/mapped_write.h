// Writing pages of a file back to it: what the mapped page writer and a flush share.
#pragma once

#include <span>

#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/section/file_stream.h"

namespace pagoda::mm {

struct MappedWrite {
  Status status = Status::kSuccess;
  Time completes;
};
// Writes frames to consecutive pages of the segment from `first` on, by one transfer, which PendingIo ends.
// Requires: `begin_write` was called for the frames; the PFN lock is not held.
MappedWrite write_mapped(Core& core, Processor& cpu, FileStream& file, PageCount first, std::span<const Pfn> frames);

}  // namespace pagoda::mm
