// Mapping and unmapping views, device frames, and regions of an embedder's kind.
#include <algorithm>

#include "pagoda/mm/process/process_space.h"
#include "pagoda/mm/region/device_frames.h"
#include "pagoda/mm/region/large_pages.h"
#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

namespace {

void set_kind(Vad& vad, const Section& section) {
  vad.source = PageSource::kPrototype;
  if (section.flags().large_pages) {
    vad.kind = &large_view();
    vad.source = PageSource::kMapped;
  } else if (section.kind() == SectionKind::kImage) {
    vad.kind = &image_view();
  } else {
    vad.kind = &data_view();
  }
}

// What a view of an image is mapped with.
Protection image_protection(const Section& section) {
  return section.flags().no_execute ? Protection::kWriteCopy : Protection::kExecuteWriteCopy;
}

}  // namespace

// In the order of reference/nt.md 6.2, from the base on.
Result<Vad> ProcessSpace::place_view(const Section& section, const ViewRequest& request) {
  const VpnRange limits = user_range();
  const std::uint64_t end = VirtualAddress(limits.end()).value();
  if (request.base && (request.base->value() >= end || request.size.value() > end - request.base->value()))
    return fail(Status::kInvalidParameter3);
  const bool large = section.flags().large_pages;
  const PageCount granule = large ? pages_of(large_page_size(core_.mode)) : kAllocationGranularityPages;
  const std::uint64_t granularity = bytes_of(granule).value();
  const bool offset_on_page = request.replaces_placeholder && !large;
  const bool base_on_page = offset_on_page || (request.base_on_page && !large);
  if ((request.base && request.base->value() % (base_on_page ? kPageBytes : granularity) != 0) ||
      request.offset.value() % (offset_on_page ? kPageBytes : granularity) != 0)
    return fail(Status::kMappedAlignment);
  const bool image = section.kind() == SectionKind::kImage;
  // Who maps an image may ask for any protection: its sections' count.
  const bool any_protection = image && !section.flags().no_execute;
  if (!any_protection && !is_compatible(section.protection(), request.protection))
    return fail(Status::kSectionProtection);
  if (large && !is_allowed_on_large_view(request.protection)) return fail(Status::kInvalidPageProtection);
  if (request.offset >= section.size()) return fail(Status::kInvalidViewSize);
  if (large && request.size.value() % bytes_of(granule).value() != 0) return fail(Status::kInvalidViewSize);
  const ByteCount rest = section.size() - request.offset;
  const ByteCount size = request.size.is_zero() ? rest : request.size;
  const bool extendable = request.extendable && section.kind() == SectionKind::kData;
  // A file's section is as large as it was asked to be, to the byte, and so are its views; others' sizes are whole pages.
  if (size > rest && !extendable) return fail(Status::kInvalidViewSize);
  if (request.commit > size) return fail(Status::kInvalidParameter5);
  if (request.extendable && section.kind() != SectionKind::kData) return fail(Status::kInvalidParameter9);
  if (extendable && !is_writable(section.protection())) return fail(Status::kSectionProtection);
  if (section.kind() == SectionKind::kPagingFile && is_write_combine(request.protection))
    return fail(Status::kInvalidParameter10);

  Vad vad;
  vad.range.count = pages_of(size);
  vad.control_area = &section.control_area();
  vad.section_page = pages_of(request.offset);
  vad.protection = image ? image_protection(section) : request.protection;
  // Unless the caller says how its view is cached, it is as its section.
  if (!image && cache_attribute(request.protection) == CacheAttribute::kCached)
    vad.protection = cached_as(request.protection, section.flags().cache());
  vad.allocation_protection = vad.protection;
  if (image) vad.type = VadType::kImage;
  if (large) {
    vad.type = VadType::kLargePageSection;
    vad.large_protection = request.protection;
  }
  set_kind(vad, section);
  vad.inherit = request.inherit;
  vad.is_private = false;
  vad.no_change = request.no_change || section.flags().no_change;
  vad.extendable = extendable;
  vad.tables_on_demand = section.kind() == SectionKind::kData && vad.range.count >= kTablesOnDemand;

  std::optional<VirtualAddress> base = request.base;
  if (!base && section.based_at()) base = *section.based_at() + request.offset;
  const PageCount alignment = std::max(granule, pages_of(request.wishes.alignment));
  const VpnRange within = PAGODA_TRY(placement_limits(request.wishes, limits));
  if (!base && image) {
    const VirtualAddress preferred = section.image()->base + request.offset;
    const VpnRange wanted{preferred.vpn(), vad.range.count};
    if (within.contains(wanted.first) && wanted.last() <= within.last() &&
        wanted.first.value() % alignment.value() == 0 && !vads_.overlaps(wanted))
      base = preferred;
  }
  if (base) {
    vad.range.first = base->vpn();
    if (!limits.contains(vad.range.first) || vad.range.last() > limits.last()) return fail(Status::kInvalidParameter3);
    if (!request.replaces_placeholder && vads_.overlaps(vad.range)) return fail(Status::kConflictingAddresses);
    return vad;
  }
  // Not through place_region: that call takes 7 % of mapping a view.
  vad.range.first = vads_.find_gap(request.direction, vad.range.count, within, alignment);
  if (vad.range.first == VadTree::kNoVpn) return fail(Status::kNoMemory);
  return vad;
}

