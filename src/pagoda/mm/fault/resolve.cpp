#include <utility>

#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/section/control_area.h"
#include "pagoda/mm/space/table_in.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm {
namespace fault {

namespace {

using machine::Access;

bool is_write(const Context& c) { return c.fault.access == Access::kWrite; }

// The PTE is valid: another processor was faster, the TLB was stale, the page becomes dirty, or the access is not
// allowed.
Outcome valid(Context& c) PAGODA_REQUIRES(c.space.lock) {
  if (!allows(c.protection, c.fault.access, c.core.mode.has_no_execute))
    return {Status::kAccessViolation, FaultKind::kAccessViolation};
  // Write, not Dirty: a kernel that ignores write protection dirties a page without being let in.
  if (is_write(c) && (c.raw & machine::pte_bits::kWrite) == 0) {
    if (is_write_copy(c.protection)) return copy_on_write(c);
    const Pfn frame = c.core.codec.frame(c.raw);
    {
      const LockGuard guard(c.core.pfns.lock);
      c.core.pfns.make_dirty(frame);
    }
    c.space.tables().replace(c.cpu, c.pte, c.core.codec.with_dirty(c.raw));
    c.space.record_write(c.page);
    c.core.note(c.cpu, EventKind::kFirstWrite, c.pte, frame, c.raw);
    return {Status::kSuccess, FaultKind::kFirstWrite};
  }
  // What this processor's TLB holds for the page is older than the PTE.
  c.cpu.invalidate_page(c.fault.address, c.space.asid());
  return {Status::kSuccess, FaultKind::kSpurious};
}

// The page is always mapped: the access is not allowed, or it was, and the TLB did not know it yet.
Outcome always_mapped(Context& c, const Vad& vad) PAGODA_REQUIRES(c.space.lock) {
  if (!allows(c.space.protection_of_zero_pte(vad, c.page), c.fault.access, c.core.mode.has_no_execute))
    return {Status::kAccessViolation, FaultKind::kAccessViolation};
  c.cpu.invalidate_page(c.fault.address, c.space.asid());
  return {Status::kSuccess, FaultKind::kSpurious};
}

// A page table on the way is out: the fault comes again when it is in.
Outcome bring_in_table(Context& c, Vpn page, const PageTables::Out& out) PAGODA_REQUIRES(c.space.lock) {
  {
    const LockGuard guard(c.core.pfns.lock);
    if (c.core.pfns.available() < kFaultReserve) return {Status::kNoMemory};
  }
  EntriesIn in = begin_table_in(c.space, c.cpu, page, out);
  c.read = std::move(in.read);
  c.being_read = in.being_read;
  return {in.status, FaultKind::kSpurious, false};
}

// The first touch of a guard page takes the guard away and raises it, or moves it down a stack.
Outcome guard(Context& c) PAGODA_REQUIRES(c.space.lock) {
  // A page that a fork shares has one protection for all who share it: it gets its own, and so does the next guard.
  for (const Vpn page : {c.page, c.space.regions().next_guard(c.page).value_or(c.page)}) {
    if (const PageTables::Out out = c.space.tables().find_out(c.cpu, page); out.any())
      return bring_in_table(c, page, out);
    const Outcome made = make_private(c, page);
    if (made.status != Status::kSuccess || c.must_wait()) return made;
    // What it needs has come in: the fault comes again.
    if (c.space.is_clone(c.space.tables().read(c.cpu, page))) return made;
    count(c.space, made);
  }
  c.raw = c.core.load(c.cpu, c.pte);
  const Status grown = c.space.regions().guard_hit(c.cpu, c.page);
  if (grown == Status::kNoMemory) return {grown};
  const Protection unguarded = without_guard(c.protection);
  if (c.raw == 0 || c.core.codec.kind(c.raw) == PteKind::kPrototype) {
    c.space.tables().store(
        c.cpu, c.pte,
        c.control_area != nullptr ? c.core.codec.lookup_needed(unguarded) : c.core.codec.demand_zero(unguarded));
  } else {
    // What was a fork's has been made private, and what is private is not written by a copy.
    c.space.protect_entry(c.cpu, c.page, c.pte, c.raw, unshared(unguarded));
  }
  return {grown == Status::kPageFaultGuardPage ? Status::kSuccess : grown, FaultKind::kGuard};
}

// Where the page's prototype PTE is, if it has one.
bool locate_prototype(Context& c, const Vad& vad) PAGODA_REQUIRES(c.space.lock) {
  const bool points = c.core.codec.points_to_prototype(c.raw);
  if (vad.source != PageSource::kPrototype && !points) return false;
  const LockGuard guard(c.core.pfns.lock);
  if (points && c.core.prototypes.is_clone(c.core.codec.prototype_address(c.raw))) {
    c.prototype = c.core.codec.prototype_address(c.raw);
    return true;
  }
  c.control_area = vad.control_area;
  c.section_page = vad.section_page_of(c.page);
  if (c.section_page >= c.control_area->pages()) return false;
  c.prototype = c.control_area->prototype_of(c.core.codec, c.section_page);
  return true;
}

// Whether the view's page has been committed: false of some in SEC_RESERVE sections.
bool is_committed(const Context& c) {
  if (c.control_area == nullptr || !c.control_area->flags().reserve) return true;
  const LockGuard guard(c.core.pfns.lock);
  return c.control_area->committed.contains(c.section_page);
}

// A page of a region that commits on touch.
Outcome first_touch(Context& c) PAGODA_REQUIRES(c.space.lock) {
  Outcome outcome{Status::kCommitmentLimit, FaultKind::kSpurious, false};
  if (c.space.regions().commit_touched(c.page)) {
    outcome = demand_zero(c);
    if (outcome.status == Status::kSuccess) return outcome;
    c.space.regions().uncommit_touched(c.page);
  }
  c.space.free_empty_tables(c.cpu, c.page);
  return outcome;
}

Outcome dispatch(Context& c) PAGODA_REQUIRES(c.space.lock) {
  if (c.fault.reserved_bit || c.page > c.space.highest().vpn())
    return {Status::kAccessViolation, FaultKind::kAccessViolation};

  c.pte = c.space.tables().find(c.cpu, c.page);
  if (c.pte == PageTables::kNone) {
    if (const PageTables::Out out = c.space.tables().find_out(c.cpu, c.page); out.any())
      return bring_in_table(c, c.page, out);
  } else {
    c.raw = c.core.load(c.cpu, c.pte);
  }
  if (PteCodec::is_valid(c.raw)) {
    c.protection = c.space.protection_of_valid(c.page, c.raw);
    return valid(c);
  }

  const PteKind kind = c.core.codec.kind(c.raw);
  bool shared = false;
  Vad* by_kind = nullptr;  // The region, if its kind brings the page.
  bool commits = false;
  if (kind == PteKind::kZero || kind == PteKind::kPrototype) {
    Vad* const vad = c.space.regions().region_at(c.page);
    if (vad != nullptr && vad->source == PageSource::kMapped) return always_mapped(c, *vad);
    if (vad != nullptr && vad->source == PageSource::kKind && kind == PteKind::kZero) by_kind = vad;
    if (vad != nullptr) {
      shared = locate_prototype(c, *vad);
      c.protection = c.space.current_protection(c.cpu, *vad, c.page, c.raw);
      // Beyond what an extendable view has.
      if (vad->source == PageSource::kPrototype && !shared) c.protection = Protection::kNone;
      commits = vad->commits_on_touch && kind == PteKind::kZero;
      if (commits) c.protection = vad->protection;
    }
  } else if (kind != PteKind::kDecommitted) {
    c.protection = c.core.codec.protection(c.raw);
  }
  if (!allows(c.protection, c.fault.access, c.core.mode.has_no_execute))
    return {Status::kAccessViolation, FaultKind::kAccessViolation};
  // What is not there has no guard to be hit (reference/nt.md section 4, 4 before 5).
  if (is_guard(c.protection) && shared && !is_committed(c))
    return {Status::kAccessViolation, FaultKind::kAccessViolation};

  // What is committed stays as a change has counted it, until that has ended.
  if ((commits || is_guard(c.protection)) && c.space.is_paused()) [[unlikely]] {
    c.space.wait_for_change();
    return {Status::kSuccess, FaultKind::kSpurious, false};
  }

  // From here on frames may be needed: all that the fault can need, or none is begun.
  if (!has_room_for_page(c.space, shared)) [[unlikely]]
    return {Status::kInsufficientResources};
  {
    const LockGuard guard(c.core.pfns.lock);
    if (c.core.pfns.available() < kFaultReserve) return {Status::kNoMemory};
  }
  if (c.pte == PageTables::kNone) {
    const auto made = c.space.tables().make(c.cpu, c.page);
    if (!made) return {Status::kNoMemory};
    c.pte = *made;
  }
  if (is_guard(c.protection)) return guard(c);
  if (by_kind != nullptr) return c.space.regions().fault(c, *by_kind);
  if (shared) {
    const Outcome outcome = prototype(c);
    // Nothing was mapped: it failed, or the page is on its way to its prototype PTE.
    if (c.core.load(c.cpu, c.pte) == 0) c.space.free_empty_tables(c.cpu, c.page);
    return outcome;
  }
  switch (kind) {
    case PteKind::kTransition:
      return transition(c);
    case PteKind::kPageFile:
      if (c.core.is_compressed(c.raw)) return compressed(c);
      return page_file(c, c.pte, PteHome::kPageTable);
    default:
      return commits ? first_touch(c) : demand_zero(c);
  }
}

}  // namespace

void map(Context& c, Pfn frame, PteCodec::Dirty dirty) {
  const RawPte pte = c.core.codec.valid(frame, c.protection, c.space.owner(), dirty);
  c.space.tables().store(c.cpu, c.pte, pte);
  if (dirty == PteCodec::Dirty::kYes) c.space.record_write(c.page);
  c.core.pfns.set_working_set_slot(frame, c.space.working_set().insert(c.page, c.pte));
}

void map_shared(Context& c, Pfn frame, PteCodec::Dirty dirty) {
  // A page of a segment is cached as the segment is, whatever the view says.
  const Protection rights =
      c.control_area == nullptr ? c.protection : cached_as(c.protection, c.control_area->flags().cache());
  const RawPte pte = c.core.codec.valid(frame, rights, c.space.owner(), dirty) | soft_bits::kPrototype;
  c.space.tables().store(c.cpu, c.pte, pte);
  c.space.working_set().insert_shared(c.page, c.pte, c.protection);
}

// The fault has been counted as what it is if its read succeeds.
Status read_failed(Context& c, const Outcome& outcome) {
  const LockGuard guard(c.space.lock);
  if (outcome.counted) --c.space.faults()[static_cast<std::size_t>(outcome.kind)];
  // A table's read is no page's: its fault comes again. So does that of a page that is another by now.
  if (!c.space.tables().find_out(c.cpu, c.page).any() && c.space.tables().read(c.cpu, c.page) != c.raw)
    return Status::kSuccess;
  ++c.space.faults()[static_cast<std::size_t>(FaultKind::kInPageError)];
  return Status::kInPageError;
}

Status wait(Context& c, const Outcome& outcome) {
  if (!c.read) {
    const LockGuard guard(c.core.pfns.lock);
    c.core.transfers.wait_for_read(c.cpu, c.core.pfns, c.being_read);
    return Status::kSuccess;
  }
  const ReadOutcome read = finish_read(c.core, c.cpu, *c.read);
  const Status status = read.status == Status::kSuccess ? read.status : read_failed(c, outcome);
  c.cpu.wait_until(read.completes);
  return status;
}

}  // namespace fault

