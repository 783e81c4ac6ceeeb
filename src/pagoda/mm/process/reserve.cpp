// Reserving and releasing addresses.
#include <algorithm>

#include "pagoda/mm/process/process_space.h"
#include "pagoda/mm/region/large_pages.h"
#include "pagoda/mm/region/placeholder.h"

namespace pagoda::mm {

namespace {

void set_kind(Vad& vad, const ReserveRequest& request) {
  if (request.placeholder == Placeholder::kReserve) {
    vad.kind = &placeholder_region();
  } else if (request.type == VadType::kAwe) {
    vad.kind = &window_region();
  } else if (request.type == VadType::kLargePages) {
    vad.kind = &large_region();
    vad.source = PageSource::kMapped;
  } else {
    vad.kind = &private_region();
  }
}

// Whether so much could be promised if nothing else were.
bool could_be_promised(const Core& core, ByteCount size) {
  const LockGuard guard(core.pfns.lock);
  return pages_of(size) <= core.commit.limit();
}

}  // namespace

Result<VpnRange> ProcessSpace::reserve(const ReserveRequest& request) {
  if (request.type == VadType::kLargePages) return fail(Status::kInvalidParameter5);
  const ChangeGuard guard(*this);
  return PAGODA_TRY(reserve_locked(request))->range;
}

Result<VpnRange> ProcessSpace::reserve(Processor& cpu, const ReserveRequest& request) {
  if (request.type != VadType::kLargePages) {
    for (;;) {
      auto reserved = reserve(request);
      const bool lacks_charge = !reserved && reserved.error() == Status::kCommitmentLimit;
      if (!lacks_charge || !could_be_promised(core_, request.size) || !relief().relieve_commit(cpu)) return reserved;
    }
  }
  const ByteCount large = large_page_size(core_.mode);
  if (request.commit != MemCommit::kYes) return fail(Status::kInvalidParameter5);
  if (!is_allowed_on_large(request.protection)) return fail(Status::kInvalidPageProtection);
  if (request.base && request.base->value() % large.value() != 0) return fail(Status::kInvalidParameter2);
  if (request.size.value() % large.value() != 0) return fail(Status::kInvalidParameter4);
  const ChangeGuard guard(*this);
  Vad& vad = *PAGODA_TRY(reserve_locked(request));
  if (const auto mapped = map_large_region(*this, cpu, vad); !mapped) {
    take_back(vad);
    return std::unexpected(mapped.error());
  }
  return vad.range;
}

Result<Vad*> ProcessSpace::reserve_locked(const ReserveRequest& request) {
  const bool is_window = request.type == VadType::kAwe;
  if (is_window && request.commit == MemCommit::kYes) return fail(Status::kInvalidParameter5);
  if (!is_allowed_on_private(request.protection)) return fail(Status::kInvalidPageProtection);
  if (is_window && request.protection != Protection::kReadWrite) return fail(Status::kInvalidParameter6);
  const bool replaces = request.placeholder == Placeholder::kReplace;
  if (replaces && !request.base) return fail(Status::kInvalidParameter);
  if (request.placeholder == Placeholder::kReserve &&
      (request.protection != Protection::kNoAccess || request.commit == MemCommit::kYes ||
       request.type != VadType::kNone))
    return fail(Status::kInvalidParameter);
  const bool on_touch = request.on_touch == OnTouch::kCommit;
  if (on_touch) {
    const bool ordinary = request.type == VadType::kNone || request.type == VadType::kWriteWatch;
    if (!ordinary || request.commit == MemCommit::kYes || request.placeholder != Placeholder::kNo)
      return fail(Status::kInvalidParameter5);
    if (!is_mappable(request.protection)) return fail(Status::kInvalidPageProtection);
  }
  const VpnRange limits = user_range();
  const VpnRange within = PAGODA_TRY(placement_limits(request.wishes, limits));
  Vad vad;
  vad.protection = request.protection;
  vad.allocation_protection = request.protection;
  vad.mem_commit = request.commit;
  vad.type = request.type;
  set_kind(vad, request);
  vad.commits_on_touch = on_touch;
  vad.placeholder = request.placeholder == Placeholder::kReserve;
  std::optional<VirtualAddress> base;
  if (request.base) {
    if (request.wishes.any()) return fail(Status::kInvalidParameter);
    if (request.base->vpn() > limits.last()) return fail(Status::kInvalidParameter2);
    base = VirtualAddress(request.base->value() & ~((replaces ? kPageBytes : kAllocationGranularity) - 1));
    const auto pages = pages_covering(*request.base, request.size);
    if (!pages || pages->last() > limits.last()) return fail(Status::kInvalidParameter4);
    if (!limits.contains(base->vpn())) return fail(Status::kInvalidParameter2);
    vad.range = {base->vpn(), pages->end() - base->vpn()};
  } else {
    if (request.size.is_zero() || pages_of(request.size) > limits.count) return fail(Status::kInvalidParameter4);
    vad.range.count = pages_of(request.size);
  }

  if (request.commit == MemCommit::kYes) vad.commit_charge = vad.range.count;

  if (replaces) {
    Vad* const replaced = PAGODA_TRY(replace_placeholder(vad));
    if (request.type == VadType::kWriteWatch) watch(*replaced);
    return replaced;
  }
  const ByteCount granule = request.type == VadType::kLargePages ? large_page_size(core_.mode) : ByteCount();
  const ByteCount alignment = std::max(granule, request.wishes.alignment);
  vad.range = PAGODA_TRY(place_region(base, vad.range.count, request.direction, within, alignment));
  Vad* const inserted = PAGODA_TRY(insert_vad(vad));
  if (request.type == VadType::kWriteWatch) watch(*inserted);
  return inserted;
}

// What a free or decommit call names: `size` zero means the whole region, which must begin in the page of `base`
// (reference/nt.md 7.2, in its order).
Result<ProcessSpace::RegionPages> ProcessSpace::range_to_free(VirtualAddress base, ByteCount size) {
  if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
  if (base.value() + size.value() < base.value()) return fail(Status::kInvalidParameter3);
  Vad* const vad = vads_.find(base.vpn());
  if (vad == nullptr) return fail(Status::kMemoryNotAllocated);
  const VpnRange pages = size.is_zero() ? vad->range : *pages_covering(base, size);
  if (pages.last() > vad->range.last()) return fail(Status::kUnableToFreeVm);
  if (!vad->is_private) return fail(Status::kUnableToDeleteSection);
  if (size.is_zero() && base.vpn() != vad->range.first) return fail(Status::kFreeVmNotAtBase);
  if (!may_free(*vad, pages)) return fail(Status::kInvalidPageProtection);
  return RegionPages{vad, pages};
}

Result<VpnRange> ProcessSpace::release(Processor& cpu, VirtualAddress base, ByteCount size, ReleaseMode mode) {
  const ChangeGuard guard(*this);
  if (mode != ReleaseMode::kFree) {
    if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
    const auto pages = pages_covering(base, size);
    if (!pages) return fail(Status::kInvalidParameter3);
    if (mode == ReleaseMode::kCoalescePlaceholders) {
      PAGODA_TRY(coalesce_placeholders(*pages));
      return *pages;
    }
  }
  const RegionPages freed = PAGODA_TRY(range_to_free(base, size));
  if (freed.vad->kind->residence() == RegionKind::Residence::kMapped && freed.pages != freed.vad->range)
    return fail(Status::kFreeVmNotAtBase);
  if (mode == ReleaseMode::kPreservePlaceholder) {
    PAGODA_TRY(preserve_placeholder(cpu, freed));
    return freed.pages;
  }
  PAGODA_TRY(release_pages(cpu, freed));
  return freed.pages;
}

Result<> ProcessSpace::release_pages(Processor& cpu, const RegionPages& freed) {
  const VpnRange all = freed.vad->range;
  const VpnRange pages = freed.pages;
  const Vad* const before = previous_charged(VadTree::previous(freed.vad));
  const Vad* const after = next_charged(VadTree::next(freed.vad));
  PAGODA_TRY(cut(cpu, *freed.vad, pages));

  const VpnRange low{all.first, pages.first - all.first};
  const VpnRange high{pages.end(), all.end() - pages.end()};
  PageCount tables_left;
  if (!low.empty()) tables_left += tables_spanned(low, before, after);
  if (!high.empty()) {
    Vad neighbour;
    neighbour.range = low;
    tables_left += tables_spanned(high, low.empty() ? before : &neighbour, after);
  }
  const PageCount tables = tables_spanned(all, before, after) - tables_left;
  give_back_tables(tables);
  return {};
}

Result<> ProcessSpace::preserve_placeholder(Processor& cpu, const RegionPages& freed) {
  const Vad& vad = *freed.vad;
  const bool is_whole = freed.pages == vad.range;
  if (vad.placeholder ? is_whole : !vad.from_placeholder) return fail(Status::kConflictingAddresses);
  PAGODA_TRY(cut(cpu, *freed.vad, freed.pages));
  vads_.insert(placeholder_vad(freed.pages));
  return {};
}

Result<> ProcessSpace::coalesce_placeholders(VpnRange pages) {
  Vad* const first = vads_.find(pages.first);
  if (first == nullptr) return fail(Status::kMemoryNotAllocated);
  if (first->range.first != pages.first || first->range == pages) return fail(Status::kConflictingAddresses);
  Vpn reached = pages.first;
  for (const Vad* vad = first; reached < pages.end(); vad = VadTree::next(vad)) {
    if (vad == nullptr || !vad->placeholder || vad->range.first != reached) return fail(Status::kConflictingAddresses);
    reached = vad->range.end();
  }
  if (reached != pages.end()) return fail(Status::kConflictingAddresses);
  for (Vad* vad = first; vad != nullptr && vad->range.first < pages.end();) {
    Vad* const next = VadTree::next(vad);
    vads_.erase(*vad);
    vad = next;
  }
  vads_.insert(placeholder_vad(pages));
  return {};
}

}  // namespace pagoda::mm
