#include "pagoda/mm/region/region_space.h"

#include <algorithm>

#include "pagoda/mm/region/device_frames.h"
#include "pagoda/mm/region/placeholder.h"
#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

namespace {

// What of the charge of a region, of which `low` and `high` are left with `charged`, belongs to `low`. Only where both
// are, and neither all nor none of them is charged, it must be counted: on the shorter one.
Result<PageCount> charge_below_hole(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange low, VpnRange high,
                                    PageCount charged) PAGODA_REQUIRES(space.lock) {
  if (low.empty() || charged.is_zero()) return 0_pages;
  if (high.empty()) return charged;
  if (charged == low.count + high.count) return low.count;
  if (low.count <= high.count) return vad.kind->committed(space, cpu, vad, low);
  return charged - PAGODA_TRY(vad.kind->committed(space, cpu, vad, high));
}

}  // namespace

RegionSpace::RegionSpace(Core& core, ShortageRelief& relief, Sections& sections, const Identity& identity,
                         const WorkingSet::Limits& limits)
    : AddressSpace(core, relief, *this, identity, limits), sections_(sections), extras_(watched_regions_) {}

Result<Vad*> RegionSpace::region_of(VpnRange pages) {
  Vad* const vad = vads_.find(pages.first);
  if (vad == nullptr || pages.last() > vad->range.last()) return fail(Status::kConflictingAddresses);
  return vad;
}

PageCount RegionSpace::tables_spanned(VpnRange pages, const Vad* before, const Vad* after) const {
  PageCount tables;
  for (unsigned level = 1; level < core_.mode.levels; ++level) {
    PageCount first = tables_.table_number(pages.first, level);
    PageCount end = tables_.table_number(pages.last(), level) + 1_pages;
    if (before != nullptr && tables_.table_number(before->range.last(), level) == first) ++first;
    if (after != nullptr && end > first && tables_.table_number(after->range.first, level) + 1_pages == end) --end;
    tables += end - first;
  }
  return tables;
}

const Vad* RegionSpace::previous_charged(const Vad* vad) {
  while (vad != nullptr && vad->tables_on_demand) vad = VadTree::previous(vad);
  return vad;
}

const Vad* RegionSpace::next_charged(const Vad* vad) {
  while (vad != nullptr && vad->tables_on_demand) vad = VadTree::next(vad);
  return vad;
}

PageCount RegionSpace::tables_charged(const Vad& vad, const Vad* before, const Vad* after) const {
  return vad.tables_on_demand ? 0_pages : tables_spanned(vad.range, previous_charged(before), next_charged(after));
}

Result<> RegionSpace::charge_commit(PageCount pages) {
  const LockGuard guard(core_.pfns.lock);
  return core_.commit.charge(pages);
}

void RegionSpace::give_back_commit(PageCount pages) {
  const LockGuard guard(core_.pfns.lock);
  core_.commit.give_back(pages);
}

Result<Vad*> RegionSpace::insert_vad(const Vad& vad) {
  const Vad* const after = vads_.first_ending_after(vad.range.first);
  PAGODA_DCHECK(vad.kind != nullptr);
  const Vad* before = nullptr;
  if (vads_.size() > 0) before = after != nullptr ? VadTree::previous(after) : vads_.last();
  const PageCount tables = tables_charged(vad, before, after);
  PAGODA_TRY(charge_commit(vad.commit_charge + tables));
  table_charge_ += tables;
  commit_ += vad.commit_charge;
  peak_commit_ = std::max(peak_commit_, commit_);
  Vad& inserted = vads_.insert(vad);
  peak_pages_ = std::max(peak_pages_, vads_.pages());
  return &inserted;
}

void RegionSpace::erase_vad(Vad& vad) {
  const PageCount tables = tables_charged(vad, VadTree::previous(&vad), VadTree::next(&vad));
  table_charge_ -= tables;
  commit_ -= vad.commit_charge;
  give_back_commit(vad.commit_charge + tables);
  extras_.drop(vad);
  vads_.erase(vad);
}

void RegionSpace::take_back(Vad& vad) {
  if (vad.from_placeholder) {
    leave_placeholder(vad);
  } else {
    erase_vad(vad);
  }
}

Result<Vad*> RegionSpace::replace_placeholder(const Vad& by) {
  Vad* const vad = vads_.find(by.range.first);
  if (vad == nullptr || !vad->placeholder || vad->range != by.range) return fail(Status::kConflictingAddresses);
  PAGODA_TRY(charge_commit(by.commit_charge));
  commit_ += by.commit_charge;
  peak_commit_ = std::max(peak_commit_, commit_);
  vads_.erase(*vad);
  Vad& replacement = vads_.insert(by);
  replacement.from_placeholder = true;
  replacement.tables_on_demand = false;  // They are charged.
  return &replacement;
}

void RegionSpace::leave_placeholder(Vad& vad) {
  const VpnRange pages = vad.range;
  drop_charge(vad, vad.commit_charge);
  extras_.drop(vad);
  vads_.erase(vad);
  vads_.insert(placeholder_vad(pages));
}

void RegionSpace::watch(Vad& vad) { extras_.watch(vad); }

