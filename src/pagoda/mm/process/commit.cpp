// Committing, decommitting and protecting pages of a region.
//
// A page's state is in its entry where that is not zero, else in its VAD. So whatever differs from the VAD needs an
// entry, and the page tables for a call's whole range are made first: after that nothing can fail.
#include <algorithm>
#include <array>

#include "pagoda/mm/region/private_protection.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

namespace {

// Frames are freed in batches, one shoot-down for each.
constexpr std::size_t kFreeBatch = 64;

}  // namespace

PageCount AddressSpace::committed_in(const Processor& cpu, const Vad& vad, VpnRange pages) const {
  if (vad.control_area != nullptr || has_device_frames(vad)) return committed_in_view(cpu, vad, pages);
  PageCount explicit_count;  // Entries that say otherwise than the VAD.
  const bool by_vad = vad.mem_commit == MemCommit::kYes;
  tables_.for_each(cpu, pages, [&](Vpn, PhysicalAddress, RawPte raw) {
    const PteKind kind = core_.codec.kind(raw);
    if (by_vad ? kind == PteKind::kDecommitted : kind != PteKind::kZero && kind != PteKind::kDecommitted)
      ++explicit_count;
  });
  return by_vad ? pages.count - explicit_count : explicit_count;
}

Result<> AddressSpace::commit(Processor& cpu, VirtualAddress base, ByteCount size, Protection protection) {
  if (!is_allowed_on_private(protection)) return fail(Status::kInvalidPageProtection);
  if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
  const auto pages = pages_covering(base, size);
  if (!pages) return fail(Status::kInvalidParameter4);
  return with_memory(core_, cpu, [&]() -> Result<> {
    const LockGuard guard(lock);
    const auto region = region_of(*pages);
    if (!region) return std::unexpected(region.error());
    if ((*region)->control_area != nullptr) return commit_view(cpu, **region, *pages, protection);
    return commit_locked(cpu, *pages, protection);
  });
}

Result<> AddressSpace::commit_locked(Processor& cpu, VpnRange pages, Protection protection) {
  const auto found = region_of(pages);
  if (!found) return std::unexpected(found.error());
  Vad& vad = **found;
  if (vad.placeholder || is_physical(vad) || has_device_frames(vad)) return fail(Status::kConflictingAddresses);
  if ((vad.no_change && protection != vad.protection) || !secured_allow(vad, pages, protection))
    return fail(Status::kInvalidPageProtection);
  const PageCount promised = pages.count - committed_in(cpu, vad, pages);
  PAGODA_TRY(charge_commit(promised));
  auto ready = make_private(cpu, pages);
  if (ready) ready = tables_.make_all(cpu, pages);
  if (!ready) {
    give_back_commit(promised);
    return ready;
  }
  vad.commit_charge += promised;
  commit_ += promised;
  peak_commit_ = std::max(peak_commit_, commit_);
  const bool by_vad = vad.mem_commit == MemCommit::kYes && protection == vad.protection;
  tables_.for_each(cpu, pages, [&](Vpn, PhysicalAddress pte, RawPte raw) {
    lock.assert_held();
    const PteKind kind = core_.codec.kind(raw);
    if (kind == PteKind::kDecommitted || (kind == PteKind::kZero && !by_vad))
      tables_.store(cpu, pte, core_.codec.demand_zero(protection));
  });
  // Those that were there already take the protection.
  protect_locked(cpu, pages, protection);
  return {};
}

Result<> AddressSpace::decommit(Processor& cpu, VirtualAddress base, ByteCount size) {
  return with_memory(core_, cpu, [&]() -> Result<> {
    const LockGuard guard(lock);
    const auto freed = range_to_free(base, size);
    if (!freed) return std::unexpected(freed.error());
    if (is_physical(*freed->vad)) return fail(Status::kMemoryNotAllocated);
    return decommit_locked(cpu, *freed->vad, freed->pages);
  });
}