Status resolve_fault(AddressSpace& space, Processor& cpu, const machine::PageFault& page_fault) {
  Core& core = space.core();
  cpu.charge(core.machine.costs().fault_handler);
  // A fault that waits for frames comes back here; NT counts it once.
  for (unsigned reliefs = 0;;) {
    {
      const LockGuard guard(core.pfns.lock);
      core.transfers.complete(cpu.now(), core.pfns);
    }
    fault::Context context(space, cpu, page_fault, page_fault.address.vpn());
    fault::Outcome outcome;
    {
      const LockGuard guard(context.space.lock);
      outcome = fault::dispatch(context);
      if (context.must_wait()) {
        fault::count(context.space, outcome);
      } else if (outcome.status != Status::kNoMemory && outcome.status != Status::kCommitmentLimit) {
        fault::count(context.space, outcome);
        return outcome.status;
      }
    }
    if (context.must_wait()) return fault::wait(context, outcome);
    if (outcome.status == Status::kCommitmentLimit) {
      if (space.relief().relieve_commit(cpu)) continue;
      const LockGuard guard(context.space.lock);
      fault::count(context.space, outcome);
      return outcome.status;
    }
    switch (space.relief().relieve(cpu, kFaultReserve)) {
      case ShortageRelief::Outcome::kAvailable:
      case ShortageRelief::Outcome::kTryAgain:
        if (++reliefs < kMostReliefs) continue;
        return Status::kNoMemory;
      case ShortageRelief::Outcome::kYield:
        return Status::kSuccess;  // The processor is blocked; the access repeats later.
      case ShortageRelief::Outcome::kHopeless:
        return Status::kNoMemory;
    }
  }
}

}  // namespace pagoda::mm
