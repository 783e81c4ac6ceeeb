// Looking at a space without changing it: for queries, upper floors and the inspector.
#include <algorithm>

#include "pagoda/mm/process/process_space.h"

namespace pagoda::mm {

namespace {

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

}  // namespace

Result<RegionInfo> ProcessSpace::query(const Processor& cpu, VirtualAddress address) {
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
                  .allocation_protection = vad->protection};
  std::optional<Protection> region;
  Vpn end = page;
  const auto extend = [&](Vpn to, Protection protection) {
    if (!region) region = protection;
    if (*region != protection) return false;
    end = to;
    return true;
  };
  // Pages without a page table are like pages whose entry is zero.
  const auto extend_by_default = [&](Vpn to) {
    while (end < to) {
      const DefaultRun run = vad->kind->default_run(*this, cpu, *vad, end);
      if (!extend(std::min(run.end, to), run.protection)) return false;
    }
    return true;
  };
  bool same = true;
  tables_.for_each(cpu, {page, vad->range.end() - page}, [&](Vpn at, PhysicalAddress, RawPte raw) {
    lock.assert_held();
    if (!same || raw == 0) return;
    same = extend_by_default(at) && extend(at + 1_pages, shown_protection(cpu, *vad, at, raw));
  });
  if (same) extend_by_default(vad->range.end());
  info.size = bytes_of(end - page);
  info.state = *region == Protection::kNone ? MemoryState::kReserved : MemoryState::kCommitted;
  info.protection = *region;
  info.type = vad->kind->type();
  return info;
}

PageInfo ProcessSpace::page_info(const Processor& cpu, VirtualAddress address) {
  const LockGuard guard(lock);
  return page_info_locked(cpu, address.vpn());
}

PageInfo ProcessSpace::page_info_locked(const Processor& cpu, Vpn page) {
  const PteCodec& codec = core_.codec;
  PageInfo info;
  if (const PhysicalAddress entry = tables_.find_large(cpu, page); entry != PageTables::kNone) {
    if (const RawPte raw = core_.load(cpu, entry); PageTables::is_large(raw, PageTables::kLargeLevel)) {
      const Vad* const vad = vads_.find(page);
      info.place = PagePlace::kWorkingSet;
      info.large = true;
      info.pte = entry;
      info.frame = codec.frame(raw) + PageCount(page.value() % pages_of(large_page_size(core_.mode)).value());
      info.protection = vad != nullptr ? protection_of_zero_pte(*vad, page) : Protection::kNone;
      info.dirty = PteCodec::is_dirty(raw);
      return info;
    }
  }
  info.pte = tables_.find(cpu, page);
  if (info.pte == PageTables::kNone) return info;
  const LockGuard guard(core_.pfns.lock);  // Entries that are not valid change under it.
  const RawPte raw = core_.load(cpu, info.pte);
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
      return info;
    case PagePlace::kShared:
      info.shared = true;
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
  tables_.for_each(cpu, pages, [&](Vpn, PhysicalAddress, RawPte raw) {
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
  return Allocation{vad->range, vad->commit_charge};
}

PageCount ProcessSpace::reserved() const {
  const LockGuard guard(lock);
  PageCount pages;
  for (const Vad* vad = vads_.first(); vad != nullptr; vad = VadTree::next(vad)) pages += vad->range.count;
  return pages;
}

ProcessSpace::Statistics ProcessSpace::statistics() const {
  const LockGuard guard(lock);
  return {.working_set = working_set_.size(),
          .shared = working_set_.shared(),
          .peak_working_set = working_set_.peak(),
          .commit = commit_charge(),
          .peak_commit = peak_commit_charge(),
          .faults = faults_,
          .insertions = working_set_.insertions()};
}

}  // namespace pagoda::mm
