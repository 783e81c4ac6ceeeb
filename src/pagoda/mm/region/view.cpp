// Views: parts of sections in an address space.
//
// An entry of a view is zero as long as nothing but the VAD needs to be known; valid with the prototype bit while the
// shared page is mapped; a pointer, or the lookup-needed form where the rights differ from the prototype's, when it was
// mapped before or its rights were changed; and that of a private page once a write has copied it.
#include <algorithm>

#include "pagoda/mm/region/large_pages.h"
#include "pagoda/mm/region/private_protection.h"
#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

namespace {

constexpr PageCount kGranule{kAllocationGranularity >> kPageShift};

// Of a view of a write-copy kind, writable means: by a copy (reference/nt.md 7.3). Of an image's: unless the page is in
// a section that all processes share.
Protection in_view(const Vad& vad, Vpn page, Protection protection) {
  bool copies = is_write_copy(vad.protection);
  if (vad.type == VadType::kImage)
    copies = !is_writable(vad.control_area->subsection_of(vad.section_page_of(page)).protection);
  return copies ? shared_by_fork(protection) : protection;
}

// What an entry of a page directory can carry, with the caching that all views of the frames have.
bool is_allowed_on_large_view(Protection protection) {
  return is_allowed_on_private(protection) && is_mappable(protection) &&
         cache_attribute(protection) == CacheAttribute::kCached;
}

}  // namespace

// In the order of reference/nt.md 6.2, from the base on.
Result<Vad> AddressSpace::place_view(const Section& section, const ViewRequest& request) {
  const VpnRange limits = user_range();
  const std::uint64_t end = VirtualAddress(limits.end()).value();
  if (request.base && (request.base->value() >= end || request.size.value() > end - request.base->value()))
    return fail(Status::kInvalidParameter3);
  const bool large = section.flags().large_pages;
  const PageCount granule = large ? pages_of(large_page_size(core_.mode)) : kGranule;
  const std::uint64_t granularity = request.replaces_placeholder && !large ? kPageBytes : bytes_of(granule).value();
  if ((request.base && request.base->value() % granularity != 0) ||
      request.offset.value() % bytes_of(granule).value() != 0)
    return fail(Status::kMappedAlignment);
  const bool image = section.kind() == SectionKind::kImage;
  if (!image && !is_compatible(section.protection(), request.protection)) return fail(Status::kSectionProtection);
  if (large && !is_allowed_on_large_view(request.protection)) return fail(Status::kInvalidPageProtection);
  if (request.offset >= section.size()) return fail(Status::kInvalidViewSize);
  if (large && request.size.value() % bytes_of(granule).value() != 0) return fail(Status::kInvalidViewSize);
  const ByteCount rest = section.size() - request.offset;
  const ByteCount size = request.size.is_zero() ? rest : request.size;
  const bool extendable = request.extendable && section.kind() == SectionKind::kData;
  if (pages_of(size) > pages_of(rest) && !extendable) return fail(Status::kInvalidViewSize);
  if (request.commit > bytes_of(pages_of(size))) return fail(Status::kInvalidParameter5);
  if (request.extendable && (section.kind() != SectionKind::kData || !is_writable(section.protection())))
    return fail(Status::kInvalidParameter9);
  if (section.kind() == SectionKind::kPagingFile && is_write_combine(request.protection))
    return fail(Status::kInvalidParameter10);

  Vad vad;
  vad.range.count = pages_of(size);
  vad.control_area = &section.control_area();
  vad.section_page = pages_of(request.offset);
  vad.protection = image ? Protection::kExecuteWriteCopy : request.protection;
  // A program may give an image's pages any rights; writing copies them.
  vad.section_protection = image ? Protection::kExecuteReadWrite : section.protection();
  if (image) vad.type = VadType::kImage;
  if (large) {
    vad.type = VadType::kLargePageSection;
    vad.large_protection = request.protection;
  }
  vad.inherit = request.inherit;
  vad.is_private = false;
  vad.no_change = request.no_change || section.flags().no_change;
  vad.extendable = extendable;
  vad.tables_on_demand = section.kind() == SectionKind::kData && vad.range.count >= kTablesOnDemand;

  std::optional<VirtualAddress> base = request.base;
  if (!base && section.based_at()) base = *section.based_at() + request.offset;
  const PageCount alignment = std::max(granule, pages_of(request.wishes.alignment));
  const auto within = placement_limits(request.wishes, limits);
  if (!within) return std::unexpected(within.error());
  if (!base && image) {
    const VirtualAddress preferred = section.image()->base + request.offset;
    const VpnRange wanted{preferred.vpn(), vad.range.count};
    if (within->contains(wanted.first) && wanted.last() <= within->last() &&
        wanted.first.value() % alignment.value() == 0 && !vads_.overlaps(wanted))
      base = preferred;
  }
  if (base) {
    vad.range.first = base->vpn();
    if (!limits.contains(vad.range.first) || vad.range.last() > limits.last()) return fail(Status::kInvalidParameter3);
    if (!request.replaces_placeholder && vads_.overlaps(vad.range)) return fail(Status::kConflictingAddresses);
    return vad;
  }
  vad.range.first = vads_.find_gap(request.direction, vad.range.count, *within, alignment);
  if (vad.range.first == VadTree::kNoVpn) return fail(Status::kNoMemory);
  return vad;
}

