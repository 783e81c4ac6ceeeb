#include "pagoda/mm/region/large_pages.h"

#include "pagoda/mm/backing/kept.h"
#include "pagoda/mm/region/region_space.h"
#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

namespace {

// Large pages whose entries change for one interrupt. A choice.
constexpr std::size_t kLargeBatch = 16;

// Frames for the page that the entry is about to map, kept in memory.
Result<PfnDatabase::TakenFrame> take_large_page(Core& core, Processor& cpu, PhysicalAddress entry,
                                                Protection protection) {
  const PageCount count = pages_of(large_page_size(core.mode));
  const LockGuard guard(core.pfns.lock);
  if (!keep_resident(core, entry.pfn(), count)) return fail(Status::kInsufficientResources);
  const auto taken = core.pfns.take_contiguous(cpu, count, count, core.kept_pageable());
  if (taken) {
    core.pfns.make_large(taken->frame, count, entry, core.codec.demand_zero(protection));
  } else {
    drop_resident(core, entry.pfn(), count);
  }
  return taken;
}

Result<> map_large_page(RegionSpace& space, Processor& cpu, Vpn page, Protection protection)
    PAGODA_REQUIRES(space.lock) {
  Core& core = space.core();
  PageTables& tables = space.tables();
  const Status there = space.bring_in(cpu, page, AddressSpace::For::kChange, PageTables::kLargeLevel);
  if (there != Status::kSuccess) return fail(there);
  const PhysicalAddress entry = PAGODA_TRY(tables.make_large(cpu, page));
  const auto taken = take_large_page(core, cpu, entry, protection);
  if (!taken) {
    space.free_empty_tables(cpu, page);
    return std::unexpected(taken.error());
  }
  if (!taken->zeroed) core.zero(cpu, taken->frame, pages_of(large_page_size(core.mode)));
  tables.store(cpu, entry, core.codec.large(taken->frame, protection, space.owner()));
  return {};
}

// Calls `visit(page, entry's address, entry)` for the large pages of the region that are mapped.
template <class Visit>
void for_each_large_page(const RegionSpace& space, const Processor& cpu, const Vad& vad, Visit&& visit)
    PAGODA_REQUIRES(space.lock) {
  const Core& core = space.core();
  for (Vpn page = vad.range.first; page < vad.range.end(); page += pages_of(large_page_size(core.mode))) {
    const PhysicalAddress entry = space.tables().find_large(cpu, page);
    if (entry == PageTables::kNone) continue;
    const RawPte raw = core.load(cpu, entry);
    if (PageTables::is_large(raw, PageTables::kLargeLevel)) visit(page, entry, raw);
  }
}

void release_large(AddressSpace& space, const Processor& /*cpu*/, const FlushBatch::Change& change) {
  space.core().pfns.lock.assert_held();
  drop_resident(space.core(), change.pte.pfn(), change.pages);
  space.core().pfns.remove_large(space.core().codec.frame(change.was), change.pages);
}

void release_large_share(AddressSpace& space, const Processor& /*cpu*/, const FlushBatch::Change& change) {
  space.core().pfns.lock.assert_held();
  drop_resident(space.core(), change.pte.pfn(), 0_pages);  // The frames are the section's.
  space.core().pfns.unshare_large(space.core().codec.frame(change.was), change.pages, change.pte.pfn());
}

void release_large_protected(AddressSpace& space, const Processor& /*cpu*/, const FlushBatch::Change& change) {
  space.core().pfns.lock.assert_held();
  const Pfn first = space.core().codec.frame(change.was);
  for (Pfn frame = first; frame < first + change.pages; ++frame)
    space.core().pfns.set_protection(frame, change.protection);
}

void free_large_pages(RegionSpace& space, Processor& cpu, const Vad& vad) PAGODA_REQUIRES(space.lock) {
  const PageCount count = pages_of(large_page_size(space.core().mode));
  FlushBatchOf<kLargeBatch> batch(space, cpu);
  for_each_large_page(space, cpu, vad, [&](Vpn page, PhysicalAddress entry, RawPte raw) {
    space.lock.assert_held();
    space.tables().store(cpu, entry, 0);
    batch.add({.page = page, .pte = entry, .was = raw, .pages = count},
              vad.is_private ? release_large : release_large_share);
    batch.unlink_tables(page);
  });
  batch.flush();
}

Result<> protect_large_pages(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection)
    PAGODA_REQUIRES(space.lock) {
  Core& core = space.core();
  if (pages != vad.range) return fail(Status::kConflictingAddresses);
  if (!is_allowed_on_large(protection)) return fail(Status::kInvalidPageProtection);
  const PageCount count = pages_of(large_page_size(core.mode));
  FlushBatchOf<kLargeBatch> batch(space, cpu);
  for_each_large_page(space, cpu, vad, [&](Vpn page, PhysicalAddress entry, RawPte raw) {
    space.lock.assert_held();
    space.tables().replace(cpu, entry, core.codec.large(core.codec.frame(raw), protection, space.owner()));
    batch.add({.page = page, .pte = entry, .was = raw, .protection = protection, .pages = count},
              vad.is_private ? release_large_protected : nullptr);
  });
  batch.flush();
  vad.large_protection = protection;
  return {};
}

// One more view maps a large page of the section. Returns its first frame.
Pfn share_large_page(Core& core, const Processor& cpu, const Vad& vad, PageCount in_section, Pfn table)
    PAGODA_REQUIRES(core.pfns.lock) {
  const VirtualAddress prototype = vad.control_area->prototype_of(core.codec, in_section);
  const Pfn first = core.codec.frame(core.load(cpu, core.prototypes.find(prototype)));
  core.pfns.share_large(first, pages_of(large_page_size(core.mode)), table);
  return first;
}

}  // namespace

