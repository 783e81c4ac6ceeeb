// Frames that a program has for its own and maps where it likes: region/user_pages.h.
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

void PfnDatabase::make_awe(Pfn frame, std::uint32_t index) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.is_taken());
  note_use(frame);
  e.state = PageState::kActive;
  e.awe = 1;
  e.awe_index = index;
  e.original_pte = codec_.demand_zero(Protection::kReadWrite);
  e.modified = 1;
  e.reference_count = 1;
  e.share_count = 0;
}

void PfnDatabase::set_awe_index(Pfn frame, std::uint32_t index) {
  PAGODA_CHECK(entry(frame).awe);
  writable(frame).awe_index = index;
}

void PfnDatabase::map_awe(Pfn frame, PhysicalAddress pte) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.awe && e.share_count == 0 && !e.deleted);
  e.set_pte(pte);
  e.share_count = 1;
  note_mapped(e);
  add_table_share(pte.pfn());
}

void PfnDatabase::unmap_awe(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.awe && e.share_count == 1);
  drop_table_share(e.containing_page());
  e.pte_address = 0;
  e.share_count = 0;
  e.cache = CacheAttribute::kNotMapped;
}

void PfnDatabase::begin_remove_awe(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.awe && !e.deleted);
  e.deleted = 1;
}

void PfnDatabase::remove_awe(Pfn frame) {
  const PfnEntry& e = entry(frame);
  PAGODA_CHECK(e.awe && e.share_count == 0 && e.reference_count == 1);
  put_free(frame);
}

}  // namespace pagoda::mm
