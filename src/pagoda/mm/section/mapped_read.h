// Reading a page of a mapped file, with its neighbours, into frames that belong to the control area.
#pragma once

#include "pagoda/mm/backing/cluster_read.h"
#include "pagoda/mm/section/control_area.h"

namespace pagoda::mm {

struct MappedRead {
  Status status = Status::kSuccess;  // kInPageError, kNoMemory.
  bool started = false;              // False: another read has the page already; look again.
  Time completes;
};
// Starts reading the page of the segment, whose prototype PTE was in subsection form. Does not wait.
MappedRead read_mapped(Core& core, Processor& cpu, const ControlArea& area, PageCount page)
    PAGODA_EXCLUDES(core.pfns.lock);

}  // namespace pagoda::mm
