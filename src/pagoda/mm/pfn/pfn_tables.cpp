// Frames of the manager's own: page tables, pages of prototype PTEs, nonpaged frames, and those that are zeroed or set
// aside.
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

void PfnDatabase::make_page_table(Pfn frame, PhysicalAddress pte) {
  note_use(frame);
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.is_taken());
  e.state = PageState::kActive;
  e.page_table = 1;
  e.set_pte(pte);
  e.original_pte = codec_.demand_zero(Protection::kReadWrite);
  e.share_count = 1;
  e.reference_count = 1;
  if (pte.pfn() != frame) add_table_share(pte.pfn());
}

void PfnDatabase::make_prototype_page(Pfn frame, std::uint32_t pool_page, std::uint64_t owner) {
  note_use(frame);
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.is_taken());
  e.state = PageState::kActive;
  e.page_table = 1;
  e.prototype_pte = 1;
  e.set_pte(PhysicalAddress(frame));
  e.original_pte = owner;
  e.used_entries = pool_page;
  e.share_count = 1;
  e.reference_count = 1;
  prototype_pages_.add(pool_page, frame);
}

void PfnDatabase::make_nonpaged(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.is_taken());
  e.state = PageState::kActive;
  e.nonpaged = 1;
  e.reference_count = 1;
  e.share_count = 0;
}

void PfnDatabase::free_nonpaged(Pfn frame) {
  PAGODA_CHECK(entry(frame).nonpaged);
  put_free(frame);
}

void PfnDatabase::pin_table(Pfn table) {
  PfnEntry& e = writable(table);
  PAGODA_CHECK(e.page_table && e.prototype_pte);
  ++e.share_count;
}

void PfnDatabase::unpin_table(Pfn table) {
  PfnEntry& e = writable(table);
  PAGODA_CHECK(e.page_table && e.prototype_pte && e.share_count > 1);
  --e.share_count;
  free_if_template(table);
}

void PfnDatabase::free_page_table(Pfn frame) {
  const PfnEntry& e = entry(frame);
  PAGODA_CHECK(e.page_table && !e.prototype_pte && e.share_count == 1 && e.used_entries == 0);
  const Pfn parent = e.containing_page();
  put_free(frame);
  if (parent != frame) drop_table_share(parent);
}

void PfnDatabase::free_prototype_page(Pfn frame) {
  const PfnEntry& e = entry(frame);
  PAGODA_CHECK(e.page_table && e.prototype_pte && e.share_count == 1);
  prototype_pages_.remove(e.used_entries);
  put_free(frame);
}

Pfn PfnDatabase::begin_zeroing() {
  const Pfn frame(lists_.head(PageState::kFree).flink);
  if (frame == kNoPfn) return kNoPfn;
  take_off(frame);
  writable(frame).state = PageState::kTransition;
  note_use(frame);
  return frame;
}

void PfnDatabase::finish_zeroing(Pfn frame) {
  PAGODA_CHECK(entry(frame).is_taken());
  put(frame, PageState::kZeroed, PageLists::End::kHead);
}

void PfnDatabase::set_aside(Pfn frame) {
  PAGODA_CHECK(entry(frame).state == PageState::kZeroed);
  take_off(frame);
  writable(frame).state = PageState::kTransition;
}

void PfnDatabase::put_back(Pfn frame) {
  PAGODA_CHECK(entry(frame).is_taken());
  put(frame, PageState::kZeroed, PageLists::End::kTail);
}

}  // namespace pagoda::mm
