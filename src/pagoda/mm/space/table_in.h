// Page tables on their way back into memory: an upper entry in transition or page-file form becomes valid again.
#pragma once

#include "pagoda/mm/backing/entries_in.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

// Brings in the table that is out and nearest to the root on the way to the page's entry, or begins to. Once it is in,
// look again: the next one may be out too. Takes the PFN lock.
EntriesIn begin_table_in(AddressSpace& space, Processor& cpu, Vpn page, const PageTables::Out& out)
    PAGODA_REQUIRES(space.lock);

}  // namespace pagoda::mm