Result<> RegionSpace::cut(Processor& cpu, Vad& vad, VpnRange pages) {
  const VpnRange low{vad.range.first, pages.first - vad.range.first};
  const VpnRange high{pages.end(), vad.range.end() - pages.end()};
  const bool whole = low.empty() && high.empty();
  if (whole) {
    vad.kind->unmap(*this, cpu, vad, pages);
    drop_charge(vad, vad.commit_charge);
    extras_.drop(vad);
    vads_.erase(vad);
    return {};
  }
  const PageCount freed_charge = PAGODA_TRY(vad.kind->committed(*this, cpu, vad, pages));
  const PageCount low_charge =
      PAGODA_TRY(charge_below_hole(*this, cpu, vad, low, high, vad.commit_charge - freed_charge));
  vad.kind->unmap(*this, cpu, vad, pages);
  drop_charge(vad, freed_charge);
  const PageCount high_charge = vad.commit_charge - low_charge;
  Vad rest = vad;
  rest.range = high;
  rest.commit_charge = high_charge;
  rest.extra = nullptr;
  vads_.shrink(vad, low.empty() ? high : low);
  vad.commit_charge = low.empty() ? high_charge : low_charge;
  if (!low.empty() && !high.empty()) extras_.divide(vad, vads_.insert(rest));
  return {};
}

void RegionSpace::add_charge(Vad& vad, PageCount pages) {
  vad.commit_charge += pages;
  commit_ += pages;
  peak_commit_ = std::max(peak_commit_, commit_);
}

void RegionSpace::drop_charge(Vad& vad, PageCount pages) {
  vad.commit_charge -= pages;
  commit_ -= pages;
  give_back_commit(pages);
}

Result<> RegionSpace::change_charge(Vad& vad, PageCount before, PageCount after) {
  if (after > before) {
    PAGODA_TRY(charge_commit(after - before));
    add_charge(vad, after - before);
  } else {
    drop_charge(vad, before - after);
  }
  return {};
}

void RegionSpace::give_back_tables(PageCount tables) {
  table_charge_ -= tables;
  give_back_commit(tables);
}

void RegionSpace::free_pages(Processor& cpu, const Vad& vad, VpnRange pages, RawPte hole) {
  const bool keeps = hole == kAsDemandZero;
  FlushBatchOf<kRangeBatch> batch(*this, cpu);
  const Status status = for_each_entry(
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
            leave_working_set(cpu, slot);
          tables_.store(cpu, pte, left);
          core_.note(cpu, EventKind::kRemoved, pte, core_.codec.frame(raw), raw);
          batch.add({.page = page, .pte = pte, .was = raw}, release_freed);
          return;
        }
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
      },
      [&](Vpn page) {
        if (hole == 0) batch.unlink_tables(page);
        batch.flush();  // The next table may have to be brought in, without the lock.
      },
      For::kEnd);
  PAGODA_CHECK(status == Status::kSuccess);
}

Protection RegionSpace::shown_protection(const Processor& cpu, const Vad& vad, Vpn page, RawPte raw) const {
  const Protection protection = current_protection(cpu, vad, page, raw);
  return vad.is_private ? unshared(protection) : protection;
}

Result<PageCount> RegionSpace::charged_copies(Processor& cpu, const Vad& vad, VpnRange pages) {
  PageCount charged;
  for (Vpn page = pages.first; page < pages.end();) {
    const DefaultRun run = vad.kind->rights(vad, page);
    const Vpn end = std::min(run.end, pages.end());
    if (is_write_copy(run.protection)) charged += end - page;
    page = end;
  }
  const Status status = for_each_entry(cpu, pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
    lock.assert_held();
    if (raw == 0) return;
    const bool by_default = is_write_copy(vad.kind->rights(vad, page).protection);
    const bool now = is_private_entry(raw) || is_write_copy(current_protection(cpu, vad, page, raw));
    if (now && !by_default) ++charged;
    if (!now && by_default) --charged;
  });
  if (status != Status::kSuccess) return fail(status);
  return charged;
}

void RegionSpace::free_empty_tables(Processor& cpu, VpnRange pages) {
  FlushBatchOf<1> batch(*this, cpu);
  // One that is out is not empty.
  [[maybe_unused]] const auto all = for_each_table(pages, [&](VpnRange part) -> Result<> {
    batch.unlink_tables(part.first);
    return {};
  });
  batch.flush();
}

Protection RegionSpace::rights_by_region(const Vad& vad, Vpn page) const {
  return vad.kind->rights(vad, page).protection;
}

Protection RegionSpace::rights_by_segment(const Vad& vad, Vpn page) const {
  return vad.kind->segment_rights(vad, page);
}

Protection RegionSpace::rights_of_device_page(Vpn page) const {
  return device_frames(*vads_.first_ending_after(page)).rights(page);
}

fault::Outcome RegionSpace::fault(fault::Context& context, Vad& vad) { return vad.kind->fault(context, vad); }

Result<> RegionSpace::commit_touched(Vpn page) {
  PAGODA_TRY(charge_commit(1_pages));
  add_charge(*vads_.find(page), 1_pages);
  return {};
}

void RegionSpace::uncommit_touched(Vpn page) { drop_charge(*vads_.find(page), 1_pages); }

void RegionSpace::record_write_slowly(Vpn page) {
  Vad* const vad = vads_.find(page);
  if (vad != nullptr && vad->extra != nullptr && vad->extra->watch != nullptr) vad->extra->watch->set(page);
}

}  // namespace pagoda::mm
