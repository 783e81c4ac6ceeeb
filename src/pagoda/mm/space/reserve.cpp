// Reserving and releasing addresses.
#include <algorithm>

#include "pagoda/mm/space/address_space.h"
#include "pagoda/mm/space/private_protection.h"

namespace pagoda::mm {

namespace {

constexpr PageCount kGranule{kAllocationGranularity >> kPageShift};

}  // namespace

Result<VpnRange> AddressSpace::reserve(const ReserveRequest& request) {
  if (!is_allowed_on_private(request.protection)) return fail(Status::kInvalidPageProtection);
  const VpnRange limits = user_range();
  const auto within = placement_limits(request.wishes, limits);
  if (!within) return std::unexpected(within.error());
  Vad vad;
  vad.protection = request.protection;
  vad.mem_commit = request.commit;
  if (request.base) {
    if (request.wishes.any()) return fail(Status::kInvalidParameter);
    if (request.base->vpn() > limits.last()) return fail(Status::kInvalidParameter2);
    const VirtualAddress base(request.base->value() & ~(kAllocationGranularity - 1));
    const auto pages = pages_covering(*request.base, request.size);
    if (!pages || pages->last() > limits.last()) return fail(Status::kInvalidParameter4);
    if (!limits.contains(base.vpn())) return fail(Status::kInvalidParameter2);
    vad.range = {base.vpn(), pages->end() - base.vpn()};
  } else {
    if (request.size.is_zero() || pages_of(request.size) > limits.count) return fail(Status::kInvalidParameter4);
    vad.range.count = pages_of(request.size);
  }

  const LockGuard guard(lock);
  if (request.base) {
    if (vads_.overlaps(vad.range)) return fail(Status::kConflictingAddresses);
  } else {
    if (vad.range.count > within->count) return fail(Status::kNoMemory);
    const PageCount alignment = std::max(kGranule, pages_of(request.wishes.alignment));
    vad.range.first = request.direction == ReserveRequest::Direction::kBottomUp
                          ? vads_.find_lowest(vad.range.count, *within, alignment)
                          : vads_.find_highest(vad.range.count, *within, alignment);
    if (vad.range.first == VadTree::kNoVpn) return fail(Status::kNoMemory);
  }
  if (request.commit == MemCommit::kYes) vad.commit_charge = vad.range.count;
  const auto inserted = insert_vad(vad);
  if (!inserted) return std::unexpected(inserted.error());
  return (*inserted)->range;
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
  return Freed{vad, pages};
}

Result<> AddressSpace::release(Processor& cpu, VirtualAddress base, ByteCount size) {
  const LockGuard guard(lock);
  const auto freed = range_to_free(base, size);
  if (!freed) return std::unexpected(freed.error());
  Vad& vad = *freed->vad;
  const VpnRange pages = freed->pages;

  const VpnRange low{vad.range.first, pages.first - vad.range.first};
  const VpnRange high{pages.end(), vad.range.end() - pages.end()};
  const PageCount freed_charge = free_pages(cpu, vad, pages, 0);
  const PageCount low_charge = committed_in(cpu, vad, low);
  const PageCount high_charge = vad.commit_charge - freed_charge - low_charge;

  const Vad* const before = previous_charged(VadTree::previous(&vad));
  const Vad* const after = next_charged(VadTree::next(&vad));
  const PageCount tables = tables_spanned(vad.range, before, after);
  PageCount tables_left;
  if (!low.empty()) tables_left += tables_spanned(low, before, after);
  if (!high.empty()) {
    Vad neighbour;
    neighbour.range = low;
    tables_left += tables_spanned(high, low.empty() ? before : &neighbour, after);
  }
  table_charge_ -= tables - tables_left;
  commit_ -= freed_charge;
  give_back_commit(freed_charge + (tables - tables_left));

  if (low.empty() && high.empty()) {
    vads_.erase(vad);
    return {};
  }
  Vad rest = vad;
  rest.range = high;
  rest.commit_charge = high_charge;
  vads_.shrink(vad, low.empty() ? high : low);
  vad.commit_charge = low.empty() ? high_charge : low_charge;
  if (!low.empty() && !high.empty()) vads_.insert(rest);
  return {};
}

}  // namespace pagoda::mm
