#include "pagoda/mm/region/device_frames.h"

#include <algorithm>
#include <iterator>

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

namespace {

constexpr PageCount kGranule{kAllocationGranularity >> kPageShift};

}  // namespace

DeviceFrames::Run DeviceFrames::run_from(Vpn page) const {
  const auto next = rights_.upper_bound(page);
  return {next == rights_.end() ? pages_.end() : next->first, std::prev(next)->second};
}

void DeviceFrames::set_rights(VpnRange pages, Protection protection) {
  if (pages.end() < pages_.end()) rights_[pages.end()] = rights(pages.end());
  rights_.erase(rights_.lower_bound(pages.first), rights_.lower_bound(pages.end()));
  rights_[pages.first] = protection;
  for (auto run = std::next(rights_.begin()); run != rights_.end();)
    run = std::prev(run)->second == run->second ? rights_.erase(run) : std::next(run);
}

Result<VpnRange> AddressSpace::map_frames(const FramesRequest& request) {
  if (!is_allowed_on_device(request.protection)) return fail(Status::kInvalidPageProtection);
  const std::uint64_t most = std::min(core_.mode.max_frames().value(), std::uint64_t{kNoPfn.value()});
  if (core_.pfns.contains(request.first) || request.count.is_zero() || request.first.value() >= most ||
      request.count.value() > most - request.first.value())
    return fail(Status::kInvalidParameter);
  const VpnRange limits = user_range();
  const auto within = placement_limits(request.wishes, limits);
  if (!within) return std::unexpected(within.error());
  if (request.base && request.wishes.any()) return fail(Status::kInvalidParameter);

  Vad vad;
  vad.range.count = request.count;
  vad.type = VadType::kPhysical;
  vad.protection = request.protection;
  vad.inherit = request.inherit;
  vad.is_private = false;
  vad.no_change = request.no_change;
  vad.tables_on_demand = request.count >= kTablesOnDemand;
  if (is_write_copy(request.protection)) vad.commit_charge = request.count;

  const LockGuard guard(lock);
  if (request.base) {
    if (request.base->value() % kAllocationGranularity != 0) return fail(Status::kMappedAlignment);
    vad.range.first = request.base->vpn();
    if (!limits.contains(vad.range.first) || request.count > limits.end() - vad.range.first)
      return fail(Status::kInvalidParameter3);
    if (vads_.overlaps(vad.range)) return fail(Status::kConflictingAddresses);
  } else {
    const PageCount alignment = std::max(kGranule, pages_of(request.wishes.alignment));
    vad.range.first = vads_.find_gap(request.direction, request.count, *within, alignment);
    if (vad.range.first == VadTree::kNoVpn) return fail(Status::kNoMemory);
  }
  const auto inserted = insert_vad(vad);
  if (!inserted) return std::unexpected(inserted.error());
  extras_.map_device(**inserted, {vad.range, request.first, request.protection});
  return vad.range;
}

Protection AddressSpace::protection_of_device_frame(Vpn page) const {
  return vads_.first_ending_after(page)->extra->device->rights(page);
}

// All pages are committed, and the region lets them have the protection.
Result<> AddressSpace::protect_device_frames(Processor& cpu, Vad& vad, VpnRange pages, Protection protection) {
  PAGODA_TRY(make_private(cpu, pages));
  const Protection rights = shared_by_fork(protection);  // Writable means: by a copy.
  PageCount charged = is_write_copy(rights) ? pages.count : 0_pages;
  if (charged.is_zero()) {
    tables_.for_each(cpu, pages, [&](Vpn, PhysicalAddress, RawPte raw) {
      if (is_private_entry(raw)) ++charged;
    });
  }
  PAGODA_TRY(change_charge(vad, charged_in_view(cpu, vad, pages), charged));
  tables_.for_each(
      cpu, pages,
      [&](Vpn page, PhysicalAddress pte, RawPte raw) {
        lock.assert_held();
        if (raw == 0) return;
        const Protection now = current_protection(cpu, vad, page, raw);
        if (is_private_entry(raw)) {
          if (now != unshared(protection)) protect_entry(cpu, page, pte, raw, unshared(protection));
          return;
        }
        if (now == rights) return;
        const Pfn frame = core_.codec.frame(raw);
        core_.note(cpu, EventKind::kProtected, pte, frame, raw);
        tables_.store(
            cpu, pte,
            is_mappable(rights) ? core_.codec.valid(frame, rights, PteCodec::Owner::kUser, PteCodec::Dirty::kNo) : 0);
        invalidate(cpu, std::span(&page, 1));
        if (is_mappable(rights)) return;
        const LockGuard guard(core_.pfns.lock);
        core_.pfns.drop_table_share(pte.pfn());
      },
      [&](Vpn page) {
        lock.assert_held();
        tables_.free_if_empty(cpu, page);
      });
  vad.extra->device->set_rights(pages, rights);
  return {};
}

}  // namespace pagoda::mm