Result<VpnRange> AddressSpace::map_view(Processor& cpu, Section& section, const ViewRequest& request) {
  // No gap for the view has the same status as no frames, and no wait makes one.
  auto refused = Status::kSuccess;
  const auto mapped = with_memory(core_, cpu, [&]() -> Result<VpnRange> {
    const LockGuard guard(lock);
    auto vad = place_view(section, request);
    if (!vad) {
      refused = vad.error();
      return VpnRange{};
    }
    ControlArea& area = *vad->control_area;
    vad->commit_charge = charged_in_view(cpu, *vad, vad->range);
    const auto inserted = request.replaces_placeholder ? replace_placeholder(*vad) : insert_vad(*vad);
    if (!inserted) return std::unexpected(inserted.error());
    Result<> ready;
    if (section.flags().reserve && !request.commit.is_zero()) {
      ready = core_.sections->commit(cpu, area, vad->section_page, pages_of(request.commit));
    } else if (has_large_pages(**inserted)) {
      ready = map_large_view(cpu, **inserted);
    }
    if (!ready) {
      take_back(**inserted);
      return std::unexpected(ready.error());
    }
    const LockGuard pfn_guard(core_.pfns.lock);
    ++area.mapped_views;
    return (*inserted)->range;
  });
  if (refused != Status::kSuccess) return fail(refused);
  return mapped;
}

Result<> AddressSpace::unmap_view(Processor& cpu, VirtualAddress address, After after) {
  const LockGuard guard(lock);
  Vad* const vad = vads_.find(address.vpn());
  if (vad == nullptr || (vad->control_area == nullptr && !has_device_frames(*vad))) return fail(Status::kNotMappedView);
  if (!may_free(*vad, vad->range)) return fail(Status::kInvalidPageProtection);
  if (after == After::kPlaceholder && !vad->from_placeholder) return fail(Status::kConflictingAddresses);
  ControlArea* const area = vad->control_area;
  if (is_physical(*vad)) {
    free_physical(cpu, *vad);
  } else {
    free_pages(cpu, *vad, vad->range, 0);
  }
  if (after == After::kPlaceholder) {
    leave_placeholder(*vad);
  } else {
    erase_vad(*vad);
  }
  if (area != nullptr) core_.sections->view_unmapped(cpu, *area);
  return {};
}

Result<std::shared_ptr<FileStream>> AddressSpace::mapped_file(VirtualAddress address) {
  const LockGuard guard(lock);
  const Vad* const vad = vads_.find(address.vpn());
  if (vad == nullptr || vad->control_area == nullptr || vad->control_area->file() == nullptr)
    return fail(Status::kInvalidAddress);
  return vad->control_area->file();
}

AddressSpace::DefaultRun AddressSpace::default_run(const Processor& cpu, const Vad& vad, Vpn page) const {
  if (has_device_frames(vad)) {
    const DeviceFrames::Run run = vad.extra->device->run_from(page);
    return {run.end, run.protection};
  }
  if (vad.control_area == nullptr) return {vad.range.end(), protection_of_zero_pte(vad, page)};
  const ControlArea& area = *vad.control_area;
  const PageCount at = vad.section_page_of(page);
  const PageCount view_end = vad.section_page + vad.range.count;
  const auto run = [&](PageCount end, Protection protection) {
    return DefaultRun{page + (std::min(end, view_end) - at), protection};
  };
  const LockGuard guard(core_.pfns.lock);
  if (at >= area.pages()) return run(view_end, Protection::kNone);
  if (area.kind() == SectionKind::kImage) return run(area.subsection_of(at).end(), area.subsection_of(at).protection);
  if (!area.flags().reserve) return run(area.pages(), vad.protection);
  // Page of entries by page of entries: one that does not exist has no committed page.
  std::optional<bool> committed;
  PageCount end = at;
  while (end < std::min(area.pages(), view_end)) {
    const VirtualAddress prototype = area.prototype_of(core_.codec, end);
    const PhysicalAddress pte = core_.prototypes.find(prototype);
    const bool is = pte != PrototypePool::kNone && core_.load(cpu, pte) != 0;
    if (committed.value_or(is) != is) break;
    committed = is;
    end += pte == PrototypePool::kNone ? core_.prototypes.entries_left(prototype) : 1_pages;
  }
  return run(std::min(end, area.pages()), *committed ? vad.protection : Protection::kNone);
}

