// Frames of the manager's own: page tables, pages of prototype PTEs, nonpaged frames, and those that are zeroed or set
// aside.
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

void PfnDatabase::make_page_table(Pfn frame, PhysicalAddress pte, std::uint32_t used) {
  note_use(frame);
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.is_taken());
  e.state = PageState::kActive;
  e.page_table = 1;
  e.set_pte(pte);
  e.original_pte = codec_.demand_zero(Protection::kReadWrite);
  e.kept_entries = 0;
  e.share_count = 1;
  e.reference_count = 1;
  e.used_entries = used;
  if (pte.pfn() == frame) return;
  note_idle(frame);
  add_table_share(pte.pfn());
}

void PfnDatabase::page_out_table(Pfn frame, RawPte original) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.page_table && !e.prototype_pte && e.share_count == 1 && e.used_entries > 0);
  PAGODA_CHECK(e.containing_page() != frame && !codec_.has_slot(original) && compressed_in(frame) == 0);
  note_busy(frame);
  e.page_table = 0;
  e.used_entries = 0;
  e.original_pte = original;
  e.modified = 1;
  e.share_count = 0;
  e.state = PageState::kTransition;
  drop_reference(frame);
}

void PfnDatabase::rescue_table(Pfn frame, std::uint32_t used) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(!e.read_in_progress && !e.deleted && !e.is_taken() && !e.prototype_pte && used > 0);
  if (is_listed(e.state)) take_off(frame);
  give_up_slot(e);  // Its entries are about to change.
  e.state = PageState::kActive;
  e.page_table = 1;
  e.used_entries = used;
  e.original_pte = codec_.demand_zero(Protection::kReadWrite);
  e.modified = 0;
  e.awaited = 0;
  e.kept_entries = 0;
  e.share_count = 1;
  ++e.reference_count;
  note_idle(frame);
}

void PfnDatabase::add_compressed(Pfn entries) {
  const PfnEntry& e = entry(entries);
  if (compressed_in_[entries.value()]++ == 0 && e.page_table && e.share_count == 1) note_busy(entries);
}

void PfnDatabase::drop_compressed(Pfn entries) {
  const PfnEntry& e = entry(entries);
  PAGODA_DCHECK_GT(compressed_in(entries), 0U);
  if (--compressed_in_[entries.value()] == 0 && e.page_table && e.share_count == 1) note_idle(entries);
}

void PfnDatabase::note_busy(Pfn table) {
  const PfnEntry& e = entry(table);
  if (e.prototype_pte == 0) {
    if (e.containing_page() != table) --idle_tables_;
    return;
  }
  const std::uint32_t place = e.ws_index;
  const std::uint32_t moved = prototype_pages_.remove_idle(e.used_entries, place);
  writable(prototype_pages_.frame(moved)).ws_index = place;
  writable(table).kept_entries = 0;  // Where its place was.
}

void PfnDatabase::note_idle(Pfn table) {
  PfnEntry& e = writable(table);
  if (e.prototype_pte != 0) {
    e.ws_index = prototype_pages_.add_idle(e.used_entries);
  } else if (e.containing_page() != table) {
    ++idle_tables_;
  }
}

void PfnDatabase::add_to_pool(PfnEntry& e, std::uint32_t pool_page, std::uint64_t owner) {
  const Pfn frame = e.pte().pfn();
  e.page_table = 1;
  e.prototype_pte = 1;
  e.original_pte = owner;
  e.used_entries = pool_page;
  e.share_count = 1;
  prototype_pages_.add(pool_page, frame);
  note_idle(frame);
}

void PfnDatabase::remove_from_pool(const PfnEntry& e) {
  PAGODA_CHECK(e.page_table && e.prototype_pte && e.share_count == 1 && compressed_in(e.pte().pfn()) == 0);
  note_busy(e.pte().pfn());
  prototype_pages_.remove(e.used_entries);
}

void PfnDatabase::make_prototype_page(Pfn frame, std::uint32_t pool_page, std::uint64_t owner) {
  note_use(frame);
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.is_taken());
  e.state = PageState::kActive;
  e.set_pte(PhysicalAddress(frame));
  e.reference_count = 1;
  add_to_pool(e, pool_page, owner);
}

void PfnDatabase::page_out_prototypes(Pfn frame, PhysicalAddress pte, RawPte original) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(!prototype_pages_.is_file_data(e.original_pte) && !codec_.has_slot(original));
  remove_from_pool(e);
  e.page_table = 0;
  e.prototype_pte = 0;
  e.used_entries = 0;
  e.set_pte(pte);
  e.original_pte = original;
  e.modified = 1;
  e.share_count = 0;
  e.state = PageState::kTransition;
  add_table_share(pte.pfn());
  drop_reference(frame);
}

void PfnDatabase::rescue_prototypes(Pfn frame, std::uint32_t pool_page, std::uint64_t owner) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(!e.read_in_progress && !e.deleted && !e.is_taken() && !e.prototype_pte);
  if (is_listed(e.state)) take_off(frame);
  give_up_slot(e);
  const Pfn table = e.containing_page();
  e.state = PageState::kActive;
  e.set_pte(PhysicalAddress(frame));
  e.modified = 0;
  e.awaited = 0;
  ++e.reference_count;
  add_to_pool(e, pool_page, owner);
  drop_table_share(table);
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
  if (e.share_count++ == 1 && compressed_in(table) == 0) note_busy(table);
}

void PfnDatabase::unpin_table(Pfn table) {
  PfnEntry& e = writable(table);
  PAGODA_CHECK(e.page_table && e.prototype_pte && e.share_count > 1);
  if (--e.share_count == 1 && compressed_in(table) == 0) note_idle(table);
  free_if_template(table);
}

void PfnDatabase::free_page_table(Pfn frame) {
  const PfnEntry& e = entry(frame);
  PAGODA_CHECK(e.page_table && !e.prototype_pte && e.share_count == 1 && e.used_entries == 0);
  PAGODA_CHECK_EQ(e.kept_entries, 0U);
  PAGODA_CHECK_EQ(compressed_in(frame), 0U);
  const Pfn parent = e.containing_page();
  note_busy(frame);
  if (parent != frame) drop_table_share(parent);
  if (e.reference_count == 1) return put_free(frame);
  // The disk still has what it was when it was paged out last.
  PfnEntry& leaving = writable(frame);
  leaving.page_table = 0;
  leaving.deleted = 1;
  leaving.share_count = 0;
  leaving.state = PageState::kTransition;
  drop_reference(frame);
}

void PfnDatabase::free_prototype_page(Pfn frame) {
  PfnEntry& e = writable(frame);
  remove_from_pool(e);
  if (e.reference_count == 1) return put_free(frame);
  // As a page table's.
  e.page_table = 0;
  e.prototype_pte = 0;
  e.deleted = 1;
  e.share_count = 0;
  e.original_pte = codec_.demand_zero(Protection::kReadWrite);
  e.state = PageState::kTransition;
  drop_reference(frame);
}

Pfn PfnDatabase::begin_zeroing() {
  const Pfn frame(lists_.head(PageState::kFree).flink);
  if (frame == kNoPfn || none_to_spare()) return kNoPfn;
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
