#include "pagoda/mm/region/view.h"

#include <algorithm>

#include "pagoda/mm/region/clone_entries.h"
#include "pagoda/mm/region/region_space.h"
#include "pagoda/mm/region/vad_extra.h"
#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

namespace {

void protect_shared_entry(RegionSpace& space, FlushBatch& batch, const Vad& vad, Vpn page, PhysicalAddress pte,
                          RawPte raw, Protection protection) PAGODA_REQUIRES(space.lock) {
  Core& core = space.core();
  const Processor& cpu = batch.cpu();
  PageTables& tables = space.tables();
  WorkingSet& working_set = space.working_set();
  if (!PteCodec::is_valid(raw)) {
    // What the VAD says needs no entry.
    tables.store(cpu, pte,
                 protection == vad.kind->rights(vad, page).protection ? 0 : core.codec.lookup_needed(protection));
    return;
  }
  const Pfn frame = core.codec.frame(raw);
  const std::uint32_t slot = working_set.find_shared(page);
  core.note(cpu, EventKind::kProtected, pte, frame, raw);
  if (is_mappable(protection)) {
    working_set.set_protection(slot, protection);
    const Protection rights = cached_as(protection, PteCodec::cache_attribute(raw));  // The page's.
    tables.replace(cpu, pte,
                   core.codec.valid(frame, rights, space.owner(), PteCodec::Dirty::kNo) | soft_bits::kPrototype);
    batch.add({.page = page, .pte = pte, .was = raw}, PteCodec::is_dirty(raw) ? release_cleaned : nullptr);
    return;
  }
  space.leave_working_set(cpu, slot);
  tables.replace(cpu, pte, core.codec.lookup_needed(protection));
  batch.add({.page = page, .pte = pte, .was = raw}, release_unmapped);
}

}  // namespace

const DataView& data_view() {
  static const DataView kind(RegionKind::Residence::kPaged, MemoryType::kMapped);
  return kind;
}

const ImageView& image_view() {
  static const ImageView kind(RegionKind::Residence::kPaged, MemoryType::kImage);
  return kind;
}

void count_view(const Core& core, const Vad& vad) {
  const LockGuard guard(core.pfns.lock);
  ++vad.control_area->mapped_views;
}

Protection SectionView::segment_rights(const Vad& vad, Vpn page) const {
  return vad.control_area->subsection_of(vad.section_page_of(page)).protection;
}

Result<> SectionView::may_protect(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                  Protection protection) const {
  PAGODA_TRY(allows(vad, protection));
  return PAGODA_TRY(committed(space, cpu, vad, pages)) == pages.count ? Result<>{} : fail(Status::kNotCommitted);
}

Result<> SectionView::allows(const Vad& vad, Protection protection) const {
  if (is_no_cache(protection) || is_write_combine(protection)) return fail(Status::kInvalidParameter4);
  return is_compatible(limit(vad), protection) ? Result<>{} : fail(Status::kSectionProtection);
}

bool SectionView::is_forked(const Vad& vad) const { return vad.inherit == Inherit::kShare; }

Result<> SectionView::fork(RegionSpace& child, RegionSpace& parent, Processor& cpu, const Vad& of_parent, Vad& of_child,
                           CloneEntries& entries) const {
  count_view(child.core(), of_child);
  return RegionKind::fork(child, parent, cpu, of_parent, of_child, entries);
}

void SectionView::removed(RegionSpace& space, Processor& cpu, const Vad& was) const {
  space.sections().view_unmapped(cpu, *was.control_area);
}

DefaultRun DataView::rights(const Vad& vad, Vpn /*page*/) const { return {vad.range.end(), vad.protection}; }

DefaultRun DataView::default_run(const RegionSpace& space, const Processor& /*cpu*/, const Vad& vad,
                                 VpnRange pages) const {
  const ControlArea& area = *vad.control_area;
  const PageCount at = vad.section_page_of(pages.first);
  const PageCount view_end = vad.section_page + vad.range.count;
  const auto run = [&](PageCount end, Protection protection) {
    return DefaultRun{pages.first + (std::min(end, view_end) - at), protection};
  };
  const LockGuard guard(space.core().pfns.lock);
  if (at >= area.pages()) return run(view_end, Protection::kNone);
  if (!area.flags().reserve) return run(area.pages(), vad.protection);
  const CommittedPages::Run same = area.committed.run_at(at);
  return run(same.end.is_zero() ? area.pages() : std::min(same.end, area.pages()),
             same.committed ? vad.protection : Protection::kNone);
}

// Cached as the view is, which no later call changes.
Protection DataView::in_view(const Vad& vad, Vpn /*page*/, Protection protection) const {
  return cached_as(protection, cache_attribute(vad.allocation_protection));
}

