// Page tables leave memory. NT: the page of a page table is in the working set, and is trimmed like any other.
//
// A table whose entries are neither valid nor in transition says where pages are that are somewhere else; it goes to the
// modified list, and from there to a paging file. One with entries in the compression store stays until they have gone on
// to a paging file (ModifiedWriter::evict_cluster): the store knows its pages by where their entries lie
// (backing/compression_store.h).
#pragma once

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

// Up to `most` tables of the space go out, from where the last such call ended on: those before are there for a reason,
// most of them, and there may be many. Returns how many did.
PageCount trim_tables(AddressSpace& space, Processor& cpu, PageCount most) PAGODA_REQUIRES(space.lock);

}  // namespace pagoda::mm
