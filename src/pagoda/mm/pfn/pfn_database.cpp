#include "pagoda/mm/pfn/pfn_database.h"

#include "pagoda/machine/page_walker.h"
#include "pagoda/mm/backing/paging_file.h"

namespace pagoda::mm {

namespace {

// Frame 0 is never given to anybody, so that a zero frame number in an entry is always somebody's mistake. NT keeps it
// back too.
constexpr Pfn kFirstUsable{1};

// A frame taken becomes the page of a PTE, in the table, that is about to be in transition form; I/O is under way.
void expect_contents(PfnEntry& e, const PfnEntry& table, PhysicalAddress pte, RawPte original) {
  PAGODA_DCHECK(e.state == PageState::kTransition && e.reference_count == 0);
  e.pte_address = pte.value();
  e.prototype_pte = table.prototype_pte;
  e.original_pte = original;
  e.reference_count = 1;
}

}  // namespace

PfnDatabase::PfnDatabase(const machine::Machine& machine, const PteCodec& codec, PagingFiles& paging_files,
                         unsigned depth)
    : lock(LockRank(LockClass::kPfn, depth)),
      codec_(codec),
      paging_files_(paging_files),
      frames_(machine.frame_count()),
      entries_(machine.frame_count().value()),
      lists_(entries_),
      never_used_(kFirstUsable),
      available_(machine.frame_count() - PageCount(kFirstUsable.value())) {
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
  if (is_available(state)) ++available_;
}

void PfnDatabase::take_off(Pfn frame) {
  const PageState state = entry(frame).state;
  lists_.unlink(frame);
  if (is_available(state)) --available_;
}

Result<PfnDatabase::Taken> PfnDatabase::take(machine::Processor& cpu, Contents contents) {
  const auto from_list = [&](PageState state) {
    lock.assert_held();
    const Pfn frame(lists_.head(state).flink);
    if (frame != kNoPfn) take_off(frame);
    return frame;
  };
  const auto zeroed = [&] {
    lock.assert_held();
    Pfn frame = from_list(PageState::kZeroed);
    if (frame == kNoPfn && never_used_.value() < frames_.value()) {
      frame = never_used_;
      ++never_used_;
      --available_;
    }
    return frame;
  };

  Taken taken{.frame = kNoPfn, .zeroed = false};
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
  PfnEntry& e = entry(frame);
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
  PAGODA_DCHECK(e.state == PageState::kModified && !codec_.has_slot(e.original_pte) && !e.maps_file());
  disown(cpu, frame);
  entry(frame) = PfnEntry{};
  put(frame, PageState::kZeroed, PageLists::End::kHead);
}

void PfnDatabase::count_in(const PfnEntry& entry) {
  if (entry.prototype_pte) ++(entry.maps_file() ? active_shared_.file : active_shared_.page_file);
}

void PfnDatabase::count_out(const PfnEntry& entry) {
  if (entry.prototype_pte) --(entry.maps_file() ? active_shared_.file : active_shared_.page_file);
}

void PfnDatabase::make_active(Pfn frame, PhysicalAddress pte, RawPte original) {
  note_use(frame);
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.state == PageState::kTransition && e.reference_count == 0);
  e.state = PageState::kActive;
  e.pte_address = pte.value();
  e.prototype_pte = entry(pte.pfn()).prototype_pte;
  e.original_pte = original;
  e.share_count = 1;
  e.reference_count = 1;
  note_mapped(e);
  count_in(e);
  add_table_share(pte.pfn());
}

void PfnDatabase::make_page_table(Pfn frame, PhysicalAddress pte) {
  note_use(frame);
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.state == PageState::kTransition && e.reference_count == 0);
  e.state = PageState::kActive;
  e.page_table = 1;
  e.pte_address = pte.value();
  e.original_pte = codec_.demand_zero(Protection::kReadWrite);
  e.share_count = 1;
  e.reference_count = 1;
  if (pte.pfn() != frame) add_table_share(pte.pfn());
}

void PfnDatabase::make_prototype_page(Pfn frame, std::uint32_t pool_page, std::uint64_t owner) {
  note_use(frame);
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.state == PageState::kTransition && e.reference_count == 0);
  e.state = PageState::kActive;
  e.page_table = 1;
  e.prototype_pte = 1;
  e.pte_address = PhysicalAddress(frame).value();
  e.original_pte = owner;
  e.used_entries = pool_page;
  e.share_count = 1;
  e.reference_count = 1;
}

void PfnDatabase::make_nonpaged(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.state == PageState::kTransition && e.reference_count == 0);
  e.state = PageState::kActive;
  e.nonpaged = 1;
  e.reference_count = 1;
  e.share_count = 0;
}

