#include "pagoda/mm/space/address_space.h"

#include <algorithm>

#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

AddressSpace::AddressSpace(Core& core, ShortageRelief& relief, RegionSource& regions, const Identity& identity,
                           const WorkingSet::Limits& limits)
    : lock(LockRank(LockClass::kSpace, core.depth)),
      core_(core),
      tables_(core, identity.root),
      working_set_(core.pfns.frames(), limits, core.tunables.victim_seed + identity.id),
      relief_(relief),
      regions_(regions),
      identity_(identity) {}

void AddressSpace::add_observer(SecondaryMmu& observer) {
  const LockGuard guard(lock);
  observers_.push_back(&observer);
}

void AddressSpace::remove_observer(SecondaryMmu& observer) {
  const LockGuard guard(lock);
  std::erase(observers_, &observer);
}

machine::OldEntries AddressSpace::enter(const Processor& cpu) {
  const bool keeps = trusts_entries_of(cpu);
  loaded_on_.add(cpu.number());
  return keeps ? machine::OldEntries::kKeep : machine::OldEntries::kForget;
}

void AddressSpace::leave(const Processor& cpu) {
  loaded_on_.remove(cpu.number());
  if (cpu.number() >= left_at_.size()) left_at_.resize(cpu.number() + std::size_t{1});
  left_at_[cpu.number()] = invalidations_;
}

bool AddressSpace::test_and_clear_accessed(const Processor& cpu, const Wsle& entry) {
  bool accessed = PteCodec::is_accessed(core_.load(cpu, entry.pte()));
  if (accessed) machine::clear_entry_bits(cpu.physical(), core_.mode, entry.pte(), machine::pte_bits::kAccessed);
  for (SecondaryMmu* observer : observers_) accessed |= observer->test_and_clear_accessed(entry.page());
  return accessed;
}

bool AddressSpace::is_accessed(const Processor& cpu, const Wsle& entry) {
  for (SecondaryMmu* observer : observers_)
    if (observer->test_and_clear_accessed(entry.page()))
      machine::set_entry_bits(cpu.physical(), core_.mode, entry.pte(), machine::pte_bits::kAccessed);
  return PteCodec::is_accessed(core_.load(cpu, entry.pte()));
}

Protection AddressSpace::protection_of_valid(Vpn page, RawPte raw) const {
  if (PteCodec::is_shared(raw)) return working_set_[working_set_.find_shared(page)].protection();
  const Pfn frame = core_.codec.frame(raw);
  if (!core_.pfns.contains(frame)) [[unlikely]]
    return regions_.rights_of_device_page(page);
  return core_.codec.protection(core_.pfns.entry(frame).original_pte);
}

RawPte AddressSpace::unmapped_form(Pfn frame, RawPte raw, const Wsle& wsle) const {
  const PfnEntry& entry = core_.pfns.entry(frame);
  if (!PteCodec::is_shared(raw)) return core_.codec.transition(frame, core_.codec.protection(entry.original_pte));
  const LockGuard guard(core_.pfns.lock);
  if (core_.codec.protection(entry.original_pte, PteHome::kSegment) != wsle.protection() &&
      !core_.prototypes.is_clone(entry.pte()))
    return core_.codec.lookup_needed(wsle.protection());
  return core_.codec.prototype(core_.prototypes.address_of(entry.pte()), wsle.protection(), PteCodec::ReadOnly::kNo);
}

bool AddressSpace::is_clone(RawPte raw) const {
  if (PteCodec::is_valid(raw)) {
    if (!PteCodec::is_shared(raw)) return false;
    const LockGuard guard(core_.pfns.lock);
    return core_.prototypes.is_clone(core_.pfns.entry(core_.codec.frame(raw)).pte());
  }
  if (!core_.codec.points_to_prototype(raw)) return false;
  const LockGuard guard(core_.pfns.lock);
  return core_.prototypes.is_clone(core_.codec.prototype_address(raw));
}

// A write has copied the page; a fork may share the copy.
bool AddressSpace::is_private_entry(RawPte raw) const {
  if (PteCodec::is_valid(raw))
    return PteCodec::is_shared(raw) ? is_clone(raw) : core_.pfns.contains(core_.codec.frame(raw));
  const PteKind kind = core_.codec.kind(raw);
  return kind != PteKind::kZero && (kind != PteKind::kPrototype || is_clone(raw));
}

Protection AddressSpace::protection_of_pointer(const Vad& vad, Vpn page, RawPte raw) const {
  if (const Protection own = core_.codec.protection(raw); own != Protection::kNone) return own;
  // x86 pointers have no room for it: it is the prototype's.
  const LockGuard guard(core_.pfns.lock);
  const VirtualAddress address = core_.codec.prototype_address(raw);
  if (!core_.prototypes.is_clone(address)) return regions_.rights_by_segment(vad, page);
  return core_.prototypes.clone_protection(address);
}

