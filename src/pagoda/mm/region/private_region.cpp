#include "pagoda/mm/region/private_region.h"

#include "pagoda/mm/pfn/freed_frames.h"
#include "pagoda/mm/region/region_space.h"
#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

namespace {

// Requires: all pages are committed, and all their entries exist unless they are zero and may stay so.
void protect_committed(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages, Protection protection)
    PAGODA_REQUIRES(space.lock) {
  FlushBatchOf<kRangeBatch> batch(space, cpu);
  space.tables().for_each(
      cpu, pages,
      [&](Vpn page, PhysicalAddress pte, RawPte raw) {
        space.lock.assert_held();
        if (space.current_protection(cpu, vad, page, raw) != protection)
          space.protect_entry(batch, page, pte, raw, protection);
      },
      [&](Vpn page) { batch.unlink_tables(page); });
  batch.flush();
}

}  // namespace

const PrivateRegion& private_region() {
  static const PrivateRegion kind;
  return kind;
}

DefaultRun PrivateRegion::rights(const Vad& vad, Vpn /*page*/) const {
  return {vad.range.end(), vad.mem_commit == MemCommit::kYes ? vad.protection : Protection::kNone};
}

PageCount PrivateRegion::committed(const RegionSpace& space, const Processor& cpu, const Vad& vad,
                                   VpnRange pages) const {
  space.lock.assert_held();
  PageCount explicit_count;  // Entries that say otherwise than the VAD.
  const bool by_vad = vad.mem_commit == MemCommit::kYes;
  const PteCodec& codec = space.core().codec;
  space.tables().for_each(cpu, pages, [&](Vpn, PhysicalAddress, RawPte raw) {
    const PteKind kind = codec.kind(raw);
    if (by_vad ? kind == PteKind::kDecommitted : kind != PteKind::kZero && kind != PteKind::kDecommitted)
      ++explicit_count;
  });
  return by_vad ? pages.count - explicit_count : explicit_count;
}

Result<> PrivateRegion::may_protect(const RegionSpace& space, const Processor& cpu, const Vad& vad, VpnRange pages,
                                    Protection protection) const {
  if (committed(space, cpu, vad, pages) != pages.count) return fail(Status::kNotCommitted);
  return is_allowed_on_private(protection) ? Result<>{} : fail(Status::kInvalidParameter4);
}

Result<> PrivateRegion::protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages,
                                Protection protection) const {
  space.lock.assert_held();
  PAGODA_TRY(make_private(space, cpu, pages));
  PAGODA_TRY(space.make_tables(cpu, pages));
  protect_committed(space, cpu, vad, pages, protection);
  return {};
}

Result<> PrivateRegion::commit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages,
                               Protection protection) const {
  space.lock.assert_held();
  if ((vad.no_change && protection != vad.protection) || !secured_allow(vad, pages, protection))
    return fail(Status::kInvalidPageProtection);
  const PageCount promised = pages.count - committed(space, cpu, vad, pages);
  PAGODA_TRY(space.charge_commit(promised));
  auto ready = make_private(space, cpu, pages);
  if (ready) ready = space.make_tables(cpu, pages);
  if (!ready) {
    space.give_back_commit(promised);
    return ready;
  }
  space.add_charge(vad, promised);
  const bool by_vad = vad.mem_commit == MemCommit::kYes && protection == vad.protection;
  space.tables().for_each(cpu, pages, [&](Vpn, PhysicalAddress pte, RawPte raw) {
    space.lock.assert_held();
    const PteKind kind = space.core().codec.kind(raw);
    if (kind == PteKind::kDecommitted || (kind == PteKind::kZero && !by_vad))
      space.tables().store(cpu, pte, space.core().codec.demand_zero(protection));
  });
  // Those that were there already take the protection.
  protect_committed(space, cpu, vad, pages, protection);
  return {};
}

Result<> PrivateRegion::decommit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const {
  space.lock.assert_held();
  const bool whole = pages == vad.range;
  const bool leaves_holes = vad.mem_commit == MemCommit::kYes && !whole;
  if (leaves_holes) PAGODA_TRY(space.make_tables(cpu, pages));
  const PageCount freed = whole ? vad.commit_charge : committed(space, cpu, vad, pages);
  space.free_pages(cpu, vad, pages, leaves_holes ? space.core().codec.decommitted() : 0);
  if (whole) vad.mem_commit = MemCommit::kNo;
  space.drop_charge(vad, freed);
  return {};
}

Result<> PrivateRegion::discard(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const {
  space.lock.assert_held();
  if (!may_free(vad, pages)) return fail(Status::kInvalidPageProtection);
  Core& core = space.core();
  FreedFrames freed(core.machine, core.pfns);
  if (freed.wanted()) {
    space.tables().for_each(cpu, pages, [&](Vpn, PhysicalAddress, RawPte raw) {
      if (PteCodec::is_valid(raw) || PteCodec::is_transition(raw)) freed.add(core.codec.frame(raw));
    });
  }
  if (vad.commits_on_touch) {
    PAGODA_TRY(decommit(space, cpu, vad, pages));
  } else {
    space.free_pages(cpu, vad, pages, RegionSpace::kAsDemandZero);
  }
  freed.give_back();
  return {};
}

bool PrivateRegion::may_reset(const Vad& /*vad*/) const { return true; }

// The child's memory is not watched (reference/nt.md 7.7).
Vad PrivateRegion::child_of(const Vad& vad) const {
  Vad child = RegionKind::child_of(vad);
  if (child.type == VadType::kWriteWatch) child.type = VadType::kNone;
  return child;
}

}  // namespace pagoda::mm