Result<VpnRange> ProcessSpace::map_view(Processor& cpu, Section& section, const ViewRequest& request) {
  // No gap for the view has the same status as no frames, and no wait makes one.
  auto refused = Status::kSuccess;
  const auto mapped = with_memory(relief(), cpu, [&]() -> Result<VpnRange> {
    const ChangeGuard guard(*this);
    auto vad = place_view(section, request);
    if (!vad) {
      refused = vad.error();
      return VpnRange{};
    }
    ControlArea& area = *vad->control_area;
    vad->commit_charge = PAGODA_TRY(charged_copies(cpu, *vad, vad->range));
    Vad& inserted = *PAGODA_TRY(request.replaces_placeholder ? replace_placeholder(*vad) : insert_vad(*vad));
    Result<> ready;
    if (section.flags().reserve && !request.commit.is_zero()) {
      ready = sections().commit(cpu, area, vad->section_page, pages_of(request.commit));
    } else if (section.flags().large_pages) {
      ready = map_large_view(*this, cpu, inserted);
    }
    if (!ready) {
      take_back(inserted);
      return std::unexpected(ready.error());
    }
    count_view(core_, inserted);
    return inserted.range;
  });
  if (refused != Status::kSuccess) return fail(refused);
  return mapped;
}

Result<> ProcessSpace::unmap_view(Processor& cpu, VirtualAddress address, After after) {
  const ChangeGuard guard(*this);
  Vad* const vad = vads_.find(address.vpn());
  if (vad == nullptr || vad->is_private) return fail(Status::kNotMappedView);
  if (!may_free(*vad, vad->range)) return fail(Status::kInvalidPageProtection);
  if (after == After::kPlaceholder && !vad->from_placeholder) return fail(Status::kConflictingAddresses);
  vad->kind->unmap(*this, cpu, *vad, vad->range);
  const Vad was = *vad;
  if (after == After::kPlaceholder) {
    leave_placeholder(*vad);
  } else {
    erase_vad(*vad);
  }
  was.kind->removed(*this, cpu, was);
  return {};
}

Result<std::shared_ptr<FileStream>> ProcessSpace::mapped_file(VirtualAddress address) {
  const LockGuard guard(lock);
  const Vad* const vad = vads_.find(address.vpn());
  if (vad == nullptr || vad->control_area == nullptr || vad->control_area->file() == nullptr)
    return fail(Status::kInvalidAddress);
  return vad->control_area->file();
}

Result<bool> ProcessSpace::maps_same_file(VirtualAddress image, VirtualAddress file) {
  const LockGuard guard(lock);
  const Vad* const first = vads_.find(image.vpn());
  const Vad* const second = vads_.find(file.vpn());
  if (first == nullptr || second == nullptr) return fail(Status::kInvalidAddress);
  for (const Vad* const vad : {first, second})
    if (vad->control_area == nullptr || vad->control_area->file() == nullptr)
      return fail(Status::kConflictingAddresses);
  if (first == second) return true;
  const ControlArea& area = *first->control_area;
  return area.kind() == SectionKind::kImage && area.file() == second->control_area->file();
}

