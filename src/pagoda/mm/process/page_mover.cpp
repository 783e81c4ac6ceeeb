#include "pagoda/mm/process/page_mover.h"

namespace pagoda::mm {

std::optional<PageMover::Candidate> PageMover::candidate(ProcessSpace& space, const Processor& cpu,
                                                         std::uint32_t slot) const {
  // A change that has let the lock go relies on the pages that it has seen.
  if (space.is_paused()) return std::nullopt;
  const Wsle& wsle = space.working_set()[slot];
  if (!wsle.is_valid() || wsle.is_locked()) return std::nullopt;
  const Vad* const vad = space.region_at(wsle.page());
  if (vad == nullptr || !vad->is_private || vad->source != PageSource::kZeros) return std::nullopt;
  Candidate found{.slot = slot, .page = wsle.page(), .pte = wsle.pte(), .raw = core_.load(cpu, wsle.pte())};
  found.frame = core_.codec.frame(found.raw);
  if (PteCodec::is_shared(found.raw) || !core_.pfns.contains(found.frame)) return std::nullopt;
  return found;
}

template <class Take>
PageMover::Outcome PageMover::move(ProcessSpace& space, Processor& cpu, const Candidate& of, Take&& take) {
  const Protection protection = core_.codec.protection(core_.pfns.entry(of.frame).original_pte);
  space.tables().replace(cpu, of.pte, core_.codec.transition(of.frame, protection));
  space.invalidate(cpu, {{of.page, 1_pages}, of.frame});
  RawPte now = of.raw;
  Outcome outcome = Outcome::kCannot;
  {
    const LockGuard guard(core_.pfns.lock);
    const PfnEntry& entry = core_.pfns.entry(of.frame);
    if (entry.reference_count == 1 && entry.reset == 0) {
      outcome = Outcome::kNoFrame;
      if (const auto taken = take()) {
        cpu.physical().copy(of.frame, taken->frame);
        cpu.charge(core_.machine.costs().copy_page);
        core_.pfns.make_active(taken->frame, of.pte, core_.codec.demand_zero(protection), PteCodec::Dirty::kYes);
        core_.pfns.set_working_set_slot(taken->frame, of.slot);
        space.free_mapped(cpu, of.pte, of.raw);
        now = core_.codec.valid(taken->frame, protection, space.owner(), PteCodec::dirty_of(of.raw));
        if (!PteCodec::is_accessed(of.raw)) now &= ~machine::pte_bits::kAccessed;
        outcome = Outcome::kDone;
      }
    }
  }
  // Nobody has an entry for it: nothing to shoot down.
  space.tables().replace(cpu, of.pte, now);
  return outcome;
}

PageMover::Outcome PageMover::move_below(ProcessSpace& space, Processor& cpu, Vpn page, Pfn end) {
  const PhysicalAddress pte = space.tables().find(cpu, page);
  if (pte == PageTables::kNone) return Outcome::kCannot;
  const RawPte raw = core_.load(cpu, pte);
  if (!PteCodec::is_valid(raw)) return Outcome::kCannot;
  const std::uint32_t slot = space.working_set_slot(page, raw);
  if (slot == WorkingSet::kNoSlot) return Outcome::kCannot;
  const auto found = candidate(space, cpu, slot);
  if (!found) return Outcome::kCannot;
  return move(space, cpu, *found, [&] {
    core_.pfns.lock.assert_held();
    return core_.pfns.take_below(cpu, end);
  });
}

PageMover::Outcome PageMover::make_room_below(ProcessSpace& space, Processor& cpu, Pfn end) {
  const WorkingSet& pages = space.working_set();
  std::optional<Candidate> coldest;
  for (std::uint32_t slot = 0; slot < pages.end_slot(); ++slot) {
    const Wsle& wsle = pages[slot];
    if (!wsle.is_valid() || (coldest && wsle.age() <= pages[coldest->slot].age())) continue;
    const auto found = candidate(space, cpu, slot);
    if (found && found->frame < end) coldest = found;
  }
  if (!coldest) return Outcome::kCannot;
  return move(space, cpu, *coldest, [&]() -> Result<PfnDatabase::TakenFrame> {
    core_.pfns.lock.assert_held();
    const auto taken = core_.pfns.take(cpu, Contents::kAny);
    if (!taken || taken->frame >= end) return taken;
    // One came free below in between: there is room.
    core_.pfns.give_back(taken->frame, Contents::kAny);
    return fail(Status::kInsufficientResources);
  });
}

}  // namespace pagoda::mm
