// Looking at a space without changing it: for queries, upper floors and the inspector.
#include <algorithm>

#include "pagoda/mm/process/process_space.h"
#include "pagoda/mm/section/control_area.h"

namespace pagoda::mm {

namespace {

// What a query looks at first.
constexpr PageCount kFirstPart{64};

// Where the page of a level-1 entry is.
PagePlace place_of(const Core& core, RawPte raw) PAGODA_REQUIRES(core.pfns.lock) {
  switch (core.codec.kind(raw)) {
    case PteKind::kValid:
      return PagePlace::kWorkingSet;
    case PteKind::kTransition: {
      const PageState state = core.pfns.entry(core.codec.frame(raw)).state;
      return state == PageState::kStandby    ? PagePlace::kStandby
             : state == PageState::kModified ? PagePlace::kModified
                                             : PagePlace::kTransfer;
    }
    case PteKind::kPageFile:
      return core.is_compressed(raw) ? PagePlace::kCompressed : PagePlace::kPagingFile;
    case PteKind::kPrototype:
      return PagePlace::kShared;
    default:
      return PagePlace::kNowhere;
  }
}

// Whether the section has a page there: it may end before the view, and have pages that are not committed.
bool is_in_section(const Vad& vad, Vpn page) {
  const ControlArea& area = *vad.control_area;
  const PageCount at = vad.section_page_of(page);
  return at < area.pages() && (!area.flags().reserve || area.committed.contains(at));
}

}  // namespace

Result<RegionInfo> ProcessSpace::query(Processor& cpu, VirtualAddress address) {
  if (address > highest()) return fail(Status::kInvalidParameter);
  const LockGuard guard(lock);
  const Vpn page = address.vpn();
  const Vad* const vad = vads_.find(page);
  if (vad == nullptr) {
    const Vad* const after = vads_.first_ending_after(page);
    const Vpn end = after != nullptr ? after->range.first : highest().vpn() + 1_pages;
    return RegionInfo{.base = VirtualAddress(page), .size = bytes_of(end - page)};
  }
  RegionInfo info{.base = VirtualAddress(page),
                  .allocation_base = VirtualAddress(vad->range.first),
                  .allocation_protection = vad->allocation_protection,
                  .type = vad->kind->type()};
  const Run run = PAGODA_TRY(run_from(cpu, page));
  info.size = bytes_of(run.end - page);
  info.state = run.protection == Protection::kNone ? MemoryState::kReserved : MemoryState::kCommitted;
  info.protection = run.protection;
  return info;
}

// Part by part, each twice as long as the one before: what is looked at is at most twice the run, and the first part;
// and a region of which nothing was touched has few parts. A page table that is out is brought in without the lock: if
// the region is another by then, the run ends there.
Result<ProcessSpace::Run> ProcessSpace::run_from(Processor& cpu, Vpn page) {
  const Vad* vad = vads_.find(page);
  const VpnRange region = vad->range;
  std::optional<Protection> rights;
  Vpn end = page;
  const auto extend = [&](Vpn to, Protection protection) {
    if (!rights) rights = protection;
    if (*rights != protection) return false;
    end = to;
    return true;
  };
  // Pages without a page table are like pages whose entry is zero.
  const auto extend_by_default = [&](Vpn to) {
    while (end < to) {
      const DefaultRun run = vad->kind->default_run(*this, cpu, *vad, {end, to - end});
      if (!extend(std::min(run.end, to), run.protection)) return false;
    }
    return true;
  };
  bool same = true;
  for (PageCount part = kFirstPart; same && end < region.end(); part += part) {
    const Vpn part_end = end + std::min(part, region.end() - end);
    for (Vpn next = end; same && next < part_end;) {
      next = tables_.for_each(cpu, {next, part_end - next}, [&](Vpn at, PhysicalAddress, RawPte raw) {
        lock.assert_held();
        if (raw == 0) return true;
        same = extend_by_default(at) && extend(at + 1_pages, shown_protection(cpu, *vad, at, raw));
        return same;
      });
      if (!same || next == part_end) continue;
      if (const Status status = bring_in(cpu, next, For::kLook); status != Status::kSuccess) return fail(status);
      vad = vads_.find(page);
      if (vad != nullptr && vad->range == region) continue;
      if (rights) return Run{end, *rights};
      return Run{page + 1_pages, Protection::kNone};
    }
    same = same && extend_by_default(part_end);
  }
  return Run{end, *rights};
}

PageInfo ProcessSpace::page_info(const Processor& cpu, VirtualAddress address) {
  const LockGuard guard(lock);
  return page_info_locked(cpu, address.vpn());
}

PageInfo ProcessSpace::page_info_locked(const Processor& cpu, Vpn page) {
  const PteCodec& codec = core_.codec;
  PageInfo info;
  const Vad* const vad = vads_.find(page);
  const bool in_view = vad != nullptr && vad->control_area != nullptr;
  if (const PhysicalAddress entry = tables_.find_large(cpu, page); entry != PageTables::kNone) {
    if (const RawPte raw = core_.load(cpu, entry); PageTables::is_large(raw, PageTables::kLargeLevel)) {
      info.place = PagePlace::kWorkingSet;
      info.large = true;
      info.shared = in_view;
      info.original = in_view;
      info.priority = kNormalPriority;
      info.pte = entry;
      info.frame = codec.frame(raw) + PageCount(page.value() % pages_of(large_page_size(core_.mode)).value());
      info.protection = vad != nullptr ? protection_of_zero_pte(*vad, page) : Protection::kNone;
      info.dirty = PteCodec::is_dirty(raw);
      return info;
    }
  }
  info.pte = tables_.find(cpu, page);
  const LockGuard guard(core_.pfns.lock);  // Entries that are not valid change under it.
  const RawPte raw = tables_.peek(cpu, page);
  info.place = place_of(core_, raw);
  switch (info.place) {
    case PagePlace::kWorkingSet: {
      info.frame = codec.frame(raw);
      info.protection = protection_of_valid(page, raw);
      info.dirty = PteCodec::is_dirty(raw);
      if (!core_.pfns.contains(info.frame)) {
        info.device = true;
        return info;
      }
      const PfnEntry& entry = core_.pfns.entry(info.frame);
      info.dirty |= entry.modified != 0;
      info.shared = entry.prototype_pte != 0;
      info.original = info.shared && in_view && !core_.prototypes.is_clone(entry.pte());
      info.priority = entry.priority;
      info.share_count = entry.share_count;
      if (const std::uint32_t slot = working_set_slot(page, raw); slot != WorkingSet::kNoSlot)
        info.locked = working_set_[slot].is_locked();
      return info;
    }
    case PagePlace::kStandby:
    case PagePlace::kModified:
    case PagePlace::kTransfer:
      info.frame = codec.frame(raw);
      info.dirty = core_.pfns.entry(info.frame).modified != 0;
      info.priority = core_.pfns.entry(info.frame).priority;
      return info;
    case PagePlace::kShared:
      info.shared = true;
      info.original =
          in_view && (codec.is_lookup_needed(raw) || !core_.prototypes.is_clone(codec.prototype_address(raw)));
      return info;
    case PagePlace::kNowhere:
      info.original = raw == 0 && in_view && is_in_section(*vad, page);
      info.shared = info.original;
      return info;
    default:
      return info;
  }
}

Residency ProcessSpace::residency(const Processor& cpu, VpnRange pages) {
  Residency where;
  const LockGuard guard(lock);
  const PageCount large = pages_of(large_page_size(core_.mode));
  const LockGuard pfn_guard(core_.pfns.lock);
  for (Vpn page = pages.first; page < pages.end(); page += large - PageCount(page.value() % large.value())) {
    const PhysicalAddress entry = tables_.find_large(cpu, page);
    if (entry == PageTables::kNone || !PageTables::is_large(core_.load(cpu, entry), PageTables::kLargeLevel)) continue;
    where.working_set += std::min(large - PageCount(page.value() % large.value()), pages.end() - page);
  }
  tables_.peek_each(cpu, pages, [&](Vpn, RawPte raw) {
    core_.pfns.lock.assert_held();
    // Nearly all, in a space that is looked at as a whole: at the price of a comparison each.
    if (PteCodec::is_valid(raw)) {
      ++where.working_set;
      return;
    }
    if (raw == 0) return;
    switch (place_of(core_, raw)) {
      case PagePlace::kStandby:
        ++where.standby;
        break;
      case PagePlace::kModified:
      case PagePlace::kTransfer:
        ++where.modified;
        break;
      case PagePlace::kCompressed:
        ++where.compressed;
        break;
      case PagePlace::kPagingFile:
        ++where.paging_file;
        break;
      default:
        break;
    }
  });
  return where;
}

std::optional<ProcessSpace::Allocation> ProcessSpace::allocation(VirtualAddress address) {
  const LockGuard guard(lock);
  const Vad* const vad = vads_.find(address.vpn());
  if (vad == nullptr) return std::nullopt;
  return Allocation{.pages = vad->range,
                    .commit_charge = vad->commit_charge,
                    .protection = vad->allocation_protection,
                    .type = vad->kind->type(),
                    .maps_file = vad->control_area != nullptr && vad->control_area->file() != nullptr};
}

ProcessSpace::Statistics ProcessSpace::statistics() const {
  const LockGuard guard(lock);
  return {.working_set = working_set_.size(),
          .shared = working_set_.shared(),
          .peak_working_set = working_set_.peak(),
          .commit = commit_charge(),
          .peak_commit = peak_commit_charge(),
          .reserved = vads_.pages(),
          .peak_reserved = peak_pages(),
          .faults = faults_,
          .insertions = working_set_.insertions()};
}

}  // namespace pagoda::mm
