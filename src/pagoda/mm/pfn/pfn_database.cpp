#include "pagoda/mm/pfn/pfn_database.h"

#include "pagoda/machine/page_walker.h"

namespace pagoda::mm {

namespace {

// Frame 0 is never given out, so that a zero frame number in an entry is always a mistake. NT keeps it back too.
constexpr Pfn kFirstUsable{1};

}  // namespace

PfnDatabase::PfnDatabase(const machine::Machine& machine, const PteCodec& codec, PageFileSlots& slots, unsigned depth)
    : lock(LockRank(LockClass::kPfn, depth)),
      codec_(codec),
      slots_(slots),
      prototype_pages_(codec.mode()),
      frames_(machine.frame_count()),
      entries_(machine.frame_count().value()),
      compressed_in_(machine.frame_count().value()),
      lists_(entries_),
      never_used_(kFirstUsable),
      available_(machine.frame_count() - PageCount(kFirstUsable.value())),
      blocks_(machine.frame_count(), pages_of(codec.mode().coverage(2))) {
  blocks_.take(Pfn(0));
  PfnEntry& kept_back = entries_[0];
  kept_back.state = PageState::kActive;
  kept_back.reference_count = 1;
  kept_back.share_count = 1;
  kept_back.ws_index = PfnEntry::kNoWsIndex;
}

PageCount PfnDatabase::count(PageState state) const {
  const PageCount listed = lists_.count(state);
  return state == PageState::kZeroed ? listed + (frames_ - PageCount(never_used_.value())) : listed;
}

void PfnDatabase::put(Pfn frame, PageState state, PageLists::End end) {
  lists_.insert(frame, state, end);
  ++listings_;
  if (!is_available(state)) return;
  ++available_;
  blocks_.give(frame);
}

void PfnDatabase::put_free(Pfn frame) {
  writable(frame) = PfnEntry{};
  put(frame, PageState::kFree, PageLists::End::kTail);
}

void PfnDatabase::take_off(Pfn frame) {
  const PageState state = entry(frame).state;
  lists_.unlink(frame);
  if (!is_available(state)) return;
  --available_;
  blocks_.take(frame);
}

Pfn PfnDatabase::use_next() {
  const Pfn frame = never_used_;
  ++never_used_;
  --available_;
  blocks_.take(frame);
  return frame;
}

Result<PfnDatabase::TakenFrame> PfnDatabase::take_kept(machine::Processor& cpu, Contents contents) {
  const auto from_list = [&](PageState state) {
    lock.assert_held();
    const Pfn frame(lists_.head(state).flink);
    if (frame != kNoPfn) take_off(frame);
    return frame;
  };
  const auto zeroed = [&] {
    lock.assert_held();
    Pfn frame = from_list(PageState::kZeroed);
    if (frame == kNoPfn && never_used_.value() < frames_.value()) frame = use_next();
    return frame;
  };

  TakenFrame taken{.frame = kNoPfn, .zeroed = false};
  if (contents == Contents::kAny) taken.frame = from_list(PageState::kFree);
  if (taken.frame == kNoPfn) {
    taken.frame = zeroed();
    taken.zeroed = taken.frame != kNoPfn;
  }
  if (taken.frame == kNoPfn && contents == Contents::kZeroed) taken.frame = from_list(PageState::kFree);
  if (taken.frame == kNoPfn) {
    taken.frame = lists_.oldest_standby();
    if (taken.frame == kNoPfn) return fail(Status::kNoMemory);
    repurpose(cpu, taken.frame);
  }
  mark_taken(taken.frame);
  return taken;
}

void PfnDatabase::mark_taken(Pfn frame) {
  PfnEntry& e = writable(frame);
  e = PfnEntry{};
  e.ws_index = PfnEntry::kNoWsIndex;
  e.state = PageState::kTransition;
  e.priority = kNormalPriority;
}

void PfnDatabase::disown(const machine::Processor& cpu, Pfn frame) {
  const PfnEntry& old = entry(frame);
  take_off(frame);
  machine::store_entry(cpu.physical(), codec_.mode(), old.pte(), old.original_pte);
  drop_table_share(old.containing_page());
}

void PfnDatabase::repurpose(machine::Processor& cpu, Pfn frame) {
  ++repurposed_;
  disown(cpu, frame);
}

void PfnDatabase::forget_zero(const machine::Processor& cpu, Pfn frame) {
  const PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.state == PageState::kModified && !has_slot(e) && !e.maps_file());
  disown(cpu, frame);
  writable(frame) = PfnEntry{};
  put(frame, PageState::kZeroed, PageLists::End::kHead);
}

void PfnDatabase::forget_clean(const machine::Processor& cpu, Pfn frame) {
  PAGODA_DCHECK(entry(frame).state == PageState::kStandby);
  disown(cpu, frame);
  writable(frame) = PfnEntry{};
  put(frame, PageState::kFree, PageLists::End::kHead);
}

