// Page tables on their way back into memory: an upper entry in transition or page-file form becomes valid again.
#pragma once

#include <optional>

#include "pagoda/mm/backing/cluster_read.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

// What has begun to bring in a table.
struct TableIn {
  Status status = Status::kSuccess;  // kNoMemory: there is no frame; nothing has changed.
  std::optional<Cluster> read;       // The disk is to be asked, without the space's lock. Then look again.
  Pfn being_read = kNoPfn;           // Somebody else reads the table: wait for it, then look again.
};
// Brings in the table that is out and nearest to the root on the way to the page's entry, or begins to. None of both
// left to do: look again, the next one may be out too. Takes the PFN lock.
TableIn begin_table_in(AddressSpace& space, Processor& cpu, Vpn page, const PageTables::Out& out)
    PAGODA_REQUIRES(space.lock);

}  // namespace pagoda::mm
