#include "pagoda/sim/guest_memory.h"

namespace pagoda::sim {

GuestMemory guest_memory(hv::Partition& partition) {
  const hv::GuestMemory::Census census = partition.memory().census();
  const PageCount ballooned = partition.memory().ballooned().count();
  return {.active = census.active,
          .modified = census.modified,
          .standby = census.standby,
          .compressed = census.compressed,
          .page_file = census.page_file,
          .ballooned = ballooned,
          .nothing = census.nothing - ballooned};
}

}  // namespace pagoda::sim
