// What leaves a working set: replacement when it is full, trimming when memory is short, and the ages that trimming
// uses. NT: MiReplaceWorkingSetEntry, MmTrimWorkingSet.
//
// Tunables::victim names the policy that chooses the pages (replacement_policy.h); they leave by an EvictionBatch.
#pragma once

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

// Whether a page can be added at all, in another's place if need be: else all are locked, and there is no memory for a
// larger working set.
[[nodiscard]] inline bool has_room_for_page(AddressSpace& space, bool shared) PAGODA_REQUIRES(space.lock) {
  WorkingSet& ws = space.working_set();
  return ws.has_room() && (!shared || ws.has_room_for_shared());
}

// Before a page is added: a working set at its maximum replaces one page (a soft maximum only while memory is not
// plentiful). It grows if all pages are locked.
void make_room(AddressSpace& space, Processor& cpu) PAGODA_REQUIRES(space.lock);

// One aging pass: entries accessed since the last become young, others one step older.
void age_working_set(AddressSpace& space, Processor& cpu) PAGODA_REQUIRES(space.lock);

// Up to `wanted` pages of at least the age leave, none once only `floor` pages are left. Returns how many left.
PageCount trim_working_set(AddressSpace& space, Processor& cpu, PageCount wanted, PageCount floor, unsigned age)
    PAGODA_REQUIRES(space.lock);

}  // namespace pagoda::mm