void PfnDatabase::free_nonpaged(Pfn frame) {
  PAGODA_DCHECK(entry(frame).nonpaged);
  entry(frame) = PfnEntry{};
  put(frame, PageState::kFree, PageLists::End::kTail);
}

void PfnDatabase::give_back(Pfn frame, Contents contents) {
  PAGODA_DCHECK(entry(frame).state == PageState::kTransition && entry(frame).reference_count == 0);
  entry(frame) = PfnEntry{};
  if (contents == Contents::kZeroed) {
    put(frame, PageState::kZeroed, PageLists::End::kHead);
  } else {
    put(frame, PageState::kFree, PageLists::End::kTail);
  }
}

void PfnDatabase::rescue(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(!e.read_in_progress && !e.deleted && e.state != PageState::kActive);
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
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.state == PageState::kActive && e.share_count > 0);
  if (dirty == PteCodec::Dirty::kYes) make_dirty(frame);
  if (--e.share_count > 0) return;
  e.cache = CacheAttribute::kNotMapped;
  count_out(e);
  e.state = PageState::kTransition;
  drop_reference(frame);
}

void PfnDatabase::share(Pfn frame, Pfn table) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.state == PageState::kActive && e.prototype_pte);
  ++e.share_count;
  add_table_share(table);
}

void PfnDatabase::unshare(const machine::Processor& cpu, Pfn frame, Pfn table, PteCodec::Dirty dirty) {
  PfnEntry& e = entry(frame);
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
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(!e.prototype_pte && !e.deleted);
  const Pfn table = e.containing_page();
  e.pte_address = prototype.value();
  e.prototype_pte = 1;
  e.original_pte = original;
  if (codec_.has_slot(original)) paging_files_.moved(codec_.file(original), codec_.slot(original), prototype);
  add_table_share(prototype.pfn());
  if (e.state == PageState::kActive) {
    e.ws_index = PfnEntry::kNoWsIndex;
    count_in(e);
  } else {
    drop_table_share(table);
  }
}

void PfnDatabase::remove(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(!e.deleted);
  const Pfn table = e.containing_page();
  free_slot(e);
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
  }  // Else I/O is under way, and its end frees the frame.
  drop_table_share(table);
}

void PfnDatabase::set_protection(Pfn frame, Protection protection) {
  PfnEntry& e = entry(frame);
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
    paging_files_.free(codec_.file(raw), codec_.slot(raw));
  }
}

void PfnDatabase::drop_reference(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK_GT(e.reference_count, 0);
  if (--e.reference_count > 0) return;
  PAGODA_DCHECK(e.state == PageState::kTransition);
  if (e.deleted) {
    e = PfnEntry{};
    put(frame, PageState::kFree, PageLists::End::kTail);
  } else {
    put(frame, e.modified ? PageState::kModified : PageState::kStandby, PageLists::End::kTail);
  }
}

void PfnDatabase::make_dirty(Pfn frame) {
  PfnEntry& e = entry(frame);
  e.modified = 1;
  e.reset = 0;
  free_slot(e);
  if (e.maps_file() && !prototype_pages_->writes_back(e.containing_page())) {
    const bool counted = e.state == PageState::kActive;
    if (counted) count_out(e);
    e.original_pte = codec_.demand_zero(codec_.protection(e.original_pte, PteHome::kSegment));
    if (counted) count_in(e);
  }
}

void PfnDatabase::reset(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(!e.deleted && !e.page_table);
  const bool listed = is_listed(e.state);
  if (listed) take_off(frame);
  free_slot(e);
  e.modified = 0;
  e.reset = 1;
  if (listed) put(frame, PageState::kStandby, PageLists::End::kHead);
}

void PfnDatabase::undo_reset(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.reset && !e.modified);
  const bool listed = is_listed(e.state);
  if (listed) take_off(frame);
  e.reset = 0;
  e.modified = 1;
  e.awaited = 0;  // Only clean pages are; the fault that comes back counts as one more.
  if (listed) put(frame, PageState::kModified, PageLists::End::kTail);
}

void PfnDatabase::free_slot(PfnEntry& e) {
  if (!codec_.has_slot(e.original_pte)) return;
  paging_files_.free(codec_.file(e.original_pte), codec_.slot(e.original_pte));
  e.original_pte = codec_.demand_zero(codec_.protection(e.original_pte));
}