Protection AddressSpace::current_protection(const Processor& /*cpu*/, const Vad& vad, Vpn page, RawPte raw) const {
  const PteCodec& codec = core_.codec;
  switch (codec.kind(raw)) {
    case PteKind::kZero:
      return protection_of_zero_pte(vad, page);
    case PteKind::kDecommitted:
      return Protection::kNone;
    case PteKind::kValid:
      return protection_of_valid(page, raw);
    case PteKind::kPrototype:
      return protection_of_pointer(vad, page, raw);
    default:
      return codec.protection(raw);
  }
}

std::uint32_t AddressSpace::working_set_slot(Vpn page, RawPte raw) const {
  if (PteCodec::is_valid(raw) && PteCodec::is_shared(raw)) return working_set_.find_shared(page);
  if (!PteCodec::is_valid(raw) || !core_.pfns.contains(core_.codec.frame(raw))) return WorkingSet::kNoSlot;
  return core_.pfns.entry(core_.codec.frame(raw)).ws_index;
}

void AddressSpace::free_empty_tables(Processor& cpu, Vpn page) {
  FlushBatchOf<1> batch(*this, cpu);
  batch.unlink_tables(page);
  batch.flush();
}

namespace {

void release_protected(AddressSpace& space, const Processor& cpu, const FlushBatch::Change& change) {
  PfnDatabase& pfns = space.core().pfns;
  pfns.lock.assert_held();
  pfns.set_protection(space.core().codec.frame(change.was), change.protection);
  // What the dirty bit said goes into the PFN entry; the PTE starts clean, and a next write says so again.
  release_cleaned(space, cpu, change);
}

void release_forbidden(AddressSpace& space, const Processor& cpu, const FlushBatch::Change& change) {
  PfnDatabase& pfns = space.core().pfns;
  pfns.lock.assert_held();
  pfns.set_protection(space.core().codec.frame(change.was), change.protection);
  release_unmapped(space, cpu, change);
}

}  // namespace

// The page of the entry is private.
void AddressSpace::protect_entry(FlushBatch& batch, Vpn page, PhysicalAddress pte, RawPte raw, Protection protection) {
  const Processor& cpu = batch.cpu();
  if (!PteCodec::is_valid(raw)) {
    const LockGuard guard(core_.pfns.lock);
    raw = core_.load(cpu, pte);
    if (raw == 0) {
      tables_.store(cpu, pte, core_.codec.demand_zero(protection));
      return;
    }
    // What a fork shares was made private before.
    PAGODA_CHECK(!core_.codec.points_to_prototype(raw) ||
                 !core_.prototypes.is_clone(core_.codec.prototype_address(raw)));
    tables_.replace(cpu, pte, core_.codec.with_protection(raw, protection));
    if (PteCodec::is_transition(raw)) core_.pfns.set_protection(core_.codec.frame(raw), protection);
    return;
  }
  const Pfn frame = core_.codec.frame(raw);
  core_.note(cpu, EventKind::kProtected, pte, frame, raw);
  if (PteCodec::is_dirty(raw)) record_write(page);
  const FlushBatch::Change change{.page = page, .pte = pte, .was = raw, .protection = protection};
  if (is_mappable(protection)) {
    tables_.replace(cpu, pte, core_.codec.valid(frame, protection, owner(), PteCodec::Dirty::kNo));
    batch.add(change, release_protected);
    return;
  }
  // Nobody may touch it, or a guard stands before it: the page leaves the working set and keeps its contents.
  leave_working_set(cpu, core_.pfns.entry(frame).ws_index);
  tables_.replace(cpu, pte, core_.codec.transition(frame, protection));
  batch.add(change, release_forbidden);
}

void AddressSpace::protect_entry(Processor& cpu, Vpn page, PhysicalAddress pte, RawPte raw, Protection protection) {
  FlushBatchOf<1> batch(*this, cpu);
  protect_entry(batch, page, pte, raw, protection);
  batch.flush();
}

void AddressSpace::drop_clone(const Processor& cpu, VirtualAddress prototype) {
  core_.pfns.lock.assert_held();
  core_.commit.give_back(core_.prototypes.drop_clone_reference(cpu, prototype));
}

void AddressSpace::free_mapped(const Processor& cpu, PhysicalAddress pte, RawPte raw) {
  core_.pfns.lock.assert_held();
  const Pfn frame = core_.codec.frame(raw);
  if (!core_.pfns.contains(frame)) {
    core_.pfns.drop_table_share(pte.pfn());
    return;
  }
  if (!PteCodec::is_shared(raw)) {
    core_.pfns.remove(frame);
    return;
  }
  const PhysicalAddress prototype = core_.pfns.entry(frame).pte();
  core_.pfns.unshare(cpu, frame, pte.pfn(), PteCodec::dirty_of(raw));
  if (core_.prototypes.is_clone(prototype)) drop_clone(cpu, core_.prototypes.address_of(prototype));
}

}  // namespace pagoda::mm