Result<> AddressSpace::decommit_locked(Processor& cpu, Vad& vad, VpnRange pages) {
  PageCount freed;
  if (vad.mem_commit == MemCommit::kNo) {
    freed = free_pages(cpu, vad, pages, 0);
  } else if (pages == vad.range) {
    freed = free_pages(cpu, vad, pages, 0);
    vad.mem_commit = MemCommit::kNo;
  } else {
    PAGODA_TRY(tables_.make_all(cpu, pages));
    freed = free_pages(cpu, vad, pages, core_.codec.decommitted());
  }
  vad.commit_charge -= freed;
  commit_ -= freed;
  give_back_commit(freed);
  return {};
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

PageCount AddressSpace::free_pages(Processor& cpu, const Vad& vad, VpnRange pages, RawPte hole) {
  const PageCount committed = committed_in(cpu, vad, pages);
  const bool keeps = hole == kAsDemandZero;
  struct Mapped {
    PhysicalAddress pte;
    RawPte raw = 0;
  };
  std::array<Mapped, kFreeBatch> entries;
  std::array<Vpn, kFreeBatch> mapped;
  std::size_t count = 0;
  // Entries first, shoot-down second, frames third.
  const auto flush = [&] {
    lock.assert_held();
    if (count == 0) return;
    invalidate(cpu, std::span(mapped).first(count));
    const LockGuard guard(core_.pfns.lock);
    for (const Mapped& entry : std::span(entries).first(count)) free_mapped(cpu, entry.pte, entry.raw);
    count = 0;
  };
  tables_.for_each(
      cpu, pages,
      [&](Vpn page, PhysicalAddress pte, RawPte raw) {
        lock.assert_held();
        if (raw == hole) return;
        if (raw == 0) {
          if (!keeps) tables_.store(cpu, pte, hole);
          return;
        }
        RawPte left = hole;
        if (keeps) {
          const PteKind kind = core_.codec.kind(raw);
          if (kind == PteKind::kDemandZero || kind == PteKind::kDecommitted) return;
          left = core_.codec.demand_zero(unshared(current_protection(cpu, vad, page, raw)));
        }
        if (PteCodec::is_valid(raw)) {
          if (PteCodec::is_dirty(raw)) record_write(page);
          if (const std::uint32_t slot = working_set_slot(page, raw); slot != WorkingSet::kNoSlot)
            working_set_.erase(slot);
          tables_.store(cpu, pte, left);
          entries[count] = {pte, raw};
          mapped[count++] = page;
          core_.note(cpu, EventKind::kRemoved, pte, core_.codec.frame(raw), raw);
        } else {
          // Transition and page-file entries change under the PFN lock.
          const LockGuard guard(core_.pfns.lock);
          raw = core_.load(cpu, pte);
          if (PteCodec::is_transition(raw)) {
            core_.pfns.remove(core_.codec.frame(raw));
          } else if (core_.codec.has_slot(raw)) {
            core_.backings.free(core_.codec.file(raw), core_.codec.slot(raw));
          } else if (core_.codec.kind(raw) == PteKind::kPrototype && !core_.codec.is_lookup_needed(raw) &&
                     core_.prototypes.is_clone(core_.codec.prototype_address(raw))) {
            drop_clone(cpu, core_.codec.prototype_address(raw));
          }
          core_.note(cpu, EventKind::kRemoved, pte, kNoPfn, raw);
          tables_.store(cpu, pte, left);
        }
        if (count == kFreeBatch) flush();
      },
      [&](Vpn page) {
        flush();
        lock.assert_held();
        if (hole == 0) tables_.free_if_empty(cpu, page);
      });
  return committed;
}

// In the order of reference/nt.md 7.3.
Result<Protection> AddressSpace::protect(Processor& cpu, VirtualAddress base, ByteCount size, Protection protection) {
  if (base_of(protection) == Protection::kNone && protection != Protection::kNoAccess)
    return fail(Status::kInvalidPageProtection);
  if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
  const auto pages = pages_covering(base, size);
  if (!pages) return fail(Status::kInvalidParameter3);
  std::optional<Protection> old;  // Before the first attempt, which may have made copies of what a fork shares.
  return with_memory(core_, cpu, [&]() -> Result<Protection> {
    const LockGuard guard(lock);
    const auto region = region_of(*pages);
    if (!region) return std::unexpected(region.error());
    Vad& vad = **region;
    if (!is_physical(vad) && committed_in(cpu, vad, *pages) != pages->count) return fail(Status::kNotCommitted);
    PAGODA_TRY(may_protect(vad, protection));
    if (!secured_allow(vad, *pages, protection)) return fail(Status::kInvalidPageProtection);
    if (is_physical(vad)) return protect_physical(cpu, vad, *pages, protection);
    if (!old) old = shown_protection(cpu, vad, pages->first, tables_.read(cpu, pages->first));
    if (has_device_frames(vad)) {
      PAGODA_TRY(protect_device_frames(cpu, vad, *pages, protection));
    } else if (vad.control_area != nullptr) {
      PAGODA_TRY(protect_view(cpu, vad, *pages, protection));
    } else {
      PAGODA_TRY(make_private(cpu, *pages));
      PAGODA_TRY(tables_.make_all(cpu, *pages));
      protect_locked(cpu, *pages, protection);
    }
    return *old;
  });
}

Result<> AddressSpace::may_protect(const Vad& vad, Protection protection) const {
  if (has_device_frames(vad)) {
    if (is_no_cache(protection) || is_write_combine(protection)) return fail(Status::kInvalidParameter4);
    if (!is_allowed_on_device(shared_by_fork(protection))) return fail(Status::kInvalidPageProtection);
  } else if (vad.control_area == nullptr) {
    if (!is_allowed_on_private(protection)) return fail(Status::kInvalidParameter4);
  } else {
    if (is_no_cache(protection) || is_write_combine(protection)) return fail(Status::kInvalidParameter4);
    if (!is_compatible(vad.section_protection, protection)) return fail(Status::kSectionProtection);
  }
  return vad.no_change ? fail(Status::kInvalidPageProtection) : Result<>{};
}

// All pages are committed, and all their entries exist unless they are zero and may stay so.
void AddressSpace::protect_locked(Processor& cpu, VpnRange pages, Protection protection) {
  const Vad& vad = **region_of(pages);
  tables_.for_each(
      cpu, pages,
      [&](Vpn page, PhysicalAddress pte, RawPte raw) {
        lock.assert_held();
        if (current_protection(cpu, vad, page, raw) != protection) protect_entry(cpu, page, pte, raw, protection);
      },
      [&](Vpn page) {
        lock.assert_held();
        tables_.free_if_empty(cpu, page);
      });
}

// The page of the entry is private.
void AddressSpace::protect_entry(Processor& cpu, Vpn page, PhysicalAddress pte, RawPte raw, Protection protection) {
  if (!PteCodec::is_valid(raw)) {
    const LockGuard guard(core_.pfns.lock);
    raw = core_.load(cpu, pte);
    if (raw == 0) {
      tables_.store(cpu, pte, core_.codec.demand_zero(protection));
      return;
    }
    tables_.replace(cpu, pte, core_.codec.with_protection(raw, protection));
    if (PteCodec::is_transition(raw)) core_.pfns.set_protection(core_.codec.frame(raw), protection);
    return;
  }
  const Pfn frame = core_.codec.frame(raw);
  core_.note(cpu, EventKind::kProtected, pte, frame, raw);
  const auto dirty = PteCodec::dirty_of(raw);
  if (dirty == PteCodec::Dirty::kYes) record_write(page);
  if (is_mappable(protection)) {
    tables_.replace(cpu, pte, core_.codec.valid(frame, protection, PteCodec::Owner::kUser, PteCodec::Dirty::kNo));
    invalidate(cpu, std::span(&page, 1));
    const LockGuard guard(core_.pfns.lock);
    core_.pfns.set_protection(frame, protection);
    // What the dirty bit said goes into the PFN entry; the PTE starts clean, and a next write says so again.
    if (dirty == PteCodec::Dirty::kYes) core_.pfns.make_dirty(frame);
    return;
  }
  // Nobody may touch it, or a guard stands before it: the page leaves the working set and keeps its contents.
  working_set_.erase(core_.pfns.entry(frame).ws_index);
  tables_.replace(cpu, pte, core_.codec.transition(frame, protection));
  invalidate(cpu, std::span(&page, 1));
  const LockGuard guard(core_.pfns.lock);
  core_.pfns.set_protection(frame, protection);
  core_.pfns.unmap(frame, dirty);
}

}  // namespace pagoda::mm
