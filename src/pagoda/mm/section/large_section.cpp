// The frames of large-page sections: taken when the section is made, kept until its last reference and view are gone.
//
// Every prototype PTE is valid all that time and counts as a mapping of its page, so that no page ever leaves memory;
// views' entries of page directories map them besides. One page of the pool holds the entries of one large page, and is
// kept in memory by it once.
#include "pagoda/mm/backing/kept.h"
#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/space/page_tables.h"

namespace pagoda::mm {

Result<> Sections::take_large_pages(Processor& cpu, ControlArea& area) {
  const PageCount count = pages_of(large_page_size(core_.mode));
  for (PageCount page; page < area.pages_; page += count) PAGODA_TRY(take_large_page(cpu, area, page));
  return {};
}

Result<> Sections::take_large_page(Processor& cpu, ControlArea& area, PageCount page) {
  const PageCount count = pages_of(large_page_size(core_.mode));
  PAGODA_DCHECK_EQ(core_.prototypes.entries_per_page(), count.value());
  PhysicalAddress pte;
  PfnDatabase::TakenFrame taken;
  {
    const LockGuard guard(core_.pfns.lock);
    const auto made = core_.prototypes.make(cpu, area.prototype_of(core_.codec, page), area);
    if (!made) return fail(Status::kInsufficientResources);
    pte = *made;
    PAGODA_TRY(core_.resident.charge(count + 1_pages));  // And the page of its prototype PTEs.
    const auto frames = core_.pfns.take_contiguous(cpu, count, count, core_.kept_pageable());
    if (!frames) {
      core_.resident.give_back(count + 1_pages);
      return std::unexpected(frames.error());
    }
    taken = *frames;
  }
  if (!taken.zeroed) core_.zero(cpu, taken.frame, count);
  const Protection protection = area.subsection_of(page).protection;
  const LockGuard guard(core_.pfns.lock);
  const Pfn prototypes = pte.pfn();
  for (Pfn frame = taken.frame; frame < taken.frame + count; ++frame, pte += ByteCount(core_.mode.entry_bytes)) {
    core_.pfns.make_active(frame, pte, core_.load(cpu, pte));
    core_.pfns.make_dirty(frame);  // Never clean, so that no slot is ever looked for.
    machine::store_entry(cpu.physical(), core_.mode, pte,
                         core_.codec.valid(frame, is_mappable(protection) ? protection : Protection::kReadOnly,
                                           PteCodec::Owner::kKernel, PteCodec::Dirty::kNo));
  }
  core_.pfns.keep_table(prototypes);
  return {};
}

void Sections::drop_large_pages(const Processor& cpu, const ControlArea& area) {
  const LockGuard guard(core_.pfns.lock);
  for (PageCount page; page < area.pages_; page += 1_pages) {
    const PhysicalAddress pte = core_.prototypes.find(area.prototype_of(core_.codec, page));
    if (pte == PrototypePool::kNone) return;  // Those behind were not taken either.
    const RawPte raw = core_.load(cpu, pte);
    if (!PteCodec::is_valid(raw)) return;
    machine::store_entry(cpu.physical(), core_.mode, pte, 0);
    if (pte.page_offset() == 0) drop_resident(core_, pte.pfn(), pages_of(large_page_size(core_.mode)));
    core_.pfns.remove(core_.codec.frame(raw));
  }
}

}  // namespace pagoda::mm
