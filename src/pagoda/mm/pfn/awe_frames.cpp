// Frames that a program has for its own and maps where it likes: region/user_pages.h.
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

void PfnDatabase::make_awe(Pfn frame, std::uint32_t index) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.state == PageState::kTransition && e.reference_count == 0);
  note_use(frame);
  e.state = PageState::kActive;
  e.awe = 1;
  e.awe_index = index;
  e.original_pte = codec_.demand_zero(Protection::kReadWrite);
  e.modified = 1;
  e.reference_count = 1;
  e.share_count = 0;
}

void PfnDatabase::map_awe(Pfn frame, PhysicalAddress pte) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.awe && e.share_count == 0);
  e.pte_address = pte.value();
  e.share_count = 1;
  note_mapped(e);
  add_table_share(pte.pfn());
}

void PfnDatabase::unmap_awe(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.awe && e.share_count == 1);
  drop_table_share(e.containing_page());
  e.pte_address = 0;
  e.share_count = 0;
  e.cache = CacheAttribute::kNotMapped;
}

void PfnDatabase::remove_awe(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.awe && e.share_count == 0 && e.reference_count == 1);
  e = PfnEntry{};
  put(frame, PageState::kFree, PageLists::End::kTail);
}

}  // namespace pagoda::mm