void PfnDatabase::begin_read(Pfn frame, PhysicalAddress pte, RawPte original) {
  note_use(frame);
  PfnEntry& e = entry(frame);
  expect_contents(e, entry(pte.pfn()), pte, original);
  e.read_in_progress = 1;
  e.io_completes = kNever.value();
  add_table_share(pte.pfn());
}

void PfnDatabase::set_read_completes(Pfn frame, Time completes) {
  PAGODA_DCHECK(entry(frame).read_in_progress);
  entry(frame).io_completes = completes.value();
}

void PfnDatabase::end_read(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.read_in_progress && e.reference_count > 0);
  e.read_in_progress = 0;
  drop_reference(frame);
}

void PfnDatabase::abandon_read(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.read_in_progress && !e.deleted && e.reference_count == 1);
  const Pfn table = e.containing_page();
  e = PfnEntry{};
  put(frame, PageState::kFree, PageLists::End::kTail);
  drop_table_share(table);
}

void PfnDatabase::hold(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(!e.read_in_progress && !e.deleted);
  if (is_listed(e.state)) {
    take_off(frame);
    e.state = PageState::kTransition;
    e.reference_count = 0;
  }
  ++e.reference_count;
}

void PfnDatabase::let_go(Pfn frame, PteCodec::Dirty dirty) {
  if (dirty == PteCodec::Dirty::kYes) make_dirty(frame);
  drop_reference(frame);
}

void PfnDatabase::begin_write(Pfn frame, RawPte original) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.modified && !e.write_in_progress && !codec_.has_slot(e.original_pte));
  hold(frame);
  e.modified = 0;
  e.write_in_progress = 1;
  e.original_pte = original;
}

void PfnDatabase::end_write(Pfn frame, WriteOutcome outcome) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.write_in_progress && e.reference_count > 0);
  e.write_in_progress = 0;
  // Dirtied or removed meanwhile: the slot is gone already, and how the write ended no longer matters.
  if (outcome == WriteOutcome::kFailed && !e.deleted && (codec_.has_slot(e.original_pte) || e.maps_file()))
    make_dirty(frame);
  drop_reference(frame);
}

void PfnDatabase::written(Pfn frame, RawPte original) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.state == PageState::kModified && !codec_.has_slot(e.original_pte) && !e.maps_file());
  take_off(frame);
  e.modified = 0;
  e.original_pte = original;
  put(frame, PageState::kStandby, PageLists::End::kTail);
}

void PfnDatabase::begin_rewrite(Pfn frame, RawPte original) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(!e.modified && !e.write_in_progress && codec_.has_slot(e.original_pte));
  hold(frame);
  e.write_in_progress = 1;
  e.original_pte = original;
}

void PfnDatabase::begin_move(Pfn frame, PhysicalAddress pte, RawPte original) {
  note_use(frame);
  PfnEntry& e = entry(frame);
  expect_contents(e, entry(pte.pfn()), pte, original);
  e.write_in_progress = 1;
  add_table_share(pte.pfn());
}

void PfnDatabase::add_table_share(Pfn table) {
  PfnEntry& e = entry(table);
  ++e.share_count;
  if (e.prototype_pte) prototype_pages_->entry_resident(table);
}

void PfnDatabase::drop_table_share(Pfn table) {
  PfnEntry& e = entry(table);
  PAGODA_DCHECK(e.page_table && e.share_count > 1);
  --e.share_count;
  if (e.prototype_pte) prototype_pages_->entry_left(table);
}

void PfnDatabase::free_page_table(Pfn frame) {
  PfnEntry& e = entry(frame);
  PAGODA_DCHECK(e.page_table && e.share_count == 1 && (e.used_entries == 0 || e.prototype_pte));
  const Pfn parent = e.containing_page();
  e = PfnEntry{};
  put(frame, PageState::kFree, PageLists::End::kTail);
  if (parent != frame) drop_table_share(parent);
}

Pfn PfnDatabase::begin_zeroing() {
  const Pfn frame(lists_.head(PageState::kFree).flink);
  if (frame == kNoPfn) return kNoPfn;
  take_off(frame);
  entry(frame).state = PageState::kTransition;
  note_use(frame);
  return frame;
}

void PfnDatabase::finish_zeroing(Pfn frame) { put(frame, PageState::kZeroed, PageLists::End::kHead); }

void PfnDatabase::set_aside(Pfn frame) {
  PAGODA_DCHECK(entry(frame).state == PageState::kZeroed);
  take_off(frame);
  entry(frame).state = PageState::kTransition;
}

void PfnDatabase::put_back(Pfn frame) { put(frame, PageState::kZeroed, PageLists::End::kTail); }

}  // namespace pagoda::mm