PageCount AddressSpace::committed_in_view(const Processor& cpu, const Vad& vad, VpnRange pages) const {
  PageCount committed;
  for (Vpn page = pages.first; page < pages.end();) {
    const DefaultRun run = default_run(cpu, vad, page);
    const Vpn end = std::min(run.end, pages.end());
    if (run.protection != Protection::kNone) committed += end - page;
    page = end;
  }
  return committed;
}

// A write has copied the page; a fork may share the copy.
bool AddressSpace::is_private_entry(RawPte raw) const {
  if (PteCodec::is_valid(raw))
    return PteCodec::is_shared(raw) ? is_clone(raw) : core_.pfns.contains(core_.codec.frame(raw));
  const PteKind kind = core_.codec.kind(raw);
  return kind != PteKind::kZero && (kind != PteKind::kPrototype || is_clone(raw));
}

PageCount AddressSpace::charged_in_view(const Processor& cpu, const Vad& vad, VpnRange pages) const {
  PageCount charged;
  if (vad.type == VadType::kImage || has_device_frames(vad)) {
    for (Vpn page = pages.first; page < pages.end();) {
      const DefaultRun run = default_run(cpu, vad, page);
      const Vpn end = std::min(run.end, pages.end());
      if (is_write_copy(run.protection)) charged += end - page;
      page = end;
    }
  } else if (is_write_copy(vad.protection)) {
    charged = pages.count;
  }
  tables_.for_each(cpu, pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
    lock.assert_held();
    if (raw == 0) return;
    const bool by_default = is_write_copy(protection_of_view(vad, page));
    const bool now = is_private_entry(raw) || is_write_copy(current_protection(cpu, vad, page, raw));
    if (now && !by_default) ++charged;
    if (!now && by_default) --charged;
  });
  return charged;
}

// Commits the pages for all views of the section; this view's get the protection.
Result<> AddressSpace::commit_view(Processor& cpu, Vad& vad, VpnRange pages, Protection protection) {
  ControlArea& area = *vad.control_area;
  if (vad.type == VadType::kLargePageSection) return fail(Status::kInvalidPageProtection);
  if (!area.flags().reserve) return fail(Status::kAlreadyCommitted);
  PAGODA_TRY(may_protect(vad, protection));
  PAGODA_TRY(make_private(cpu, pages));
  PAGODA_TRY(tables_.make_all(cpu, pages));
  // What the protection will cost is taken first and given back for `protect_view` to take: then nothing can fail once
  // the pages are committed.
  const PageCount private_now = charged_in_view(cpu, vad, pages);
  const bool copies = is_write_copy(in_view(vad, pages.first, protection));
  const PageCount more = copies && pages.count > private_now ? pages.count - private_now : 0_pages;
  auto committed = charge_commit(more);
  if (committed) {
    committed = core_.sections->commit(cpu, area, vad.section_page_of(pages.first), pages.count);
    give_back_commit(more);
  }
  if (!committed) {
    tables_.for_each(
        cpu, pages, [](Vpn, PhysicalAddress, RawPte) {},
        [&](Vpn page) {
          lock.assert_held();
          tables_.free_if_empty(cpu, page);
        });
    return committed;
  }
  return protect_view(cpu, vad, pages, protection);
}

