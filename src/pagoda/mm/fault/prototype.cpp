// A page that is shared: its prototype PTE says where it is. The page is made resident for everybody, then mapped here.
#include <span>
#include <utility>

#include "pagoda/mm/backing/entries_in.h"
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/section/mapped_read.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm::fault {

namespace {

// What the prototype PTE said, and what to do about it without the PFN lock.
struct Lookup {
  enum class Next : std::uint8_t { kMap, kPrivateZero, kReadPageFile, kReadFile, kDone } next = Next::kDone;
  Pfn frame = kNoPfn;
  PhysicalAddress pte;
  Outcome outcome;
  bool is_withheld = false;
};

RawPte valid_prototype(const Core& core, Pfn frame) {
  Protection protection = core.codec.protection(core.pfns.entry(frame).original_pte, PteHome::kSegment);
  // No program may touch the page, a clone's, or an image's until a view says otherwise. No processor reads the entry.
  if (!is_mappable(protection)) protection = Protection::kReadOnly;
  return core.codec.valid(frame, protection, PteCodec::Owner::kKernel, PteCodec::Dirty::kNo);
}

// The page is in memory, maybe on its way: rescues it.
Lookup rescue(Context& c, PhysicalAddress pte, RawPte raw) PAGODA_REQUIRES(c.core.pfns.lock) {
  const Pfn frame = c.core.codec.frame(raw);
  const PfnEntry& entry = c.core.pfns.entry(frame);
  if (entry.read_in_progress) {
    c.being_read = frame;
    return {.outcome = {Status::kSuccess, FaultKind::kCollided}};
  }
  Lookup found{
      .next = Lookup::Next::kMap, .frame = frame, .outcome = {Status::kSuccess, FaultKind::kTransitionStandby}};
  if (entry.awaited) {
    found.outcome.counted = false;  // The page that the fault before this one read.
  } else if (entry.state != PageState::kStandby) {
    found.outcome.kind = FaultKind::kTransitionModified;
  }
  c.core.pfns.rescue(frame);
  machine::store_entry(c.cpu.physical(), c.core.mode, pte, valid_prototype(c.core, frame));
  c.core.pfns.add_table_share(c.pte.pfn());
  return found;
}

Lookup shared_zero(Context& c, PhysicalAddress pte, RawPte raw) PAGODA_REQUIRES(c.core.pfns.lock) {
  // A private copy of nothing is a private page of zeros; no process needs the shared one.
  if ((c.fault.access == machine::Access::kWrite && is_write_copy(c.protection)) || is_withheld(c.core, c.prototype))
    return {.next = Lookup::Next::kPrivateZero};
  const auto taken = c.core.pfns.take(c.cpu, Contents::kZeroed);
  if (!taken) return {.outcome = {Status::kNoMemory}};
  if (!taken->zeroed) {
    // Under the lock: others find the page as soon as the prototype PTE is valid.
    c.core.zero(c.cpu, taken->frame);
    ++c.core.counters.pages_zeroed_in_fault;
  }
  c.core.pfns.make_active(taken->frame, pte, raw);
  machine::store_entry(c.cpu.physical(), c.core.mode, pte, valid_prototype(c.core, taken->frame));
  c.core.pfns.add_table_share(c.pte.pfn());
  return {.next = Lookup::Next::kMap, .frame = taken->frame, .outcome = {Status::kSuccess, FaultKind::kDemandZero}};
}

Lookup shared_compressed(Context& c, PhysicalAddress pte, RawPte raw) PAGODA_REQUIRES(c.core.pfns.lock) {
  const auto taken = c.core.pfns.take(c.cpu, Contents::kAny);
  if (!taken) return {.outcome = {Status::kNoMemory}};
  c.core.backing_of(raw).read(c.cpu, c.core.codec.slot(raw), std::span(&taken->frame, 1));
  ++c.core.counters.pages_decompressed;
  c.core.note(c.cpu, EventKind::kDecompressed, pte, taken->frame, raw);
  c.core.pfns.make_active(taken->frame, pte, raw);
  machine::store_entry(c.cpu.physical(), c.core.mode, pte, valid_prototype(c.core, taken->frame));
  c.core.pfns.add_table_share(c.pte.pfn());
  return {.next = Lookup::Next::kMap, .frame = taken->frame, .outcome = {Status::kSuccess, FaultKind::kCompressed}};
}

Lookup find(Context& c) PAGODA_REQUIRES(c.space.lock, c.core.pfns.lock) {
  const Lookup violation{.outcome = {Status::kAccessViolation, FaultKind::kAccessViolation}};
  PrototypePool& pool = c.core.prototypes;
  PhysicalAddress pte = pool.find(c.prototype);
  if (pte == PrototypePool::kNone && pool.is_out(c.prototype)) {
    EntriesIn in = begin_prototypes_in(c.core, c.cpu, c.prototype);
    c.read = std::move(in.read);
    c.being_read = in.being_read;
    return {.outcome = {in.status, FaultKind::kSpurious, false}};
  }
  if (pte == PrototypePool::kNone) {
    const PteKind unmade =
        c.core.codec.kind(c.control_area->template_of(c.core.codec, c.section_page), PteHome::kSegment);
    if (unmade == PteKind::kZero) return violation;  // Never committed.
    if (unmade == PteKind::kSubsection) return {.next = Lookup::Next::kReadFile};
    const auto made = pool.make(c.cpu, c.prototype, *c.control_area);
    if (!made) return {.outcome = {Status::kNoMemory}};
    pte = *made;
  }
  const PrototypePool::Pin pin(pool, pte);
  RawPte raw = c.core.load(c.cpu, pte);
  // Its page of entries may have been out when a SEC_RESERVE section committed it.
  if (raw == 0 && c.control_area != nullptr) raw = c.control_area->template_of(c.core.codec, c.section_page);
  switch (c.core.codec.kind(raw, PteHome::kSegment)) {
    case PteKind::kValid: {
      const Pfn frame = c.core.codec.frame(raw);
      if (c.core.pfns.entry(frame).share_count >= PfnEntry::kMostCounted) [[unlikely]]
        return {.outcome = {Status::kInsufficientResources}};
      c.core.pfns.share(frame, c.pte.pfn());
      return {.next = Lookup::Next::kMap, .frame = frame, .outcome = {Status::kSuccess, FaultKind::kShared}};
    }
    case PteKind::kTransition:
      return rescue(c, pte, raw);
    case PteKind::kDemandZero:
      return shared_zero(c, pte, raw);
    case PteKind::kPageFile:
      if (c.core.is_compressed(raw)) return shared_compressed(c, pte, raw);
      return {.next = Lookup::Next::kReadPageFile, .pte = pte};
    case PteKind::kSubsection:
      return {.next = Lookup::Next::kReadFile};
    default:
      return violation;  // A SEC_RESERVE section has not committed it.
  }
}

Lookup look(Context& c) PAGODA_REQUIRES(c.space.lock) {
  const LockGuard guard(c.core.pfns.lock);
  Lookup found = find(c);
  found.is_withheld = found.next == Lookup::Next::kMap && is_withheld(c.core, c.prototype);
  return found;
}

Outcome read_file(Context& c) PAGODA_REQUIRES(c.space.lock) {
  MappedRead begun = begin_mapped_read(c.core, c.cpu, *c.control_area, c.section_page);
  if (begun.status != Status::kSuccess) return {begun.status, FaultKind::kInPageError};
  if (!begun.cluster) return {Status::kSuccess, FaultKind::kSpurious, false};
  c.read = std::move(begun.cluster);
  return {Status::kSuccess, FaultKind::kMappedFile};
}

}  // namespace

Outcome prototype(Context& c) {
  const Lookup found = look(c);
  switch (found.next) {
    case Lookup::Next::kMap:
      break;
    case Lookup::Next::kPrivateZero: {
      c.protection = unshared(c.protection);
      const Outcome made = demand_zero(c);
      if (made.status == Status::kSuccess && c.control_area == nullptr) {
        // A clone's entry has one fewer that names it.
        const LockGuard guard(c.core.pfns.lock);
        c.space.drop_clone(c.cpu, c.prototype);
      }
      return made;
    }
    case Lookup::Next::kReadPageFile:
      return page_file(c, found.pte, PteHome::kSegment);
    case Lookup::Next::kReadFile:
      return read_file(c);
    case Lookup::Next::kDone:
      return found.outcome;
  }
  if (found.is_withheld) return copy_withheld(c, found.frame, found.outcome);
  auto dirty = PteCodec::Dirty::kNo;
  const bool writes = c.fault.access == machine::Access::kWrite;
  if (writes && !is_write_copy(c.protection)) {
    const LockGuard guard(c.core.pfns.lock);
    c.core.pfns.make_dirty(found.frame);
    dirty = PteCodec::Dirty::kYes;
  }
  make_room(c.space, c.cpu);
  map_shared(c, found.frame, dirty);
  c.core.note(c.cpu, found.outcome.counted ? EventKind::kRescued : EventKind::kMapped, c.pte, found.frame, c.raw);
  if (!writes || !is_write_copy(c.protection)) return found.outcome;
  // The copy needs a frame of its own. If there is none now, the page is mapped all the same, and the write comes
  // again.
  c.raw = c.core.load(c.cpu, c.pte);
  const Outcome copied = copy_on_write(c);
  return copied.status == Status::kSuccess ? copied : found.outcome;
}

}  // namespace pagoda::mm::fault