void ProcessSpace::collect_writes(Processor& cpu, VpnRange pages) {
  FlushBatchOf<kRangeBatch> cleaned(*this, cpu);
  tables_.for_each_in_memory(cpu, pages, [&](Vpn page, PhysicalAddress pte, RawPte raw) {
    lock.assert_held();
    if (!PteCodec::is_valid(raw) || !PteCodec::is_shared(raw) || !PteCodec::is_dirty(raw)) return;
    machine::clear_entry_bits(cpu.physical(), core_.mode, pte, machine::pte_bits::kWrite | machine::pte_bits::kDirty);
    cleaned.add({.page = page, .pte = pte, .was = raw}, release_cleaned);
  });
  cleaned.flush();
}

void ProcessSpace::collect_writes(Processor& cpu, const ControlArea& area) {
  const LockGuard guard(lock);
  for (const Vad* vad = vads_.first(); vad != nullptr; vad = VadTree::next(vad))
    if (vad->control_area == &area) collect_writes(cpu, vad->range);
}

// This space's entries alone tell what they know, as in NT: what others know is written once more later.
Result<VpnRange> ProcessSpace::flush_view(Processor& cpu, VirtualAddress base, ByteCount size) {
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
    collect_writes(cpu, pages);
  }
  PAGODA_TRY(sections().flush(cpu, *file, offset, bytes_of(pages.count)));
  return pages;
}

Result<VpnRange> ProcessSpace::map_frames(const FramesRequest& request) {
  if (!is_allowed_on_device(request.protection)) return fail(Status::kInvalidPageProtection);
  const std::uint64_t most = std::min(core_.mode.max_frames().value(), std::uint64_t{kNoPfn.value()});
  if (core_.pfns.contains(request.first) || request.count.is_zero() || request.first.value() >= most ||
      request.count.value() > most - request.first.value())
    return fail(Status::kInvalidParameter);
  const VpnRange limits = user_range();
  const VpnRange within = PAGODA_TRY(placement_limits(request.wishes, limits));
  if (request.base && request.wishes.any()) return fail(Status::kInvalidParameter);

  Vad vad;
  vad.type = VadType::kPhysical;
  vad.kind = &device_region();
  vad.source = PageSource::kKind;
  vad.protection = request.protection;
  vad.allocation_protection = request.protection;
  vad.inherit = request.inherit;
  vad.is_private = false;
  vad.no_change = request.no_change;
  vad.tables_on_demand = request.count >= kTablesOnDemand;
  if (is_write_copy(request.protection)) vad.commit_charge = request.count;

  const ChangeGuard guard(*this);
  vad.range =
      PAGODA_TRY(place_region(request.base, request.count, request.direction, within, request.wishes.alignment));
  Vad& inserted = *PAGODA_TRY(insert_vad(vad));
  extras().set_state(inserted, std::make_unique<DeviceFrames>(vad.range, request.first, request.protection));
  return vad.range;
}

Result<VpnRange> ProcessSpace::map_region(const RegionKind& kind, const KindRequest& request) {
  if (base_of(request.protection) == Protection::kNone) return fail(Status::kInvalidPageProtection);
  if (request.size.is_zero() || pages_of(request.size) > range().count) return fail(Status::kInvalidParameter4);
  const ChangeGuard guard(*this);
  Vad vad;
  vad.range = PAGODA_TRY(place_region(request.base, pages_of(request.size), request.direction, range(), {}));
  vad.commit_charge = vad.range.count;
  vad.kind = &kind;
  vad.source = PageSource::kKind;
  vad.mem_commit = MemCommit::kYes;
  vad.protection = request.protection;
  vad.allocation_protection = request.protection;
  vad.is_private = kind.type() == MemoryType::kPrivate;
  return PAGODA_TRY(insert_vad(vad))->range;
}

Result<VpnRange> ProcessSpace::place_region(std::optional<VirtualAddress> base, PageCount count, Direction direction,
                                            VpnRange within, ByteCount alignment) const {
  if (base) {
    if (base->value() % kAllocationGranularity != 0) return fail(Status::kMappedAlignment);
    const Vpn first = base->vpn();
    if (!range().contains(first) || count > range().end() - first) return fail(Status::kInvalidParameter3);
    if (vads_.overlaps({first, count})) return fail(Status::kConflictingAddresses);
    return VpnRange{first, count};
  }
  const Vpn first =
      vads_.find_gap(direction, count, within, std::max(kAllocationGranularityPages, pages_of(alignment)));
  if (first == VadTree::kNoVpn) return fail(Status::kNoMemory);
  return VpnRange{first, count};
}

}  // namespace pagoda::mm