void PfnDatabase::count_in(const PfnEntry& entry) {
  if (entry.prototype_pte) ++(entry.maps_file() ? active_shared_.file : active_shared_.page_file);
}

void PfnDatabase::count_out(const PfnEntry& entry) {
  if (entry.prototype_pte) --(entry.maps_file() ? active_shared_.file : active_shared_.page_file);
}

void PfnDatabase::make_active(Pfn frame, PhysicalAddress pte, RawPte original, PteCodec::Dirty dirty) {
  note_use(frame);
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(e.is_taken() && (dirty == PteCodec::Dirty::kNo || !codec_.has_slot(original)));
  e.state = PageState::kActive;
  e.set_pte(pte);
  e.prototype_pte = entry(pte.pfn()).prototype_pte;
  e.original_pte = original;
  e.modified = dirty == PteCodec::Dirty::kYes ? 1 : 0;
  e.share_count = 1;
  e.reference_count = 1;
  note_mapped(e);
  count_in(e);
  add_table_share(pte.pfn());
}

void PfnDatabase::give_back(Pfn frame, Contents contents) {
  PAGODA_DCHECK(entry(frame).is_taken());
  if (contents == Contents::kAny) return put_free(frame);
  writable(frame) = PfnEntry{};
  put(frame, PageState::kZeroed, PageLists::End::kHead);
}

void PfnDatabase::rescue(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(!e.read_in_progress && !e.deleted && !e.is_taken());
  PAGODA_DCHECK(e.state == PageState::kStandby || e.state == PageState::kModified || e.state == PageState::kTransition);
  if (is_listed(e.state)) take_off(frame);
  e.state = PageState::kActive;
  e.awaited = 0;
  e.ws_index = PfnEntry::kNoWsIndex;
  e.share_count = 1;
  ++e.reference_count;
  note_mapped(e);
  count_in(e);
}

void PfnDatabase::unmap(Pfn frame, PteCodec::Dirty dirty) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(e.state == PageState::kActive && e.share_count > 0);
  if (dirty == PteCodec::Dirty::kYes) make_dirty(frame);
  if (--e.share_count > 0) return;
  e.cache = CacheAttribute::kNotMapped;
  count_out(e);
  e.state = PageState::kTransition;
  drop_reference(frame);
}

void PfnDatabase::share(Pfn frame, Pfn table) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(e.state == PageState::kActive && e.prototype_pte);
  PAGODA_CHECK_LT(e.share_count, PfnEntry::kMostCounted);
  ++e.share_count;
  add_table_share(table);
}

void PfnDatabase::unshare(const machine::Processor& cpu, Pfn frame, Pfn table, PteCodec::Dirty dirty) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(e.state == PageState::kActive && e.prototype_pte && e.share_count > 0);
  if (dirty == PteCodec::Dirty::kYes) make_dirty(frame);
  drop_table_share(table);
  if (--e.share_count > 0) return;
  count_out(e);
  machine::store_entry(cpu.physical(), codec_.mode(), e.pte(),
                       codec_.transition(frame, codec_.protection(e.original_pte, PteHome::kSegment)));
  e.cache = CacheAttribute::kNotMapped;
  e.state = PageState::kTransition;
  drop_reference(frame);
}

void PfnDatabase::move_to_prototype(Pfn frame, PhysicalAddress prototype, RawPte original) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(!e.prototype_pte && !e.page_table && !e.deleted);
  const Pfn table = e.containing_page();
  e.set_pte(prototype);
  e.prototype_pte = 1;
  e.original_pte = original;
  if (codec_.has_slot(original)) slots_.moved(codec_.file(original), codec_.slot(original), prototype);
  add_table_share(prototype.pfn());
  if (e.state == PageState::kActive) {
    e.ws_index = PfnEntry::kNoWsIndex;
    count_in(e);
  } else {
    drop_table_share(table);
  }
}

void PfnDatabase::move_to_table(Pfn frame, PhysicalAddress pte, RawPte original) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(e.state == PageState::kActive && e.prototype_pte && e.share_count == 1);
  PAGODA_DCHECK(!e.maps_file());
  count_out(e);
  drop_table_share(e.containing_page());
  e.set_pte(pte);
  e.prototype_pte = 0;
  e.original_pte = original;
  if (codec_.has_slot(original)) slots_.moved(codec_.file(original), codec_.slot(original), pte);
}

void PfnDatabase::remove(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(!e.deleted && !e.page_table && e.state >= PageState::kStandby);
  const Pfn table = e.containing_page();
  give_up_slot(e);
  e.deleted = 1;
  if (e.state == PageState::kActive) {
    PAGODA_DCHECK_EQ(e.share_count, 1U);
    count_out(e);
    e.share_count = 0;
    e.cache = CacheAttribute::kNotMapped;
    e.state = PageState::kTransition;
    drop_reference(frame);
  } else if (is_listed(e.state)) {
    take_off(frame);
    e.state = PageState::kTransition;
    e.reference_count = 1;
    drop_reference(frame);
  }  // Else the end of the last transfer or pin frees the frame.
  drop_table_share(table);
}

