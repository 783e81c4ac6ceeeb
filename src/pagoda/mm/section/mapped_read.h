// Reading a page of a mapped file, with its neighbours, into frames that belong to the control area.
#pragma once

#include <optional>

#include "pagoda/mm/backing/cluster_read.h"
#include "pagoda/mm/section/control_area.h"

namespace pagoda::mm {

struct MappedRead {
  Status status = Status::kSuccess;  // kInPageError, kNoMemory.
  std::optional<Cluster> cluster;    // For `finish_read`; none: another read has the page already, look again.
};
// Begins to read the page of the segment, whose prototype PTE was in subsection form. Requires: the area lives
// meanwhile; it need not while the disk works.
MappedRead begin_mapped_read(Core& core, Processor& cpu, const ControlArea& area, PageCount page)
    PAGODA_EXCLUDES(core.pfns.lock);

}  // namespace pagoda::mm
