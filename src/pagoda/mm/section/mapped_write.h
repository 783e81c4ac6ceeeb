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
// Writes frames to consecutive pages of the segment from `first` on, by the transfer, which has begun.
// Requires: the caller holds no lock of the manager's; the file lives meanwhile.
MappedWrite write_mapped(Core& core, Processor& cpu, FileStream& file, PageCount first, std::span<const Pfn> frames,
                         Transfers::Id transfer) PAGODA_EXCLUDES(core.pfns.lock);

}  // namespace pagoda::mm