void PfnDatabase::set_protection(Pfn frame, Protection protection) {
  PfnEntry& e = writable(frame);
  e.original_pte = codec_.with_protection(e.original_pte, protection);
  if (e.state == PageState::kActive) note_mapped(e);
}

void PfnDatabase::note_mapped(PfnEntry& e) {
  // In a segment or not, an original PTE keeps its protection in the same place.
  e.cache = cache_attribute(codec_.protection(e.original_pte, PteHome::kSegment));
}

void PfnDatabase::drop_prototype(const machine::Processor& cpu, PhysicalAddress pte) {
  const RawPte raw = machine::load_entry(cpu.physical(), codec_.mode(), pte);
  PAGODA_DCHECK(!PteCodec::is_valid(raw));
  machine::store_entry(cpu.physical(), codec_.mode(), pte, 0);
  if (PteCodec::is_transition(raw)) {
    remove(codec_.frame(raw));
  } else if (codec_.has_slot(raw)) {
    slots_.free(codec_.file(raw), codec_.slot(raw));
  }
}

void PfnDatabase::drop_reference(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK_GT(e.reference_count, 0U);
  if (--e.reference_count > 0) return;
  PAGODA_DCHECK(e.state == PageState::kTransition);
  if (e.deleted) return put_free(frame);
  put(frame, e.modified ? PageState::kModified : PageState::kStandby, PageLists::End::kTail);
}

void PfnDatabase::make_dirty(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(!is_listed(e.state) && !e.page_table);
  e.modified = 1;
  e.reset = 0;
  give_up_slot(e);
  if (e.maps_file() && !prototype_pages_.is_file_data(entry(e.containing_page()).original_pte)) {
    const bool counted = e.state == PageState::kActive;
    if (counted) count_out(e);
    e.original_pte = codec_.demand_zero(codec_.protection(e.original_pte, PteHome::kSegment));
    if (counted) count_in(e);
  }
}

void PfnDatabase::reset(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(!e.deleted && !e.page_table && e.state >= PageState::kStandby);
  const bool listed = is_listed(e.state);
  if (listed) take_off(frame);
  give_up_slot(e);
  e.modified = 0;
  e.reset = 1;
  if (listed) put(frame, PageState::kStandby, PageLists::End::kHead);
}

void PfnDatabase::undo_reset(Pfn frame) {
  PfnEntry& e = writable(frame);
  PAGODA_DCHECK(e.reset && !e.modified);
  const bool listed = is_listed(e.state);
  if (listed) take_off(frame);
  e.reset = 0;
  e.modified = 1;
  e.awaited = 0;  // Only clean pages are; the fault that comes back counts as one more.
  if (listed) put(frame, PageState::kModified, PageLists::End::kTail);
}

void PfnDatabase::give_up_slot(PfnEntry& e) {
  if (!has_slot(e)) return;
  if ((!e.read_in_progress && !e.write_in_progress) || PAGODA_FAULT_SWITCH(slot_freed_during_transfer))
    slots_.free(codec_.file(e.original_pte), codec_.slot(e.original_pte));
  e.original_pte = codec_.without_slot(e.original_pte);
}

// While a transfer uses a slot for the page, the page has that slot or none.
void PfnDatabase::free_if_given_up(const PfnEntry& e, SlotName of_transfer) {
  if (PAGODA_FAULT_SWITCH(slot_freed_during_transfer)) return;
  if (!of_transfer.is_none() && !has_slot(e)) slots_.free(of_transfer.file, of_transfer.slot);
}

void PfnDatabase::add_table_share(Pfn table) {
  PfnEntry& e = writable(table);
  PAGODA_DCHECK(e.page_table && e.share_count > 0);
  if (e.share_count++ == 1 && compressed_in(table) == 0) note_busy(table);
  if (e.prototype_pte) prototype_pages_.entry_resident(e.original_pte);
}

void PfnDatabase::drop_table_share(Pfn table) {
  PfnEntry& e = writable(table);
  PAGODA_DCHECK(e.page_table && e.share_count > 1);
  if (--e.share_count == 1 && compressed_in(table) == 0) note_idle(table);
  if (!e.prototype_pte) return;
  prototype_pages_.entry_left(e.original_pte);
  free_if_template(table);
}

void PfnDatabase::free_if_template(Pfn table) {
  const PfnEntry& e = entry(table);
  if (e.share_count == 1 && prototype_pages_.is_file_data(e.original_pte)) free_prototype_page(table);
}

}  // namespace pagoda::mm