Result<> AddressSpace::protect_view(Processor& cpu, Vad& vad, VpnRange pages, Protection protection) {
  PAGODA_TRY(make_private(cpu, pages));
  PAGODA_TRY(tables_.make_all(cpu, pages));
  const PageCount before = charged_in_view(cpu, vad, pages);
  PageCount after;
  tables_.for_each(cpu, pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
    if (is_private_entry(raw) || is_write_copy(in_view(vad, page, protection))) ++after;
  });
  const auto free_empty = [&](Vpn page) {
    lock.assert_held();
    tables_.free_if_empty(cpu, page);
  };
  if (const auto charged = change_charge(vad, before, after); !charged) {
    tables_.for_each(cpu, pages, [](Vpn, PhysicalAddress, RawPte) {}, free_empty);
    return charged;
  }
  tables_.for_each(
      cpu, pages,
      [&](Vpn page, PhysicalAddress pte, RawPte raw) {
        lock.assert_held();
        const Protection now = current_protection(cpu, vad, page, raw);
        const Protection rights = in_view(vad, page, protection);
        if (is_private_entry(raw)) {
          if (now != unshared(protection)) protect_entry(cpu, page, pte, raw, unshared(protection));
        } else if (now != rights) {
          protect_shared_entry(cpu, vad, page, pte, raw, rights);
        }
      },
      free_empty);
  return {};
}

Result<> AddressSpace::change_charge(Vad& vad, PageCount before, PageCount after) {
  if (after > before) {
    PAGODA_TRY(charge_commit(after - before));
  } else {
    give_back_commit(before - after);
  }
  vad.commit_charge = vad.commit_charge + after - before;
  commit_ = commit_ + after - before;
  peak_commit_ = std::max(peak_commit_, commit_);
  return {};
}

void AddressSpace::protect_shared_entry(Processor& cpu, const Vad& vad, Vpn page, PhysicalAddress pte, RawPte raw,
                                        Protection protection) {
  if (!PteCodec::is_valid(raw)) {
    // What the VAD says needs no entry.
    tables_.store(cpu, pte, protection == protection_of_view(vad, page) ? 0 : core_.codec.lookup_needed(protection));
    return;
  }
  const Pfn frame = core_.codec.frame(raw);
  const std::uint32_t slot = working_set_.find_shared(page);
  const auto dirty = PteCodec::dirty_of(raw);
  core_.note(cpu, EventKind::kProtected, pte, frame, raw);
  if (is_mappable(protection)) {
    working_set_.set_protection(slot, protection);
    tables_.replace(
        cpu, pte,
        core_.codec.valid(frame, protection, PteCodec::Owner::kUser, PteCodec::Dirty::kNo) | soft_bits::kPrototype);
    invalidate(cpu, std::span(&page, 1));
    if (dirty == PteCodec::Dirty::kNo) return;
    const LockGuard guard(core_.pfns.lock);
    core_.pfns.make_dirty(frame);
    return;
  }
  working_set_.erase(slot);
  tables_.replace(cpu, pte, core_.codec.lookup_needed(protection));
  invalidate(cpu, std::span(&page, 1));
  const LockGuard guard(core_.pfns.lock);
  core_.pfns.unshare(cpu, frame, pte.pfn(), dirty);
}

// What this space's entries say about their pages being dirty goes into the PFN database, and a next write says so
// again; then the file's pages are written. Other spaces' entries keep what they say, as in NT: their pages are written
// once more later.
Result<VpnRange> AddressSpace::flush_view(Processor& cpu, VirtualAddress base, ByteCount size) {
  std::shared_ptr<FileStream> file;
  VpnRange pages;
  FileOffset offset;
  {
    const LockGuard guard(lock);
    const Vad* const vad = vads_.find(base.vpn());
    if (vad == nullptr) return fail(Status::kNotMappedView);
    if (vad->control_area == nullptr || vad->control_area->kind() != SectionKind::kData)
      return fail(Status::kNotMappedData);
    pages = {base.vpn(), vad->range.end() - base.vpn()};
    if (!size.is_zero()) {
      const auto covering = pages_covering(base, size);
      if (!covering || covering->last() > vad->range.last()) return fail(Status::kInvalidParameter);
      pages = *covering;
    }
    file = vad->control_area->file();
    offset = FileOffset(bytes_of(vad->section_page_of(pages.first)).value());
    std::vector<Vpn> cleaned;
    tables_.for_each(cpu, pages, [&](Vpn page, PhysicalAddress pte, RawPte raw) {
      lock.assert_held();
      if (!PteCodec::is_valid(raw) || !PteCodec::is_shared(raw) || !PteCodec::is_dirty(raw)) return;
      machine::clear_entry_bits(cpu.physical(), core_.mode, pte, machine::pte_bits::kWrite | machine::pte_bits::kDirty);
      cleaned.push_back(page);
      const LockGuard pfn_guard(core_.pfns.lock);
      core_.pfns.make_dirty(core_.codec.frame(raw));
    });
    invalidate(cpu, cleaned);
  }
  PAGODA_TRY(core_.sections->flush(cpu, *file, offset, bytes_of(pages.count)));
  return pages;
}

}  // namespace pagoda::mm
