// Pages of prototype PTEs leave memory, as page tables do (ws/table_trim.h). NT: they are in the working set of the
// system's paged pool, and trimmed like any other page there.
#pragma once

#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

// Up to `most` pages of prototype PTEs without a resident entry go to the modified list. A page with entries in the
// compression store stays until they have gone on to a paging file. Returns how many went.
PageCount trim_prototypes(Core& core, Processor& cpu, PageCount most) PAGODA_EXCLUDES(core.pfns.lock);

}  // namespace pagoda::mm
