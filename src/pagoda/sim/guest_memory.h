// Where the host has the memory of a guest: counted from the page tables of the guest's host process.
#pragma once

#include "pagoda/hv/partition.h"
#include "pagoda/sim/vm_result.h"

namespace pagoda::sim {

// Counts all memory that is the guest's own; views of files are not. Takes locks of the host's manager.
GuestMemory guest_memory(hv::Partition& partition);

}  // namespace pagoda::sim
