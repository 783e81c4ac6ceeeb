// Reserving and releasing addresses.
#include <algorithm>

#include "pagoda/mm/region/large_pages.h"
#include "pagoda/mm/region/private_protection.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

namespace {

constexpr PageCount kGranule{kAllocationGranularity >> kPageShift};

}  // namespace

Result<VpnRange> AddressSpace::reserve(const ReserveRequest& request) {
  if (request.type == VadType::kLargePages) return fail(Status::kInvalidParameter5);
  const LockGuard guard(lock);
  const auto inserted = reserve_locked(request);
  if (!inserted) return std::unexpected(inserted.error());
  return (*inserted)->range;
}

Result<Vad*> AddressSpace::reserve_locked(const ReserveRequest& request) {
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
  const auto within = placement_limits(request.wishes, limits);
  if (!within) return std::unexpected(within.error());
  Vad vad;
  vad.protection = request.protection;
  vad.mem_commit = request.commit;
  vad.type = request.type;
  vad.commits_on_touch = on_touch;
  vad.placeholder = request.placeholder == Placeholder::kReserve;
  if (request.base) {
    if (request.wishes.any()) return fail(Status::kInvalidParameter);
    if (request.base->vpn() > limits.last()) return fail(Status::kInvalidParameter2);
    const VirtualAddress base(request.base->value() & ~((replaces ? kPageBytes : kAllocationGranularity) - 1));
    const auto pages = pages_covering(*request.base, request.size);
    if (!pages || pages->last() > limits.last()) return fail(Status::kInvalidParameter4);
    if (!limits.contains(base.vpn())) return fail(Status::kInvalidParameter2);
    vad.range = {base.vpn(), pages->end() - base.vpn()};
  } else {
    if (request.size.is_zero() || pages_of(request.size) > limits.count) return fail(Status::kInvalidParameter4);
    vad.range.count = pages_of(request.size);
  }

  if (request.commit == MemCommit::kYes) vad.commit_charge = vad.range.count;

  if (replaces) {
    const auto replaced = replace_placeholder(vad);
    if (replaced && request.type == VadType::kWriteWatch) extras_.watch(**replaced);
    return replaced;
  }
  if (request.base) {
    if (vads_.overlaps(vad.range)) return fail(Status::kConflictingAddresses);
  } else {
    const PageCount granule = request.type == VadType::kLargePages ? pages_of(large_page_size(core_.mode)) : kGranule;
    const PageCount alignment = std::max(granule, pages_of(request.wishes.alignment));
    vad.range.first = vads_.find_gap(request.direction, vad.range.count, *within, alignment);
    if (vad.range.first == VadTree::kNoVpn) return fail(Status::kNoMemory);
  }
  const auto inserted = insert_vad(vad);
  if (!inserted) return inserted;
  if (request.type == VadType::kWriteWatch) extras_.watch(**inserted);
  return inserted;
}

// What a free or decommit call names: `size` zero means the whole region, which must begin in the page of `base`
// (reference/nt.md 7.2, in its order).
Result<AddressSpace::Freed> AddressSpace::range_to_free(VirtualAddress base, ByteCount size) {
  if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
  if (base.value() + size.value() < base.value()) return fail(Status::kInvalidParameter3);
  Vad* const vad = vads_.find(base.vpn());
  if (vad == nullptr) return fail(Status::kMemoryNotAllocated);
  const VpnRange pages = size.is_zero() ? vad->range : *pages_covering(base, size);
  if (pages.last() > vad->range.last()) return fail(Status::kUnableToFreeVm);
  if (!vad->is_private) return fail(Status::kUnableToDeleteSection);
  if (size.is_zero() && base.vpn() != vad->range.first) return fail(Status::kFreeVmNotAtBase);
  if (!may_free(*vad, pages)) return fail(Status::kInvalidPageProtection);
  return Freed{vad, pages};
}

void AddressSpace::cut(Processor& cpu, Vad& vad, VpnRange pages) {
  const VpnRange low{vad.range.first, pages.first - vad.range.first};
  const VpnRange high{pages.end(), vad.range.end() - pages.end()};
  if (is_physical(vad)) free_physical(cpu, vad);
  const PageCount freed_charge = free_pages(cpu, vad, pages, 0);
  const PageCount low_charge = committed_in(cpu, vad, low);
  const PageCount high_charge = vad.commit_charge - freed_charge - low_charge;
  commit_ -= freed_charge;
  give_back_commit(freed_charge);
  if (low.empty() && high.empty()) {
    extras_.drop(vad);
    vads_.erase(vad);
    return;
  }
  Vad rest = vad;
  rest.range = high;
  rest.commit_charge = high_charge;
  rest.extra = nullptr;
  vads_.shrink(vad, low.empty() ? high : low);
  vad.commit_charge = low.empty() ? high_charge : low_charge;
  if (!low.empty() && !high.empty()) extras_.divide(vad, vads_.insert(rest));
}

Result<> AddressSpace::release(Processor& cpu, VirtualAddress base, ByteCount size, ReleaseMode mode) {
  const LockGuard guard(lock);
  if (mode != ReleaseMode::kFree) {
    if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
    const auto pages = pages_covering(base, size);
    if (!pages) return fail(Status::kInvalidParameter3);
    if (mode == ReleaseMode::kCoalescePlaceholders) return coalesce_placeholders(*pages);
  }
  const auto freed = range_to_free(base, size);
  if (!freed) return std::unexpected(freed.error());
  if (is_physical(*freed->vad) && freed->pages != freed->vad->range) return fail(Status::kFreeVmNotAtBase);
  if (mode == ReleaseMode::kPreservePlaceholder) return preserve_placeholder(cpu, *freed);
  const VpnRange all = freed->vad->range;
  const VpnRange pages = freed->pages;
  const Vad* const before = previous_charged(VadTree::previous(freed->vad));
  const Vad* const after = next_charged(VadTree::next(freed->vad));
  cut(cpu, *freed->vad, pages);

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
  table_charge_ -= tables;
  give_back_commit(tables);
  return {};
}

}  // namespace pagoda::mm