Result<> DataView::commit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const {
  space.lock.assert_held();
  if (vad.control_area->file() != nullptr && !vad.extendable) return fail(Status::kAlreadyCommitted);
  PAGODA_TRY(allows(vad, protection));
  if (vad.no_change || !secured_allow(vad, pages, protection)) return fail(Status::kInvalidPageProtection);
  PAGODA_TRY(make_private(space, cpu, pages));
  // What the protection will cost is taken first and given back for `protect` to take: then nothing is refused once the
  // pages are committed.
  const PageCount private_now = PAGODA_TRY(space.charged_copies(cpu, vad, pages));
  const bool copies = is_write_copy(in_view(vad, pages.first, protection));
  const PageCount more = copies && pages.count > private_now ? pages.count - private_now : 0_pages;
  PAGODA_TRY(space.charge_commit(more));
  const auto promised = promise(space, cpu, vad, pages);
  space.give_back_commit(more);
  PAGODA_TRY(promised);
  return protect(space, cpu, vad, pages, protection);
}

Result<> DataView::promise(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages) {
  ControlArea& area = *vad.control_area;
  const PageCount first = vad.section_page_of(pages.first);
  if (area.flags().reserve) return space.sections().commit(cpu, area, first, pages.count);
  if (vad.extendable)
    PAGODA_TRY(space.sections().make_room(cpu, *area.file(), FileOffset(), bytes_of(first + pages.count)));
  return {};
}

// Table by table, as private memory; the charge is taken before.
Result<> DataView::protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const {
  space.lock.assert_held();
  PAGODA_TRY(make_private(space, cpu, pages));
  const bool by_vad = pages == vad.range && has_one_protection();
  const PageCount before = PAGODA_TRY(space.charged_copies(cpu, vad, pages));
  const PageCount after = PAGODA_TRY(charged_afterwards(space, cpu, vad, pages, protection));
  PageCount charged = after > before ? after - before : 0_pages;
  PAGODA_TRY(space.charge_commit(charged));
  const auto part_done = [&](VpnRange part) -> Result<> {
    space.lock.assert_held();
    if (!by_vad) PAGODA_TRY(space.make_entry(cpu, part.first));
    const PageCount was = PAGODA_TRY(space.charged_copies(cpu, vad, part));
    const PageCount is = PAGODA_TRY(charged_afterwards(space, cpu, vad, part, protection));
    if (is > was) {
      space.add_charge(vad, is - was);
      charged -= is - was;
    } else {
      space.drop_charge(vad, was - is);
    }
    if (by_vad) vad.protection = in_view(vad, part.first, protection);
    const Status status = protect_entries(space, cpu, vad, part, protection);
    return status == Status::kSuccess ? Result<>{} : fail(status);
  };
  const auto done = by_vad ? part_done(pages) : space.for_each_table(pages, part_done);
  space.give_back_commit(charged);  // None, unless it ended in the middle.
  return done;
}

Result<PageCount> DataView::charged_afterwards(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                               Protection protection) const {
  space.lock.assert_held();
  PageCount charged;
  Vpn next = pages.first;
  const auto without_table = [&](Vpn to) {
    if (has_one_protection() && next < to) {
      if (is_write_copy(in_view(vad, next, protection))) charged += to - next;
      next = to;
    }
    for (; next < to; ++next)
      if (is_write_copy(in_view(vad, next, protection))) ++charged;
  };
  const Status status = space.for_each_entry(cpu, pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
    without_table(page);
    if (space.is_private_entry(raw) || is_write_copy(in_view(vad, page, protection))) ++charged;
    next = page + 1_pages;
  });
  if (status != Status::kSuccess) return fail(status);
  without_table(pages.end());
  return charged;
}

Status DataView::protect_entries(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                 Protection protection) const {
  space.lock.assert_held();
  FlushBatchOf<kRangeBatch> batch(space, cpu);
  return space.for_each_entry(
      cpu, pages,
      [&](Vpn page, PhysicalAddress pte, RawPte raw) {
        space.lock.assert_held();
        const Protection now = space.current_protection(cpu, vad, page, raw);
        const Protection rights = in_view(vad, page, protection);
        if (space.is_private_entry(raw)) {
          if (now != unshared(rights)) space.protect_entry(batch, page, pte, raw, unshared(rights));
        } else if (now != rights) {
          protect_shared_entry(space, batch, vad, page, pte, raw, rights);
        }
      },
      [&](Vpn page) {
        batch.unlink_tables(page);
        batch.flush();
      });
}

Result<> DataView::may_reset(const Vad& vad) const {
  return vad.control_area->file() == nullptr ? Result<>{} : fail(Status::kUserMappedFile);
}

DefaultRun ImageView::rights(const Vad& vad, Vpn page) const {
  // Images do not grow.
  const PageCount at = vad.section_page_of(page);
  const Subsection& subsection = vad.control_area->subsection_of(at);
  const PageCount end = std::min(subsection.end(), vad.section_page + vad.range.count);
  // Of a SEC_IMAGE_NO_EXECUTE section nothing can be executed.
  const bool executes = is_executable(vad.allocation_protection);
  return {page + (end - at), executes ? subsection.protection : without_execute(subsection.protection)};
}

DefaultRun ImageView::default_run(const RegionSpace& /*space*/, const Processor& /*cpu*/, const Vad& vad,
                                  VpnRange pages) const {
  return rights(vad, pages.first);
}

// Writable means: by a copy, unless the page is in a section that all processes share.
Protection ImageView::in_view(const Vad& vad, Vpn page, Protection protection) const {
  return is_writable(segment_rights(vad, page)) ? protection : shared_by_fork(protection);
}

}  // namespace pagoda::mm
