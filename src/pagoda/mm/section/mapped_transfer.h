// Transfers between the pages of a segment and its file: a page is read with its neighbours, into frames that belong to
// the control area; modified neighbours are written together.
#pragma once

#include <span>

#include "pagoda/mm/backing/cluster_read.h"
#include "pagoda/mm/section/control_area.h"

namespace pagoda::mm {

struct MappedRead {
  Status status = Status::kSuccess;  // kInPageError, kNoMemory.
  bool started = false;              // False: somebody else has the page already; look again.
  Time completes;
};
// Starts reading the page of the segment, whose prototype PTE was in subsection form. Does not wait.
MappedRead read_mapped(Core& core, Processor& cpu, const ControlArea& area, PageCount page)
    PAGODA_EXCLUDES(core.pfns.lock);

struct MappedWrite {
  Status status = Status::kSuccess;
  Time completes;
};
// Writes frames, for which `begin_write` was called, to consecutive pages of the segment from `first` on. Their end is
// due like that of any transfer.
MappedWrite write_mapped(Core& core, Processor& cpu, FileStream& file, PageCount first, std::span<const Pfn> frames)
    PAGODA_EXCLUDES(core.pfns.lock);

}  // namespace pagoda::mm
