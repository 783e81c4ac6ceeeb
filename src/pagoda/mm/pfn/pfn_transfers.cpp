// Transfers and pins: what keeps a page where it is while no PTE maps it, and what ends that.
#include "pagoda/machine/page_walker.h"
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

PfnEntry& PfnDatabase::expect_contents(Pfn frame, PhysicalAddress pte, RawPte original) {
  note_use(frame);
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.is_taken());
  e.set_pte(pte);
  e.prototype_pte = entry(pte.pfn()).prototype_pte;
  e.original_pte = original;
  e.reference_count = 1;
  add_table_share(pte.pfn());
  return e;
}

void PfnDatabase::begin_read(Pfn frame, PhysicalAddress pte, RawPte original) {
  PfnEntry& e = expect_contents(frame, pte, original);
  e.read_in_progress = 1;
  e.io_completes = kNever.value();
}

void PfnDatabase::set_read_completes(Pfn frame, Time completes) {
  PAGODA_CHECK(entry(frame).read_in_progress);
  writable(frame).io_completes = completes.value();
}

void PfnDatabase::set_awaited(Pfn frame) {
  PAGODA_CHECK(entry(frame).read_in_progress);
  writable(frame).awaited = 1;
}

void PfnDatabase::end_read(Pfn frame, SlotName from) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.read_in_progress && e.reference_count > 0);
  e.read_in_progress = 0;
  free_if_given_up(e, from);
  drop_reference(frame);
}

void PfnDatabase::fail_read(const machine::Processor& cpu, Pfn frame, SlotName from) {
  const PfnEntry& e = entry(frame);
  PAGODA_CHECK(e.read_in_progress && e.reference_count == 1);
  free_if_given_up(e, from);
  if (e.deleted && !PAGODA_FAULT_SWITCH(failed_read_revives_a_freed_page)) return put_free(frame);
  const Pfn table = e.containing_page();
  machine::store_entry(cpu.physical(), codec_.mode(), e.pte(), e.original_pte);
  put_free(frame);
  drop_table_share(table);
}

void PfnDatabase::pin(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(!e.read_in_progress && !e.deleted && e.state >= PageState::kStandby);
  if (is_listed(e.state)) {
    take_off(frame);
    e.state = PageState::kTransition;
    e.reference_count = 0;
  }
  PAGODA_CHECK_LT(e.reference_count, PfnEntry::kMostCounted);
  ++e.reference_count;
}

void PfnDatabase::unpin(Pfn frame, PteCodec::Dirty dirty) {
  if (dirty == PteCodec::Dirty::kYes) make_dirty(frame);
  drop_reference(frame);
}

void PfnDatabase::begin_write(Pfn frame, RawPte original) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.modified && !e.write_in_progress && !has_slot(e));
  pin(frame);
  e.modified = 0;
  e.write_in_progress = 1;
  e.original_pte = original;
}

void PfnDatabase::lose_slot(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.write_in_progress && has_slot(e));
  e.modified = 1;
  e.original_pte = codec_.without_slot(e.original_pte);
}

void PfnDatabase::end_write(Pfn frame, WriteOutcome outcome, SlotName to) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.write_in_progress && e.reference_count > 0);
  e.write_in_progress = 0;
  free_if_given_up(e, to);
  // Where the page was dirtied or removed meanwhile, or holds entries again, how the write ended no longer matters.
  if (outcome == WriteOutcome::kFailed && !e.deleted && !e.page_table && (has_slot(e) || e.maps_file()))
    make_dirty(frame);
  drop_reference(frame);
}

void PfnDatabase::written(Pfn frame, RawPte original) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(e.state == PageState::kModified && !has_slot(e) && !e.maps_file());
  take_off(frame);
  e.modified = 0;
  e.original_pte = original;
  put(frame, PageState::kStandby, PageLists::End::kTail);
}

void PfnDatabase::begin_rewrite(Pfn frame, RawPte original) {
  PfnEntry& e = writable(frame);
  PAGODA_CHECK(!e.modified && !e.write_in_progress && has_slot(e));
  pin(frame);
  e.write_in_progress = 1;
  e.original_pte = original;
}

void PfnDatabase::begin_move(Pfn frame, PhysicalAddress pte, RawPte original) {
  expect_contents(frame, pte, original).write_in_progress = 1;
}

}  // namespace pagoda::mm