Result<> map_large_region(RegionSpace& space, Processor& cpu, Vad& vad) {
  vad.large_protection = vad.protection;
  for (Vpn page = vad.range.first; page < vad.range.end(); page += pages_of(large_page_size(space.core().mode))) {
    if (map_large_page(space, cpu, page, vad.protection)) continue;
    free_large_pages(space, cpu, vad);
    return fail(Status::kInsufficientResources);
  }
  return {};
}

Result<> map_large_view(RegionSpace& space, Processor& cpu, const Vad& vad) {
  Core& core = space.core();
  PageTables& tables = space.tables();
  const PageCount count = pages_of(large_page_size(core.mode));
  PageCount in_section = vad.section_page;
  for (Vpn page = vad.range.first; page < vad.range.end(); page += count, in_section += count) {
    const Status there = space.bring_in(cpu, page, AddressSpace::For::kChange, PageTables::kLargeLevel);
    const auto entry = there == Status::kSuccess ? tables.make_large(cpu, page) : fail(there);
    if (!entry) {
      free_large_pages(space, cpu, vad);
      return std::unexpected(entry.error());
    }
    Pfn first = kNoPfn;
    Result<> kept;
    {
      const LockGuard guard(core.pfns.lock);
      kept = keep_resident(core, entry->pfn(), 0_pages);
      if (kept) first = share_large_page(core, cpu, vad, in_section, entry->pfn());
    }
    if (!kept) {
      space.free_empty_tables(cpu, page);
      free_large_pages(space, cpu, vad);
      return kept;
    }
    tables.store(cpu, *entry, core.codec.large(first, vad.large_protection, space.owner()));
  }
  return {};
}

const LargeRegion& large_region() {
  static const LargeRegion kind;
  return kind;
}

const LargeView& large_view() {
  static const LargeView kind;
  return kind;
}

DefaultRun LargeRegion::rights(const Vad& vad, Vpn /*page*/) const { return {vad.range.end(), vad.large_protection}; }

Result<> LargeRegion::may_protect(RegionSpace& /*space*/, Processor& /*cpu*/, const Vad& /*vad*/, VpnRange /*pages*/,
                                  Protection protection) const {
  return is_allowed_on_private(protection) ? Result<>{} : fail(Status::kInvalidParameter4);
}

Result<> LargeRegion::protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages,
                              Protection protection) const {
  space.lock.assert_held();
  return protect_large_pages(space, cpu, vad, pages, protection);
}

void LargeRegion::unmap(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const {
  space.lock.assert_held();
  PAGODA_DCHECK(pages == vad.range);
  free_large_pages(space, cpu, vad);
}

bool LargeRegion::is_forked(const Vad& /*vad*/) const { return false; }

DefaultRun LargeView::rights(const Vad& vad, Vpn /*page*/) const { return {vad.range.end(), vad.large_protection}; }

Result<> LargeView::protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const {
  space.lock.assert_held();
  return protect_large_pages(space, cpu, vad, pages, protection);
}

Result<> LargeView::commit(RegionSpace& /*space*/, Processor& /*cpu*/, Vad& /*vad*/, VpnRange /*pages*/,
                           Protection /*protection*/) const {
  return fail(Status::kInvalidPageProtection);
}

void LargeView::unmap(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange /*pages*/) const {
  space.lock.assert_held();
  free_large_pages(space, cpu, vad);
}

Result<> LargeView::fork(RegionSpace& child, RegionSpace& /*parent*/, Processor& cpu, const Vad& /*of_parent*/,
                         Vad& of_child, CloneEntries& /*entries*/) const {
  child.lock.assert_held();
  count_view(child.core(), of_child);
  return map_large_view(child, cpu, of_child);
}

}  // namespace pagoda::mm
