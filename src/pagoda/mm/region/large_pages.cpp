#include "pagoda/mm/region/large_pages.h"

#include <vector>

#include "pagoda/mm/region/private_protection.h"
#include "pagoda/mm/section/control_area.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

namespace {

bool is_allowed_on_large(Protection protection) { return is_allowed_on_private(protection) && is_mappable(protection); }

// A large page as its space lets go of it.
struct Unmapped {
  Pfn first = kNoPfn;
  Pfn table = kNoPfn;
};

}  // namespace

Result<VpnRange> AddressSpace::reserve(Processor& cpu, const ReserveRequest& request) {
  if (request.type != VadType::kLargePages) return reserve(request);
  const ByteCount large = large_page_size(core_.mode);
  if (request.commit != MemCommit::kYes) return fail(Status::kInvalidParameter5);
  if (!is_allowed_on_large(request.protection)) return fail(Status::kInvalidPageProtection);
  if (request.base && request.base->value() % large.value() != 0) return fail(Status::kInvalidParameter2);
  if (request.size.value() % large.value() != 0) return fail(Status::kInvalidParameter4);
  const LockGuard guard(lock);
  const auto inserted = reserve_locked(request);
  if (!inserted) return std::unexpected(inserted.error());
  Vad& vad = **inserted;
  for (Vpn page = vad.range.first; page < vad.range.end(); page += pages_of(large)) {
    if (map_large_page(cpu, page, request.protection)) continue;
    free_large_pages(cpu, vad);
    take_back(vad);
    return fail(Status::kInsufficientResources);
  }
  return vad.range;
}

Result<> AddressSpace::map_large_page(Processor& cpu, Vpn page, Protection protection) {
  const PageCount count = pages_of(large_page_size(core_.mode));
  const auto entry = tables_.make_large(cpu, page);
  if (!entry) return std::unexpected(entry.error());
  Result<PfnDatabase::Taken> taken = fail(Status::kInsufficientResources);
  {
    const LockGuard guard(core_.pfns.lock);
    taken = core_.pfns.take_contiguous(cpu, count, count, core_.kept_pageable());
    if (taken) core_.pfns.make_large(taken->frame, count, *entry, core_.codec.demand_zero(protection));
  }
  if (!taken) {
    tables_.free_if_empty(cpu, page);
    return std::unexpected(taken.error());
  }
  if (!taken->zeroed) core_.zero(cpu, taken->frame, count);
  tables_.store(cpu, *entry, core_.codec.large(taken->frame, protection, PteCodec::Owner::kUser));
  return {};
}

Result<> AddressSpace::map_large_view(Processor& cpu, const Vad& vad) {
  const PageCount count = pages_of(large_page_size(core_.mode));
  PageCount in_section = vad.section_page;
  for (Vpn page = vad.range.first; page < vad.range.end(); page += count, in_section += count) {
    const auto entry = tables_.make_large(cpu, page);
    if (!entry) {
      free_large_pages(cpu, vad);
      return std::unexpected(entry.error());
    }
    Pfn first = kNoPfn;
    {
      const LockGuard guard(core_.pfns.lock);
      const VirtualAddress prototype = vad.control_area->prototype_of(core_.codec, in_section);
      first = core_.codec.frame(core_.load(cpu, core_.prototypes.find(prototype)));
      core_.pfns.share_large(first, count, entry->pfn());
    }
    tables_.store(cpu, *entry, core_.codec.large(first, vad.large_protection, PteCodec::Owner::kUser));
  }
  return {};
}

template <class Visit>
void AddressSpace::for_each_large_page(const Processor& cpu, const Vad& vad, Visit&& visit) const {
  for (Vpn page = vad.range.first; page < vad.range.end(); page += pages_of(large_page_size(core_.mode))) {
    const PhysicalAddress entry = tables_.find_large(cpu, page);
    if (entry == PageTables::kNone) continue;
    const RawPte raw = core_.load(cpu, entry);
    if (PageTables::is_large(raw, PageTables::kLargeLevel)) visit(page, entry, core_.codec.frame(raw));
  }
}

void AddressSpace::invalidate_range(Processor& cpu, VpnRange pages) {
  core_.machine.shoot_down(cpu, loaded_on_, asid_, pages);
  for (SecondaryMmu* observer : observers_) observer->invalidate(pages);
}

void AddressSpace::free_large_pages(Processor& cpu, const Vad& vad) {
  const PageCount count = pages_of(large_page_size(core_.mode));
  // Entries first, shoot-down second, frames third; then the tables, which the frames' entries name.
  std::vector<Unmapped> unmapped;
  for_each_large_page(cpu, vad, [&](Vpn, PhysicalAddress entry, Pfn frame) {
    lock.assert_held();
    tables_.store(cpu, entry, 0);
    unmapped.push_back({frame, entry.pfn()});
  });
  if (unmapped.empty()) return;
  invalidate_range(cpu, vad.range);
  {
    const LockGuard guard(core_.pfns.lock);
    for (const Unmapped& large : unmapped) {
      if (vad.is_private) {
        core_.pfns.remove_large(large.first, count);
      } else {
        core_.pfns.unshare_large(large.first, count, large.table);
      }
    }
  }
  for (Vpn page = vad.range.first; page < vad.range.end(); page += count) tables_.free_if_empty(cpu, page);
}

Protection AddressSpace::protection_of_large_pages(const Processor& cpu, const Vad& vad) const {
  if (!vad.is_private) return vad.large_protection;
  const RawPte raw = core_.load(cpu, tables_.find_large(cpu, vad.range.first));
  return core_.codec.protection(core_.pfns.entry(core_.codec.frame(raw)).original_pte);
}

Result<Protection> AddressSpace::protect_large_pages(Processor& cpu, Vad& vad, VpnRange pages, Protection protection) {
  if (pages != vad.range) return fail(Status::kConflictingAddresses);
  if (!is_allowed_on_large(protection)) return fail(Status::kInvalidPageProtection);
  const Protection old = protection_of_large_pages(cpu, vad);
  const PageCount count = pages_of(large_page_size(core_.mode));
  for_each_large_page(cpu, vad, [&](Vpn, PhysicalAddress entry, Pfn first) {
    lock.assert_held();
    tables_.replace(cpu, entry, core_.codec.large(first, protection, PteCodec::Owner::kUser));
    if (!vad.is_private) return;
    const LockGuard guard(core_.pfns.lock);
    for (Pfn frame = first; frame < first + count; ++frame) core_.pfns.set_protection(frame, protection);
  });
  if (!vad.is_private) vad.large_protection = protection;
  invalidate_range(cpu, vad.range);
  return old;
}

}  // namespace pagoda::mm
