// Contents that the program no longer wants, and may want again. Source: reference/nt.md 7.1 (MEM_RESET,
// MEM_RESET_UNDO).
//
// A page of a reset range is old or zero from now on. What is in memory stays there as a reset page (PfnEntry::reset):
// clean, though no slot has its contents. Nobody writes it anywhere; whoever repurposes it leaves demand zero behind;
// the program's next write makes it an ordinary modified page. What is only in a paging file is demand zero at once.
//
// The same happens to the shared pages of a paging-file section through their prototype PTEs, for everybody: they are
// ordinary again as soon as somebody writes to them. A shared page keeps its contents where somebody else may want
// them: if another view maps it (its entry may be dirty), if it is being read, or if this view does not let the program
// write to it. What a file backs, its views and images, is not reset (kUserMappedFile). All this is a choice;
// reference/nt.md 7.1 says no more than that.
#include "pagoda/mm/process/process_space.h"
#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

namespace {

void release_reset(AddressSpace& space, const Processor& cpu, const FlushBatch::Change& change) {
  PfnDatabase& pfns = space.core().pfns;
  pfns.lock.assert_held();
  const Pfn frame = space.core().codec.frame(change.was);
  if (pfns.entry(frame).share_count == 1) {
    pfns.reset(frame);
  } else {
    release_cleaned(space, cpu, change);  // Another view maps it: what this one's entry said stays true.
  }
}

// Where the prototype PTE of a view's page is; kNone if it does not exist, or its page of entries is out: what is only in
// a paging file may stay there.
PhysicalAddress prototype_of(const Core& core, const Vad& vad, Vpn page) {
  const PageCount in_section = vad.section_page_of(page);
  return core.prototypes.find(vad.control_area->prototype_of(core.codec, in_section));
}

// A page of a section that this space does not map.
void reset_prototype(Core& core, const Processor& cpu, PhysicalAddress pte) PAGODA_REQUIRES(core.pfns.lock) {
  if (pte == PrototypePool::kNone) return;
  const RawPte raw = core.load(cpu, pte);
  if (PteCodec::is_transition(raw)) {
    const Pfn frame = core.codec.frame(raw);
    if (core.pfns.entry(frame).read_in_progress == 0) core.pfns.reset(frame);
  } else if (core.codec.has_slot(raw)) {
    core.backings.free(core.codec.file(raw), core.codec.slot(raw));
    machine::store_entry(cpu.physical(), core.mode, pte,
                         core.codec.demand_zero(core.codec.protection(raw, PteHome::kSegment)));
  }
}

// The entry that owns the page: a clone's or a segment's, where the space's leads there.
RawPte owner_of(const Core& core, const Processor& cpu, const Vad& vad, Vpn page, RawPte raw)
    PAGODA_REQUIRES(core.pfns.lock) {
  const PteKind kind = core.codec.kind(raw);
  if (kind != PteKind::kZero && kind != PteKind::kPrototype) return raw;
  if (core.codec.points_to_prototype(raw)) return peek_prototype(core, cpu, core.codec.prototype_address(raw));
  if (vad.source != PageSource::kPrototype) return 0;
  return peek_prototype(core, cpu, vad.control_area->prototype_of(core.codec, vad.section_page_of(page)));
}

}  // namespace

Result<> ProcessSpace::reset(Processor& cpu, VirtualAddress base, ByteCount size) {
  if (base.vpn() > range().last()) return fail(Status::kInvalidParameter2);
  const auto pages = pages_covering(base, size);
  if (!pages) return fail(Status::kInvalidParameter4);
  const ChangeGuard guard(*this);
  const Vad& vad = *PAGODA_TRY(region_of(*pages));
  PAGODA_TRY(vad.kind->may_reset(vad));

  FlushBatchOf<kRangeBatch> batch(*this, cpu);
  const auto reset_page = [&](Vpn page, PhysicalAddress pte, RawPte raw) {
    lock.assert_held();
    const bool shared = vad.source == PageSource::kPrototype && !is_private_entry(raw);
    if (shared && !is_writable(current_protection(cpu, vad, page, raw))) return;
    // What a fork shares keeps its contents, for the others.
    if (PteCodec::is_valid(raw) && PteCodec::is_shared(raw) && !shared) return;
    if (PteCodec::is_valid(raw)) {
      constexpr RawPte kForgotten =
          machine::pte_bits::kWrite | machine::pte_bits::kDirty | machine::pte_bits::kAccessed;
      const RawPte was = machine::clear_entry_bits(cpu.physical(), core_.mode, pte, kForgotten);
      if (PteCodec::is_dirty(was)) record_write(page);
      working_set_.set_age(working_set_slot(page, raw), Wsle::kOldest);  // The first to go.
      batch.add({.page = page, .pte = pte, .was = was}, release_reset);
      return;
    }
    // Transition and page-file entries change under the PFN lock.
    const LockGuard pfn_guard(core_.pfns.lock);
    if (shared) {
      reset_prototype(core_, cpu, prototype_of(core_, vad, page));
      return;
    }
    raw = core_.load(cpu, pte);
    if (PteCodec::is_transition(raw)) {
      core_.pfns.reset(core_.codec.frame(raw));
    } else if (core_.codec.has_slot(raw)) {
      core_.backings.free(core_.codec.file(raw), core_.codec.slot(raw));
      tables_.replace(cpu, pte, core_.codec.demand_zero(core_.codec.protection(raw)));
    }
  };
  if (vad.source == PageSource::kZeros) {
    const Status status = for_each_entry(cpu, *pages, reset_page, [&](Vpn) { batch.flush(); });
    return status == Status::kSuccess ? Result<>{} : fail(status);
  }
  // A view's pages without a page table too: their section may have contents for them.
  return for_each_table(*pages, [&](VpnRange part) -> Result<> {
    lock.assert_held();
    if (const Status status = bring_in(cpu, part.first, For::kChange); status != Status::kSuccess) return fail(status);
    for (Vpn page = part.first; page < part.end(); ++page) {
      const PhysicalAddress pte = tables_.find(cpu, page);
      reset_page(page, pte, pte == PageTables::kNone ? 0 : core_.load(cpu, pte));
    }
    batch.flush();
    return {};
  });
}

Result<> ProcessSpace::undo_reset(const Processor& cpu, VirtualAddress base, ByteCount size) {
  if (base.vpn() > range().last()) return fail(Status::kInvalidParameter2);
  const auto pages = pages_covering(base, size);
  if (!pages) return fail(Status::kInvalidParameter4);
  const LockGuard guard(lock);
  const Vad& vad = *PAGODA_TRY(region_of(*pages));
  PAGODA_TRY(vad.kind->may_reset(vad));

  // No processor may repurpose a page between the count and the rest.
  const LockGuard pfn_guard(core_.pfns.lock);
  // Wherever their page tables are: nothing is brought in.
  for (Vpn page = pages->first; page < pages->end(); ++page) {
    const RawPte raw = owner_of(core_, cpu, vad, page, tables_.peek(cpu, page));
    if (!PteCodec::is_valid(raw) && !PteCodec::is_transition(raw) && !core_.codec.has_slot(raw))
      return fail(kResetContentsLost);
  }
  for (Vpn page = pages->first; page < pages->end(); ++page) {
    const RawPte raw = owner_of(core_, cpu, vad, page, tables_.peek(cpu, page));
    if (!PteCodec::is_valid(raw) && !PteCodec::is_transition(raw)) continue;
    const Pfn frame = core_.codec.frame(raw);
    if (core_.pfns.entry(frame).reset != 0) core_.pfns.undo_reset(frame);
  }
  return {};
}

}  // namespace pagoda::mm
