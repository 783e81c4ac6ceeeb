#include "pagoda/mm/combine/page_merger.h"

#include <cstring>

#include "pagoda/base/interleave.h"
#include "pagoda/base/zero_scan.h"
#include "pagoda/mm/region/clone_entries.h"

namespace pagoda::mm {

std::optional<PageMerger::Candidate> PageMerger::candidate(ProcessSpace& space, const Processor& cpu,
                                                           std::uint32_t slot) {
  // A change that has let the lock go relies on the pages that it has made private.
  if (space.is_paused() && !PAGODA_FAULT_SWITCH(merges_during_changes)) return std::nullopt;
  const Wsle& wsle = space.working_set()[slot];
  if (!wsle.is_valid() || wsle.is_locked()) return std::nullopt;
  const Vad* const vad = space.region_at(wsle.page());
  if (vad == nullptr || !vad->is_private || vad->source != PageSource::kZeros) return std::nullopt;
  Candidate found{.slot = slot, .page = wsle.page(), .pte = wsle.pte(), .raw = core_.load(cpu, wsle.pte())};
  found.frame = core_.codec.frame(found.raw);
  if (!core_.pfns.contains(found.frame)) return std::nullopt;
  if (!PteCodec::is_shared(found.raw)) {
    found.protection = shared_by_fork(core_.codec.protection(core_.pfns.entry(found.frame).original_pte));
    return found;
  }
  const LockGuard guard(core_.pfns.lock);
  const VirtualAddress prototype = core_.prototypes.address_of(core_.pfns.entry(found.frame).pte());
  if (!core_.prototypes.is_clone(prototype)) return std::nullopt;
  found.is_published = table_.shared_entry(prototype) != ContentTable::kNone;
  // A child of a fork has the page mapped that its parent's was made shared by.
  if (found.is_published && core_.tunables.sharing.combine == SharingTunables::Combine::kOrdinary) return std::nullopt;
  found.clone = prototype;
  found.protection = wsle.protection();
  return found;
}

std::optional<PageMerger::Candidate> PageMerger::candidate_at(ProcessSpace& space, const Processor& cpu, Vpn page) {
  const PhysicalAddress pte = space.tables().find(cpu, page);
  if (pte == PageTables::kNone) return std::nullopt;
  const RawPte raw = core_.load(cpu, pte);
  if (!PteCodec::is_valid(raw)) return std::nullopt;
  const std::uint32_t slot = space.working_set_slot(page, raw);
  return slot == WorkingSet::kNoSlot ? std::nullopt : candidate(space, cpu, slot);
}

RawPte PageMerger::shared_form(const ProcessSpace& space, const Candidate& of, Pfn frame) const {
  const RawPte pte =
      core_.codec.valid(frame, of.protection, space.owner(), PteCodec::Dirty::kNo) | soft_bits::kPrototype;
  // To be looked at is no access: an idle page stays idle.
  return PteCodec::is_accessed(of.raw) ? pte : pte & ~machine::pte_bits::kAccessed;
}

void PageMerger::hide(ProcessSpace& space, Processor& cpu, const Candidate& of) {
  space.tables().replace(cpu, of.pte, core_.codec.transition(of.frame, of.protection));
  if (PAGODA_FAULT_SWITCH(merged_before_the_shoot_down)) return;
  space.invalidate(cpu, {{of.page, 1_pages}, of.frame});
}

void PageMerger::protect(ProcessSpace& space, Processor& cpu, const Candidate& of) {
  if ((of.raw & machine::pte_bits::kWrite) == 0) return;
  space.tables().replace(cpu, of.pte, of.raw & ~machine::pte_bits::kWrite);
  if (PAGODA_FAULT_SWITCH(published_before_the_shoot_down)) return;
  space.invalidate(cpu, {{of.page, 1_pages}, of.frame});
}

bool PageMerger::holds(Processor& cpu, Pfn frame, PageBytes expected) const {
  cpu.charge(core_.machine.costs().compare_page);
  const machine::FrameView view = cpu.physical().bytes(frame, machine::Access::kRead);
  return std::memcmp(view.data(), expected.data(), kPageBytes) == 0;
}

bool PageMerger::is_free_to_go(const Candidate& of) const {
  core_.pfns.lock.assert_held();
  if (of.clone) return true;  // The page stays; this PTE leaves it.
  const PfnEntry& entry = core_.pfns.entry(of.frame);
  return entry.reference_count == 1 && entry.reset == 0;
}

PageMerger::Outcome PageMerger::join(ProcessSpace& space, Processor& cpu, const Candidate& of, std::uint32_t entry,
                                     DomainNumber domain, RawPte& now) {
  if (!table_.is_used(entry) || !table_.is_shared(entry) || table_.domain(entry) != domain || !is_free_to_go(of))
    return Outcome::kCannot;
  PrototypePool& pool = core_.prototypes;
  const VirtualAddress prototype = table_.prototype(entry);
  const PhysicalAddress to = pool.find(prototype);
  if (to == PrototypePool::kNone || pool.clone_protection(prototype) != of.protection ||
      pool.clone_references(prototype) >= PfnEntry::kMostCounted)
    return Outcome::kCannot;
  const RawPte raw = core_.load(cpu, to);
  const bool mapped = PteCodec::is_valid(raw);
  if (!mapped && !PteCodec::is_transition(raw)) return Outcome::kCannot;
  const Pfn frame = core_.codec.frame(raw);
  const PfnEntry& page = core_.pfns.entry(frame);
  if (page.read_in_progress != 0 || page.reset != 0) return Outcome::kCannot;
  cpu.charge(core_.machine.costs().compare_page);
  if (!cpu.physical().equal(of.frame, frame) && !PAGODA_FAULT_SWITCH(equal_hashes_are_believed))
    return Outcome::kDiffers;
  pool.add_clone_reference(prototype);
  if (mapped) {
    core_.pfns.share(frame, of.pte.pfn());
  } else {
    core_.pfns.rescue(frame);
    machine::store_entry(cpu.physical(), core_.mode, to,
                         core_.codec.valid(frame, of.protection, PteCodec::Owner::kKernel, PteCodec::Dirty::kNo));
    core_.pfns.add_table_share(of.pte.pfn());
  }
  space.free_mapped(cpu, of.pte, of.raw);
  ++core_.counters.sharing_merged;
  now = shared_form(space, of, frame);
  return Outcome::kDone;
}

PageMerger::Outcome PageMerger::merge(ProcessSpace& space, Processor& cpu, const Candidate& of, std::uint32_t entry,
                                      DomainNumber domain) {
  if (!of.clone && !space.working_set().has_room_for_shared()) return Outcome::kCannot;
  hide(space, cpu, of);
  RawPte now = of.raw;
  Outcome outcome{};
  {
    const LockGuard guard(core_.pfns.lock);
    outcome = join(space, cpu, of, entry, domain, now);
  }
  // No processor, and no observer, has an entry for it: nothing to shoot down.
  space.tables().replace(cpu, of.pte, now);
  if (outcome != Outcome::kDone) return outcome;
  if (PteCodec::is_dirty(of.raw)) space.record_write(of.page);
  if (!of.clone) space.working_set().make_shared(of.slot, of.protection);
  core_.note(cpu, EventKind::kMerged, of.pte, core_.codec.frame(now), of.raw);
  return outcome;
}

Result<VirtualAddress> PageMerger::move(ProcessSpace& space, Processor& cpu, const Candidate& of) {
  space.lock.assert_held();
  if (!is_free_to_go(of)) return fail(Status::kConflictingAddresses);
  CloneEntries entries(core_, cpu);
  return PAGODA_TRY(move_mapped(core_, cpu, of.raw, Locked::kNo, 1, entries)).prototype;
}

void PageMerger::map_as_shared(ProcessSpace& space, Processor& cpu, const Candidate& of) {
  if (PteCodec::is_dirty(of.raw)) space.record_write(of.page);
  space.working_set().make_shared(of.slot, of.protection);
  space.tables().replace(cpu, of.pte, shared_form(space, of, of.frame));
}

PageMerger::Outcome PageMerger::forget_zeros(ProcessSpace& space, Processor& cpu, const Candidate& of) {
  hide(space, cpu, of);
  Outcome outcome = Outcome::kDiffers;
  cpu.charge(core_.machine.costs().scan_page);
  if (is_zero(cpu.physical().bytes(of.frame, machine::Access::kRead).bytes())) {
    const LockGuard guard(core_.pfns.lock);
    outcome = is_free_to_go(of) ? Outcome::kDone : Outcome::kCannot;
    if (outcome == Outcome::kDone && of.clone) {
      space.free_mapped(cpu, of.pte, of.raw);
    } else if (outcome == Outcome::kDone) {
      core_.pfns.unmap(of.frame, PteCodec::Dirty::kYes);
      core_.pfns.forget_zero(cpu, of.frame);
    }
    if (outcome == Outcome::kDone) ++core_.counters.sharing_zeros;
  }
  if (outcome != Outcome::kDone) {
    space.tables().replace(cpu, of.pte, of.raw);
    return outcome;
  }
  space.tables().replace(cpu, of.pte, core_.codec.demand_zero(unshared(of.protection)));
  if (PteCodec::is_dirty(of.raw)) space.record_write(of.page);
  space.leave_working_set(cpu, of.slot);
  core_.note(cpu, EventKind::kZeroFound, of.pte, of.frame, of.raw);
  return outcome;
}

}  // namespace pagoda::mm
