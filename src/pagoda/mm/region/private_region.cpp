#include "pagoda/mm/region/private_region.h"

#include "pagoda/mm/pfn/freed_frames.h"
#include "pagoda/mm/region/region_space.h"
#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

namespace {

// Requires: all pages are committed, and all their entries exist unless they are zero and may stay so.
Status protect_committed(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages, Protection protection)
    PAGODA_REQUIRES(space.lock) {
  FlushBatchOf<kRangeBatch> batch(space, cpu);
  return space.for_each_entry(
      cpu, pages,
      [&](Vpn page, PhysicalAddress pte, RawPte raw) {
        space.lock.assert_held();
        if (space.current_protection(cpu, vad, page, raw) != protection)
          space.protect_entry(batch, page, pte, raw, protection);
      },
      [&](Vpn page) {
        batch.unlink_tables(page);
        batch.flush();
      });
}

// Whether the entry says that its page is committed, in a region whose VAD says so of zero entries or does not.
bool says_committed(const PteCodec& codec, bool by_vad, RawPte raw) {
  const PteKind kind = codec.kind(raw);
  return kind == PteKind::kZero ? by_vad : kind != PteKind::kDecommitted;
}

// The pages of one page table that are not committed yet become so. Requires: they are charged. Returns how many.
PageCount commit_in_table(RegionSpace& space, const Processor& cpu, const Vad& vad, VpnRange pages,
                          Protection protection) PAGODA_REQUIRES(space.lock) {
  const PteCodec& codec = space.core().codec;
  const bool by_vad = vad.mem_commit == MemCommit::kYes;
  PageCount promised;
  const Vpn end = space.tables().for_each(cpu, pages, [&](Vpn, PhysicalAddress pte, RawPte raw) {
    space.lock.assert_held();
    if (!says_committed(codec, by_vad, raw)) ++promised;
    const PteKind kind = codec.kind(raw);
    if (kind == PteKind::kDecommitted || (kind == PteKind::kZero && (!by_vad || protection != vad.protection)))
      space.tables().store(cpu, pte, codec.demand_zero(protection));
  });
  PAGODA_CHECK(end == pages.end());
  return promised;
}

}  // namespace

const PrivateRegion& private_region() {
  static const PrivateRegion kind;
  return kind;
}

DefaultRun PrivateRegion::rights(const Vad& vad, Vpn /*page*/) const {
  return {vad.range.end(), vad.mem_commit == MemCommit::kYes ? vad.protection : Protection::kNone};
}

Result<PageCount> PrivateRegion::committed(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages) const {
  space.lock.assert_held();
  PageCount explicit_count;  // Entries that say otherwise than the VAD.
  const bool by_vad = vad.mem_commit == MemCommit::kYes;
  const PteCodec& codec = space.core().codec;
  const Status status = space.for_each_entry(cpu, pages, [&](Vpn, PhysicalAddress, RawPte raw) {
    if (says_committed(codec, by_vad, raw) != by_vad) ++explicit_count;
  });
  if (status != Status::kSuccess) return fail(status);
  return by_vad ? pages.count - explicit_count : explicit_count;
}

Result<> PrivateRegion::may_protect(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                    Protection protection) const {
  if (PAGODA_TRY(committed(space, cpu, vad, pages)) != pages.count) return fail(Status::kNotCommitted);
  return is_allowed_on_private(protection) ? Result<>{} : fail(Status::kInvalidParameter4);
}

// Table by table: not all of them need be in memory at once. What has got its rights keeps them if memory runs short; the
// call is repeated.
Result<> PrivateRegion::protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages,
                                Protection protection) const {
  space.lock.assert_held();
  PAGODA_TRY(make_private(space, cpu, pages));
  if (pages == vad.range && vad.mem_commit == MemCommit::kYes) {
    vad.protection = protection;  // Of all pages whose entry is zero: untouched memory needs no page tables.
    const Status status = protect_committed(space, cpu, vad, pages, protection);
    return status == Status::kSuccess ? Result<>{} : fail(status);
  }
  return space.for_each_table(pages, [&](VpnRange part) -> Result<> {
    space.lock.assert_held();
    PAGODA_TRY(space.make_entry(cpu, part.first));
    const Status status = protect_committed(space, cpu, vad, part, protection);
    return status == Status::kSuccess ? Result<>{} : fail(status);
  });
}

Result<> PrivateRegion::commit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages,
                               Protection protection) const {
  space.lock.assert_held();
  if (!is_allowed_on_private(protection)) return fail(Status::kInvalidPageProtection);
  if ((vad.no_change && protection != vad.protection) || !secured_allow(vad, pages, protection))
    return fail(Status::kInvalidPageProtection);
  PAGODA_TRY(make_private(space, cpu, pages));
  PageCount promised = pages.count - PAGODA_TRY(committed(space, cpu, vad, pages));
  PAGODA_TRY(space.charge_commit(promised));
  const auto done = space.for_each_table(pages, [&](VpnRange part) -> Result<> {
    space.lock.assert_held();
    PAGODA_TRY(space.make_entry(cpu, part.first));
    const PageCount kept = commit_in_table(space, cpu, vad, part, protection);
    space.add_charge(vad, kept);
    promised -= kept;
    // Those that were there already take the protection.
    const Status status = protect_committed(space, cpu, vad, part, protection);
    return status == Status::kSuccess ? Result<>{} : fail(status);
  });
  space.give_back_commit(promised);  // None, unless it ended in the middle.
  return done;
}

Result<> PrivateRegion::decommit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const {
  space.lock.assert_held();
  if (pages == vad.range) {
    space.free_pages(cpu, vad, pages, 0);
    vad.mem_commit = MemCommit::kNo;
    space.drop_charge(vad, vad.commit_charge);
    return {};
  }
  if (vad.mem_commit == MemCommit::kNo) {
    const PageCount freed = PAGODA_TRY(committed(space, cpu, vad, pages));
    space.free_pages(cpu, vad, pages, 0);
    space.drop_charge(vad, freed);
    return {};
  }
  // Holes have entries.
  return space.for_each_table(pages, [&](VpnRange part) -> Result<> {
    space.lock.assert_held();
    PAGODA_TRY(space.make_entry(cpu, part.first));
    const PageCount freed = PAGODA_TRY(committed(space, cpu, vad, part));
    space.free_pages(cpu, vad, part, space.core().codec.decommitted());
    space.drop_charge(vad, freed);
    return {};
  });
}

Result<> PrivateRegion::discard(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const {
  space.lock.assert_held();
  if (!may_free(vad, pages)) return fail(Status::kInvalidPageProtection);
  Core& core = space.core();
  FreedFrames freed(core.machine, core.pfns);
  if (freed.wanted()) {
    space.tables().for_each_in_memory(cpu, pages, [&](Vpn, PhysicalAddress, RawPte raw) {
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

Result<> PrivateRegion::may_reset(const Vad& /*vad*/) const { return {}; }

// The child's memory is not watched (reference/nt.md 7.7).
Vad PrivateRegion::child_of(const Vad& vad) const {
  Vad child = RegionKind::child_of(vad);
  if (child.type == VadType::kWriteWatch) child.type = VadType::kNone;
  return child;
}

}  // namespace pagoda::mm
